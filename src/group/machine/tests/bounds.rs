//! What happens at each bound.

use super::*;
use crate::group::limits::{JOIN_DELIVERIES_PER_SECOND, MAX_NOTE, MAX_WAITING_JOINS};
use crate::group::record::Record;

#[test]
fn joins_beyond_the_bound_are_refused_as_busy() {
    let mut bench = Bench::new(GroupPolicy::default());
    for _ in 0..MAX_WAITING_JOINS {
        bench.join(Role::Receiver);
    }
    assert!(bench.seen.is_empty());
    let refused = bench.join(Role::Receiver);
    assert_eq!(bench.refusal(refused), Some(RefusalCode::Busy));
    assert_eq!(bench.machine.status().queues.joins, MAX_WAITING_JOINS);
}

#[test]
fn a_member_that_asks_again_takes_its_own_place() {
    let bench = Bench::with_members(GroupPolicy::default(), 2);
    let mut bench = bench.restart();
    let first = bench.catch_up(MemberId(1));
    let second = bench.catch_up(MemberId(1));
    assert_eq!(bench.refusal(first), Some(RefusalCode::Busy));
    assert_eq!(bench.machine.status().queues.paths, 1);
    bench.settle();
    let answered =
        |effect: &Effect| matches!(effect, Effect::Path { ticket, .. } if *ticket == second);
    assert!(bench.seen.iter().any(answered));
}

#[test]
fn a_full_group_refuses_until_somebody_leaves() {
    let policy = GroupPolicy {
        member_limit: 2,
        ..GroupPolicy::default()
    };
    let mut bench = Bench::with_members(policy, 1);
    let second = bench.join(Role::Both);
    let third = bench.join(Role::Both);
    assert_eq!(bench.refusal(second), None);
    assert_eq!(bench.refusal(third), Some(RefusalCode::Full));
    bench.input(Input::Leave {
        member: MemberId(1),
    });
    let fourth = bench.join(Role::Both);
    assert_eq!(bench.refusal(fourth), None);
    bench.after(100);
    bench.settle();
    assert_eq!(bench.members(), [MemberId(2), MemberId(3)]);
}

#[test]
fn a_registration_too_many_replaces_the_oldest_that_is_away() {
    let policy = GroupPolicy {
        registrations_per_identity: 2,
        ..GroupPolicy::default()
    };
    let mut bench = Bench::new(policy);
    let identity = Identity("cn:twins".into());
    let join = |bench: &mut Bench| bench.join_as(identity.clone(), Role::Both, point(1));
    join(&mut bench);
    join(&mut bench);
    let third = join(&mut bench);
    assert_eq!(
        bench.refusal(third),
        Some(RefusalCode::TooManyRegistrations)
    );
    bench.after(100);
    bench.settle();
    bench.all_acknowledge();
    let fourth = join(&mut bench);
    assert_eq!(
        bench.refusal(fourth),
        Some(RefusalCode::TooManyRegistrations)
    );
    bench.input(Input::Absent {
        member: MemberId(2),
    });
    bench.drain();
    join(&mut bench);
    bench.after(100);
    bench.settle();
    assert_eq!(bench.drain()[0], "removed 2 Replaced");
    assert_eq!(bench.members(), [MemberId(1), MemberId(3)]);
}

#[test]
fn an_exhausted_sender_space_begins_anew_with_an_independent_root() {
    let policy = GroupPolicy {
        sender_id_bits: 2,
        ..GroupPolicy::default()
    };
    let mut bench = Bench::with_members(policy, 4);
    bench.join(Role::Receiver);
    let none_left = bench.join(Role::Sender);
    bench.after(100);
    bench.settle();
    assert_eq!(
        bench.refusal(none_left),
        Some(RefusalCode::Full),
        "four send already"
    );
    assert_eq!(bench.machine.state().sender_space(), 0);
    bench.all_acknowledge();
    bench.evict(&[1], true);
    bench.settle();
    bench.all_acknowledge();
    let generation = bench.machine.state().tree().root().generation;
    bench.join(Role::Sender);
    bench.after(100);
    bench.settle();
    assert_eq!(bench.machine.state().sender_space(), 1);
    assert!(bench.machine.state().tree().root().generation > generation);
    let senders: Vec<u32> = bench
        .machine
        .members()
        .filter_map(|(_, member)| Some(member.sender?.0))
        .collect();
    assert_eq!(senders, [0, 1, 2, 3]);
}

