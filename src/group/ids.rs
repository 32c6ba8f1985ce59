//! Names of everything that the core plans with: groups, nodes, keys, members, epochs.

use std::fmt;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// A group's identifier: 16 random bytes, shown as 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct GroupId(#[cbor(with = "minicbor::bytes")] pub [u8; 16]);

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupId({self})")
    }
}

/// The random nonce that a group's seed is derived with. Not secret without the master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct GroupNonce(#[cbor(with = "minicbor::bytes")] pub [u8; 32]);

/// Which master key of the token domain's ring a group's seed is derived from.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize,
)]
#[cbor(transparent)]
pub struct MasterId(#[n(0)] pub u32);

/// A cryptographic suite by its number on the wire.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize,
)]
#[cbor(index_only)]
pub enum Suite {
    /// AES-CBC derivation, AES-KW, one-pass ECDH P-256, ECDSA P-256, AES-CMAC, HKDF-SHA256.
    #[n(1)]
    #[serde(rename = "1")]
    One,
    /// HKDF-SHA256 derivation, AES-KW, X25519 with ML-KEM-768, ML-DSA-65, AES-CMAC, HKDF-SHA256.
    #[n(2)]
    #[serde(rename = "2")]
    Two,
}

/// How long a suite's public values are, in bytes: the one place that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The issuer's public key that verifies epoch headers.
    pub signing: usize,
    /// The issuer's static public key that grants are agreed with.
    pub agreement: usize,
    /// A member's ephemeral public key.
    pub member: usize,
    /// What a grant carries besides the wrapped key: the KEM's ciphertext.
    pub encapsulated: usize,
    /// The signature of an epoch header.
    pub signature: usize,
}

impl Suite {
    /// Every suite, the oldest first.
    pub const ALL: [Suite; 2] = [Suite::One, Suite::Two];

    /// The suite's number on the wire.
    pub const fn number(self) -> u32 {
        match self {
            Suite::One => 1,
            Suite::Two => 2,
        }
    }

    /// How long its public values are.
    pub const fn sizes(self) -> Sizes {
        match self {
            Suite::One => Sizes {
                signing: 65,
                agreement: 65,
                member: 65,
                encapsulated: 0,
                signature: 64,
            },
            // X25519 keys are 32 bytes (RFC 7748), ML-KEM-768's 1184 and 1088 (FIPS 203), ML-DSA-65's 1952 and 3309 (FIPS 204).
            Suite::Two => Sizes {
                signing: 1_952,
                agreement: 32,
                member: 32 + 1_184,
                encapsulated: 1_088,
                signature: 3_309,
            },
        }
    }
}

/// A set of suites.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Suites(
    /// Bit n - 1 stands for suite n; bits of later versions are kept.
    #[n(0)]
    u8,
);

impl Suites {
    /// The set of one suite.
    pub const fn of(suite: Suite) -> Self {
        Suites(1 << (suite.number() - 1))
    }

    /// This set and one suite more.
    pub const fn with(self, suite: Suite) -> Self {
        Suites(self.0 | Suites::of(suite).0)
    }

    /// Whether the suite is in it.
    pub const fn has(self, suite: Suite) -> bool {
        self.0 & Suites::of(suite).0 != 0
    }

    /// Its suites that have a name here, the oldest first.
    pub fn iter(self) -> impl Iterator<Item = Suite> {
        Suite::ALL.into_iter().filter(move |&suite| self.has(suite))
    }
}

impl FromIterator<Suite> for Suites {
    fn from_iter<T: IntoIterator<Item = Suite>>(suites: T) -> Self {
        suites.into_iter().fold(Suites::default(), Suites::with)
    }
}

/// A position in a group's key tree. Leaves are at level 0; the parent of `(l, i)` is `(l + 1, i / d)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct NodeId {
    /// Distance from the leaves.
    #[n(0)]
    pub level: u8,
    /// Position within the level, from the left.
    #[n(1)]
    pub index: u32,
}

/// A key by name: the bytes exist in the token and with the members below the node, nowhere else.
///
/// `generation` 0 means "never keyed"; the first key of a node is generation 1. `step` counts one-way
/// ratchet steps since the generation began: whoever holds step s can compute every later step, none before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct KeyRef {
    /// The node that the key belongs to.
    #[n(0)]
    pub node: NodeId,
    /// Which independent key of the node.
    #[n(1)]
    pub generation: u32,
    /// How often that key was ratcheted.
    #[n(2)]
    pub step: u16,
}

/// One registration of a member in a group: never reused within the group.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize,
)]
#[cbor(transparent)]
pub struct MemberId(#[n(0)] pub u64);

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A group's key epoch; each has a root key of its own. The first is 1.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Encode,
    Decode,
    Serialize,
    Deserialize,
)]
#[cbor(transparent)]
pub struct Epoch(#[n(0)] pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many records a group's log holds; an append names the revision that it expects.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Encode,
    Decode,
    Serialize,
    Deserialize,
)]
#[cbor(transparent)]
pub struct Revision(#[n(0)] pub u64);

/// A sender identifier for counter-mode traffic (RFC 9838 section 2.5.1): unique under one traffic key.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize,
)]
#[cbor(transparent)]
pub struct SenderId(#[n(0)] pub u32);

/// Who a peer is, from its certificate: `spiffe://…`, else `dns:NAME`, else `cn:NAME`.
#[derive(
    Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize,
)]
#[cbor(transparent)]
pub struct Identity(#[n(0)] pub String);

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a member may do with traffic keys (RFC 9838: sender, receiver or both).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[cbor(index_only)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Decrypts only; gets no sender identifier.
    #[n(0)]
    Receiver,
    /// Encrypts only.
    #[n(1)]
    Sender,
    /// Encrypts and decrypts.
    #[n(2)]
    Both,
}

impl Role {
    /// Whether this role needs a sender identifier.
    pub fn sends(self) -> bool {
        !matches!(self, Role::Receiver)
    }

    /// In a word, as it is written wherever there is text.
    pub fn word(self) -> &'static str {
        match self {
            Role::Receiver => "receiver",
            Role::Sender => "sender",
            Role::Both => "both",
        }
    }
}

/// Milliseconds of a monotonic clock; the core has no clock of its own, it is told the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

impl Time {
    /// This time plus a delay.
    pub fn after(self, milliseconds: u64) -> Time {
        Time(self.0.saturating_add(milliseconds))
    }

    /// How long ago a time was at this one; nothing if it is yet to come.
    pub fn since(self, before: Time) -> std::time::Duration {
        std::time::Duration::from_millis(self.0.saturating_sub(before.0))
    }
}
