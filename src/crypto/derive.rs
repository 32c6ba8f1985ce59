//! Derivation, wrapping and confirmation by suite: what members compute, and what the software token does for them.

use aes::Aes256;
use aes_kw::KwAes256;
use cbc::cipher::{BlockModeEncrypt, KeyIvInit};
use cmac::{Cmac, KeyInit, Mac};
use zeroize::Zeroize;

use super::derivation::Derivation;
use super::{Key, suite2};
use crate::group::ids::{GroupId, GroupNonce, KeyRef, Suite};
use crate::group::operations::{PushKey, WrappedKey};

/// The one place where a suite's way of deriving is chosen.
pub(crate) fn derive(suite: Suite, key: &Key, derivation: Derivation<'_>) -> Key {
    match suite {
        Suite::One => cbc(key, &derivation.block()),
        Suite::Two => suite2::hkdf(key.as_bytes(), &derivation.info()),
    }
}

/// `CBC(key, data)` of suite 1: AES-256-CBC, zero IV, no padding.
pub(super) fn cbc(key: &Key, data: &[u8; 32]) -> Key {
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

/// A group's seed from the master key and the group's nonce.
pub fn seed(suite: Suite, master: &Key, nonce: &GroupNonce) -> Key {
    derive(suite, master, Derivation::Seed(nonce))
}

/// A node's key: derived from the group's seed, then ratcheted as often as the reference's step says.
pub fn node_key(suite: Suite, seed: &Key, group: &GroupId, key: &KeyRef) -> Key {
    let base = derive(suite, seed, Derivation::Node(group, key));
    (0..key.step).fold(base, |key, _| ratchet(suite, &key))
}

/// The next step of a node's key. One way: the step before cannot be computed from it.
pub fn ratchet(suite: Suite, key: &Key) -> Key {
    derive(suite, key, Derivation::Ratchet)
}

/// Wraps a node's key under the node key `child`: an up-edge. Deterministic.
pub fn wrap(suite: Suite, child: &Key, key: &Key) -> WrappedKey {
    match suite {
        Suite::One => key_wrap(child, key),
        Suite::Two => key_wrap(&suite2::wrapping_key(child), key),
    }
}

/// Opens an up-edge; `None` when it was not wrapped under `child` or was changed since.
pub fn unwrap(suite: Suite, child: &Key, wrapped: &WrappedKey) -> Option<Key> {
    match suite {
        Suite::One => key_unwrap(child, wrapped),
        Suite::Two => key_unwrap(&suite2::wrapping_key(child), wrapped),
    }
}

/// The confirmation tag of an epoch: AES-CMAC over `prefix` under the root's confirmation key.
pub fn confirmation_tag(suite: Suite, root: &Key, prefix: &[u8]) -> [u8; 16] {
    let confirm = derive(suite, root, Derivation::Confirm);
    let mut mac = <Cmac<Aes256> as KeyInit>::new(confirm.as_bytes().into());
    mac.update(prefix);
    mac.finalize().into_bytes().into()
}

/// The push key of a root's epoch: AES-CMAC as a KDF in counter mode (NIST SP 800-108r1, 4.1) under a key of its own.
pub fn push_key(suite: Suite, root: &Key) -> PushKey {
    let base = derive(suite, root, Derivation::Push);
    let mut key = PushKey([0; 32]);
    for (half, input) in key.0.chunks_exact_mut(16).zip(push_key_inputs()) {
        let mut mac = <Cmac<Aes256> as KeyInit>::new(base.as_bytes().into());
        mac.update(&input);
        half.copy_from_slice(&mac.finalize().into_bytes());
    }
    key
}

/// What CMAC is computed over for the two halves of a push key: counter, label, zero, length in bits.
pub(crate) fn push_key_inputs() -> [[u8; 26]; 2] {
    let input = |counter: u8| {
        let mut input = *b"\0\0\0\x01wardcast push key\0\0\0\x01\0";
        input[3] = counter;
        input
    };
    [input(1), input(2)]
}

/// `KW(kek, key)`: AES-256 key wrap (RFC 3394), in both suites.
pub fn key_wrap(kek: &Key, key: &Key) -> WrappedKey {
    let mut wrapped = [0; 40];
    KwAes256::new(kek.as_bytes().into())
        .wrap_key(key.as_bytes(), &mut wrapped)
        .expect("32 bytes are a multiple of 8 and 40 bytes hold the result");
    wrapped
}

/// Opens `KW(kek, key)`; `None` when it was not wrapped under `kek` or was changed since.
pub fn key_unwrap(kek: &Key, wrapped: &WrappedKey) -> Option<Key> {
    let mut bytes = [0; 32];
    let opened = KwAes256::new(kek.as_bytes().into())
        .unwrap_key(wrapped, &mut bytes)
        .is_ok();
    let key = opened.then(|| Key::from_bytes(bytes));
    bytes.zeroize();
    key
}
