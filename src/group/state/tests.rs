//! Replay, snapshots, and what is refused.

use proptest::prelude::*;

use super::*;
use crate::group::planner::{Change, plan};
use crate::group::record::{Frozen, Renewal, Thawed};
use crate::group::wire::RemovalReason;

fn begin() -> State {
    let created = Created {
        group: GroupId([1; 16]),
        name: "g".into(),
        nonce: GroupNonce([2; 32]),
        master: MasterId(3),
        suite: Suite::One,
        policy: GroupPolicy::default(),
    };
    State::begin(created)
}

/// The record of a change, as the machine makes it.
fn change(state: &State, roles: &[Role], leaving: &[MemberId], rollover: bool) -> Record {
    let left: Vec<Departed> = leaving
        .iter()
        .map(|&member| Departed {
            member,
            reason: RemovalReason::Evicted,
            note: Some("told so".into()),
            identity: None,
            by: None,
        })
        .collect();
    let joins = roles
        .iter()
        .map(|&role| (Identity("cn:a".into()), role, Suites::of(Suite::One)));
    let (joined, sender_space) = state.register(joins, &left, rollover);
    let leaf = |member: &MemberId| state.roster().get(*member).map(|member| member.leaf);
    let change = Change {
        joins: joined.iter().map(|joined| joined.member).collect(),
        leaves: leaving.iter().filter_map(leaf).collect(),
        rotate: rollover,
        renew: false,
    };
    let plan = plan(state.tree(), &change).expect("the change is sound");
    Record::Changed(Box::new(Changed {
        epoch: Epoch(state.epoch().0 + 1),
        diff: plan.diff,
        joined,
        left,
        sender_space,
        renewal: None,
    }))
}

/// A log of every kind of record, and the state after it.
fn history() -> (Vec<Record>, State) {
    let mut state = begin();
    let mut records = Vec::new();
    let mut log = |state: &mut State, record: Record| {
        state.apply(record.clone()).expect("it follows");
        records.push(record);
    };
    let created = state.created();
    log(&mut state, created);
    let first = change(
        &state,
        &[Role::Both, Role::Receiver, Role::Sender, Role::Both],
        &[],
        false,
    );
    log(&mut state, first);
    let policy = GroupPolicy {
        activation_delay_ms: 7,
        ..GroupPolicy::default()
    };
    log(&mut state, Record::PolicyChanged(policy));
    let second = change(&state, &[Role::Sender], &[MemberId(1), MemberId(2)], false);
    log(&mut state, second);
    let third = change(&state, &[Role::Both], &[MemberId(3)], true);
    log(&mut state, third);
    let frozen = Frozen {
        why: "told so".into(),
        by: Some(Identity("cn:ops".into())),
    };
    log(&mut state, Record::Frozen(frozen));
    log(&mut state, Record::Thawed(Thawed { by: None }));
    (records, state)
}

fn replay(records: &[Record]) -> Result<State, ReplayError> {
    let mut state = begin();
    for record in records {
        state.apply(Record::from_bytes(&record.to_bytes())?)?;
    }
    Ok(state)
}

#[test]
fn a_log_replays_to_the_same_state_with_or_without_a_snapshot() {
    let (records, state) = history();
    for cut in 0..=records.len() {
        let before = replay(&records[..cut]).expect("a log's beginning is a log");
        let mut after = State::from_bytes(&before.to_bytes()).expect("a snapshot is whole");
        for record in &records[cut..] {
            after.apply(record.clone()).expect("it follows");
        }
        assert_eq!(after.to_bytes(), state.to_bytes());
        assert_eq!(after.header(), state.header());
    }
    assert_eq!(
        state.header().activation_delay_ms,
        7,
        "the policy at the time of the epoch"
    );
}

#[test]
fn a_new_sender_space_numbers_whoever_stays_and_then_the_joiners() {
    let (_, state) = history();
    assert_eq!(state.sender_space(), 1);
    let ids: Vec<(u64, Option<u32>)> = state
        .roster()
        .iter()
        .map(|(id, member)| (id.0, member.sender.map(|sender| sender.0)))
        .collect();
    assert_eq!(ids, [(4, Some(0)), (5, Some(1)), (6, Some(2))]);
}

