//! Every key that a group ever had, derived from the token's master key by the specification of suite 1.

use std::collections::HashMap;

use aes::Aes256;
use cbc::cipher::{BlockModeEncrypt, KeyIvInit};
use wardcast::crypto::{self, AgreementKey, EpochSecret, Key};
use wardcast::group::ids::{GroupId, GroupNonce, KeyRef, NodeId, Suite};
use wardcast::group::wire::{EpochHeader, Grant, Join, grant_transcript};
use wardcast::member::{Observed, Ticket};

use crate::forms::Secret;
use crate::token::Opened;

/// More than the story ever makes of each; that is checked against what members saw.
const LEAVES: u32 = 16;
const GENERATIONS: u32 = 24;
const STEPS: u16 = 24;
const LEVELS: u8 = 3;

/// A group's keys.
pub(crate) struct Keys {
    group: GroupId,
    seed: Key,
    nodes: HashMap<KeyRef, Key>,
}

impl Keys {
    /// The group's nonce is in the gateway's database: it is the one that gives the member's leaf key.
    pub(crate) fn derive(token: &Opened, database: &[u8], ticket: &Ticket) -> Self {
        let master = Key::from_bytes(token.master);
        let group = ticket.group_id;
        let seed = database.windows(32).find_map(|window| {
            let nonce = GroupNonce(window.try_into().expect("windows of that size"));
            let seed = crypto::seed(Suite::One, &master, &nonce);
            let same = crypto::node_key(Suite::One, &seed, &group, &ticket.leaf) == ticket.leaf_key;
            same.then_some(seed)
        });
        let seed = seed.expect("the nonce is in the database");
        let mut keys = Self {
            nodes: HashMap::new(),
            group,
            seed,
        };
        for generation in 1..=GENERATIONS {
            for index in 0..LEAVES {
                keys.node(NodeId { level: 0, index }, generation, 0);
            }
            for level in 1..=LEVELS {
                for index in 0..LEAVES.div_ceil(4_u32.pow(level.into())) {
                    keys.node(NodeId { level, index }, generation, STEPS);
                }
            }
        }
        keys
    }

    fn node(&mut self, node: NodeId, generation: u32, steps: u16) {
        let name = |step| KeyRef {
            node,
            generation,
            step,
        };
        let mut key = crypto::node_key(Suite::One, &self.seed, &self.group, &name(0));
        for step in 0..steps {
            let next = crypto::ratchet(Suite::One, &key);
            self.nodes.insert(name(step), key);
            key = next;
        }
        self.nodes.insert(name(steps), key);
    }

    /// The key of a name that somebody saw: it must be among those that are looked for.
    pub(crate) fn get(&self, name: &KeyRef) -> &Key {
        let key = self.nodes.get(name);
        key.unwrap_or_else(|| panic!("{name:?} is beyond what this test derives"))
    }

    /// The secret of an epoch.
    pub(crate) fn epoch(&self, header: &EpochHeader) -> EpochSecret {
        EpochSecret::of(Suite::One, self.get(&header.root), self.group, header.epoch)
    }

    pub(crate) fn secrets(&self) -> Vec<Secret> {
        let mut secrets = vec![secret("the group's seed", &self.seed)];
        for (name, key) in &self.nodes {
            secrets.push(secret(format!("{name:?}"), key));
            if name.node.level > 0 && name.node.index == 0 {
                let confirm = derive(key, b"WCconfirm-key--1WCconfirm-key--2");
                let epoch = derive(key, b"WCepoch-secret-1WCepoch-secret-2");
                secrets.push(secret(format!("confirmation key of {name:?}"), &confirm));
                secrets.push(secret(format!("epoch secret of {name:?}"), &epoch));
            }
        }
        secrets
    }
}

fn secret(what: impl Into<String>, key: &Key) -> Secret {
    Secret {
        what: what.into(),
        bytes: key.as_bytes().to_vec(),
        home: None,
    }
}

/// `CBC(key, data)` of suite 1.
fn derive(key: &Key, data: &[u8; 32]) -> Key {
    let mut cipher = cbc::Encryptor::<Aes256>::new(key.as_bytes().into(), &[0; 16].into());
    let mut out = *data;
    for block in out.chunks_exact_mut(16) {
        let block: &mut [u8; 16] = block.try_into().expect("chunks of 16 are 16 long");
        cipher.encrypt_block(block.into());
    }
    Key::from_bytes(out)
}

/// The key that a grant's leaf key was wrapped under, and what it was wrapped to.
pub(crate) fn grant_secrets(token: &Opened, join: &Join, grant: &Grant) -> Vec<Secret> {
    let point = join.offer.key(grant.suite).expect("a point");
    let transcript = grant_transcript(
        grant.suite,
        &grant.group,
        grant.member,
        &grant.leaf,
        point,
        &grant.agreement,
    );
    let agreement = AgreementKey::from_scalar(&token.agreement).expect("a scalar");
    let point = point[..].try_into().expect("65 bytes");
    let kek = agreement.kek(point, &transcript).expect("a point");
    assert!(
        crypto::key_unwrap(&kek, &grant.wrapped).is_some(),
        "it is that key"
    );
    vec![
        secret("the key of a grant", &kek),
        Secret {
            what: "a granted leaf key, wrapped".to_owned(),
            bytes: grant.wrapped.to_vec(),
            home: None,
        },
    ]
}

/// The wrapped keys of deliveries; they open, so they are such.
pub(crate) fn wrapped_secrets(keys: &Keys, observed: &[Observed]) -> Vec<Secret> {
    let edges = observed.iter().flat_map(|observed| &observed.edges);
    let wrapped = edges.map(|edge| {
        let parent = crypto::unwrap(Suite::One, keys.get(&edge.child), &edge.wrapped);
        assert_eq!(parent.as_ref(), Some(keys.get(&edge.parent)));
        Secret {
            what: format!("{:?}, wrapped", edge.parent),
            bytes: edge.wrapped.to_vec(),
            home: None,
        }
    });
    wrapped.collect()
}
