//! A member's side by suite: its key pair for one grant, and what it checks of what others say.

use std::fmt;

use bytes::Bytes;

use super::agreement::{EphemeralKey, is_point};
use super::suite2::{self, HybridKey, is_hybrid_key};
use super::{Key, signature};
use crate::group::ids::Suite;
use crate::group::operations::WrappedKey;

/// A member's own key pair, made for one grant, of either suite.
pub enum MemberKey {
    /// P-256.
    One(EphemeralKey),
    /// X25519 and ML-KEM-768.
    Two(Box<HybridKey>),
}

impl MemberKey {
    /// A fresh key pair.
    pub fn generate(suite: Suite) -> Self {
        match suite {
            Suite::One => MemberKey::One(EphemeralKey::generate()),
            Suite::Two => MemberKey::Two(Box::new(HybridKey::generate())),
        }
    }

    /// The suite that it is for.
    pub fn suite(&self) -> Suite {
        match self {
            MemberKey::One(_) => Suite::One,
            MemberKey::Two(_) => Suite::Two,
        }
    }

    /// The public half, which the member sends when it joins: as long as the suite says.
    pub fn public(&self) -> Bytes {
        match self {
            MemberKey::One(key) => Bytes::copy_from_slice(&key.public()),
            MemberKey::Two(key) => key.public(),
        }
    }

    /// Opens the leaf key of a grant; `None` when it was not made for this key and transcript by this issuer.
    ///
    /// The transcript is what [`grant_transcript`](crate::group::wire::grant_transcript) says, which in suite 2 is all but
    /// the ciphertext. `encapsulated` is the ciphertext, empty in suite 1.
    pub fn open_grant(
        &self,
        issuer_agreement: &[u8],
        transcript: &[u8],
        wrapped: &WrappedKey,
        encapsulated: &[u8],
    ) -> Option<Key> {
        match self {
            // A ciphertext that the transcript does not cover is none of the issuer's.
            MemberKey::One(_) if !encapsulated.is_empty() => None,
            MemberKey::One(key) => key.open_grant(issuer_agreement, transcript, wrapped),
            MemberKey::Two(key) => {
                key.open_grant(issuer_agreement, transcript, wrapped, encapsulated)
            }
        }
    }
}

impl fmt::Debug for MemberKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemberKey({:?}, ..)", self.suite())
    }
}

/// Whether these bytes can be a member's public key of the suite: asked before a token is.
pub fn is_member_key(suite: Suite, public: &[u8]) -> bool {
    match suite {
        Suite::One => public.try_into().is_ok_and(is_point),
        Suite::Two => is_hybrid_key(public),
    }
}

/// Whether `signature` is by the holder of `public` over `message`.
pub fn verify_signature(suite: Suite, public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    match suite {
        Suite::One => signature::verify(public, message, signature),
        Suite::Two => suite2::verify(public, message, signature),
    }
}
