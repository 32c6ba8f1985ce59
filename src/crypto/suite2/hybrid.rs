//! Grants of suite 2: X25519 with the issuer's static key and ML-KEM-768 to the member's, combined by HKDF.

use std::fmt;

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::kem::{Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_768};
use bytes::Bytes;
use zeroize::{Zeroize, Zeroizing};

use super::{grant_info, hkdf};
use crate::crypto::derive::{key_unwrap, key_wrap};
use crate::crypto::{InvalidKey, Key, random};
use crate::group::ids::Suite;
use crate::group::operations::WrappedKey;

/// An X25519 public key (RFC 7748).
const X25519_PUBLIC: usize = 32;
/// An ML-KEM-768 encapsulation key (FIPS 203).
pub(crate) const KEM_PUBLIC: usize = 1_184;
/// A member's public key: X25519, then ML-KEM.
const MEMBER_PUBLIC: usize = Suite::Two.sizes().member;
/// How long z2 and z1 are together.
const SECRETS: usize = 64;

/// The modulus of ML-KEM: what its coefficients are below.
const Q: u16 = 3_329;
/// A decapsulation key is `dk (1152) || ek (1184) || H(ek) (32) || z (32)` (FIPS 203, algorithm 16).
#[cfg(test)]
const EK_IN_DK: std::ops::Range<usize> = 1_152..1_152 + KEM_PUBLIC;

/// The two halves of a member's public key.
pub(crate) fn split(
    member: &[u8],
) -> Result<(&[u8; X25519_PUBLIC], &[u8; KEM_PUBLIC]), InvalidKey> {
    let (x25519, kem) = member.split_first_chunk().ok_or(InvalidKey)?;
    let kem = kem.try_into().map_err(|_| InvalidKey)?;
    Ok((x25519, kem))
}

/// Whether these bytes are a member's public key: an X25519 key with which an agreement is secret, and an ML-KEM-768
/// encapsulation key in its one encoding (the checks of FIPS 203, section 7.2).
pub fn is_hybrid_key(member: &[u8]) -> bool {
    let Ok((x25519, kem)) = split(member) else {
        return false;
    };
    is_reduced(kem) && contributes(x25519)
}

/// Every coefficient is below the modulus. Two of twelve bits stand in three bytes; the last 32 bytes are a seed.
fn is_reduced(kem: &[u8; KEM_PUBLIC]) -> bool {
    let (coefficients, _seed) = kem.split_at(KEM_PUBLIC - 32);
    coefficients.chunks_exact(3).all(|bytes| {
        let [low, middle, high] = [bytes[0], bytes[1], bytes[2]].map(u16::from);
        let first = low | (middle & 0x0f) << 8;
        let second = middle >> 4 | high << 4;
        first < Q && second < Q
    })
}

/// A point of small order gives zero with every private key, for these are multiples of the cofactor; no other point gives
/// zero with any. So one trial tells.
fn contributes(x25519: &[u8; X25519_PUBLIC]) -> bool {
    const ANY: [u8; 32] = [1; 32];
    X25519Key::from_private(&ANY).agree(x25519).is_ok()
}

/// An X25519 key pair: the static side of grants, in a software token.
pub struct X25519Key {
    private: PrivateKey,
    public: [u8; X25519_PUBLIC],
}

impl X25519Key {
    /// The key pair of a private key. Any 32 bytes are one.
    pub fn from_private(bytes: &[u8; 32]) -> Self {
        let private = PrivateKey::from_private_key(&X25519, bytes)
            .expect("any 32 bytes are a private key of X25519");
        let public = private
            .compute_public_key()
            .expect("an X25519 private key has a public half");
        let mut key = X25519Key {
            private,
            public: [0; X25519_PUBLIC],
        };
        key.public.copy_from_slice(public.as_ref());
        key
    }

    /// A fresh private key, to be stored sealed and opened with [`X25519Key::from_private`].
    pub fn generate_private() -> Zeroizing<[u8; 32]> {
        Zeroizing::new(random())
    }

    /// The public half.
    pub fn public(&self) -> [u8; X25519_PUBLIC] {
        self.public
    }

