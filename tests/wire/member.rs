//! One member's deliveries from its grant on, with the secrets they give: `tests/vectors/member.json`, for this
//! implementation and any other. Written anew as the golden vectors are; only signatures are random, and those that
//! still fit are kept.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::{Value, json};
use wardcast::crypto::{self, AgreementKey, EpochSecret, Key, SigningKey};
use wardcast::group::edges::{EdgeCache, chunks};
use wardcast::group::ids::{
    Epoch, GroupId, GroupNonce, KeyRef, MemberId, Role, SenderId, Suite, Time,
};
use wardcast::group::index;
use wardcast::group::operations::WrappedKey;
use wardcast::group::planner::{Change, PlannedEdge, plan};
use wardcast::group::session::{
    KeyOperations, MemberSession, Membership, SessionError, SessionInput,
};
use wardcast::group::tree::Tree;
use wardcast::group::wire::*;

use crate::golden::{hex, regenerating, replace, unhex};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/member.json");
const GROUP: GroupId = crate::samples::GROUP;
const MEMBER: MemberId = MemberId(3);
const MEMBER_SCALAR: [u8; 32] = [0x33; 32];
const ISSUER_SCALAR: [u8; 32] = [0x44; 32];
const SIGNING_SCALAR: [u8; 32] = [0x55; 32];

/// A gateway and its token, as far as one group's keys go.
struct Gateway {
    seed: Key,
    signing: SigningKey,
    agreement: AgreementKey,
    tree: Tree,
    cache: EdgeCache,
    epoch: u64,
    header: Bytes,
    /// Signatures that are known, by what they sign.
    signatures: HashMap<Vec<u8>, [u8; 64]>,
}

impl Gateway {
    fn new(signatures: HashMap<Vec<u8>, [u8; 64]>) -> Self {
        Gateway {
            seed: crypto::seed(
                Suite::One,
                &Key::from_bytes([0x66; 32]),
                &GroupNonce([0x77; 32]),
            ),
            signing: SigningKey::from_scalar(&SIGNING_SCALAR).unwrap(),
            agreement: AgreementKey::from_scalar(&ISSUER_SCALAR).unwrap(),
            tree: Tree::new(),
            cache: EdgeCache::new(),
            epoch: 0,
            header: Bytes::new(),
            signatures,
        }
    }

    fn key(&self, name: &KeyRef) -> Key {
        crypto::node_key(Suite::One, &self.seed, &GROUP, name)
    }

    fn wrap(&self, planned: &PlannedEdge) -> Edge {
        let wrapped = crypto::wrap(
            Suite::One,
            &self.key(&planned.child),
            &self.key(&planned.parent),
        );
        Edge::new(*planned, wrapped)
    }

    /// Makes the next epoch; the push for whoever is at the leaf.
    fn rekey(&mut self, joins: &[u64], leaves: &[u32], leaf: u32) -> Push {
        let change = Change {
            joins: joins.iter().copied().map(MemberId).collect(),
            leaves: leaves.to_vec(),
            rotate: joins.is_empty() && leaves.is_empty(),
            renew: false,
        };
        let plan = plan(&self.tree, &change).unwrap();
        self.tree.apply(&plan.diff).unwrap();
        self.cache.forget(&plan);
        let rekey: Vec<Edge> = plan.rekey.iter().map(|edge| self.wrap(edge)).collect();
        let grants: Vec<Edge> = plan.grants.iter().map(|edge| self.wrap(edge)).collect();
        for edge in rekey.iter().chain(&grants) {
            self.cache.insert(&self.tree, edge);
        }
        self.epoch += 1;
        self.header = self.seal();
        let chunks = chunks(&self.tree, &rekey);
        let chunk = chunks
            .iter()
            .find(|chunk| (chunk.first_leaf..=chunk.last_leaf).contains(&leaf));
        let edges = chunk.map_or(&[0x80][..], |chunk| &chunk.edges);
        Push::from_bytes(
            &[
                &rekey_head(GROUP, &self.header, Epoch(self.epoch - 1)),
                edges,
            ]
            .concat(),
        )
        .unwrap()
    }

