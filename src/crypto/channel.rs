//! The keys of the push channel: one that many members share, which opens pushes, and one of each member's own, which vouches for
//! acknowledgements. See [`spec::channel`](crate::group::wire::spec::channel).

use std::fmt;

use aes::Aes256;
use aes_gcm::{AeadInOut, Aes256Gcm};
use bytes::Bytes;
use cmac::{Cmac, KeyInit, Mac};
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{Key, random};
use crate::group::operations::PushKey;
use crate::group::wire::datagram::{
    Code, Datagram, MAX_DATAGRAM, PushKeyId, SEALED_HEAD, SEALED_OVERHEAD, Said, answered,
    sealed_head,
};

const TAG: usize = 16;

/// Seals and opens the pushes that follow one epoch.
#[derive(Clone)]
pub struct PushCipher {
    cipher: Aes256Gcm,
    name: PushKeyId,
}

impl PushCipher {
    /// Of the epoch's push key.
    pub fn new(key: &PushKey) -> Self {
        let kdf = Hkdf::<Sha256>::new(None, &key.0);
        let mut seal = Zeroizing::new([0; 32]);
        let mut name = PushKeyId::default();
        let expanded = kdf
            .expand(b"wardcast/1 push seal", &mut *seal)
            .and_then(|()| kdf.expand(b"wardcast/1 push name", &mut name));
        expanded.expect("40 bytes are far below HKDF's limit");
        PushCipher {
            cipher: Aes256Gcm::new((&*seal).into()),
            name,
        }
    }

    /// What datagrams name it by.
    pub fn name(&self) -> PushKeyId {
        self.name
    }

    /// Seals a push message, given in parts, once for all who are to have it; `None` when it does not fit into a datagram.
    pub fn seal(&self, parts: &[&[u8]]) -> Option<Bytes> {
        self.seal_with(parts, random())
    }

    pub(super) fn seal_with(&self, parts: &[&[u8]], nonce: [u8; 12]) -> Option<Bytes> {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        if length + SEALED_OVERHEAD > MAX_DATAGRAM {
            return None;
        }
        let head = sealed_head(self.name, nonce);
        let mut datagram = Vec::with_capacity(length + SEALED_OVERHEAD);
        datagram.extend_from_slice(&head);
        parts
            .iter()
            .for_each(|part| datagram.extend_from_slice(part));
        let message = &mut datagram[SEALED_HEAD..];
        let tag = self
            .cipher
            .encrypt_inout_detached(&nonce.into(), &head, message.into())
            .expect("a datagram is far below the cipher's limit");
        datagram.extend_from_slice(&tag);
        Some(datagram.into())
    }

    /// Opens a datagram that names this key; `None` when it was not sealed with it, or was changed since.
    pub fn open(&self, datagram: &Datagram<'_>) -> Option<Vec<u8>> {
        let Datagram::Sealed {
            key,
            nonce,
            head,
            sealed,
        } = *datagram
        else {
            return None;
        };
        if key != self.name {
            return None;
        }
        let (message, tag) = sealed.split_at_checked(sealed.len().checked_sub(TAG)?)?;
        let tag: [u8; TAG] = tag.try_into().ok()?;
        let mut message = message.to_vec();
        let opened = self.cipher.decrypt_inout_detached(
            &nonce.into(),
            head,
            message.as_mut_slice().into(),
            &tag.into(),
        );
        opened.is_ok().then_some(message)
    }
}

impl fmt::Debug for PushCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PushCipher(..)")
    }
}

/// One member's own key on its connection.
#[derive(Clone, Debug)]
pub struct ChannelKey(Key);

impl ChannelKey {
    /// From the TLS exporter.
    pub fn new(exported: Key) -> Self {
        ChannelKey(exported)
    }

    /// The code over these bytes.
    pub fn code(&self, covered: &[u8]) -> Code {
        self.mac(covered).finalize().into_bytes().into()
    }

    /// Whether what was said was said by the other end of the connection.
    pub fn vouches<T>(&self, said: &Said<'_, T>) -> bool {
        self.code(said.covered).ct_eq(said.code).into()
    }

    /// Whether it was said in answer to what had this number.
    pub fn answers<T>(&self, said: &Said<'_, T>, number: u64) -> bool {
        let covered = answered(said.covered, number);
        self.code(&covered).ct_eq(said.code).into()
    }

    /// Has the processor fetch the key.
    pub(crate) fn touch(&self) {
        std::hint::black_box(self.0.as_bytes()[0]);
    }

    fn mac(&self, covered: &[u8]) -> Cmac<Aes256> {
        let mut mac = <Cmac<Aes256> as KeyInit>::new(self.0.as_bytes().into());
        mac.update(covered);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::ids::Epoch;
    use crate::group::wire::datagram::{ChannelId, acknowledge};

    fn cipher(byte: u8) -> PushCipher {
        PushCipher::new(&PushKey([byte; 32]))
    }

    fn opened(cipher: &PushCipher, datagram: &[u8]) -> Option<Vec<u8>> {
        cipher.open(&Datagram::parse(datagram)?)
    }

    #[test]
    fn what_was_sealed_opens_with_its_key_alone() {
        let sealed = cipher(1).seal(&[b"a pu", b"sh"]).expect("fits");
        assert_eq!(sealed.len(), 6 + SEALED_OVERHEAD);
        assert_eq!(opened(&cipher(1), &sealed), Some(b"a push".to_vec()));
        assert_eq!(opened(&cipher(2), &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.to_vec();
            changed[at] ^= 1;
            assert_eq!(opened(&cipher(1), &changed), None, "byte {at}");
        }
        assert_ne!(
            cipher(1).seal(&[b"a push"]),
            Some(sealed),
            "nonces are random"
        );
    }

    #[test]
    fn what_does_not_fit_is_not_sealed() {
        let most = vec![7; MAX_DATAGRAM - SEALED_OVERHEAD];
        let sealed = cipher(1).seal(&[&most]).expect("fits");
        assert_eq!(
            (sealed.len(), opened(&cipher(1), &sealed)),
            (MAX_DATAGRAM, Some(most.clone()))
        );
        assert!(cipher(1).seal(&[&most, &[0]]).is_none());
    }

    #[test]
    fn a_code_vouches_for_its_own_words_under_its_own_key() {
        let key = |byte| ChannelKey::new(Key::from_bytes([byte; 32]));
        let said = acknowledge(ChannelId(7), Epoch(9), |covered| key(1).code(covered));
        let vouched = |key: &ChannelKey, bytes: &[u8]| match Datagram::parse(bytes) {
            Some(Datagram::Acknowledge(said)) => key.vouches(&said),
            _ => false,
        };
        assert!(vouched(&key(1), &said));
        assert!(!vouched(&key(2), &said));
        for at in 0..said.len() {
            let mut changed = said;
            changed[at] ^= 1;
            assert!(!vouched(&key(1), &changed), "byte {at}");
        }
    }
}