#[test]
fn what_does_not_follow_is_refused_and_changes_nothing() {
    let (_, mut state) = history();
    let before = state.to_bytes();
    let Record::Changed(sound) = change(&state, &[Role::Both], &[MemberId(4)], false) else {
        unreachable!("it is a change")
    };
    type Spoil = fn(&mut Changed);
    let spoilt: [(&str, Spoil); 9] = [
        ("an epoch twice", |c| c.epoch.0 -= 1),
        ("an epoch skipped", |c| c.epoch.0 += 1),
        ("a joiner without a leaf", |c| c.joined[0].member.0 += 1),
        ("no joiner for a leaf", |c| c.joined.clear()),
        ("a departure without a leaf", |c| c.left[0].member.0 += 1),
        ("a leaf without a departure", |c| c.left.clear()),
        ("a sender identifier used before", |c| {
            c.joined[0].sender = Some(SenderId(0))
        }),
        ("a sender without an identifier", |c| {
            c.joined[0].sender = None
        }),
        ("a sender space skipped", |c| c.sender_space += 2),
    ];
    for (what, spoil) in spoilt {
        let mut changed = sound.clone();
        spoil(&mut changed);
        let refused = state.apply(Record::Changed(changed));
        assert!(refused.is_err(), "{what} is taken");
        assert_eq!(state.to_bytes(), before, "{what} leaves a trace");
    }
    let created = state.created();
    assert!(matches!(state.apply(created), Err(ReplayError::Beginning)));
    state.apply(Record::Destroyed).expect("it follows");
    let after = state.apply(Record::Changed(sound));
    assert!(matches!(after, Err(ReplayError::Destroyed)));
}

#[test]
fn a_log_begins_with_its_creation() {
    let (records, _) = history();
    assert!(matches!(replay(&records[1..]), Err(ReplayError::Beginning)));
}

proptest! {
    #[test]
    fn damaged_bytes_are_refused_or_read_but_never_panic(
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let (records, state) = history();
        for record in &records {
            let mut bytes = record.to_bytes();
            let place = at.index(bytes.len());
            bytes[place] = to;
            let _ = Record::from_bytes(&bytes);
            prop_assert!(Record::from_bytes(&bytes[..cut.index(bytes.len())]).is_err());
        }
        let mut bytes = state.to_bytes();
        let place = at.index(bytes.len());
        bytes[place] = to;
        let _ = State::from_bytes(&bytes);
        prop_assert!(State::from_bytes(&bytes[..cut.index(bytes.len())]).is_err());
    }
}

#[test]
fn bytes_that_follow_and_other_versions_are_named() {
    let (records, state) = history();
    let mut bytes = records[0].to_bytes();
    bytes.push(0);
    assert!(matches!(
        Record::from_bytes(&bytes),
        Err(RecordError::Trailing(1))
    ));
    bytes[1] = 2;
    assert!(matches!(
        Record::from_bytes(&bytes),
        Err(RecordError::Version(2))
    ));
    let mut bytes = state.to_bytes();
    bytes.push(0);
    assert!(matches!(
        State::from_bytes(&bytes),
        Err(StateError::Trailing(1))
    ));
    bytes[1] = 4;
    assert!(matches!(
        State::from_bytes(&bytes),
        Err(StateError::Version(4))
    ));
}

/// The record of a rollover, of which one member leaves and one joins.
fn rollover(state: &State, nonce: u8) -> Changed {
    let left = vec![Departed {
        member: MemberId(1),
        reason: RemovalReason::Left,
        note: None,
        identity: None,
        by: None,
    }];
    let suites = Suites::of(Suite::One).with(Suite::Two);
    let joins = [(Identity("cn:new".into()), Role::Both, suites)];
    let (joined, sender_space) = state.register(joins.into_iter(), &left, false);
    let change = Change {
        joins: joined.iter().map(|joined| joined.member).collect(),
        leaves: vec![0],
        rotate: false,
        renew: true,
    };
    let plan = plan(state.tree(), &change).expect("the change is sound");
    Changed {
        epoch: Epoch(state.epoch().0 + 1),
        diff: plan.diff,
        joined,
        left,
        sender_space,
        renewal: Some(Renewal {
            master: MasterId(9),
            nonce: GroupNonce([nonce; 32]),
            suite: Suite::Two,
            spread_ms: 7_000,
        }),
    }
}

fn with_members(count: usize) -> State {
    let mut state = begin();
    state.apply(state.created()).expect("it begins");
    let first = change(&state, &vec![Role::Both; count], &[], false);
    state.apply(first).expect("it follows");
    state
}