    fn seal(&self) -> Bytes {
        let header = EpochHeader {
            suite: Suite::One,
            group: GROUP,
            epoch: Epoch(self.epoch),
            root: self.tree.root(),
            activation_delay_ms: 1000,
            retirement_delay_ms: 5000,
            sender_space: 0,
            members: u64::from(self.tree.members()),
            rollover: 0,
        };
        let key_id = key_id(&self.signing.public());
        let mut signed = header.prefix(key_id);
        let tag = crypto::confirmation_tag(Suite::One, &self.key(&header.root), &signed);
        signed.extend(tag);
        let known = self.signatures.get(&signed);
        let signature = known.copied().unwrap_or_else(|| self.signing.sign(&signed));
        assert!(crypto::verify_signature(
            Suite::One,
            &self.signing.public(),
            &signed,
            &signature
        ));
        header.assemble(key_id, tag, &signature)
    }

    fn path(&mut self, leaf: u32) -> PathDelivery {
        let edges = match self.cache.path(&self.tree, leaf) {
            Ok(edges) => edges,
            Err(missing) => {
                let made: Vec<Edge> = missing.iter().map(|edge| self.wrap(edge)).collect();
                self.cache.path_with(&self.tree, leaf, &made).unwrap()
            }
        };
        PathDelivery {
            header: self.header.clone(),
            edges,
            active: Epoch(self.epoch),
            sender_ids: vec![SenderId(0)],
            sender_space: 0,
        }
    }

    fn grant(&mut self, leaf: KeyRef) -> Response {
        let member = AgreementKey::from_scalar(&MEMBER_SCALAR).unwrap().public();
        let agreement = self.agreement.public();
        let transcript = grant_transcript(Suite::One, &GROUP, MEMBER, &leaf, &member, &agreement);
        let kek = self.agreement.kek(&member, &transcript).unwrap();
        Response::Granted(Box::new(Grant {
            group: GROUP,
            suite: Suite::One,
            member: MEMBER,
            role: Role::Both,
            leaf,
            wrapped: crypto::key_wrap(&kek, &self.key(&leaf)),
            signing: Bytes::copy_from_slice(&self.signing.public()),
            agreement: Bytes::copy_from_slice(&agreement),
            path: self.path(leaf.node.index),
            encapsulated: Bytes::new(),
            channel: None,
        }))
    }

    /// A delivery that the member opens, or does not.
    fn step(&self, what: &str, message: &impl Message, opens: bool) -> Value {
        let mut step = json!({ "what": what, "message": hex(&message.to_bytes()) });
        if opens {
            let root = self.key(&self.tree.root());
            let secret = EpochSecret::of(Suite::One, &root, GROUP, Epoch(self.epoch));
            step["epoch"] = json!(self.epoch);
            step["exported"] = json!(hex(&secret.export("test", b"context", 32).unwrap()));
        } else {
            step["needs path"] = json!(true);
        }
        step
    }
}

fn scenario(signatures: HashMap<Vec<u8>, [u8; 64]>) -> Value {
    let mut gateway = Gateway::new(signatures);
    let leaf = 2;
    gateway.rekey(&[1, 2, 3], &[], leaf);
    let leaf_key = gateway.tree.key(index::leaf(leaf));
    let granted = gateway.grant(leaf_key);
    let mut steps = vec![gateway.step("granted with two others", &granted, true)];
    let changes: [(&str, &[u64], &[u32]); 7] = [
        ("two join; the tree grows", &[4, 5], &[]),
        ("four join: ratchets only", &[6, 7, 8, 9], &[]),
        ("a neighbour leaves", &[], &[0]),
        ("someone far away leaves", &[], &[6]),
        (
            "two join, two leave, leaves are refilled",
            &[10, 11],
            &[1, 5],
        ),
        (
            "the tree grows again",
            &[12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22],
            &[],
        ),
        ("nobody comes or goes: a rotation", &[], &[]),
    ];
    for (what, joins, leaves) in changes {
        let push = gateway.rekey(joins, leaves, leaf);
        steps.push(gateway.step(what, &push, true));
    }
    gateway.rekey(&[], &[0], leaf);
    gateway.rekey(&[23], &[], leaf);
    let missed = gateway.rekey(&[24], &[], leaf);
    steps.push(gateway.step("two rekeys were missed", &missed, false));
    let path = gateway.path(leaf);
    steps.push(gateway.step("the path answers a resume", &Response::Path(path), true));
    let push = gateway.rekey(&[], &[1, 3], leaf);
    steps.push(gateway.step("both neighbours leave", &push, true));
    let evicted = gateway.rekey(&[], &[leaf], leaf);
    steps.push(gateway.step("the member is evicted", &evicted, false));
    let later = gateway.rekey(&[25], &[], leaf);
    steps.push(gateway.step("someone gets its leaf", &later, false));
    json!({
        "about": "One member's deliveries in order, written by tests/wire/member.rs. It opens each and holds the epoch, or needs its path.",
        "member scalar": hex(&MEMBER_SCALAR),
        "export": { "label": "test", "context": hex(b"context"), "length": 32 },
        "steps": steps,
    })
}

