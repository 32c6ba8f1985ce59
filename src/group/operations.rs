//! What the core asks of a token, by name: no key byte goes in or out, only wrapped ones come back.

use super::ids::{GroupId, GroupNonce, KeyRef, MasterId};

/// An AES-256 key wrapped with AES key wrap (RFC 3394): 40 bytes.
pub type WrappedKey = [u8; 40];
/// An uncompressed P-256 point (SEC 1): 65 bytes, the first 0x04.
pub type PublicKey = [u8; 65];

/// One named operation of a [`Batch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Wrap the parent's key under the child's: an up-edge. Answered by [`Output::Wrapped`].
    Wrap {
        /// The key that wraps.
        child: KeyRef,
        /// The key that is wrapped.
        parent: KeyRef,
    },
    /// Wrap a leaf key for its member: one-pass ECDH between the token's static agreement key and the
    /// member's ephemeral one, then a KDF over SHA-256 of the transcript, then AES-KW. Answered by
    /// [`Output::Wrapped`], or by [`Output::BadPublicKey`] when the member's key is no point of the curve.
    Grant {
        /// The leaf key that is granted.
        leaf: KeyRef,
        /// The member's ephemeral public key.
        member: PublicKey,
        /// What the grant is bound to; hashed by the token's host.
        transcript: Vec<u8>,
    },
    /// Confirm and sign an epoch header. `prefix` is all that is signed up to the confirmation tag, which
    /// comes last: tag = AES-CMAC(confirmation key of the root, prefix), signature = ECDSA(prefix || tag).
    /// Answered by [`Output::Sealed`].
    Seal {
        /// The epoch's root key.
        root: KeyRef,
        /// The bytes that tag and signature cover.
        prefix: Vec<u8>,
    },
}

/// Operations of one group that a token executes in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The group whose seed the keys are derived from.
    pub group: GroupId,
    /// The master key of the seed.
    pub master: MasterId,
    /// The group's nonce.
    pub nonce: GroupNonce,
    /// In order; the outputs come in the same order.
    pub operations: Vec<Operation>,
}

/// The answer to one [`Operation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To `Wrap` and `Grant`.
    Wrapped(WrappedKey),
    /// To `Grant` with a public key that is not on the curve: the peer's fault, not the token's.
    BadPublicKey,
    /// To `Seal`.
    Sealed {
        /// AES-CMAC over the prefix, under the confirmation key of the epoch's root.
        tag: [u8; 16],
        /// ECDSA P-256 with SHA-256 over prefix and tag: r and s, 32 bytes each.
        signature: [u8; 64],
    },
}

/// The token's public keys, which members verify and agree with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// Verifies epoch headers (ECDSA P-256).
    pub signing: PublicKey,
    /// The static side of grants (ECDH P-256).
    pub agreement: PublicKey,
}

/// Which batches a token executes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// An eviction that somebody asked for at once: before everything else.
    Urgent,
    /// Somebody waits to join.
    Grant,
    /// Rotations and batched changes.
    Scheduled,
}
