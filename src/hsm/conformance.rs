//! One suite for every kind of token: the same cases on the soft token and on SoftHSM.

pub(in crate::hsm) mod softhsm;

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::*;
use crate::crypto::{self, EphemeralKey, Key, random};
use crate::group::ids::{GroupId, GroupNonce, KeyRef, NodeId};
use crate::group::operations::{Operation, PublicKey, WrappedKey};

pub(in crate::hsm) const PIN: &str = "123456";
pub(in crate::hsm) const MASTER: MasterId = MasterId(1);

/// Each case runs on both kinds, under `soft::` and `pkcs11::`; the latter in a process of its own.
macro_rules! cases {
    ($($name:ident)*) => {
        mod soft { $(#[test] fn $name() { super::on_soft(super::$name) })* }
        mod pkcs11 {
            use super::softhsm;
            $(#[test] fn $name() {
                let test = concat!("hsm::conformance::pkcs11::", stringify!($name));
                softhsm::in_child(test, 1, |config| {
                    provision(config).expect("provisions");
                    super::$name(config);
                });
            })*
            use crate::hsm::provision;
        }
    };
}

cases! {
    provisioning_twice_changes_nothing
    members_reach_the_root_and_check_the_seal
    members_ratchet_to_what_the_token_holds
    bad_points_are_answered_and_the_rest_is_executed
    a_missing_master_is_named
    masters_give_unrelated_keys
    sessions_work_in_parallel
    the_wrong_pin_is_refused_once_and_for_all
    batches_that_make_no_sense_are_refused
    a_pool_runs_on_it
}

fn on_soft(case: fn(&TokenConfig)) {
    let directory = tempfile::tempdir().expect("a directory");
    let config = soft_config(directory.path());
    provision(&config).expect("provisions");
    case(&config);
}

/// A soft token in this directory, not provisioned.
pub(in crate::hsm) fn soft_config(directory: &Path) -> TokenConfig {
    let kind = TokenKind::Soft {
        path: directory.join("soft"),
    };
    config(directory, kind, PIN)
}

fn config(directory: &Path, kind: TokenKind, pin: &str) -> TokenConfig {
    let file = directory.join(format!("pin-{pin}"));
    std::fs::write(&file, format!("{pin}\n")).expect("writes");
    TokenConfig {
        kind,
        pin: PinSource::File(file),
        master: MASTER,
    }
}

fn session(config: &TokenConfig) -> Box<dyn Token> {
    open(config).and_then(|opener| opener()).expect("opens")
}

pub(in crate::hsm) fn key(level: u8, index: u32, generation: u32, step: u16) -> KeyRef {
    KeyRef {
        node: NodeId { level, index },
        generation,
        step,
    }
}

pub(in crate::hsm) fn batch(operations: Vec<Operation>) -> Batch {
    Batch {
        group: GroupId([0x33; 16]),
        master: MASTER,
        nonce: GroupNonce([0x44; 32]),
        operations,
    }
}

fn wrapped(output: &Output) -> &WrappedKey {
    match output {
        Output::Wrapped(wrapped) => wrapped,
        other => panic!("{other:?} is no wrapped key"),
    }
}

fn grant(leaf: KeyRef, member: &EphemeralKey) -> Operation {
    Operation::Grant {
        leaf,
        member: member.public(),
        transcript: b"a transcript".to_vec(),
    }
}

fn edge(child: KeyRef, parent: KeyRef) -> Operation {
    Operation::Wrap { child, parent }
}

/// The first error that opening or using the token gives.
fn refusal(config: &TokenConfig) -> TokenError {
    open(config)
        .and_then(|opener| opener())
        .err()
        .expect("is refused")
}

fn provisioning_twice_changes_nothing(config: &TokenConfig) {
    let again = provision(config).expect("provisions");
    assert!(again.created.is_empty(), "{:?}", again.created);
    assert_eq!(session(config).issuer(), again.issuer);
}

fn members_reach_the_root_and_check_the_seal(config: &TokenConfig) {
    let mut token = session(config);
    let issuer = token.issuer();
    let members = [EphemeralKey::generate(), EphemeralKey::generate()];
    let leaves = [key(0, 3, 1, 0), key(0, 16, 2, 0)];
    let (middle, other) = (key(1, 0, 5, 2), key(1, 4, 1, 0));
    let (high, top) = (key(2, 0, 7, 0), key(2, 1, 1, 1));
    let root = key(3, 0, 9, 1);
    let prefix = b"all that is signed, up to the tag".to_vec();
    let outputs = token
        .execute(&batch(vec![
            grant(leaves[0], &members[0]),
            grant(leaves[1], &members[1]),
            edge(leaves[0], middle),
            edge(middle, high),
            edge(high, root),
            edge(leaves[1], other),
            edge(other, top),
            edge(top, root),
            Operation::Seal {
                root,
                prefix: prefix.clone(),
            },
        ]))
        .expect("executes");

    let climb = |number: usize, path: &[Output]| {
        let member = &members[number];
        let leaf = member.open_grant(
            &issuer.agreement,
            b"a transcript",
            wrapped(&outputs[number]),
        );
        path.iter()
            .fold(leaf.expect("the grant opens"), |key, edge| {
                crypto::unwrap(&key, wrapped(edge)).expect("the edge opens")
            })
    };
    let roots = [climb(0, &outputs[2..5]), climb(1, &outputs[5..8])];
    assert_eq!(roots[0], roots[1]);
    let Output::Sealed { tag, signature } = outputs[8] else {
        panic!("{:?} is no seal", outputs[8]);
    };
    assert_eq!(crypto::confirmation_tag(&roots[0], &prefix), tag);
    let message = [&prefix[..], &tag].concat();
    assert!(crypto::verify_signature(
        &issuer.signing,
        &message,
        &signature
    ));
}

/// The keys of some nodes, opened by way of a leaf that was granted.
fn keys_above(
    token: &mut dyn Token,
    master: MasterId,
    leaf: KeyRef,
    parents: &[KeyRef],
) -> Vec<Key> {
    let member = EphemeralKey::generate();
    let mut operations = vec![grant(leaf, &member)];
    operations.extend(parents.iter().map(|parent| edge(leaf, *parent)));
    let mut batch = batch(operations);
    batch.master = master;
    let outputs = token.execute(&batch).expect("executes");
    let agreement = token.issuer().agreement;
    let leaf = member.open_grant(&agreement, b"a transcript", wrapped(&outputs[0]));
    let leaf = leaf.expect("the grant opens");
    let parents = outputs[1..].iter();
    parents
        .map(|output| crypto::unwrap(&leaf, wrapped(output)).expect("the edge opens"))
        .collect()
}

fn members_ratchet_to_what_the_token_holds(config: &TokenConfig) {
    let mut token = session(config);
    let steps = [0, 1, 5, 128];
    let parents = steps.map(|step| key(1, 0, 3, step));
    let keys = keys_above(token.as_mut(), MASTER, key(0, 0, 1, 0), &parents);
    for (step, key) in steps.into_iter().zip(&keys) {
        let forward = (0..step).fold(keys[0].clone(), |key, _| crypto::ratchet(&key));
        assert_eq!(&forward, key, "step {step}");
    }
}

#[derive(Deserialize)]
struct BadPoint {
    why: String,
    public: String,
}

fn bad_points() -> impl Iterator<Item = (String, PublicKey)> {
    let vectors = include_str!("../../tests/vectors/suite1.json");
    let mut vectors: HashMap<String, serde_json::Value> =
        serde_json::from_str(vectors).expect("vectors parse");
    let points = vectors.remove("bad_points").expect("vectors hold points");
    let points: Vec<BadPoint> = serde_json::from_value(points).expect("points parse");
    points.into_iter().map(|point| {
        let digits = |at| &point.public[2 * at..2 * at + 2];
        let byte = |at| u8::from_str_radix(digits(at), 16).expect("hexadecimal");
        let public = std::array::from_fn(byte);
        (point.why, public)
    })
}

fn bad_points_are_answered_and_the_rest_is_executed(config: &TokenConfig) {
    let mut token = session(config);
    let member = EphemeralKey::generate();
    let leaf = key(0, 0, 1, 0);
    for (why, public) in bad_points() {
        let bad = Operation::Grant {
            leaf,
            member: public,
            transcript: vec![],
        };
        let outputs = token.execute(&batch(vec![bad, grant(leaf, &member)]));
        let outputs = outputs.expect("executes");
        assert_eq!(outputs[0], Output::BadPublicKey, "{why}");
        let agreement = token.issuer().agreement;
        let opened = member.open_grant(&agreement, b"a transcript", wrapped(&outputs[1]));
        assert!(opened.is_some(), "{why}");
    }
}

fn a_missing_master_is_named(config: &TokenConfig) {
    let mut other = config.clone();
    other.master = MasterId(99);
    let missing = TokenError::MissingKey {
        label: "wardcast master 99".to_owned(),
    };
    assert_eq!(refusal(&other), missing);
    let mut batch = batch(vec![edge(key(0, 0, 1, 0), key(1, 0, 1, 0))]);
    batch.master = other.master;
    assert_eq!(session(config).execute(&batch), Err(missing));
    let created = provision(&other).expect("provisions").created;
    assert_eq!(created, ["wardcast master 99"]);
    assert!(session(config).execute(&batch).is_ok());
}

fn masters_give_unrelated_keys(config: &TokenConfig) {
    let mut other = config.clone();
    other.master = MasterId(2);
    provision(&other).expect("provisions");
    let mut token = session(config);
    let (leaf, parents) = (key(0, 0, 1, 0), [key(1, 0, 1, 0)]);
    let mut of = |master| keys_above(token.as_mut(), master, leaf, &parents);
    assert_eq!(of(MASTER), of(MASTER));
    assert_ne!(of(MASTER), of(other.master));
}

fn sessions_work_in_parallel(config: &TokenConfig) {
    let opener = open(config).expect("opens");
    let operations: Vec<_> = (0..16)
        .map(|leaf| edge(key(0, leaf, 1, 0), key(1, leaf / 4, 1, 1)))
        .collect();
    let batch = batch(operations);
    let expected = opener().expect("opens").execute(&batch).expect("executes");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut token = opener().expect("opens");
                for _ in 0..10 {
                    assert_eq!(token.execute(&batch).expect("executes"), expected);
                }
            });
        }
    });
}