fn stored() -> Value {
    let bytes = std::fs::read(FILE).unwrap_or_else(|_| b"{\"steps\": []}".to_vec());
    serde_json::from_slice(&bytes).unwrap()
}

fn messages(vectors: &Value) -> Vec<Vec<u8>> {
    let steps = vectors["steps"].as_array().unwrap().iter();
    steps
        .map(|step| unhex(step["message"].as_str().unwrap()))
        .collect()
}

/// Header and edges of any delivery.
fn delivery(bytes: &[u8]) -> (ParsedHeader, Vec<Edge>) {
    let (header, edges) = match (Push::from_bytes(bytes), Response::from_bytes(bytes)) {
        (Ok(Push::Rekey(rekey)), _) => (rekey.header, rekey.edges),
        (_, Ok(Response::Granted(grant))) => (grant.path.header, grant.path.edges),
        (_, Ok(Response::Path(path))) => (path.header, path.edges),
        other => panic!("no delivery: {other:?}"),
    };
    (EpochHeader::parse(&header).unwrap(), edges)
}

#[test]
fn a_members_deliveries_are_what_is_written() {
    let signatures = |vectors: &Value| {
        let headers = messages(vectors)
            .into_iter()
            .map(|bytes| delivery(&bytes).0);
        headers
            .map(|header| (header.signed, header.signature[..].try_into().unwrap()))
            .collect()
    };
    let expected = scenario(signatures(&stored()));
    if regenerating() {
        replace(FILE, &expected);
    }
    assert_eq!(stored(), expected);
}

struct RealKeys;

impl KeyOperations for RealKeys {
    type Key = Key;

    fn ratchet(&self, key: &Key) -> Key {
        crypto::ratchet(Suite::One, key)
    }

    fn unwrap(&self, child: &Key, wrapped: &WrappedKey) -> Option<Key> {
        crypto::unwrap(Suite::One, child, wrapped)
    }

    fn confirms(&self, root: &Key, header: &ParsedHeader) -> bool {
        crypto::confirmation_tag(Suite::One, root, header.prefix()) == header.tag
    }
}

#[test]
fn a_member_follows_its_deliveries() {
    let vectors = stored();
    let messages = messages(&vectors);
    let Ok(Response::Granted(grant)) = Response::from_bytes(&messages[0]) else {
        panic!("the first message is the grant");
    };
    let own = AgreementKey::from_scalar(&MEMBER_SCALAR).unwrap();
    let (leaf, public) = (grant.leaf, own.public());
    let transcript = grant_transcript(
        grant.suite,
        &grant.group,
        grant.member,
        &leaf,
        &public,
        &grant.agreement,
    );
    let kek = own
        .kek(grant.agreement[..].try_into().unwrap(), &transcript)
        .unwrap();
    let leaf_key = crypto::key_unwrap(&kek, &grant.wrapped).unwrap();
    let membership = Membership {
        group: grant.group,
        member: grant.member,
        role: grant.role,
        leaf,
        seed: 1,
    };
    let mut session = MemberSession::joined(RealKeys, membership, leaf_key);
    for (step, message) in vectors["steps"].as_array().unwrap().iter().zip(&messages) {
        let (header, edges) = delivery(message);
        let epoch = header.header.epoch;
        assert!(crypto::verify_signature(
            Suite::One,
            &grant.signing,
            &header.signed,
            &header.signature
        ));
        let active = Epoch(epoch.0 - 1);
        let rekey = SessionInput::Rekey {
            header,
            edges,
            active,
        };
        let taken = session.handle(Time(epoch.0), rekey);
        match step["exported"].as_str() {
            Some(exported) => {
                assert_eq!(taken, Ok(()), "{step}");
                let root = session.root(epoch).unwrap();
                let secret = EpochSecret::of(Suite::One, root, GROUP, epoch);
                assert_eq!(
                    hex(&secret.export("test", b"context", 32).unwrap()),
                    exported
                );
            }
            None => assert_eq!(taken, Err(SessionError::CannotOpen(epoch)), "{step}"),
        }
    }
}
