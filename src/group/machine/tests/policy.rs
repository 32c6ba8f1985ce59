//! Policies that change while somebody waits to join.

use super::*;
use crate::group::limits::BUSY_RETRY_MS;
use crate::group::policy::AdmissionRule;

fn admitting(identity: &str) -> GroupPolicy {
    let rule = AdmissionRule {
        identity: identity.into(),
        roles: vec![Role::Both],
    };
    GroupPolicy {
        admit: vec![rule],
        ..GroupPolicy::default()
    }
}

#[test]
fn whoever_the_list_before_admitted_asks_again_unless_he_is_on_record() {
    let mut bench = Bench::with_members(admitting("cn:*"), 2);
    bench.join(Role::Both);
    bench.after(5_000);
    assert!(bench.persisting.is_some(), "he is being registered");
    let waiting = bench.join(Role::Both);
    bench.input(Input::Leave {
        member: MemberId(1),
    });
    bench.input(Input::SetPolicy(admitting("cn:anna")));
    bench.persist();
    assert_eq!(bench.refusal(waiting), None, "the list before holds still");
    let late = bench.join(Role::Both);
    bench.persist();
    assert_eq!(*bench.machine.state().policy(), admitting("cn:anna"));
    let again = Refusal::retry(RefusalCode::Busy, BUSY_RETRY_MS);
    for asked in [waiting, late] {
        let refused = |effect: &Effect| match effect {
            Effect::Refused { ticket, refusal } => *ticket == asked && *refusal == again,
            _ => false,
        };
        assert!(bench.seen.iter().any(refused), "{asked:?}");
    }
    assert_eq!(bench.machine.status().queues.joins, 0);
    bench.settle();
    bench.after(5_000);
    bench.settle();
    assert_eq!(bench.granted(), 1);
    assert_eq!(bench.members(), [2, 3].map(MemberId), "who left is gone");
    // Whoever the list of now admits is granted his keys.
    bench.join(Role::Both);
    bench.after(60_000);
    bench.settle();
    assert_eq!(bench.granted(), 2);
}

#[test]
fn a_policy_with_the_same_list_keeps_nobody_waiting() {
    let mut bench = Bench::with_members(admitting("cn:*"), 1);
    bench.join(Role::Both);
    bench.input(Input::SetPolicy(GroupPolicy {
        quorum_percent: 7,
        ..admitting("cn:*")
    }));
    bench.persist();
    assert_eq!(bench.machine.state().policy().quorum_percent, 7);
    bench.after(5_000);
    bench.settle();
    assert_eq!(bench.granted(), 1);
}

/// Whether whoever asked so was told to ask again.
fn asks_again(bench: &Bench, asked: Ticket) -> bool {
    let again = Refusal::retry(RefusalCode::Busy, BUSY_RETRY_MS);
    let refused = |effect: &Effect| match effect {
        Effect::Refused { ticket, refusal } => *ticket == asked && *refusal == again,
        _ => false,
    };
    bench.seen.iter().any(refused)
}

#[test]
fn whoever_waits_while_limits_are_lowered_asks_again() {
    let fewer = [
        GroupPolicy {
            member_limit: 1,
            ..admitting("cn:*")
        },
        GroupPolicy {
            registrations_per_identity: 1,
            ..admitting("cn:*")
        },
    ];
    for policy in fewer {
        let mut bench = Bench::with_members(admitting("cn:*"), 1);
        let waiting = bench.join(Role::Both);
        bench.input(Input::SetPolicy(policy.clone()));
        bench.persist();
        assert_eq!(*bench.machine.state().policy(), policy);
        assert!(asks_again(&bench, waiting), "{policy:?}");
        assert_eq!(bench.machine.status().queues.joins, 0);
    }
}

#[test]
fn whoever_waits_while_the_rules_change_asks_again_and_members_stay() {
    let mut bench = Bench::with_members(admitting("cn:*"), 2);
    let waiting = bench.join(Role::Both);
    bench.input(Input::DecideAnew);
    assert!(asks_again(&bench, waiting));
    bench.after(5_000);
    bench.settle();
    assert_eq!((bench.granted(), bench.members().len()), (0, 2));
    bench.join(Role::Both);
    bench.after(5_000);
    bench.settle();
    assert_eq!(bench.granted(), 1);
}
