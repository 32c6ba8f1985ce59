//! A member at a rollover: when it asks for its new leaf key, and what it does with it.

use super::*;

/// A header after a rollover.
fn rolled(epoch: u64, root: KeyRef) -> ParsedHeader {
    let mut header = header(epoch, root);
    header.header.rollover = 1;
    header.header.activation_delay_ms = 8_000;
    header
}

const NEW_LEAF: KeyRef = KeyRef {
    generation: 2,
    ..LEAF
};

/// The path from the new leaf key.
fn new_path(header: ParsedHeader) -> SessionInput {
    let parent = key(1, 1, 2, 0);
    SessionInput::Path {
        edges: vec![edge(NEW_LEAF, parent), edge(parent, header.header.root)],
        active: Epoch(1),
        sender_ids: vec![SenderId(3)],
        sender_space: 0,
        header,
    }
}

#[test]
fn after_a_rollover_a_member_asks_for_its_leaf_key_at_a_time_of_its_own() {
    let mut bench = Bench::joined(Role::Both);
    let root = key(2, 0, 3, 0);
    let input = SessionInput::Rekey {
        header: rolled(2, root),
        edges: Vec::new(),
        active: Epoch(0),
    };
    let renewed = Err(SessionError::Renewed(Epoch(2)));
    assert_eq!(bench.input(input.clone()), renewed);
    assert_eq!(bench.input(input), renewed, "a repetition changes nothing");
    assert!(bench.drain().is_empty(), "others ask now");
    let Some(Time(at)) = bench.session.next_timeout() else {
        panic!("it would never ask");
    };
    assert!(at < 4_000, "within half of the activation delay");
    bench.now = at;
    assert_eq!(bench.input(SessionInput::Tick), Ok(()));
    let held = Epoch(1);
    assert_eq!(bench.drain(), [SessionEffect::NeedPath { held }]);
    let leaf = (NEW_LEAF, NEW_LEAF);
    let taken = bench
        .session
        .regranted(Time(bench.now), Names, leaf, new_path(rolled(2, root)));
    assert_eq!(taken, Ok(()));
    assert_eq!(bench.session.root(Epoch(2)), Some(&root));
    assert!(
        bench.session.root(Epoch(1)).is_some(),
        "it still sends with it"
    );
    assert_eq!(bench.session.membership().leaf, NEW_LEAF);
    // It may have asked twice: the second answer changes nothing.
    let again = new_path(rolled(2, root));
    let taken = bench.session.regranted(Time(bench.now), Names, leaf, again);
    assert_eq!(taken, Ok(()));
    // The next epoch is opened by edges again.
    bench.drain();
    let next = key(2, 0, 4, 0);
    let input = SessionInput::Rekey {
        header: rolled(3, next),
        edges: vec![edge(key(1, 1, 2, 0), next)],
        active: Epoch(0),
    };
    assert_eq!(bench.input(input), Ok(()));
}

#[test]
fn a_member_does_not_wait_when_senders_switch() {
    let mut bench = Bench::joined(Role::Receiver);
    let input = SessionInput::Rekey {
        header: rolled(2, key(2, 0, 3, 0)),
        edges: Vec::new(),
        active: Epoch(0),
    };
    assert!(bench.input(input).is_err());
    assert!(bench.drain().is_empty());
    let activate = SessionInput::Activate { epoch: Epoch(2) };
    assert_eq!(bench.input(activate), Ok(()));
    let held = Epoch(1);
    assert_eq!(bench.drain(), [SessionEffect::NeedPath { held }]);
}

#[test]
fn a_leaf_key_whose_path_does_not_open_changes_nothing() {
    let mut bench = Bench::joined(Role::Both);
    let root = key(2, 0, 3, 0);
    let mut damaged = rolled(2, root);
    damaged.tag = [0; 16];
    let leaf = (NEW_LEAF, NEW_LEAF);
    let now = Time(bench.now);
    let taken = bench.session.regranted(now, Names, leaf, new_path(damaged));
    assert_eq!(taken, Err(SessionError::CannotOpen(Epoch(2))));
    assert_eq!(bench.session.membership().leaf, LEAF);
    bench.drain();
    // What it held before opens what it opened before.
    let next = key(2, 0, 1, 1);
    let input = SessionInput::Rekey {
        header: header(2, next),
        edges: Vec::new(),
        active: Epoch(0),
    };
    assert_eq!(bench.input(input), Ok(()));
}

#[test]
fn a_hint_of_another_suite_is_worth_one_question() {
    let mut bench = Bench::joined(Role::Both);
    let hint = SessionInput::OtherSuite {
        activation_delay_ms: 0,
    };
    assert_eq!(bench.input(hint), Ok(()));
    let held = Epoch(1);
    assert_eq!(bench.drain(), [SessionEffect::NeedPath { held }]);
    // The gateway knows of nothing newer: whoever said so lied, and is believed no longer.
    assert_eq!(bench.path(1, key(2, 0, 1, 0), 1, 0), Ok(()));
    bench.drain();
    assert_eq!(bench.session.next_timeout(), None);
}
