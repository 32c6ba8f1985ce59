//! HKDF-SHA256 as suite 2 uses it, and what is under it: hybrid grants, ML-DSA-65 signatures.

mod hybrid;
mod signature;

use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use super::Key;

pub(crate) use hybrid::split;
pub use hybrid::{HybridKey, X25519Key, is_hybrid_key};
pub use signature::MlDsaKey;
pub(super) use signature::verify;

/// The info of the key that a node key wraps with.
pub(crate) const WRAP: &[u8] = b"wardcast/2 wrap";
const GRANT: &[u8] = b"wardcast/2 grant";

/// `HKDF(input, info)`: HKDF-SHA256 without a salt, 32 bytes.
pub(super) fn hkdf(input: &[u8], info: &[u8]) -> Key {
    let mut out = [0; 32];
    Hkdf::<Sha256>::new(None, input)
        .expand(info, &mut out)
        .expect("32 bytes are far below HKDF's limit");
    let key = Key::from_bytes(out);
    out.zeroize();
    key
}

/// The key that a node key wraps its parent's key with.
pub(super) fn wrapping_key(node: &Key) -> Key {
    hkdf(node.as_bytes(), WRAP)
}

/// The info of a grant's kek. The transcript as given ends in the head of the ciphertext's byte string, so what is hashed
/// is one CBOR item, with the ciphertext its last element.
pub(crate) fn grant_info(transcript: &[u8], ciphertext: &[u8]) -> Vec<u8> {
    let hash = Sha256::new()
        .chain_update(transcript)
        .chain_update(ciphertext)
        .finalize();
    [GRANT, &hash[..]].concat()
}
