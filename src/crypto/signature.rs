//! ECDSA P-256 with SHA-256: who signs epoch headers of suite 1, and how members check it.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, UnparsedPublicKey,
};
use zeroize::Zeroizing;

use super::{AgreementKey, InvalidKey};
use crate::group::operations::PublicKey;

/// A P-256 key pair that signs epoch headers, in a software token.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public: PublicKey,
}

impl SigningKey {
    /// The key pair of a private scalar (32 bytes, big-endian).
    pub fn from_scalar(scalar: &[u8; 32]) -> Result<Self, InvalidKey> {
        let public = AgreementKey::from_scalar(scalar)?.public();
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            scalar,
            &public,
        )
        .map_err(|_| InvalidKey)?;
        Ok(SigningKey { pair, public })
    }

    /// A fresh private scalar, to be stored sealed and opened with [`SigningKey::from_scalar`].
    pub fn generate_scalar() -> Zeroizing<[u8; 32]> {
        AgreementKey::generate().scalar()
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs a message: `r || s`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature = self
            .pair
            .sign(&SystemRandom::new(), message)
            .expect("AWS-LC signs with a valid key unless memory is exhausted");
        signature
            .as_ref()
            .try_into()
            .expect("a fixed-length P-256 signature is 64 bytes")
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// Whether `signature` is by the holder of `public` over `message`.
pub(super) fn verify(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public)
        .verify(message, signature)
        .is_ok()
}
