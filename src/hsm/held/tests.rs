//! What is held, what is pushed out, and that nothing is lost on the way.

use super::*;

fn scope(group: u8) -> Scope {
    Scope {
        suite: Suite::One,
        group: GroupId([group; 16]),
        master: MasterId(1),
        nonce: [9; 32],
    }
}

fn key(index: u32, generation: u32, step: u16) -> KeyRef {
    KeyRef {
        node: NodeId { level: 1, index },
        generation,
        step,
    }
}

/// In a batch of a group that has come back.
fn familiar<K>() -> Held<K> {
    let mut held = Held::new();
    for _ in 0..2 {
        assert!(held.next_batch(&scope(1)).is_empty());
    }
    held
}

#[test]
fn a_group_that_is_seen_for_the_first_time_leaves_nothing_behind() {
    let mut held = Held::new();
    held.next_batch(&scope(1));
    assert!(!held.wants(&key(0, 2, 3)));
    assert_eq!(held.keep_seed(scope(1), 's'), ['s']);
    held.next_batch(&scope(2));
    assert_eq!(held.keep_seed(scope(2), 's'), ['s']);
    held.next_batch(&scope(1));
    assert!(held.keep_seed(scope(1), 's').is_empty());
    assert!(held.wants(&key(0, 2, 3)));
    // So many others came since that it is not known any more.
    for number in 0..MAX_KNOWN {
        let mut other = scope(3);
        other.nonce[..8].copy_from_slice(&number.to_be_bytes());
        held.next_batch(&other);
    }
    held.next_batch(&scope(1));
    assert!(!held.wants(&key(1, 1, 0)));
}

#[test]
fn a_newer_key_takes_the_place_of_the_older_one_and_never_the_other_way() {
    let mut held = familiar();
    assert!(held.keep_node(scope(1), &key(0, 2, 3), 'a').is_empty());
    assert_eq!(held.keep_node(scope(1), &key(0, 2, 5), 'b'), ['a']);
    assert_eq!(held.keep_node(scope(1), &key(0, 3, 0), 'c'), ['b']);
    for older in [key(0, 2, 9), key(0, 1, 0), key(0, 3, 0)] {
        assert_eq!(held.keep_node(scope(1), &older, 'd'), ['d']);
    }
    assert!(held.keep_node(scope(2), &key(0, 1, 0), 'e').is_empty());
    assert_eq!(held.len(), 2);
}

#[test]
fn an_earlier_step_serves_and_a_later_one_does_not() {
    let mut held = familiar();
    held.keep_node(scope(1), &key(0, 2, 3), 'a');
    for unlike in [key(0, 2, 2), key(0, 1, 3), key(0, 3, 3), key(1, 2, 3)] {
        assert_eq!(held.take_node(&scope(1), &unlike), None);
    }
    assert_eq!(held.take_node(&scope(2), &key(0, 2, 3)), None);
    assert_eq!(held.take_node(&scope(1), &key(0, 2, 5)), Some((3, 'a')));
    assert_eq!(held.take_node(&scope(1), &key(0, 2, 5)), None);
}

#[test]
fn the_bounds_hold_and_what_was_used_longest_ago_goes_first() {
    let mut held = familiar();
    let most = MAX_NODES as u32;
    for index in 0..most {
        assert!(
            held.keep_node(scope(1), &key(index, 1, 0), index)
                .is_empty()
        );
    }
    let (step, first) = held.take_node(&scope(1), &key(0, 1, 0)).expect("is held");
    assert_eq!((step, first), (0, 0));
    assert!(held.keep_node(scope(1), &key(0, 1, 0), first).is_empty());
    assert_eq!(held.keep_node(scope(1), &key(most, 1, 0), most), [1]);
    for seed in 0..MAX_SEEDS as u8 {
        assert!(held.keep_seed(scope(seed), u32::from(seed)).is_empty());
    }
    assert_eq!(held.keep_seed(scope(255), 255), [0]);
    assert_eq!(held.take_seed(&scope(0)), None);
    assert_eq!(held.len(), MAX_NODES + MAX_SEEDS);
    let mut all = held.clear();
    assert_eq!(held.len(), 0);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), MAX_NODES + MAX_SEEDS - 63, "63 are in both");
}

#[test]
fn what_nothing_uses_ages_out() {
    let mut held = familiar();
    held.keep_seed(scope(1), 's');
    held.keep_node(scope(1), &key(0, 1, 0), 'a');
    held.keep_node(scope(1), &key(1, 1, 0), 'b');
    for _ in 0..MAX_IDLE_BATCHES {
        assert!(held.next_batch(&scope(1)).is_empty());
        let (_, busy) = held.take_node(&scope(1), &key(1, 1, 0)).expect("is held");
        held.keep_node(scope(1), &key(1, 1, 0), busy);
    }
    assert_eq!(held.next_batch(&scope(1)), ['s', 'a']);
    assert_eq!(held.len(), 1);
}
