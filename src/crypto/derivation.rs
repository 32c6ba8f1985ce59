//! What keys are derived from keys for, and the bytes that make each derivation unlike the others, in either suite.

use crate::group::ids::{GroupId, GroupNonce, KeyRef};

/// A derivation that both suites have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Derivation<'a> {
    /// A group's seed, from a master.
    Seed(&'a GroupNonce),
    /// A node's key of a generation at step 0, from the seed.
    Node(&'a GroupId, &'a KeyRef),
    /// The next step of a node's key, from the key.
    Ratchet,
    /// The confirmation key, from the root key.
    Confirm,
    /// The epoch secret, from the root key; members only.
    Secret,
    /// What the push key is computed with, from the root key.
    Push,
}

impl Derivation<'_> {
    /// What suite 1 encrypts.
    pub(crate) fn block(self) -> [u8; 32] {
        match self {
            Derivation::Seed(nonce) => nonce.0,
            Derivation::Node(group, key) => node(group, key),
            Derivation::Ratchet => *b"WCratchet-step-1WCratchet-step-2",
            Derivation::Confirm => *b"WCconfirm-key--1WCconfirm-key--2",
            Derivation::Secret => *b"WCepoch-secret-1WCepoch-secret-2",
            Derivation::Push => *b"WCpush-channel-1WCpush-channel-2",
        }
    }

    /// What suite 2 gives HKDF as info.
    pub(crate) fn info(self) -> Vec<u8> {
        match self {
            Derivation::Seed(nonce) => [b"wardcast/2 seed", &nonce.0[..]].concat(),
            Derivation::Node(group, key) => [b"wardcast/2 node", &node(group, key)[..]].concat(),
            Derivation::Ratchet => b"wardcast/2 ratchet".to_vec(),
            Derivation::Confirm => b"wardcast/2 confirm".to_vec(),
            Derivation::Secret => b"wardcast/2 secret".to_vec(),
            Derivation::Push => b"wardcast/2 push".to_vec(),
        }
    }
}

/// Names a node's key at step 0, in 32 bytes.
fn node(group: &GroupId, key: &KeyRef) -> [u8; 32] {
    let mut data = [0; 32];
    data[..6].copy_from_slice(b"WCnode");
    data[6] = key.node.level;
    data[8..12].copy_from_slice(&key.node.index.to_be_bytes());
    data[12..16].copy_from_slice(&key.generation.to_be_bytes());
    data[16..].copy_from_slice(&group.0);
    data
}
