//! A token that is not known when a group's life begins.

use super::*;
use crate::group::limits::{BACKOFF_MOST_MS, PATIENCE_MS};

fn known(bench: &mut Bench) {
    bench.input(Input::TokenKnown(issuers()));
}

fn new() -> Bench {
    let machine = GroupMachine::create(created(GroupPolicy::default()), None);
    let mut bench = Bench::over(machine);
    bench.input(Input::Tick);
    bench.settle();
    bench
}

/// With members, after a restart, before the token is known.
fn restarted(members: u64) -> Bench {
    let before = Bench::with_members(GroupPolicy::default(), members);
    let records = before.records.iter().map(Vec::as_slice);
    let restored = GroupMachine::restore(None, records, None);
    let mut bench = Bench::over(restored.expect("the log is whole"));
    bench.records.clone_from(&before.records);
    bench.tickets = before.tickets;
    bench.input(Input::Tick);
    bench
}

#[test]
fn a_join_waits_for_the_token_and_is_granted_once_it_is_known() {
    let mut bench = new();
    bench.join(Role::Both);
    bench.after(PATIENCE_MS - 1);
    assert!(bench.persisting.is_none(), "nothing is planned for it");
    assert!(bench.jobs.is_empty() && bench.seen.is_empty());
    known(&mut bench);
    bench.settle();
    assert_eq!(bench.granted(), 1);
}

#[test]
fn whoever_waits_too_long_for_the_token_is_refused() {
    let mut bench = new();
    let join = bench.join(Role::Both);
    bench.after(PATIENCE_MS - 1);
    assert_eq!(bench.refusal(join), None);
    bench.after(1);
    assert_eq!(bench.refusal(join), Some(RefusalCode::TokenUnusable));
    assert_eq!(bench.machine.status().queues.joins, 0);

    let mut bench = restarted(4);
    let resume = bench.catch_up(MemberId(1));
    bench.after(PATIENCE_MS);
    assert_eq!(bench.refusal(resume), Some(RefusalCode::TokenUnusable));
    assert!(
        bench.machine.member(MemberId(1)).is_some(),
        "it stays a member"
    );
}

#[test]
fn departures_and_rotations_are_on_record_before_the_token_is_known() {
    let mut bench = restarted(8);
    bench.evict(&[1], true);
    assert!(bench.persist());
    assert_eq!(bench.drain(), ["removed 1 Evicted"]);
    bench.evict(&[2], true);
    assert!(bench.persist());
    assert_eq!(bench.drain(), ["removed 2 Evicted"]);
    assert!(bench.jobs.is_empty());
    known(&mut bench);
    bench.settle();
    assert_eq!(bench.drain(), ["deliver 3 after 1", "activate 3"]);

    let mut bench = restarted(8);
    bench.input(Input::Rotate);
    bench.after(100);
    assert!(bench.persist());
    known(&mut bench);
    bench.settle();
    assert_eq!(bench.drain(), ["deliver 2 after 1", "activate 2"]);
}

#[test]
fn members_that_resume_before_the_token_is_known_get_their_paths_after_it() {
    let mut bench = restarted(16);
    for member in bench.members() {
        bench.catch_up(member);
    }
    bench.after(1_000);
    assert!(bench.jobs.is_empty() && bench.seen.is_empty());
    known(&mut bench);
    bench.settle();
    assert_eq!(bench.drain().len(), 16);
}

#[test]
fn joins_that_wait_do_not_hold_an_eviction_back() {
    let mut bench = restarted(4);
    bench.join(Role::Both);
    bench.after(1_000);
    bench.evict(&[1], false);
    bench.after(100);
    assert!(bench.persist());
    assert_eq!(bench.drain(), ["removed 1 Evicted"]);
    assert_eq!(bench.machine.status().queues.joins, 1);
    known(&mut bench);
    bench.settle();
    bench.all_acknowledge();
    bench.after(1_000);
    bench.settle();
    assert_eq!(bench.granted(), 1);
}

#[test]
fn a_pause_that_the_token_asks_for_is_made() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 4);
    bench.evict(&[1], false);
    bench.after(100);
    bench.persist();
    let (job, ..) = bench.jobs.remove(0);
    let retry_ms = Some(4_000);
    bench.input(Input::TokenFailed { job, retry_ms });
    bench.after(3_999);
    assert!(bench.jobs.is_empty());
    bench.after(1);
    let (job, ..) = bench.jobs.remove(0);
    let retry_ms = Some(u64::MAX);
    bench.input(Input::TokenFailed { job, retry_ms });
    bench.after(BACKOFF_MOST_MS);
    assert_eq!(bench.jobs.len(), 1, "no pause is longer than the bound");
}
