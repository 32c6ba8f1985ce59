//! One suite for every kind of token: the same cases on the soft token, on SoftHSM and on kryoptic.

mod bad_keys;
mod calls;
mod child;
mod counts;
mod escrow;
mod hosted;
pub(in crate::hsm) mod kryoptic;
mod rings;
mod signatures;
pub(in crate::hsm) mod softhsm;
mod trouble;

use hosted::open;

use bytes::Bytes;
use std::path::Path;

use super::check::PREFIX;
use super::*;
use crate::crypto::{self, Key, MemberKey, random};
use crate::group::ids::{GroupId, GroupNonce, KeyRef, NodeId, Suite};
use crate::group::operations::{Issuer, Operation, WrappedKey};
use crate::group::request::Requests;

pub(in crate::hsm) const PIN: &str = "123456";
pub(in crate::hsm) const MASTER: MasterId = MasterId(1);

/// The cases on one kind of token with one suite.
macro_rules! tests {
    ($kind:ident $module:ident $suite:ident $($name:ident)*) => {
        mod $module {
            $(#[test] fn $name() {
                use crate::hsm::conformance::{self, $kind};
                let test = concat!(
                    "hsm::conformance::", stringify!($kind), "::", stringify!($module), "::", stringify!($name)
                );
                $kind(test, conformance::$name, crate::group::ids::Suite::$suite);
            })*
        }
    };
}

/// Each case runs on every token with every suite that it has: under `soft::`, and in a process of its own under `pkcs11::`
/// (SoftHSM, which has suite 1) and under `pkcs11_3::` (kryoptic). And each once more through a token host's socket.
macro_rules! cases {
    ($($name:ident)*) => {
        mod soft { tests! { soft one One $($name)* } tests! { soft two Two $($name)* } }
        mod pkcs11 { tests! { pkcs11 one One $($name)* } }
        mod pkcs11_3 { tests! { pkcs11_3 one One $($name)* } tests! { pkcs11_3 two Two $($name)* } }
        mod soft_host { tests! { soft_host one One $($name)* } tests! { soft_host two Two $($name)* } }
        mod pkcs11_host { tests! { pkcs11_host one One $($name)* } }
        mod pkcs11_3_host { tests! { pkcs11_3_host one One $($name)* } tests! { pkcs11_3_host two Two $($name)* } }
    };
}

cases! {
    provisioning_twice_changes_nothing
    members_reach_the_root_and_check_the_seal
    members_ratchet_to_what_the_token_holds
    bad_keys_are_answered_and_the_rest_is_executed
    a_missing_master_is_named
    masters_give_unrelated_keys
    sessions_work_in_parallel
    the_wrong_pin_is_refused_once_and_for_all
    batches_that_make_no_sense_are_refused
    a_pool_runs_on_it
    a_leave_costs_what_it_must_and_a_second_one_less
    every_call_is_counted
    a_held_key_is_ratcheted_forward
    another_group_master_or_nonce_reuses_nothing
    the_ring_is_listed_and_changed
    a_destroyed_master_is_gone_for_every_session
    a_new_master_is_seen_by_every_session
    the_head_of_a_trail_is_signed_and_is_no_epochs
    no_seal_signs_anything_but_headers
    an_escrowed_root_opens_later_steps_of_its_generation_outside
    only_roots_are_escrowed_and_only_under_the_configured_key
    an_escrow_key_is_made_once_and_never_overwritten
}

use bad_keys::*;
use counts::*;
use escrow::*;
use rings::*;
use signatures::*;

type Case = fn(&TokenConfig, Suite);

fn soft(_: &str, case: Case, suite: Suite) {
    let directory = tempfile::tempdir().expect("a directory");
    on_fresh(&soft_config(directory.path()), case, suite);
}

fn pkcs11(test: &str, case: Case, suite: Suite) {
    softhsm::in_child(test, 1, |config| on_fresh(config, case, suite));
}

fn pkcs11_3(test: &str, case: Case, suite: Suite) {
    kryoptic::in_child(test, |config| on_fresh(config, case, suite));
}

fn soft_host(test: &str, case: Case, suite: Suite) {
    hosted::on(|| soft(test, case, suite));
}

fn pkcs11_host(test: &str, case: Case, suite: Suite) {
    softhsm::in_child(test, 1, |config| {
        hosted::on(|| on_fresh(config, case, suite))
    });
}

fn pkcs11_3_host(test: &str, case: Case, suite: Suite) {
    kryoptic::in_child(test, |config| hosted::on(|| on_fresh(config, case, suite)));
}

