//! Rollovers: to another nonce, master or suite, in every phase, with members that are there, away, or leave.

use super::*;
use crate::group::ids::KeyRef;
use crate::group::limits::{ROLLOVER_MOST_MS, ROLLOVER_MS_PER_MEMBER};

/// Both suites' keys.
fn both() -> Offer {
    point(1).with(Suite::Two, vec![2; 1_216])
}

fn to(nonce: u8, suite: Suite) -> Rollover {
    Rollover {
        master: MasterId(2),
        nonce: GroupNonce([nonce; 32]),
        suite,
    }
}

impl Bench {
    fn roll(&mut self, nonce: u8) {
        self.input(Input::Rollover(to(nonce, Suite::One)));
        self.after(100);
    }

    /// A member asks, holding this leaf key.
    fn claim(&mut self, member: u64, leaf: Option<KeyRef>, offer: Option<Offer>) -> Ticket {
        self.tickets += 1;
        let (ticket, member) = (Ticket(self.tickets), MemberId(member));
        let claim = Some(Claim { leaf, offer });
        self.input(Input::CatchUp {
            ticket,
            member,
            claim,
        });
        ticket
    }

    fn leaf(&self, member: u64) -> Option<KeyRef> {
        self.machine.leaf_key(MemberId(member))
    }

    /// The grants that members were given, in order.
    fn grants(&self) -> Vec<(MemberId, KeyRef)> {
        let granted = self.seen.iter().filter_map(|effect| match effect {
            Effect::Granted { member, grant, .. } => Some((*member, grant.leaf)),
            _ => None,
        });
        granted.collect()
    }
}

/// Every key of a batch, to see what it comes from.
fn origin(batch: &Batch) -> (MasterId, GroupNonce, Suite) {
    (batch.master, batch.nonce, batch.suite)
}

#[test]
fn a_rollover_is_delivered_as_its_header_alone_and_members_are_granted_their_leaf_keys() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 8);
    let old: Vec<_> = (1..=8).map(|member| bench.leaf(member)).collect();
    bench.roll(7);
    bench.persist();
    let (_, priority, batch) = &bench.jobs[0];
    assert_eq!(
        origin(batch),
        (MasterId(2), GroupNonce([7; 32]), Suite::One)
    );
    assert_eq!((wraps(batch), *priority), (0, Priority::Scheduled));
    bench.settle();
    let Some(Effect::Deliver(rekey)) = bench.seen.first() else {
        panic!("{:?}", bench.seen);
    };
    assert!(rekey.chunks.is_empty());
    let header = bench.machine.state().header();
    assert_eq!(header.rollover, 1);
    assert_eq!(
        u64::from(header.activation_delay_ms),
        1_000 + 8 * ROLLOVER_MS_PER_MEMBER
    );
    assert!(header.retirement_delay_ms >= header.activation_delay_ms);
    assert_eq!(bench.machine.status().keys.without_leaf, 8);
    bench.drain();
    for member in 1..=8 {
        bench.claim(member, old[member as usize - 1], Some(point(1)));
    }
    bench.settle();
    for (member, leaf) in bench.grants() {
        assert_eq!(Some(leaf), bench.machine.leaf_key(member));
        assert_eq!(leaf.generation, 2);
    }
    assert_eq!(bench.grants().len(), 8);
    let keys = bench.machine.status().keys;
    assert_eq!((keys.rollovers, keys.without_leaf), (1, 0));
    assert!(!keys.rolling_over);
    bench.drain();
    bench.all_acknowledge();
    assert_eq!(bench.drain(), ["activate 2"], "the quorum does not wait");
    // Whoever names its new leaf key gets a path, and edges are wrapped for everyone again.
    bench.claim(3, bench.leaf(3), Some(point(1)));
    bench.settle();
    assert_eq!(bench.drain(), ["path 3"]);
    bench.evict(&[1], true);
    bench.persist();
    assert_eq!(wraps(&bench.jobs[0].2), 3 + 2);
}

#[test]
fn the_activation_of_a_rollover_waits_longer_the_more_members_there_are() {
    let policy = GroupPolicy {
        member_limit: 100_000,
        ..GroupPolicy::default()
    };
    let mut bench = Bench::with_members(policy, 1_000);
    bench.roll(7);
    bench.settle();
    bench.drain();
    let longer = 1_000 * ROLLOVER_MS_PER_MEMBER;
    bench.after(1_000 + longer - 1);
    assert!(bench.seen.is_empty());
    bench.after(1);
    assert_eq!(bench.drain(), ["activate 2"]);
    let spread = bench
        .machine
        .renewal(&to(9, Suite::One), 10_000_000)
        .spread_ms;
    assert_eq!(u64::from(spread), ROLLOVER_MOST_MS);
}

