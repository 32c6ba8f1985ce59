//! What the core asks of a token, by name: no key byte goes in or out, only wrapped ones come back.

use std::fmt;

use bytes::Bytes;
use minicbor::{Decode, Encode};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::ids::{GroupId, GroupNonce, KeyRef, MasterId, Suite};
use super::request::Requests;
use super::wire::TrailHead;

/// An AES-256 key wrapped with AES key wrap (RFC 3394): 40 bytes.
pub type WrappedKey = [u8; 40];
/// An uncompressed P-256 point (SEC 1): 65 bytes, the first 0x04.
pub type PublicKey = [u8; 65];

/// One named operation of a [`Batch`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum Operation {
    /// Wrap the parent's key under the child's: an up-edge. Answered by [`Output::Wrapped`].
    #[n(0)]
    Wrap {
        /// The key that wraps.
        #[n(0)]
        child: KeyRef,
        /// The key that is wrapped.
        #[n(1)]
        parent: KeyRef,
    },
    /// Wrap a leaf key for its member: an agreement between the token's static agreement key and the member's
    /// ephemeral one (suite 2: and an encapsulation for the member's), then a KDF over SHA-256 of the transcript, then
    /// AES-KW. Answered by [`Output::Granted`], or by [`Output::BadPublicKey`] when the member's key is none.
    #[n(1)]
    Grant {
        /// The leaf key that is granted.
        #[n(0)]
        leaf: KeyRef,
        /// The member's ephemeral public key, as long as the batch's suite says.
        #[cbor(n(1), with = "super::wire::fields::octets")]
        member: Bytes,
        /// What the grant is bound to, up to the KEM's ciphertext: the wrapping key is derived with SHA-256 of
        /// `transcript || ciphertext`. The ciphertext is empty in suite 1; in suite 2 the transcript announces it already
        /// (its last bytes are the head of a CBOR byte string), so the two are simply put together. Hashed by the token's host.
        #[cbor(n(2), with = "minicbor::bytes")]
        transcript: Vec<u8>,
    },
    /// Confirm and sign an epoch header. `prefix` is all that is signed up to the confirmation tag, which
    /// comes last: tag = AES-CMAC(confirmation key of the root, prefix), signature = ECDSA(prefix || tag).
    /// Refused unless it is of a header ([`is_of_a_header`](super::wire::is_of_a_header)). Answered by [`Output::Sealed`].
    #[n(2)]
    Seal {
        /// The epoch's root key.
        #[n(0)]
        root: KeyRef,
        /// The bytes that tag and signature cover.
        #[cbor(n(1), with = "minicbor::bytes")]
        prefix: Vec<u8>,
    },
    /// Tell the key that seals the pushes of the epoch after this root's: the one thing derived from a root that a token hands
    /// out, for it opens nothing but datagrams whose content is signed and wrapped. Answered by [`Output::PushKey`].
    #[n(3)]
    PushKey {
        /// The epoch's root key.
        #[n(0)]
        root: KeyRef,
    },
    /// Sign the head of an audit trail, which is no group's: in a batch [`of_no_group`](Batch::of_no_group). The token makes
    /// what is signed by itself ([`TrailHead::signed`]). Answered by [`Output::HeadSigned`].
    #[n(4)]
    SignHead {
        /// The trail's newest record.
        #[n(0)]
        head: TrailHead,
    },
    /// Wrap a root's key at a step under the token's escrow key, which never leaves that token either. Whoever opens it computes
    /// this step and the later ones of that generation, and so the secrets of their epochs: no earlier step, and no other
    /// generation, for those are independent. (Of a tree that grows, the old root goes on below the new one in the same generation: until that
    /// is over, its key opens the new root's, as it does for members.) Answered by [`Output::Escrowed`].
    #[n(5)]
    Escrow {
        /// The root's key: step 0 for all of a generation.
        #[n(0)]
        root: KeyRef,
    },
}

/// Operations of one group that a token executes in one go.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Batch {
    /// The suite of the group's keys.
    #[n(0)]
    pub suite: Suite,
    /// The group whose seed the keys are derived from.
    #[n(1)]
    pub group: GroupId,
    /// The master key of the seed.
    #[n(2)]
    pub master: MasterId,
    /// The group's nonce.
    #[n(3)]
    pub nonce: GroupNonce,
    /// In order; the outputs come in the same order.
    #[n(4)]
    pub operations: Vec<Operation>,
    /// The requests that it is executed for, as logs are to say: it does not depend on them.
    #[n(5)]
    pub requests: Requests,
}