fn on_fresh(config: &TokenConfig, case: Case, suite: Suite) {
    provision(config).expect("provisions");
    case(config, suite);
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
        escrow: None,
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

/// A batch of suite 1.
pub(in crate::hsm) fn batch(operations: Vec<Operation>) -> Batch {
    batch_of(Suite::One, operations)
}

pub(in crate::hsm) fn batch_of(suite: Suite, operations: Vec<Operation>) -> Batch {
    Batch {
        suite,
        group: GroupId([0x33; 16]),
        master: MASTER,
        nonce: GroupNonce([0x44; 32]),
        requests: Requests::default(),
        operations,
    }
}

fn wrapped(output: &Output) -> &WrappedKey {
    match output {
        Output::Wrapped(wrapped) | Output::Granted { wrapped, .. } => wrapped,
        other => panic!("{other:?} is no wrapped key"),
    }
}

/// Opens what was granted with the transcript of [`grant`].
fn opened(member: &MemberKey, issuer: &Issuer, output: &Output) -> Option<Key> {
    let Output::Granted {
        wrapped,
        encapsulated,
    } = output
    else {
        panic!("{output:?} is no grant");
    };
    member.open_grant(&issuer.agreement, b"a transcript", wrapped, encapsulated)
}

fn issuer(token: &dyn Token, suite: Suite) -> Issuer {
    let issuer = token.profile().issuers.of(suite);
    issuer.expect("the token has the suite").clone()
}

fn grant(leaf: KeyRef, member: &MemberKey) -> Operation {
    Operation::Grant {
        leaf,
        member: member.public(),
        transcript: b"a transcript".to_vec(),
    }
}

fn edge(child: KeyRef, parent: KeyRef) -> Operation {
    Operation::Wrap { child, parent }
}

fn provisioning_twice_changes_nothing(config: &TokenConfig, suite: Suite) {
    let again = provision(config).expect("provisions");
    assert!(again.created.is_empty(), "{:?}", again.created);
    let issuer = again.issuers.of(suite).expect("has keys of the suite");
    assert_eq!(issuer.agreement.len(), suite.sizes().agreement);
    assert_eq!(issuer.signing.len(), suite.sizes().signing);
    assert_eq!(session(config).profile().issuers, again.issuers);
}

fn members_reach_the_root_and_check_the_seal(config: &TokenConfig, suite: Suite) {
    let mut token = session(config);
    let issuer = issuer(token.as_ref(), suite);
    let members = [MemberKey::generate(suite), MemberKey::generate(suite)];
    let leaves = [key(0, 3, 1, 0), key(0, 16, 2, 0)];
    let (middle, other) = (key(1, 0, 5, 2), key(1, 4, 1, 0));
    let (high, top) = (key(2, 0, 7, 0), key(2, 1, 1, 1));
    let root = key(3, 0, 9, 1);
    let prefix = PREFIX.to_vec();
    let outputs = token
        .execute_one(&batch_of(
            suite,
            vec![
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
                Operation::PushKey { root },
            ],
        ))
        .expect("executes");

    let climb = |number: usize, path: &[Output]| {
        let leaf = opened(&members[number], &issuer, &outputs[number]);
        path.iter()
            .fold(leaf.expect("the grant opens"), |key, edge| {
                crypto::unwrap(suite, &key, wrapped(edge)).expect("the edge opens")
            })
    };
    let roots = [climb(0, &outputs[2..5]), climb(1, &outputs[5..8])];
    assert_eq!(roots[0], roots[1]);
    let Output::Sealed { tag, signature } = &outputs[8] else {
        panic!("{:?} is no seal", outputs[8]);
    };
    assert_eq!(crypto::confirmation_tag(suite, &roots[0], &prefix), *tag);
    let message = [&prefix[..], tag].concat();
    assert!(crypto::verify_signature(
        suite,
        &issuer.signing,
        &message,
        signature
    ));
    let push_key = crypto::push_key(suite, &roots[0]);
    assert_eq!(outputs[9], Output::PushKey(push_key));
}

/// The keys of some nodes, opened by way of a leaf that was granted.
fn keys_above(
    token: &mut dyn Token,
    suite: Suite,
    master: MasterId,
    leaf: KeyRef,
    parents: &[KeyRef],
) -> Vec<Key> {
    let member = MemberKey::generate(suite);
    let mut operations = vec![grant(leaf, &member)];
    operations.extend(parents.iter().map(|parent| edge(leaf, *parent)));
    let mut batch = batch_of(suite, operations);
    batch.master = master;
    let outputs = token.execute_one(&batch).expect("executes");
    let leaf = opened(&member, &issuer(token, suite), &outputs[0]);
    let leaf = leaf.expect("the grant opens");
    let parents = outputs[1..].iter();
    parents
        .map(|output| crypto::unwrap(suite, &leaf, wrapped(output)).expect("the edge opens"))
        .collect()
}

fn members_ratchet_to_what_the_token_holds(config: &TokenConfig, suite: Suite) {
    let mut token = session(config);
    let steps = [0, 1, 5, 128];
    let parents = steps.map(|step| key(1, 0, 3, step));
    let keys = keys_above(token.as_mut(), suite, MASTER, key(0, 0, 1, 0), &parents);
    for (step, key) in steps.into_iter().zip(&keys) {
        let forward = (0..step).fold(keys[0].clone(), |key, _| crypto::ratchet(suite, &key));
        assert_eq!(&forward, key, "step {step}");
    }
}

fn a_missing_master_is_named(config: &TokenConfig, suite: Suite) {
    let mut other = config.clone();
    other.master = MasterId(99);
    // It opens all the same: which master it was provisioned with may be gone since.
    drop(session(&other));
    let mut batch = batch_of(suite, vec![edge(key(0, 0, 1, 0), key(1, 0, 1, 0))]);
    batch.master = other.master;
    let missing = TokenError::MissingKey {
        label: suite_label(suite, &master_label(other.master)),
    };
    assert_eq!(session(config).execute_one(&batch), Err(missing));
    let before = session(config).profile().issuers.clone();
    let created = provision(&other).expect("provisions").created;
    let suites = Suite::ALL
        .into_iter()
        .filter(|suite| before.of(*suite).is_some());
    let labels: Vec<_> = suites
        .map(|suite| suite_label(suite, &master_label(other.master)))
        .collect();
    assert_eq!(created, labels);
    assert!(session(config).execute_one(&batch).is_ok());
}

fn masters_give_unrelated_keys(config: &TokenConfig, suite: Suite) {
    let mut other = config.clone();
    other.master = MasterId(2);
    provision(&other).expect("provisions");
    let mut token = session(config);
    let (leaf, parents) = (key(0, 0, 1, 0), [key(1, 0, 1, 0)]);
    let mut of = |master| keys_above(token.as_mut(), suite, master, leaf, &parents);
    assert_eq!(of(MASTER), of(MASTER));
    assert_ne!(of(MASTER), of(other.master));
}

fn sessions_work_in_parallel(config: &TokenConfig, suite: Suite) {
    let opener = open(config).expect("opens");
    let operations: Vec<_> = (0..16)
        .map(|leaf| edge(key(0, leaf, 1, 0), key(1, leaf / 4, 1, 1)))
        .collect();
    let batch = batch_of(suite, operations);
    let expected = opener()
        .expect("opens")
        .execute_one(&batch)
        .expect("executes");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut token = opener().expect("opens");
                for _ in 0..10 {
                    assert_eq!(token.execute_one(&batch).expect("executes"), expected);
                }
            });
        }
    });
}

