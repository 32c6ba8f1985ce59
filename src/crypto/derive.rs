//! Derivation, wrapping and confirmation: all that suite 1 does with AES.

use aes::Aes256;
use aes_kw::KwAes256;
use cbc::cipher::{BlockModeEncrypt, KeyIvInit};
use cmac::{Cmac, KeyInit, Mac};
use zeroize::Zeroize;

use super::Key;
use crate::group::ids::{GroupId, GroupNonce, KeyRef};
use crate::group::operations::WrappedKey;

/// What the ratchet encrypts. Public so that the PKCS#11 back end derives from the same bytes.
pub(crate) const RATCHET: &[u8; 32] = b"WCratchet-step-1WCratchet-step-2";
/// What a root key encrypts to give the confirmation key.
pub(crate) const CONFIRM: &[u8; 32] = b"WCconfirm-key--1WCconfirm-key--2";
/// What a root key encrypts to give the epoch secret.
pub(crate) const SECRET: &[u8; 32] = b"WCepoch-secret-1WCepoch-secret-2";

/// `CBC(key, data)`: AES-256-CBC, zero IV, no padding.
pub(crate) fn derive(key: &Key, data: &[u8; 32]) -> Key {
    let mut cipher = cbc::Encryptor::<Aes256>::new(key.as_bytes().into(), &[0; 16].into());
    let mut out = *data;
    for block in out.chunks_exact_mut(16) {
        let block: &mut [u8; 16] = block.try_into().expect("chunks of 16 are 16 long");
        cipher.encrypt_block(block.into());
    }
    let derived = Key::from_bytes(out);
    out.zeroize();
    derived
}

/// What a seed encrypts to give a node's key of a generation, at step 0.
pub(crate) fn node_data(group: &GroupId, key: &KeyRef) -> [u8; 32] {
    let mut data = [0; 32];
    data[..6].copy_from_slice(b"WCnode");
    data[6] = key.node.level;
    data[8..12].copy_from_slice(&key.node.index.to_be_bytes());
    data[12..16].copy_from_slice(&key.generation.to_be_bytes());
    data[16..].copy_from_slice(&group.0);
    data
}

/// A group's seed from the master key and the group's nonce.
pub fn seed(master: &Key, nonce: &GroupNonce) -> Key {
    derive(master, &nonce.0)
}

/// A node's key: derived from the group's seed, then ratcheted as often as the reference's step says.
pub fn node_key(seed: &Key, group: &GroupId, key: &KeyRef) -> Key {
    let base = derive(seed, &node_data(group, key));
    (0..key.step).fold(base, |key, _| ratchet(&key))
}

/// The next step of a node's key. One way: the step before cannot be computed from it.
pub fn ratchet(key: &Key) -> Key {
    derive(key, RATCHET)
}

/// Wraps `key` under `kek` (RFC 3394). Deterministic.
pub fn wrap(kek: &Key, key: &Key) -> WrappedKey {
    let mut wrapped = [0; 40];
    KwAes256::new(kek.as_bytes().into())
        .wrap_key(key.as_bytes(), &mut wrapped)
        .expect("32 bytes are a multiple of 8 and 40 bytes hold the result");
    wrapped
}

/// Opens a wrapped key; `None` when it was not wrapped under `kek` or was changed since.
pub fn unwrap(kek: &Key, wrapped: &WrappedKey) -> Option<Key> {
    let mut bytes = [0; 32];
    let opened = KwAes256::new(kek.as_bytes().into())
        .unwrap_key(wrapped, &mut bytes)
        .is_ok();
    let key = opened.then(|| Key::from_bytes(bytes));
    bytes.zeroize();
    key
}

/// The confirmation tag of an epoch: AES-CMAC over `prefix` under the root's confirmation key.
pub fn confirmation_tag(root: &Key, prefix: &[u8]) -> [u8; 16] {
    let confirm = derive(root, CONFIRM);
    let mut mac = <Cmac<Aes256> as KeyInit>::new(confirm.as_bytes().into());
    mac.update(prefix);
    mac.finalize().into_bytes().into()
}
