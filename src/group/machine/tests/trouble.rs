//! Token and store that fail, and members that do what they should not.

use super::*;

#[test]
fn a_token_that_fails_is_asked_again_and_the_epoch_stays() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 4);
    bench.evict(&[1], true);
    bench.persist();
    bench.drain();
    for pause in [250, 500, 1_000] {
        bench.fail_token();
        bench.after(pause - 1);
        assert!(bench.jobs.is_empty());
        bench.after(1);
        assert_eq!(bench.jobs.len(), 1);
    }
    bench.settle();
    assert_eq!(bench.drain(), ["deliver 2 after 1"]);
}

#[test]
fn a_token_that_answers_nonsense_has_failed() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 4);
    for nonsense in [
        vec![],
        vec![Output::BadPublicKey; 4],
        vec![Output::Wrapped([0; 40]); 99],
    ] {
        bench.evict(&[1], true);
        bench.persist();
        let (job, ..) = bench.jobs.remove(0);
        bench.input(Input::TokenDone {
            job,
            outputs: nonsense,
        });
        bench.after(10_000);
        assert_eq!(bench.jobs.len(), 1, "it is asked again");
    }
    bench.input(Input::TokenDone {
        job: JobId(9_999),
        outputs: Vec::new(),
    });
    bench.settle();
    assert_eq!(bench.machine.status().epochs.delivered, Epoch(2));
}

#[test]
fn an_urgent_eviction_does_not_wait_for_a_pause_to_end() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 4);
    bench.input(Input::Rotate);
    bench.after(100);
    bench.persist();
    bench.fail_token();
    assert!(bench.jobs.is_empty());
    bench.evict(&[1], true);
    bench.persist();
    assert_eq!(bench.jobs.len(), 1);
}

#[test]
fn whoever_waits_too_long_for_the_token_is_told_and_unregistered() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 1);
    let joiner = bench.join(Role::Both);
    bench.after(100);
    bench.persist();
    let registered = bench.members();
    let late = bench.join(Role::Both);
    let mut failures = 0;
    while bench.refusal(joiner).is_none() || bench.refusal(late).is_none() {
        while !bench.jobs.is_empty() {
            bench.fail_token();
        }
        bench.after(5_000);
        failures += 1;
        assert!(failures < 20, "they wait for ever");
    }
    assert_eq!(bench.refusal(joiner), Some(RefusalCode::TokenUnusable));
    assert_eq!(bench.refusal(late), Some(RefusalCode::TokenUnusable));
    bench.after(20_000);
    bench.settle();
    bench.after(2_000);
    bench.settle();
    assert_eq!(registered.len(), 2);
    assert_eq!(
        bench.members(),
        [MemberId(1)],
        "nobody else has the leaf key"
    );
}

#[test]
fn a_store_that_fails_refuses_joins_and_loses_no_departure() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 4);
    let joiner = bench.join(Role::Both);
    bench.input(Input::Leave {
        member: MemberId(2),
    });
    bench.input(Input::Rotate);
    bench.evict(&[1], true);
    for pause in [250, 500] {
        assert!(bench.persisting.take().is_some());
        bench.input(Input::PersistFailed);
        assert_eq!(bench.refusal(joiner), Some(RefusalCode::StoreTrouble));
        bench.after(pause - 1);
        assert_eq!(bench.persisting, None);
        bench.after(1);
    }
    bench.drain();
    bench.settle();
    let expected = ["removed 1 Evicted", "removed 2 Left", "deliver 2 after 1"];
    assert_eq!(bench.drain(), expected);
}

#[test]
fn a_policy_and_an_end_outlive_a_failure_of_the_store() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 1);
    let policy = GroupPolicy {
        member_limit: 7,
        ..GroupPolicy::default()
    };
    bench.input(Input::SetPolicy(policy.clone()));
    bench.persisting.take();
    bench.input(Input::PersistFailed);
    bench.after(250);
    bench.persist();
    assert_eq!(*bench.machine.state().policy(), policy);
    bench.input(Input::Destroy);
    bench.persisting.take();
    bench.input(Input::PersistFailed);
    bench.after(250);
    bench.persist();
    assert_eq!(bench.drain(), ["destroyed"]);
}