fn the_wrong_pin_is_refused_once_and_for_all(config: &TokenConfig, _: Suite) {
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

fn batches_that_make_no_sense_are_refused(config: &TokenConfig, suite: Suite) {
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
        grant(key(1, 0, 1, 0), &MemberKey::generate(suite)),
    ] {
        let refused = token.execute_one(&batch_of(suite, vec![operation.clone()]));
        let refused = refused.expect_err("makes no sense");
        assert_eq!(refused.class(), ErrorClass::OurBug, "{operation:?}");
    }
    assert_eq!(token.execute_one(&batch_of(suite, vec![])), Ok(vec![]));
}

fn a_pool_runs_on_it(config: &TokenConfig, suite: Suite) {
    use crate::group::operations::Priority;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let options = PoolOptions {
        workers: 2,
        queue: 100,
        ..PoolOptions::default()
    };
    let lane = Lane {
        name: "token".to_owned(),
        opener: open(config).expect("opens"),
    };
    let pool = Pool::start(vec![lane], options).expect("starts");
    runtime.block_on(async {
        let mut calls: Vec<_> = (0..40)
            .map(|number| {
                let mut batch = batch_of(
                    suite,
                    vec![edge(key(0, number, 1, 0), key(1, number / 4, 1, 0))],
                );
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
    let outputs = token.execute_one(&batch(operations)).expect("executes");
    let seen = format!("{outputs:?} {:?}", token.profile().issuers);
    let notes = directory.join("seen");
    match std::fs::read_to_string(&notes) {
        Ok(before) => assert_eq!(seen, before),
        Err(_) => std::fs::write(&notes, seen).expect("writes"),
    }
}
