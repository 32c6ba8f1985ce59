//! A ledger that is older than what was done upstream: nothing that the gateway ended itself is taken for somebody else's doing.

use std::path::PathBuf;

use wardcast::group::policy::{GroupPolicy, OnRevoked};
use wardcast::kmip::codec::values::RevocationReasonCode as reason;

use super::up::stand_in;
use super::*;

fn file(bench: &Bench) -> PathBuf {
    bench.folder.path().join("relay-lifecycle.db")
}

/// Ends the life, and keeps its ledger.
fn backed_up(bench: &mut Bench) -> Vec<u8> {
    bench.lifecycle = None;
    std::fs::read(file(bench)).expect("a ledger")
}

/// Puts a ledger in the place of the one that there is.
fn restored(bench: &mut Bench, ledger: &[u8]) {
    bench.lifecycle = None;
    for beside in ["-wal", "-shm"] {
        let beside = format!("{}{beside}", file(bench).display());
        let _ = std::fs::remove_file(beside);
    }
    std::fs::write(file(bench), ledger).expect("is written");
}

/// Gives records from a batch on to the sink once more, as the feed does that was told to go on before its cursor.
async fn read_up(bench: &mut Bench, batches: &[Batch]) {
    let from = bench.resumed.expect("it wants to go on elsewhere").after;
    for batch in batches.iter().filter(|batch| batch.last() > from.sequence) {
        bench.try_take(batch).await.expect("is taken");
    }
}

/// The ledger is this one, or there is none any more.
fn leave(bench: &mut Bench, ledger: Option<&[u8]>) {
    match ledger {
        Some(ledger) => restored(bench, ledger),
        None => {
            bench.lifecycle = None;
            std::fs::remove_file(file(bench)).expect("is removed");
        }
    }
}

#[tokio::test]
async fn a_ledger_from_a_backup_is_read_up_from_the_trail_and_nothing_is_done_for_it() {
    let (client, _store) = stand_in().await;
    let mut bench = Bench::new(client).await;
    let policy = GroupPolicy {
        on_revoked: OnRevoked::Destroy,
        ..GroupPolicy::default()
    };
    bench.groups([1, 2, 3], &policy).await;
    let ledger = backed_up(&mut bench);
    bench.restart().await;
    // What is over since: two generations; a group; an object that somebody ended, and for which the group was frozen and thawed.
    let mut batches = vec![bench.batch([(1, rekeyed(2)), (2, Event::GroupDestroyed)])];
    bench.try_take(&batches[0]).await.expect("is taken");
    bench.script.with(|script| {
        let facts = script.groups.get_mut(&name(3)).expect("the group");
        facts.policy.on_revoked = OnRevoked::Freeze;
    });
    bench.revoke(&group_object(3), reason::Unspecified).await;
    assert_eq!(bench.look().await, 1);
    assert_eq!(bench.script.acts(), [(name(3), OnRevoked::Freeze)]);
    let ended = Event::UpstreamEnded {
        object: format!("test.{}", group_object(3)),
        state: "revoked".to_owned(),
        action: "freeze".to_owned(),
        why: String::new(),
    };
    let frozen = Event::Frozen { why: String::new() };
    let events = [(3, ended), (3, frozen), (3, Event::Thawed), (1, rekeyed(3))];
    let batch = bench.batch(events);
    bench.try_take(&batch).await.expect("is taken");
    batches.push(batch);
    let all = bench.objects().await;

    for ledger in [Some(&ledger[..]), None] {
        leave(&mut bench, ledger);
        bench.restart().await;
        assert_eq!(bench.look().await, 0, "it has not caught up");
        let resumed = bench.resumed.expect("it goes on before").after.sequence;
        assert_eq!(resumed, ledger.map_or(0, |_| 6));
        if ledger.is_none() {
            let policy = policy.clone();
            let begun = (1..=3).flat_map(|group| [(group, created(&policy)), (group, rekeyed(1))]);
            let sequence = std::mem::take(&mut bench.sequence);
            let revisions = std::mem::take(&mut bench.revisions);
            batches.insert(0, bench.batch(begun));
            (bench.sequence, bench.revisions) = (sequence, revisions);
        }
        read_up(&mut bench, &batches).await;
        assert_eq!(bench.objects().await, all, "nothing was done upstream");
        assert_eq!(bench.look().await, 0);
        assert_eq!(
            bench.script.acts(),
            [],
            "what was ended before is nothing new"
        );
    }
    // It knows all again: what somebody ends now is acted on, and what goes on goes on.
    bench.revoke(&key_object(1, 3), reason::KeyCompromise).await;
    assert_eq!(bench.look().await, 1);
    assert_eq!(bench.script.acts(), [(name(1), OnRevoked::Destroy)]);
    bench.take([(3, rekeyed(2))]).await;
    let objects = bench.objects().await;
    let state = |name: String| {
        let found = objects.iter().find(|(own, _)| *own == name);
        found.map(|(_, state)| state.as_str())
    };
    assert_eq!(state(key_object(3, 1)), Some("destroyed"));
    assert_eq!(state(key_object(3, 2)), Some("active"));
    assert_eq!(state(format!("{}.2", group_object(3))), Some("active"));
}

#[tokio::test]
async fn a_trail_from_a_backup_registers_nothing_twice() {
    let (client, _store) = stand_in().await;
    let mut bench = Bench::new(client).await;
    let policy = GroupPolicy {
        on_revoked: OnRevoked::Roll,
        ..GroupPolicy::default()
    };
    bench.groups([1], &policy).await;
    let (ledger, before) = (backed_up(&mut bench), bench.sequence);
    bench.restart().await;
    let batch = bench.batch([(1, rekeyed(2)), (1, rekeyed(3))]);
    bench.try_take(&batch).await.expect("is taken");
    let all = bench.objects().await;
    // Ledger and cursor are from before it; the trail has it again, from the gateway's store.
    restored(&mut bench, &ledger);
    bench.restart_from(before, batch.last()).await;
    assert_eq!(bench.look().await, 0, "it has not caught up");
    bench.try_take(&batch).await.expect("is taken");
    assert_eq!(bench.objects().await, all, "all of it was there");
    assert_eq!(bench.look().await, 0);
    assert_eq!(bench.script.acts(), []);
}

#[tokio::test]
async fn an_object_of_a_generation_that_is_over_here_is_nothing_to_act_on() {
    let (client, _store) = stand_in().await;
    let mut bench = Bench::new(client).await;
    bench.groups([1], &GroupPolicy::default()).await;
    bench.revoke(&key_object(1, 1), reason::Unspecified).await;
    let root = |generation| {
        bench.script.with(|script| {
            let facts = script.groups.get_mut(&name(1)).expect("the group");
            facts.root = Some((1, generation));
        });
    };
    root(2);
    bench.look().await;
    assert_eq!(bench.script.acts(), [], "the group has another root by now");
    root(1);
    bench.look().await;
    assert_eq!(bench.script.acts(), [(name(1), OnRevoked::Roll)]);
}