fn the_wrong_pin_is_refused_once_and_for_all(config: &TokenConfig) {
    let directory = tempfile::tempdir().expect("a directory");
    let wrong = self::config(directory.path(), config.kind.clone(), "654321");
    let refused = match open(&wrong) {
        // The soft token's file is opened at once, the other kind at the first session.
        Err(error) => error,
        Ok(opener) => {
            let first = opener().err().expect("is refused");
            for _ in 0..20 {
                assert_eq!(opener().err().as_ref(), Some(&first));
            }
            first
        }
    };
    assert!(
        matches!(refused, TokenError::PinRefused { .. }),
        "{refused}"
    );
    assert!(!refused.to_string().contains("654321"));
    assert_eq!(refused.class(), ErrorClass::Fatal);
    session(config);
}

fn batches_that_make_no_sense_are_refused(config: &TokenConfig) {
    let mut token = session(config);
    let leaf = key(0, 0, 1, 0);
    for operation in [
        edge(leaf, key(1, 1, 1, 0)),
        edge(leaf, key(2, 0, 1, 0)),
        edge(key(1, 0, 1, 0), leaf),
        edge(leaf, leaf),
        edge(leaf, key(1, 0, 0, 0)),
        edge(leaf, key(1, 0, 1, 129)),
        edge(key(15, 0, 1, 0), key(16, 0, 1, 0)),
        grant(key(1, 0, 1, 0), &EphemeralKey::generate()),
    ] {
        let refused = token.execute(&batch(vec![operation.clone()]));
        let refused = refused.expect_err("makes no sense");
        assert_eq!(refused.class(), ErrorClass::OurBug, "{operation:?}");
    }
    assert_eq!(token.execute(&batch(vec![])), Ok(vec![]));
}

