//! What a token is and can, as it says itself when a session is opened.

use minicbor::{Decode, Encode};

use crate::group::ids::{MasterId, Suite};
use crate::group::operations::Issuers;

/// What a session's token has: probed when the session was opened.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Profile {
    /// The token's public keys; its suites are those that have some.
    #[n(0)]
    pub issuers: Issuers,
    /// The masters of its ring, ascending.
    #[n(1)]
    pub masters: Vec<MasterId>,
    /// What it is, for people: library, token, firmware.
    #[n(2)]
    pub description: String,
    /// The mechanisms that it uses, by the standard's names (`CKM_…`), for the log and for operators.
    #[n(3)]
    pub mechanisms: Vec<String>,
}

impl Profile {
    /// Whether batches of this suite can be executed.
    pub fn has(&self, suite: Suite) -> bool {
        self.issuers.of(suite).is_some()
    }
}

/// What to do with the ring of masters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum RingChange {
    /// Nothing: only list it.
    #[n(0)]
    List,
    /// Create this master, unless it is there.
    #[n(1)]
    Create(#[n(0)] MasterId),
    /// Destroy this master, if it is there: whatever was derived from it can never be derived again.
    #[n(2)]
    Destroy(#[n(0)] MasterId),
}

/// What was asked of the token's hardware: calls that do cryptography, not the batches that they served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Usage {
    /// Derivations of seeds, node keys, keks and confirmation keys; ratchet steps apart.
    #[n(0)]
    pub derivations: u64,
    /// Ratchet steps.
    #[n(1)]
    pub ratchets: u64,
    /// AES key wraps.
    #[n(2)]
    pub wraps: u64,
    /// Key agreements and encapsulations.
    #[n(3)]
    pub agreements: u64,
    /// Confirmation tags.
    #[n(4)]
    pub tags: u64,
    /// Signatures.
    #[n(5)]
    pub signatures: u64,
    /// Keys that were still held from an earlier batch and so were not derived.
    #[n(6)]
    pub reused: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.derivations += other.derivations;
        self.ratchets += other.ratchets;
        self.wraps += other.wraps;
        self.agreements += other.agreements;
        self.tags += other.tags;
        self.signatures += other.signatures;
        self.reused += other.reused;
    }
}