#[test]
fn a_group_whose_creation_was_not_stored_is_stored_later() {
    let created = created(GroupPolicy::default());
    let mut bench = Bench::over(GroupMachine::create(created, Some(issuers())));
    bench.input(Input::Tick);
    bench.persisting.take();
    bench.input(Input::PersistFailed);
    bench.after(250);
    bench.settle();
    assert_eq!(bench.machine.status().revision, Revision(1));
}

#[test]
fn a_public_key_that_is_no_point_costs_its_owner_the_registration_only() {
    let mut bench = Bench::new(GroupPolicy::default());
    let good = bench.join(Role::Both);
    let bad = bench.join_as(Identity("cn:bad".into()), Role::Both, point(BAD));
    bench.after(100);
    bench.settle();
    assert_eq!(bench.refusal(bad), Some(RefusalCode::BadPublicKey));
    assert_eq!((bench.refusal(good), bench.granted()), (None, 1));
    bench.after(1_200);
    bench.settle();
    assert_eq!(bench.members(), [MemberId(1)]);
}

#[test]
fn a_joiner_that_goes_before_its_grant_is_given_none() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 2);
    let evicted = bench.join(Role::Both);
    bench.after(100);
    bench.persist();
    bench.evict(&[3], true);
    assert_eq!(bench.refusal(evicted), Some(RefusalCode::UnknownMember));
    bench.settle();
    assert_eq!(bench.granted(), 0);
    assert_eq!(bench.members(), [MemberId(1), MemberId(2)]);
}

#[test]
fn whoever_is_on_the_way_out_catches_up_no_more() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 2);
    bench.input(Input::Leave {
        member: MemberId(1),
    });
    let leaving = bench.catch_up(MemberId(1));
    let stranger = bench.catch_up(MemberId(77));
    assert_eq!(bench.refusal(leaving), Some(RefusalCode::UnknownMember));
    assert_eq!(bench.refusal(stranger), Some(RefusalCode::UnknownMember));
}

#[test]
fn absence_becomes_a_leave_and_silence_too() {
    let policy = GroupPolicy {
        absence_s: 10,
        silence_s: 5,
        rekey_period_s: 0,
        ..GroupPolicy::default()
    };
    let mut bench = Bench::with_members(policy, 3);
    bench.input(Input::Absent {
        member: MemberId(1),
    });
    bench.after(9_900);
    bench.settle();
    assert_eq!(bench.members().len(), 3);
    bench.after(500);
    bench.settle();
    assert_eq!(bench.drain()[..1], ["removed 1 Absent"]);
    let (member, epoch) = (MemberId(2), Epoch(2));
    bench.input(Input::Acks(vec![(member, epoch)]));
    bench.after(5_200);
    bench.settle();
    assert_eq!(bench.members(), [MemberId(2)], "3 never answered");
    assert!(bench.drain().contains(&"removed 3 Silent".to_owned()));
}

#[test]
fn after_a_restart_everybody_has_the_whole_absence_to_come_back() {
    let policy = GroupPolicy {
        rekey_period_s: 0,
        ..GroupPolicy::default()
    };
    let bench = Bench::with_members(policy, 2);
    let mut bench = bench.restart();
    bench.input(Input::Present {
        member: MemberId(2),
    });
    bench.after(86_300_000);
    bench.settle();
    assert_eq!(bench.members().len(), 2);
    bench.after(2_000_000);
    bench.settle();
    assert_eq!(bench.members(), [MemberId(2)]);
}

#[test]
fn nonsense_is_not_taken_up() {
    let restore =
        |records: &[&[u8]]| GroupMachine::restore(None, records.iter().copied(), None).map(drop);
    assert!(matches!(restore(&[]), Err(RestoreError::Empty)));
    let at_one = |outcome| match outcome {
        Err(RestoreError::Record { at, .. }) => at == Revision(1),
        _ => false,
    };
    assert!(at_one(restore(&[b"nonsense"])));
    let bench = Bench::with_members(GroupPolicy::default(), 1);
    assert!(at_one(restore(&[&bench.records[1]])));
    let snapshot = GroupMachine::restore(Some(b"nonsense"), [].into_iter(), None);
    assert!(matches!(snapshot, Err(RestoreError::Snapshot(_))));
}