impl Batch {
    /// A batch that names no key of any group: its group, master and nonce are zero, and nothing is derived from them.
    pub fn of_no_group(suite: Suite, operations: Vec<Operation>) -> Self {
        Batch {
            suite,
            group: GroupId([0; 16]),
            master: MasterId(0),
            nonce: GroupNonce([0; 32]),
            operations,
            requests: Requests::default(),
        }
    }

    /// Whether it is one of those. Identifiers and nonces of groups are random: no group's is.
    pub fn is_of_no_group(&self) -> bool {
        (self.group.0, self.master.0, self.nonce.0) == ([0; 16], 0, [0; 32])
    }
}

/// The answer to one [`Operation`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum Output {
    /// To `Wrap`.
    #[n(0)]
    Wrapped(#[cbor(n(0), with = "minicbor::bytes")] WrappedKey),
    /// To `Grant`.
    #[n(1)]
    Granted {
        /// The leaf key, wrapped.
        #[cbor(n(0), with = "minicbor::bytes")]
        wrapped: WrappedKey,
        /// The KEM's ciphertext, as long as the suite says: empty in suite 1.
        #[cbor(n(1), with = "super::wire::fields::octets")]
        encapsulated: Bytes,
    },
    /// To `Grant` with a public key that is not on the curve: the peer's fault, not the token's.
    #[n(2)]
    BadPublicKey,
    /// To `Seal`.
    #[n(3)]
    Sealed {
        /// AES-CMAC over the prefix, under the confirmation key of the epoch's root.
        #[cbor(n(0), with = "minicbor::bytes")]
        tag: [u8; 16],
        /// Over prefix and tag: ECDSA P-256 with SHA-256 (r and s, 32 bytes each) in suite 1, ML-DSA-65 in suite 2.
        #[cbor(n(1), with = "super::wire::fields::octets")]
        signature: Bytes,
    },
    /// To `PushKey`.
    #[n(4)]
    PushKey(#[n(0)] PushKey),
    /// To `SignHead`: the signature over the head, as long as the suite says.
    #[n(5)]
    HeadSigned(#[cbor(n(0), with = "super::wire::fields::octets")] Bytes),
    /// To `Escrow`: AES key wrap (RFC 3394) under the escrow key, in both suites.
    #[n(6)]
    Escrowed(#[cbor(n(0), with = "minicbor::bytes")] WrappedKey),
}

/// Seals pushes of one epoch. No group key can be computed from it. Erased on drop, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop, Encode, Decode)]
#[cbor(transparent)]
pub struct PushKey(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 32]);

impl fmt::Debug for PushKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PushKey(..)")
    }
}

impl PartialEq for PushKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for PushKey {}

/// The token's public keys of one suite, which members verify and agree with: as long as [`Suite::sizes`] says.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Issuer {
    /// Verifies epoch headers (ECDSA P-256, or ML-DSA-65).
    #[cbor(n(0), with = "super::wire::fields::octets")]
    pub signing: Bytes,
    /// The static side of grants (P-256, or X25519).
    #[cbor(n(1), with = "super::wire::fields::octets")]
    pub agreement: Bytes,
}

/// The token's public keys of every suite that it has.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Issuers {
    /// Suite 1, which every token has.
    #[n(0)]
    pub one: Issuer,
    /// Suite 2, where the token has its mechanisms and keys.
    #[n(1)]
    pub two: Option<Issuer>,
}

impl Issuers {
    /// The keys of a suite, if the token has it.
    pub fn of(&self, suite: Suite) -> Option<&Issuer> {
        match suite {
            Suite::One => Some(&self.one),
            Suite::Two => self.two.as_ref(),
        }
    }
}

/// Which batches a token executes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// An eviction that somebody asked for at once: before everything else.
    Urgent,
    /// Somebody waits to join or to catch up.
    Grant,
    /// Rotations and batched changes.
    Scheduled,
    /// What no member waits for: up-edges that are likely to be asked for, signatures over the audit trail, escrow.
    Prefetch,
}
