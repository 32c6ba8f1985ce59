//! One-pass ECDH P-256: how a leaf key reaches its member in suite 1.

use std::fmt;

use aws_lc_rs::agreement::{self, ECDH_P256, ParsedPublicKey, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::encoding::{AsBigEndian, EcPrivateKeyBin};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::Key;
use super::derive::{cbc, key_unwrap};
use crate::group::operations::{PublicKey, WrappedKey};

/// These bytes are no private key, or no public key of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a key of the suite: the bytes are too many or too few, out of range or not on the curve"
)]
pub struct InvalidKey;

/// A P-256 key pair for key agreement: the static side of grants, in a software token.
pub struct AgreementKey {
    private: PrivateKey,
    public: PublicKey,
}

impl AgreementKey {
    /// A fresh key pair.
    pub fn generate() -> Self {
        let private = PrivateKey::generate(&ECDH_P256)
            .expect("AWS-LC generates a P-256 key unless memory is exhausted");
        Self::with_public(private).expect("a generated key has a public half")
    }

    /// The key pair of a private scalar (32 bytes, big-endian).
    pub fn from_scalar(scalar: &[u8; 32]) -> Result<Self, InvalidKey> {
        let private = PrivateKey::from_private_key(&ECDH_P256, scalar).map_err(|_| InvalidKey)?;
        Self::with_public(private)
    }

    fn with_public(private: PrivateKey) -> Result<Self, InvalidKey> {
        let public = private.compute_public_key().map_err(|_| InvalidKey)?;
        let public = public.as_ref().try_into().map_err(|_| InvalidKey)?;
        Ok(AgreementKey { private, public })
    }

    /// The private scalar, for a software token's sealed file.
    pub fn scalar(&self) -> Zeroizing<[u8; 32]> {
        let bytes: EcPrivateKeyBin<'_> = self
            .private
            .as_be_bytes()
            .expect("a P-256 private key has a scalar");
        let mut scalar = Zeroizing::new([0; 32]);
        scalar.copy_from_slice(bytes.as_ref());
        scalar
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// The key-encryption key of a grant: `CBC(z, SHA-256(transcript))`. Both sides compute the same.
    pub fn kek(&self, peer: &PublicKey, transcript: &[u8]) -> Result<Key, InvalidKey> {
        agreement::agree(&self.private, point(peer)?, InvalidKey, |z| {
            let mut bytes: [u8; 32] = z.try_into().map_err(|_| InvalidKey)?;
            let z = Key::from_bytes(bytes);
            bytes.zeroize();
            Ok(grant_kek(&z, transcript))
        })
    }
}

impl fmt::Debug for AgreementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgreementKey(..)")
    }
}

/// The data that a grant's KDF runs over.
pub(crate) fn grant_data(transcript: &[u8]) -> [u8; 32] {
    Sha256::digest(transcript).into()
}

fn grant_kek(z: &Key, transcript: &[u8]) -> Key {
    cbc(z, &grant_data(transcript))
}

/// The point of a public key; refuses everything but an uncompressed point of the curve.
fn point(public: &PublicKey) -> Result<ParsedPublicKey, InvalidKey> {
    // AWS-LC takes the hybrid forms 0x06 and 0x07 too; suite 1 has one form, so that a transcript has one.
    if public[0] != 0x04 {
        return Err(InvalidKey);
    }
    UnparsedPublicKey::new(&ECDH_P256, public)
        .try_into()
        .map_err(|_| InvalidKey)
}

/// Whether these bytes are an uncompressed point of P-256.
pub fn is_point(public: &PublicKey) -> bool {
    point(public).is_ok()
}

/// A member's own key pair for one grant of suite 1.
pub struct EphemeralKey(AgreementKey);

impl EphemeralKey {
    /// A fresh key pair.
    pub fn generate() -> Self {
        EphemeralKey(AgreementKey::generate())
    }

    /// The key pair of a known scalar: for known-answer tests only, a member's key is never used twice.
    pub fn from_scalar(scalar: &[u8; 32]) -> Result<Self, InvalidKey> {
        AgreementKey::from_scalar(scalar).map(EphemeralKey)
    }

    /// The public half, which the member sends when it joins.
    pub fn public(&self) -> PublicKey {
        self.0.public()
    }

    /// Opens the leaf key of a grant; `None` when it was not made for this key and transcript by this issuer.
    pub fn open_grant(
        &self,
        issuer_agreement: &[u8],
        transcript: &[u8],
        wrapped: &WrappedKey,
    ) -> Option<Key> {
        let issuer: &PublicKey = issuer_agreement.try_into().ok()?;
        let kek = self.0.kek(issuer, transcript).ok()?;
        key_unwrap(&kek, wrapped)
    }
}

impl fmt::Debug for EphemeralKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EphemeralKey(..)")
    }
}