fn a_pool_runs_on_it(config: &TokenConfig) {
    use crate::group::operations::Priority;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let options = PoolOptions {
        workers: 2,
        queue: 100,
    };
    let pool = Pool::start(open(config).expect("opens"), options).expect("starts");
    runtime.block_on(async {
        let mut calls: Vec<_> = (0..40)
            .map(|number| {
                let mut batch = batch(vec![edge(key(0, number, 1, 0), key(1, number / 4, 1, 0))]);
                batch.group = GroupId(random());
                Box::pin(pool.execute(Priority::Scheduled, batch))
            })
            .collect();
        for call in &mut calls {
            assert_eq!(call.await.expect("executes").len(), 1);
        }
    });
    let counts = pool.counts();
    assert_eq!((counts.batches, counts.wraps, counts.failures), (40, 40, 0));
    // The second worker may still have been logging in when the first had done everything.
    while pool.counts().sessions < 2 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    pool.shutdown();
}

#[test]
fn a_restart_of_the_soft_token_finds_the_same_keys() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = soft_config(directory.path());
    provision(&config).expect("provisions");
    restarted(&config, directory.path());
    restarted(&config, directory.path());
}

/// Run twice, compares what the token answers with what it answered before.
pub(in crate::hsm) fn restarted(config: &TokenConfig, directory: &Path) {
    let mut token = session(config);
    let operations = vec![edge(key(0, 1, 1, 0), key(1, 0, 2, 3))];
    let outputs = token.execute(&batch(operations)).expect("executes");
    let seen = format!("{outputs:?} {:?}", token.issuer());
    let notes = directory.join("seen");
    match std::fs::read_to_string(&notes) {
        Ok(before) => assert_eq!(seen, before),
        Err(_) => std::fs::write(&notes, seen).expect("writes"),
    }
}