#[test]
fn joins_and_leaves_that_wait_go_with_a_rollover() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 5);
    let (stays, leaves) = (bench.leaf(2), bench.leaf(1));
    bench.input(Input::Leave {
        member: MemberId(1),
    });
    bench.join(Role::Both);
    bench.roll(7);
    bench.settle();
    assert_eq!(bench.machine.state().epoch(), Epoch(2));
    assert_eq!(
        bench.drain(),
        ["removed 1 Left", "deliver 2 after 1", "granted 6"]
    );
    let late = bench.claim(1, leaves, Some(point(1)));
    assert_eq!(bench.refusal(late), Some(RefusalCode::UnknownMember));
    bench.claim(2, stays, Some(point(1)));
    bench.settle();
    assert_eq!(bench.grants().len(), 1);
}

#[test]
fn an_urgent_eviction_does_not_wait_for_a_rollover_that_waits() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 5);
    bench.input(Input::Rollover(to(7, Suite::One)));
    bench.evict(&[1], true);
    assert!(bench.persist(), "at once");
    assert_eq!(bench.machine.state().rollovers(), 0);
    assert!(wraps(&bench.jobs[0].2) > 0, "the others open it by edges");
    bench.settle();
    bench.all_acknowledge();
    assert_eq!(
        bench.drain(),
        ["removed 1 Evicted", "deliver 2 after 1", "activate 2"]
    );
    bench.after(100);
    bench.settle();
    assert_eq!(bench.machine.state().rollovers(), 1);
}

#[test]
fn an_eviction_overtakes_a_rollover_that_is_not_delivered() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 16);
    let old: Vec<_> = (1..=16).map(|member| bench.leaf(member)).collect();
    bench.roll(7);
    bench.persist();
    let (overtaken, ..) = bench.jobs.remove(0);
    bench.evict(&[1], true);
    bench.persist();
    // What the rollover owed is void: nobody holds a key that opens it. The eviction's own edges are of the new seed.
    for (.., batch) in &bench.jobs {
        assert_eq!(
            origin(batch),
            (MasterId(2), GroupNonce([7; 32]), Suite::One)
        );
    }
    bench.settle();
    let outputs = vec![output(&Operation::Seal {
        root: old[0].expect("a key"),
        prefix: Vec::new(),
    })];
    bench.input(Input::TokenDone {
        job: overtaken,
        outputs,
    });
    assert_eq!(bench.drain(), ["removed 1 Evicted", "deliver 3 after 1"]);
    let evicted = bench.claim(1, old[0], Some(point(1)));
    assert_eq!(bench.refusal(evicted), Some(RefusalCode::UnknownMember));
    for member in 2..=16 {
        bench.claim(member, old[member as usize - 1], Some(point(1)));
    }
    bench.settle();
    assert_eq!(bench.grants().len(), 15);
}

#[test]
fn whoever_is_evicted_before_it_asks_is_not_granted_the_new_leaf_key() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 4);
    let old = bench.leaf(1);
    bench.roll(7);
    bench.settle();
    bench.drain();
    let asked = bench.claim(1, old, Some(point(1)));
    let asked_for = bench.jobs.remove(0);
    bench.evict(&[1], true);
    assert_eq!(bench.refusal(asked), Some(RefusalCode::UnknownMember));
    bench.persist();
    let (job, _, batch) = asked_for;
    let outputs = batch.operations.iter().map(output).collect();
    bench.input(Input::TokenDone { job, outputs });
    bench.settle();
    assert!(bench.grants().is_empty());
}

#[test]
fn a_restart_in_any_phase_of_a_rollover_grants_what_is_on_record() {
    for phase in 0..4 {
        let mut bench = Bench::with_members(GroupPolicy::default(), 6);
        let old: Vec<_> = (1..=6).map(|member| bench.leaf(member)).collect();
        bench.roll(7);
        match phase {
            0 => {}
            1 => drop(bench.persist()),
            2 => bench.settle(),
            _ => {
                bench.settle();
                bench.claim(1, old[0], Some(point(1)));
                bench.settle();
            }
        }
        let rolled = u64::from(phase > 0);
        let mut bench = bench.restart();
        assert_eq!(bench.machine.state().rollovers(), rolled, "phase {phase}");
        for member in 1..=6 {
            bench.input(Input::Present {
                member: MemberId(member),
            });
            bench.claim(member, old[member as usize - 1], Some(point(1)));
        }
        bench.settle();
        assert_eq!(bench.grants().len() as u64, 6 * rolled, "phase {phase}");
        assert_eq!(bench.drain().len(), 6);
        let snapshot = bench.machine.snapshot();
        let again = GroupMachine::restore(Some(&snapshot), [].into_iter(), Some(issuers()));
        let again = again.expect("the snapshot is whole");
        assert_eq!(again.snapshot(), snapshot);
        assert_eq!(again.state().rollovers(), rolled);
        assert_eq!(again.state().header(), bench.machine.state().header());
    }
}