#[test]
fn a_rollover_gives_every_leaf_its_next_key_and_the_group_another_seed() {
    let mut state = with_members(6);
    let leaves = |state: &State| -> Vec<_> {
        let members = state.roster().iter().map(|(id, _)| id);
        members.filter_map(|id| state.leaf_key(id)).collect()
    };
    let before = leaves(&state);
    let root = state.tree().root();
    let record = Record::Changed(Box::new(rollover(&state, 7)));
    let read = Record::from_bytes(&record.to_bytes()).expect("it is whole");
    assert_eq!(read, record);
    state.apply(read).expect("it follows");
    for (old, new) in before[1..].iter().zip(leaves(&state)) {
        assert_eq!((old.node, old.generation + 1), (new.node, new.generation));
    }
    assert!(state.tree().root().generation > root.generation);
    let header = state.header();
    assert_eq!((header.suite, header.rollover), (Suite::Two, 1));
    assert_eq!(header.activation_delay_ms, 1_000 + 7_000);
    assert_eq!(header.retirement_delay_ms, 1_000 + 7_000);
    assert_eq!(
        (state.master(), state.nonce()),
        (MasterId(9), GroupNonce([7; 32]))
    );
    assert_eq!(
        state.roster().lacking(Suite::Two),
        0,
        "it found that out before"
    );
    let again = State::from_bytes(&state.to_bytes()).expect("the snapshot is whole");
    assert_eq!(again.to_bytes(), state.to_bytes());
    assert_eq!(again.header(), header);
    assert_eq!(again.nonce(), state.nonce());
    // The next ordinary epoch has the policy's own delays again.
    let next = change(&state, &[Role::Receiver], &[], false);
    state.apply(next).expect("it follows");
    assert_eq!(state.header().activation_delay_ms, 1_000);
    assert_eq!(state.header().rollover, 1);
}

#[test]
fn a_rollover_that_does_not_fit_is_refused_and_changes_nothing() {
    let mut state = with_members(6);
    let before = state.to_bytes();
    let damage: [&dyn Fn(&mut Changed); 4] = [
        &|changed| changed.renewal = None,
        &|changed| changed.diff.renewed = false,
        &|changed| {
            if let Some(renewal) = &mut changed.renewal {
                renewal.nonce = GroupNonce([2; 32]);
            }
        },
        &|changed| changed.diff.nodes.clear(),
    ];
    for damage in damage {
        let mut changed = rollover(&state, 7);
        damage(&mut changed);
        let refused = state.apply(Record::Changed(Box::new(changed)));
        assert!(
            matches!(refused, Err(ReplayError::Renewal | ReplayError::Tree(_))),
            "{refused:?}"
        );
        assert_eq!(state.to_bytes(), before);
    }
}

#[test]
fn nobody_comes_into_a_frozen_group() {
    let mut state = with_members(3);
    let frozen = Frozen {
        why: "told so".into(),
        by: None,
    };
    let joining = change(&state, &[Role::Both], &[], false);
    let leaving = change(&state, &[], &[MemberId(1)], false);
    state.apply(Record::Frozen(frozen)).expect("it follows");
    let before = state.to_bytes();
    let again = State::from_bytes(&before).expect("the snapshot is whole");
    assert_eq!(again.frozen(), Some("told so"));
    let refused = state.apply(joining);
    assert!(matches!(refused, Err(ReplayError::Frozen)), "{refused:?}");
    assert_eq!(state.to_bytes(), before);
    state.apply(leaving).expect("it follows");
}

/// As the second version wrote it: an array of one less, without the null at its end.
#[test]
fn a_snapshot_of_before_groups_were_frozen_is_read() {
    let state = with_members(3);
    let mut bytes = state.to_bytes();
    assert_eq!((bytes[0], bytes[1], bytes.pop()), (0x8c, 3, Some(0xf6)));
    bytes[..2].copy_from_slice(&[0x8b, 2]);
    let read = State::from_bytes(&bytes).expect("it is whole");
    assert_eq!(read.to_bytes(), state.to_bytes());
    assert_eq!(read.frozen(), None);
}

/// As the first version wrote it.
#[test]
fn a_snapshot_of_before_there_were_rollovers_is_read() {
    let state = with_members(3);
    let mut e = minicbor::Encoder::new(Vec::new());
    let fields = (state.revision, state.destroyed);
    e.array(10).unwrap().u8(1).unwrap();
    e.encode(fields.0).unwrap().bool(fields.1).unwrap();
    e.encode(&state.created)
        .unwrap()
        .encode(&state.policy)
        .unwrap();
    e.encode(&state.tree).unwrap().encode(state.epoch).unwrap();
    e.encode(state.senders)
        .unwrap()
        .u64(state.next_member)
        .unwrap();
    e.array(u64::from(state.roster.len())).unwrap();
    for (id, member) in state.roster.iter() {
        e.array(6)
            .unwrap()
            .encode(id)
            .unwrap()
            .u32(member.leaf)
            .unwrap();
        e.encode(member.joined)
            .unwrap()
            .encode(member.role)
            .unwrap();
        e.encode(member.sender)
            .unwrap()
            .encode(&*member.identity)
            .unwrap();
    }
    let read = State::from_bytes(&e.into_writer()).expect("it is whole");
    assert_eq!(read.to_bytes(), state.to_bytes());
    assert_eq!((read.suite(), read.rollovers()), (Suite::One, 0));
    assert_eq!(read.roster().lacking(Suite::Two), 3);
}
