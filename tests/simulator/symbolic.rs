//! Symbolic keys: a key is its name, a ciphertext says what it is, and only arithmetic on names opens it.

use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wardcast::group::ids::{GroupId, GroupNonce, KeyRef, MasterId, NodeId, Suite};
use wardcast::group::operations::{Batch, Issuer, Issuers, Operation, Output, WrappedKey};
use wardcast::group::policy::GroupPolicy;
use wardcast::group::record::Created;
use wardcast::group::session::KeyOperations;
use wardcast::group::wire::{Grant, ParsedHeader};

/// What the first byte of a member's public key makes of it for the symbolic token.
pub(crate) const BAD_PUBLIC_KEY: u8 = 0xff;

/// The token's public keys.
pub(crate) fn issuers() -> Arc<Issuers> {
    let one = Issuer {
        signing: Bytes::from_static(&[4; 65]),
        agreement: Bytes::from_static(&[5; 65]),
    };
    let two = Issuer {
        signing: Bytes::from_static(&[6; 1_952]),
        agreement: Bytes::from_static(&[7; 32]),
    };
    Arc::new(Issuers {
        one,
        two: Some(two),
    })
}

/// The group that is simulated.
pub(crate) fn created(policy: GroupPolicy) -> Created {
    Created {
        group: GroupId([9; 16]),
        name: "simulated".into(),
        nonce: GroupNonce([8; 32]),
        master: MasterId(1),
        suite: Suite::One,
        policy,
    }
}

const LENGTH: usize = 11;

fn write(key: KeyRef) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[0] = key.node.level;
    bytes[1..5].copy_from_slice(&key.node.index.to_be_bytes());
    bytes[5..9].copy_from_slice(&key.generation.to_be_bytes());
    bytes[9..11].copy_from_slice(&key.step.to_be_bytes());
    bytes
}

fn read(bytes: &[u8]) -> KeyRef {
    let word =
        |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    KeyRef {
        node: NodeId {
            level: bytes[0],
            index: word(1),
        },
        generation: word(5),
        step: u16::from_be_bytes([bytes[9], bytes[10]]),
    }
}

fn sealed_under(kek: &[u8], key: KeyRef) -> WrappedKey {
    let mut wrapped = [0; 40];
    wrapped[..LENGTH].copy_from_slice(&write(key));
    wrapped[LENGTH..27].copy_from_slice(&Sha256::digest(kek)[..16]);
    wrapped
}

fn open(kek: &[u8], wrapped: &WrappedKey) -> Option<KeyRef> {
    (wrapped[LENGTH..27] == Sha256::digest(kek)[..16]).then(|| read(&wrapped[..LENGTH]))
}

fn tag(root: KeyRef, prefix: &[u8]) -> [u8; 16] {
    let digest = Sha256::new()
        .chain_update(write(root))
        .chain_update(prefix)
        .finalize();
    let mut tag = [0; 16];
    tag.copy_from_slice(&digest[..16]);
    tag
}

/// What a member computes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Symbolic;

impl KeyOperations for Symbolic {
    type Key = KeyRef;

    fn ratchet(&self, key: &KeyRef) -> KeyRef {
        KeyRef {
            step: key.step + 1,
            ..*key
        }
    }

    fn unwrap(&self, child: &KeyRef, wrapped: &WrappedKey) -> Option<KeyRef> {
        open(&write(*child), wrapped)
    }

    fn confirms(&self, root: &KeyRef, header: &ParsedHeader) -> bool {
        header.tag == tag(*root, header.prefix())
    }
}

impl Symbolic {
    /// A joiner opens its grant.
    pub(crate) fn open_grant(public: &[u8], grant: &Grant) -> Option<KeyRef> {
        open(public, &grant.wrapped)
    }
}

/// A token that remembers what it published: every wrap it ever made, in every life of the gateway.
#[derive(Debug, Default)]
pub(crate) struct SymbolicToken {
    /// Child and parent of every up-edge.
    pub(crate) published: BTreeSet<(KeyRef, KeyRef)>,
    /// What every key that it ever derived comes from: a name stands for one key only.
    pub(crate) origins: BTreeMap<(NodeId, u32), Origin>,
    /// How many operations were executed.
    pub(crate) operations: usize,
}

/// What a key comes from.
pub(crate) type Origin = (MasterId, [u8; 32], Suite);

impl SymbolicToken {
    pub(crate) fn execute(&mut self, batch: &Batch) -> Vec<Output> {
        self.operations += batch.operations.len();
        batch
            .operations
            .iter()
            .map(|operation| self.one(batch, operation))
            .collect()
    }

    fn derive(&mut self, batch: &Batch, key: &KeyRef) {
        let origin = (batch.master, batch.nonce.0, batch.suite);
        let name = (key.node, key.generation);
        let before = *self.origins.entry(name).or_insert(origin);
        assert_eq!(before, origin, "{key:?} is derived from two seeds");
    }

    fn one(&mut self, batch: &Batch, operation: &Operation) -> Output {
        let sizes = batch.suite.sizes();
        match operation {
            Operation::Wrap { child, parent } => {
                assert!(
                    child.generation > 0 && parent.generation > 0,
                    "keys that never exist"
                );
                assert_eq!(
                    parent.node.index,
                    child.node.index / 4,
                    "an edge goes up by one"
                );
                self.derive(batch, child);
                self.derive(batch, parent);
                self.published.insert((*child, *parent));
                Output::Wrapped(sealed_under(&write(*child), *parent))
            }
            Operation::Grant { member, .. } if member[0] == BAD_PUBLIC_KEY => Output::BadPublicKey,
            Operation::Grant { leaf, member, .. } => {
                assert_eq!(leaf.node.level, 0, "leaf keys are granted, no others");
                assert_eq!(member.len(), sizes.member, "a key of another suite");
                self.derive(batch, leaf);
                Output::Granted {
                    wrapped: sealed_under(member, *leaf),
                    encapsulated: vec![9; sizes.encapsulated].into(),
                }
            }
            Operation::PushKey { .. } | Operation::SignHead { .. } | Operation::Escrow { .. } => {
                unreachable!("the core asks for none")
            }
            Operation::Seal { root, prefix } => {
                self.derive(batch, root);
                let tag = tag(*root, prefix);
                Output::Sealed {
                    tag,
                    signature: vec![7; sizes.signature].into(),
                }
            }
        }
    }
}