    /// z1.
    fn agree(&self, peer: &[u8]) -> Result<Zeroizing<[u8; 32]>, InvalidKey> {
        let peer = UnparsedPublicKey::new(&X25519, peer);
        agreement::agree(&self.private, peer, InvalidKey, |z| {
            let mut secret = Zeroizing::new([0; 32]);
            secret.copy_from_slice(z);
            Ok(secret)
        })
    }

    /// Wraps a leaf key for a member. Answers with the wrapped key and the KEM's ciphertext.
    pub fn grant(
        &self,
        member: &[u8],
        transcript: &[u8],
        leaf: &Key,
    ) -> Result<(WrappedKey, Bytes), InvalidKey> {
        let (x25519, kem) = split(member)?;
        if !is_reduced(kem) {
            return Err(InvalidKey);
        }
        let z1 = self.agree(x25519)?;
        let kem = EncapsulationKey::new(&ML_KEM_768, kem).map_err(|_| InvalidKey)?;
        let (ciphertext, z2) = kem.encapsulate().map_err(|_| InvalidKey)?;
        let kek = kek(z2.as_ref(), &z1, transcript, ciphertext.as_ref());
        let ciphertext = Bytes::copy_from_slice(ciphertext.as_ref());
        Ok((key_wrap(&kek, leaf), ciphertext))
    }
}

impl fmt::Debug for X25519Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("X25519Key(..)")
    }
}

/// Combines the two secrets: `HKDF(z2 || z1, "wardcast/2 grant" || SHA-256(transcript || ciphertext))`.
fn kek(z2: &[u8], z1: &[u8; 32], transcript: &[u8], ciphertext: &[u8]) -> Key {
    let mut secrets = [0; SECRETS];
    let (kem, x25519) = secrets.split_at_mut(32);
    kem.copy_from_slice(z2);
    x25519.copy_from_slice(z1);
    let kek = hkdf(&secrets, &grant_info(transcript, ciphertext));
    secrets.zeroize();
    kek
}

/// A member's own key pair for one grant of suite 2.
pub struct HybridKey {
    x25519: X25519Key,
    kem: DecapsulationKey,
    public: Bytes,
}

impl HybridKey {
    /// A fresh key pair.
    pub fn generate() -> Self {
        let kem = DecapsulationKey::generate(&ML_KEM_768)
            .expect("AWS-LC generates an ML-KEM key unless memory is exhausted");
        let public = kem
            .encapsulation_key()
            .and_then(|key| key.key_bytes())
            .expect("a generated key has a public half");
        let x25519 = X25519Key::from_private(&X25519Key::generate_private());
        Self::with_public(x25519, kem, public.as_ref())
    }

    /// The key pair of known private keys: for known-answer tests only, a member's key is never used twice.
    #[cfg(test)]
    pub(crate) fn from_private(x25519: &[u8; 32], kem: &[u8]) -> Result<Self, InvalidKey> {
        let public = kem.get(EK_IN_DK).ok_or(InvalidKey)?;
        let secret = DecapsulationKey::new(&ML_KEM_768, kem).map_err(|_| InvalidKey)?;
        Ok(Self::with_public(
            X25519Key::from_private(x25519),
            secret,
            public,
        ))
    }

    fn with_public(x25519: X25519Key, kem: DecapsulationKey, kem_public: &[u8]) -> Self {
        let mut public = Vec::with_capacity(MEMBER_PUBLIC);
        public.extend_from_slice(&x25519.public);
        public.extend_from_slice(kem_public);
        HybridKey {
            x25519,
            kem,
            public: public.into(),
        }
    }

    /// The public half, which the member sends when it joins: X25519 (32), then ML-KEM-768 (1184).
    pub fn public(&self) -> Bytes {
        self.public.clone()
    }

    /// Opens the leaf key of a grant; `None` when it was not made for this key and transcript by this issuer.
    pub fn open_grant(
        &self,
        issuer_agreement: &[u8],
        transcript: &[u8],
        wrapped: &WrappedKey,
        encapsulated: &[u8],
    ) -> Option<Key> {
        let z1 = self.x25519.agree(issuer_agreement).ok()?;
        let z2 = self.kem.decapsulate(Ciphertext::from(encapsulated)).ok()?;
        let kek = kek(z2.as_ref(), &z1, transcript, encapsulated);
        key_unwrap(&kek, wrapped)
    }
}

impl fmt::Debug for HybridKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HybridKey(..)")
    }
}
