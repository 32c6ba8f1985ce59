//! What plans cost, in wraps.

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::History;
use crate::group::limits::{DEGREE, MAX_RATCHET_STEPS};
use crate::group::planner::{Change, plan};

#[test]
fn one_leave_of_a_full_tree_costs_degree_times_height_less_one() {
    for height in 2..=6 {
        let members = DEGREE.pow(height);
        let tree = History::full(members).tree;
        for leaf in [0, members / 3, members - 1] {
            let change = Change {
                leaves: vec![leaf],
                ..Change::default()
            };
            let plan = plan(&tree, &change).unwrap();
            assert_eq!(plan.rekey.len() as u32, DEGREE * height - 1);
            assert_eq!(plan.grants, []);
        }
    }
}

#[test]
fn one_leave_of_a_tree_filled_from_the_left_costs_no_more() {
    let mut history = History::full(1);
    for members in 2..=300u32 {
        history.step(1, &[], false);
        let height = (1..).find(|&h| DEGREE.pow(h) >= members).unwrap();
        for leaf in 0..members {
            let change = Change {
                leaves: vec![leaf],
                ..Change::default()
            };
            let wraps = plan(&history.tree, &change).unwrap().rekey.len() as u32;
            assert!(
                wraps < DEGREE * height,
                "{wraps} wraps for leaf {leaf} of {members}"
            );
        }
    }
}

/// Li, Yang, Gouda and Lam (2001): the expected number of wraps when `l` of `d^h` members leave at once.
fn expected_wraps(height: u32, leaves: u32) -> f64 {
    let (d, n) = (f64::from(DEGREE), DEGREE.pow(height));
    // The chance that none (or all) of `subset` members is among those who leave, as a product of ratios.
    let none_of = |subset: u32| -> f64 {
        (0..subset)
            .map(|i| f64::from(n.saturating_sub(leaves + i)) / f64::from(n - i))
            .product()
    };
    let all_of = |subset: u32| -> f64 {
        (0..subset)
            .map(|i| f64::from(leaves.saturating_sub(i)) / f64::from(n - i))
            .product()
    };
    (0..height)
        .map(|depth| {
            let (above, below) = (n / DEGREE.pow(depth), n / DEGREE.pow(depth + 1));
            d.powi(depth as i32 + 1) * (1.0 - none_of(above) - all_of(below))
        })
        .sum()
}

#[test]
fn batches_of_leaves_cost_what_the_literature_expects() {
    let mut runner = prop::test_runner::TestRunner::deterministic();
    for (height, leaves) in [
        (4, 1),
        (4, 2),
        (4, 16),
        (4, 64),
        (5, 10),
        (5, 100),
        (5, 512),
        (5, 900),
    ] {
        let members = DEGREE.pow(height);
        let tree = History::full(members).tree;
        let batch = prop::sample::subsequence((0..members).collect::<Vec<_>>(), leaves);
        let samples = 60;
        let mut wraps = 0;
        for _ in 0..samples {
            let leaves = batch.new_tree(&mut runner).unwrap().current();
            let change = Change {
                leaves,
                ..Change::default()
            };
            wraps += plan(&tree, &change).unwrap().rekey.len();
        }
        let mean = wraps as f64 / f64::from(samples);
        let expected = expected_wraps(height, leaves as u32);
        assert!(
            (mean / expected - 1.0).abs() < 0.05,
            "{leaves} of {members}: {mean} wraps on average, {expected} expected"
        );
    }
}

#[test]
fn a_worn_out_ratchet_is_regenerated() {
    let mut history = History::full(1);
    let mut wraps = 0;
    for _ in 0..400 {
        wraps += history.step(1, &[], false).rekey.len();
        assert!(history.tree.root().step <= MAX_RATCHET_STEPS);
    }
    // Four levels grew. The root over 65 to 256 members wore out once, with four children; the root from 257 on and
    // its second child wore out at the same time, with two and three.
    assert_eq!(wraps, 4 + 4 + 2 + 3);
}
