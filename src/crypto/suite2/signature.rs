//! ML-DSA-65 (FIPS 204), pure, with an empty context: who signs epoch headers of suite 2, and how members check it.

use std::fmt;

use aws_lc_rs::signature::{
    KeyPair, ML_DSA_65, ML_DSA_65_SIGNING, PqdsaKeyPair, UnparsedPublicKey,
};
use bytes::Bytes;
use zeroize::Zeroizing;

use crate::crypto::random;
use crate::group::ids::Suite;

/// An ML-DSA-65 key pair that signs epoch headers, in a software token.
pub struct MlDsaKey(PqdsaKeyPair);

impl MlDsaKey {
    /// The key pair of a seed (xi of FIPS 204). Any 32 bytes are one.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let pair = PqdsaKeyPair::from_seed(&ML_DSA_65_SIGNING, seed);
        MlDsaKey(pair.expect("any 32 bytes are a seed of ML-DSA"))
    }

    /// A fresh seed, to be stored sealed and opened with [`MlDsaKey::from_seed`].
    pub fn generate_seed() -> Zeroizing<[u8; 32]> {
        Zeroizing::new(random())
    }

    /// The public half, 1952 bytes.
    pub fn public(&self) -> Bytes {
        Bytes::copy_from_slice(self.0.public_key().as_ref())
    }

    /// Signs a message: 3309 bytes. Hedged with fresh randomness, so that two signatures differ.
    pub fn sign(&self, message: &[u8]) -> Bytes {
        let mut signature = vec![0; Suite::Two.sizes().signature];
        self.0
            .sign(message, &mut signature)
            .expect("AWS-LC signs with a valid key unless memory is exhausted");
        signature.into()
    }
}

impl fmt::Debug for MlDsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MlDsaKey(..)")
    }
}

/// Whether `signature` is by the holder of `public` over `message`.
pub(in crate::crypto) fn verify(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ML_DSA_65, public)
        .verify(message, signature)
        .is_ok()
}