#[test]
fn a_member_that_was_away_through_several_rollovers_is_granted_the_newest_leaf_key() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 3);
    let old = bench.leaf(2);
    bench.input(Input::Absent {
        member: MemberId(2),
    });
    for nonce in 7..10 {
        bench.roll(nonce);
        bench.settle();
        bench.after(10_000);
    }
    bench.drain();
    bench.input(Input::Present {
        member: MemberId(2),
    });
    let without = bench.claim(2, old, Some(Offer::of(Suite::Two, vec![2; 1_216])));
    assert_eq!(bench.refusal(without), Some(RefusalCode::UnsupportedSuite));
    bench.claim(2, old, Some(point(1)));
    bench.settle();
    assert_eq!(
        bench.grants(),
        [(MemberId(2), bench.leaf(2).expect("its leaf"))]
    );
    assert_eq!(bench.machine.state().header().rollover, 3);
}

#[test]
fn a_delivery_for_a_member_without_its_leaf_key_has_no_edges_and_costs_nothing() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 4);
    bench.roll(7);
    bench.settle();
    bench.drain();
    let asked = bench.claim(1, None, Some(point(1)));
    let ticket = Ticket(999);
    bench.input(Input::CatchUp {
        ticket,
        member: MemberId(1),
        claim: None,
    });
    let Some(Effect::Path { path, .. }) = bench.seen.first() else {
        panic!("{:?}", bench.seen);
    };
    assert!(path.edges.is_empty());
    assert_eq!(bench.refusal(asked), None, "what it asked for stays");
    bench.drain();
    bench.settle();
    assert_eq!(bench.drain(), ["granted 1"]);
    bench.input(Input::CatchUp {
        ticket,
        member: MemberId(1),
        claim: None,
    });
    bench.settle();
    assert!(
        matches!(bench.seen.first(), Some(Effect::Path { path, .. }) if !path.edges.is_empty())
    );
}

#[test]
fn a_token_that_fails_in_the_middle_of_a_rollover_is_asked_again() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 4);
    let old = bench.leaf(1);
    bench.roll(7);
    bench.persist();
    bench.fail_token();
    bench.after(250);
    bench.settle();
    assert_eq!(bench.drain(), ["deliver 2 after 1"]);
    bench.claim(1, old, Some(point(1)));
    bench.fail_token();
    bench.after(250);
    bench.settle();
    assert_eq!(bench.drain(), ["granted 1"]);
}

#[test]
fn a_grant_that_a_rollover_overtakes_is_made_anew() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 4);
    let old = bench.leaf(1);
    bench.roll(7);
    bench.settle();
    bench.all_acknowledge();
    bench.after(10_000);
    bench.drain();
    bench.claim(1, old, Some(point(1)));
    let asked_for = bench.jobs.remove(0);
    bench.roll(8);
    bench.persist();
    let (job, _, batch) = asked_for;
    let outputs = batch.operations.iter().map(output).collect();
    bench.input(Input::TokenDone { job, outputs });
    bench.settle();
    assert_eq!(
        bench.grants(),
        [(MemberId(1), bench.leaf(1).expect("its leaf"))]
    );
    assert_eq!(bench.leaf(1).map(|leaf| leaf.generation), Some(3));
}

#[test]
fn a_rollover_that_is_not_persisted_is_tried_again() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 4);
    bench.roll(7);
    bench.persisting.take().expect("a record");
    bench.input(Input::PersistFailed);
    assert!(bench.machine.status().keys.rolling_over);
    bench.after(400);
    bench.settle();
    assert_eq!(bench.machine.state().rollovers(), 1);
    assert_eq!(bench.machine.state().master(), MasterId(2));
}

#[test]
fn a_group_without_members_is_rolled_over_as_well() {
    let mut bench = Bench::new(GroupPolicy::default());
    bench.roll(7);
    bench.settle();
    assert_eq!(bench.drain(), ["deliver 1 after 0", "activate 1"]);
    assert_eq!(bench.machine.state().nonce(), GroupNonce([7; 32]));
}