#[test]
fn a_smaller_sender_space_is_taken_up_at_once() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 4);
    bench.evict(&[1, 2], true);
    bench.settle();
    bench.all_acknowledge();
    bench.input(Input::SetPolicy(GroupPolicy {
        sender_id_bits: 1,
        ..GroupPolicy::default()
    }));
    bench.after(200);
    bench.settle();
    bench.after(200);
    bench.settle();
    assert_eq!(bench.machine.state().sender_space(), 1);
}

#[test]
fn what_is_said_about_an_eviction_is_cut_between_characters() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 1);
    bench.input(Input::Evict {
        members: vec![MemberId(1)],
        urgent: true,
        reason: format!("x{}", "é".repeat(MAX_NOTE)),
        by: None,
    });
    let record = bench.persisting.as_deref().map(Record::from_bytes);
    let Some(Ok(Record::Changed(changed))) = record else {
        panic!("{record:?}");
    };
    let note = changed.left[0].note.clone().unwrap_or_default();
    assert_eq!(note.len(), MAX_NOTE - 1);
}

#[test]
fn a_large_rekey_is_shared_out_among_the_tokens_workers() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 4_096);
    let every_other: Vec<u64> = (1..=4_096).step_by(2).collect();
    bench.evict(&every_other, true);
    bench.persist();
    assert!(bench.jobs.len() > 4);
    for (.., batch) in &bench.jobs {
        assert!(batch.operations.len() <= 513);
    }
    // Whatever share fails is asked for again, the others are not.
    let all: usize = bench.jobs.iter().map(|(.., batch)| wraps(batch)).sum();
    let failed = wraps(&bench.jobs[0].2);
    bench.fail_token();
    let mut asked = failed;
    while let Some((.., batch)) = bench.jobs.first() {
        asked += wraps(batch);
        bench.token();
    }
    assert_eq!(asked, all + failed);
    assert!(
        bench
            .seen
            .iter()
            .any(|effect| matches!(effect, Effect::Deliver(_)))
    );
}

#[test]
fn the_root_is_renewed_once_a_period_unless_somebody_left() {
    let policy = GroupPolicy {
        rekey_period_s: 10,
        ..GroupPolicy::default()
    };
    let mut bench = Bench::with_members(policy, 2);
    let epoch = |bench: &Bench| bench.machine.state().epoch().0;
    let at = bench.machine.status().epochs.rotates.expect("it is on");
    let before = epoch(&bench);
    bench.after(at.0 - bench.now + 100);
    bench.settle();
    assert_eq!(epoch(&bench), before + 1);
    bench.all_acknowledge();
    bench.after(5_000);
    bench.evict(&[1], true);
    bench.settle();
    bench.all_acknowledge();
    bench.after(9_000);
    bench.settle();
    assert_eq!(epoch(&bench), before + 2, "the eviction renewed it");
    bench.after(1_200);
    bench.settle();
    assert_eq!(epoch(&bench), before + 3);
}

#[test]
fn a_destroyed_group_answers_everyone_and_does_nothing_more() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 2);
    let waiting = bench.join(Role::Both);
    bench.input(Input::Destroy);
    bench.persist();
    assert_eq!(bench.refusal(waiting), Some(RefusalCode::Destroyed));
    assert_eq!(bench.drain(), ["refused Destroyed", "destroyed"]);
    assert_eq!(bench.machine.next_timeout(), None);
    let later = bench.join(Role::Both);
    assert_eq!(bench.refusal(later), Some(RefusalCode::Destroyed));
    let bench = bench.restart();
    assert!(bench.machine.status().destroyed);
}

#[test]
fn joins_of_a_storm_share_epochs_and_a_departure_does_not_wait_for_them() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 2_000);
    let closes = |bench: &mut Bench, after: u64| {
        bench.after(after - 1);
        assert!(bench.persisting.is_none(), "not before {after}");
        bench.after(1);
        assert!(bench.persisting.is_some(), "after {after}");
        bench.settle();
        bench.all_acknowledge();
    };
    bench.after(10_000);
    // Nothing was delivered for long: the policy's interval is all that it waits for.
    bench.join(Role::Receiver);
    closes(&mut bench, 100);
    let pause = 2_001 * 1_000 / JOIN_DELIVERIES_PER_SECOND;
    assert!(pause > 100);
    bench.join(Role::Receiver);
    closes(&mut bench, pause);
    bench.join(Role::Receiver);
    bench.evict(&[1], false);
    closes(&mut bench, 100);
    bench.join(Role::Receiver);
    bench.evict(&[2], true);
    assert!(bench.persisting.is_some(), "at once");
}