#[test]
fn a_suite_is_changed_once_every_member_offers_it() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 3);
    let wanted = to(7, Suite::Two);
    let lacking = |members| RolloverError::Lacking {
        suite: Suite::Two,
        members,
    };
    assert_eq!(bench.machine.check_rollover(&wanted), Err(lacking(3)));
    bench.input(Input::Rollover(wanted));
    let refused = lacking(3).to_string();
    assert_eq!(bench.drain(), [format!("not rolled over: {refused}")]);
    for member in 1..=2 {
        bench.claim(member, bench.leaf(member), Some(both()));
    }
    assert_eq!(bench.machine.check_rollover(&wanted), Err(lacking(1)));
    assert_eq!(bench.machine.status().keys.without_suite_two, 1);
    bench.evict(&[3], false);
    bench.after(100);
    bench.settle();
    bench.all_acknowledge();
    bench.after(10_000);
    bench.drain();
    let old = bench.leaf(1);
    bench.input(Input::Rollover(wanted));
    let lacks = bench.join(Role::Both);
    assert_eq!(bench.refusal(lacks), Some(RefusalCode::UnsupportedSuite));
    let joins = bench.join_as(Identity("cn:new".into()), Role::Both, both());
    bench.after(100);
    bench.persist();
    assert!(
        bench
            .jobs
            .iter()
            .all(|(.., batch)| batch.suite == Suite::Two)
    );
    bench.seen.clear();
    bench.settle();
    assert_eq!(bench.refusal(joins), None);
    let status = bench.machine.status();
    assert_eq!(status.keys.suite, Suite::Two);
    let suites = (status.epochs.active_suite, status.epochs.delivered_suite);
    assert_eq!(suites, (Suite::One, Suite::Two), "nobody sends with it yet");
    bench.seen.clear();
    let point_alone = bench.claim(1, old, Some(point(1)));
    assert_eq!(
        bench.refusal(point_alone),
        Some(RefusalCode::UnsupportedSuite)
    );
    bench.claim(1, old, Some(both()));
    bench.settle();
    assert_eq!(bench.grants().len(), 1);
    // On record: after a restart nobody has to offer it again before the next one.
    let bench = bench.restart();
    assert_eq!(bench.machine.status().keys.without_suite_two, 0);
}

#[test]
fn a_joiner_whose_grant_a_change_of_suite_overtakes_may_join_again() {
    let policy = GroupPolicy {
        batch_interval_ms: 0,
        ..GroupPolicy::default()
    };
    let mut bench = Bench::new(policy);
    let joins = bench.join_as(Identity("cn:a".into()), Role::Both, both());
    bench.persist();
    // The seal is made, the grant is not.
    while let Some(at) = bench.jobs.iter().position(|(.., batch)| {
        let sealed = |operation: &Operation| matches!(operation, Operation::Seal { .. });
        batch.operations.iter().any(sealed)
    }) {
        let (job, _, batch) = bench.jobs.remove(at);
        let outputs = batch.operations.iter().map(output).collect();
        bench.input(Input::TokenDone { job, outputs });
    }
    bench.input(Input::Rollover(to(7, Suite::Two)));
    bench.after(0);
    bench.persist();
    bench.settle();
    assert_eq!(bench.refusal(joins), Some(RefusalCode::Busy));
    bench.after(10_000);
    bench.settle();
    assert_eq!(
        bench.members(),
        [],
        "its registration is of no use to anybody"
    );
    bench.join_as(Identity("cn:a".into()), Role::Both, both());
    bench.settle();
    assert_eq!(bench.granted(), 1);
}

#[test]
fn what_cannot_be_rolled_over_is_told() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 1);
    let same = Rollover {
        nonce: bench.machine.state().nonce(),
        ..to(7, Suite::One)
    };
    assert_eq!(
        bench.machine.check_rollover(&same),
        Err(RolloverError::Nonce)
    );
    let records = bench.records.iter().map(Vec::as_slice);
    let late = GroupMachine::restore(None, records, None).expect("the log is whole");
    let without = late.check_rollover(&to(7, Suite::Two));
    assert_eq!(without, Err(RolloverError::NoSuite(Suite::Two)));
    assert_eq!(late.check_rollover(&to(7, Suite::One)), Ok(()));
    bench.input(Input::Destroy);
    bench.settle();
    bench.seen.clear();
    bench.input(Input::Rollover(to(7, Suite::One)));
    assert_eq!(bench.drain(), ["not rolled over: the group was destroyed"]);
}
