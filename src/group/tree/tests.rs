//! Tests of the tree alone: its memory, its diffs and its snapshots.

use std::error::Error as _;

use proptest::prelude::*;

use super::*;
use crate::group::limits::MAX_RATCHET_STEPS;
use crate::group::planner::{Change, Plan, plan};

fn planned(tree: &Tree, joins: std::ops::Range<u64>, leaves: &[u32]) -> Plan {
    let change = Change {
        joins: joins.map(MemberId).collect(),
        leaves: leaves.to_vec(),
        rotate: false,
        renew: false,
    };
    plan(tree, &change).unwrap()
}

fn tree_of(members: u64) -> Tree {
    let mut tree = Tree::new();
    tree.apply(&planned(&tree, 0..members, &[]).diff).unwrap();
    tree
}

#[test]
fn a_million_members_take_at_most_64_bytes_each() {
    // In batches, so that the vectors grow as they do in a real group and keep the spare capacity that this leaves.
    let mut tree = Tree::new();
    for first in (0..1_000_000).step_by(10_000) {
        let plan = planned(&tree, first..first + 10_000, &[]);
        tree.apply(&plan.diff).unwrap();
    }
    assert_eq!(tree.members(), 1_000_000);
    assert_eq!(size_of::<Leaf>(), 12);
    assert_eq!(size_of::<Node>(), 12);
    let bytes = tree.heap_bytes() as f64 / 1e6;
    println!(
        "{bytes:.1} bytes a member, {} in a snapshot",
        tree.to_bytes().len() as f64 / 1e6
    );
    assert!(bytes <= 64.0, "{bytes} bytes a member");
    assert_eq!(Tree::from_bytes(&tree.to_bytes()).unwrap(), tree);
}

#[test]
fn vacant_leaves_are_found_wherever_they_are() {
    let mut tree = tree_of(300);
    let left = [0, 17, 18, 63, 64, 255, 299];
    tree.apply(&planned(&tree, 0..0, &left).diff).unwrap();
    for from in 0..1100 {
        let scanned = (from..)
            .find(|&leaf| tree.member_at(leaf).is_none())
            .unwrap();
        assert_eq!(tree.next_vacant(from), scanned, "from {from}");
        for to in (from..400).step_by(7) {
            let scanned = (from..=to).any(|leaf| tree.member_at(leaf).is_some());
            assert_eq!(tree.any_member(from, to), scanned, "from {from} to {to}");
        }
    }
}

#[test]
fn nodes_that_no_tree_has_are_answered() {
    let tree = tree_of(5);
    for node in [(1, 9), (2, 1), (9, 0), (255, u32::MAX), (0, u32::MAX)] {
        let (level, index) = node;
        let key = tree.key(NodeId { level, index });
        assert_eq!((key.generation, key.step), (0, 0));
    }
    assert_eq!(tree.path(4).count(), 3);
    assert_eq!(tree.path(5).count(), 0);
    assert_eq!(tree.path(u32::MAX).count(), 0);
}

/// A tree of 20 members, and the diff by which members 3 and 7 leave, one joins, and the root changes.
fn mixed() -> (Tree, TreeDiff) {
    let tree = tree_of(20);
    let diff = planned(&tree, 20..21, &[3, 7]).diff;
    (tree, diff)
}

#[test]
fn damaged_diffs_are_refused_and_change_nothing() {
    let root = NodeId { level: 3, index: 0 };
    let low = NodeId { level: 1, index: 0 };
    let far = NodeId { level: 1, index: 4 };
    type Damage = fn(&mut TreeDiff);
    let cases: [(Damage, DiffError); 13] = [
        (
            |d| d.height = 4,
            DiffError::Height {
                found: 4,
                expected: 3,
            },
        ),
        (
            |d| d.height = 255,
            DiffError::Height {
                found: 255,
                expected: 3,
            },
        ),
        (|d| d.leaves.swap(0, 1), DiffError::LeafOrder(3)),
        (|d| d.leaves[1].index = 21, DiffError::LeafOrder(21)),
        (
            |d| d.leaves[1].index = u32::MAX,
            DiffError::LeafOrder(u32::MAX),
        ),
        (
            |d| d.leaves[0].generation = 1,
            DiffError::LeafGeneration {
                leaf: 3,
                found: 1,
                expected: 2,
            },
        ),
        (
            |d| d.leaves[1].generation = 0,
            DiffError::LeafGeneration {
                leaf: 7,
                found: 0,
                expected: 1,
            },
        ),
        (
            |d| d.leaves[0].member = Some(MemberId(u64::MAX)),
            DiffError::ReservedMember(3),
        ),
        (|d| d.nodes[0].generation = 9, DiffError::Succession(low)),
        (|d| d.nodes[0].step = 1, DiffError::Succession(low)),
        (|d| d.nodes.truncate(3), DiffError::NotRegenerated(root)),
        (|d| d.nodes.rotate_left(1), DiffError::NotRegenerated(low)),
        (
            |d| {
                let node = NodeId { level: 1, index: 4 };
                d.nodes.push(NodeChange {
                    node,
                    generation: 2,
                    step: 0,
                });
            },
            DiffError::Unexpected(far),
        ),
    ];
    for (damage, expected) in cases {
        let (mut tree, mut diff) = mixed();
        let before = tree.clone();
        damage(&mut diff);
        assert_eq!(tree.apply(&diff), Err(expected));
        assert_eq!(tree, before);
    }
}

#[test]
fn a_leave_must_regenerate_and_a_join_must_ratchet() {
    let mut tree = tree_of(20);
    let leave = planned(&tree, 0..0, &[3]).diff;
    for node in 0..leave.nodes.len() {
        let mut ratcheted = leave.clone();
        ratcheted.nodes[node].generation = 1;
        ratcheted.nodes[node].step = 1;
        let id = ratcheted.nodes[node].node;
        assert_eq!(tree.apply(&ratcheted), Err(DiffError::NotRegenerated(id)));
    }
    tree.apply(&leave).unwrap();
    assert_eq!(tree.apply(&leave), Err(DiffError::AlreadyVacant(3)));
    let join = planned(&tree, 20..21, &[]).diff;
    for node in 0..join.nodes.len() {
        let mut unchanged = join.clone();
        let id = unchanged.nodes.remove(node).node;
        assert_eq!(tree.apply(&unchanged), Err(DiffError::Unchanged(id)));
        let mut hasty = join.clone();
        hasty.nodes[node].step += 1;
        assert_eq!(tree.apply(&hasty), Err(DiffError::Succession(id)));
    }
    tree.apply(&join).unwrap();
    assert_eq!(
        Tree::new().apply(&TreeDiff {
            height: 1,
            leaves: vec![],
            nodes: vec![],
            renewed: false,
        }),
        Err(DiffError::NotRegenerated(NodeId { level: 1, index: 0 }))
    );
}

#[test]
fn a_snapshot_cut_short_or_continued_is_refused() {
    let (mut tree, diff) = mixed();
    tree.apply(&diff).unwrap();
    let bytes = tree.to_bytes();
    for length in 0..bytes.len() {
        assert!(
            Tree::from_bytes(&bytes[..length]).is_err(),
            "{length} bytes"
        );
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(matches!(
        Tree::from_bytes(&longer),
        Err(SnapshotError::Trailing(1))
    ));
}

#[test]
fn hostile_snapshots_get_a_typed_error() {
    let refused = |bytes: &[u8]| Tree::from_bytes(bytes).unwrap_err();
    let vacant = Tree::new().to_bytes();
    assert_eq!(vacant, [0x83, 1, 0x80, 0x81, 0x82, 0, 0]);
    // An array of 2^63 leaves, in eleven bytes.
    let huge = [0x83, 1, 0x9b, 0x80, 0, 0, 0, 0, 0, 0, 0];
    assert!(matches!(refused(&huge), SnapshotError::Length));
    assert!(matches!(refused(&[0x83, 1, 0x9f]), SnapshotError::Length));
    assert!(matches!(
        refused(&[0x83, 1, 0x81, 0]),
        SnapshotError::Length
    ));
    assert!(matches!(
        refused(&[0x83, 2, 0x80]),
        SnapshotError::Version(2)
    ));
    assert!(matches!(refused(&[0x84, 1]), SnapshotError::Length));
    assert!(matches!(refused(&[0xff]), SnapshotError::Malformed(_)));
    // A leaf without a key that is someone's.
    assert!(matches!(
        refused(&[0x83, 1, 0x82, 0, 7]),
        SnapshotError::Leaf(0)
    ));
    assert!(matches!(
        refused(&[0x83, 1, 0x80, 0x82]),
        SnapshotError::Shape(1)
    ));
    assert!(matches!(
        refused(&[0x83, 1, 0x80, 0x81, 0x84, 0, 0, 0, 0]),
        SnapshotError::Shape(1)
    ));
    // A root without a key that stands over a member, and one that was ratcheted too often.
    let node = SnapshotError::Node { level: 1, index: 0 }.to_string();
    let unkeyed = [0x83, 1, 0x82, 1, 7, 0x81, 0x82, 0, 0];
    assert_eq!(refused(&unkeyed).to_string(), node);
    let worn = [
        0x83,
        1,
        0x80,
        0x81,
        0x82,
        1,
        0x18,
        MAX_RATCHET_STEPS as u8 + 1,
    ];
    assert_eq!(refused(&worn).to_string(), node);
    let as_part = minicbor::decode::<Tree>(&unkeyed).unwrap_err();
    let source = as_part.source().unwrap().downcast_ref::<SnapshotError>();
    assert!(matches!(source, Some(SnapshotError::Node { .. })));
}

proptest! {
    #[test]
    fn random_damage_to_a_snapshot_never_panics(at: prop::sample::Index, to: u8) {
        let mut bytes = tree_of(70).to_bytes();
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(mut tree) = Tree::from_bytes(&bytes) {
            // What is accepted is a tree to work with.
            let plan = planned(&tree, 1000..1040, &[]);
            tree.apply(&plan.diff).unwrap();
            prop_assert_eq!(Tree::from_bytes(&tree.to_bytes()).unwrap(), tree);
        }
    }

    #[test]
    fn random_diffs_never_panic_and_are_whole_or_nothing(
        height in 0..20u8,
        leaves in prop::collection::vec((0..24u32, 0..3u32, any::<Option<u64>>()), 0..4),
        nodes in prop::collection::vec((0..5u8, 0..6u32, 0..3u32, 0..3u16), 0..6),
    ) {
        let (mut tree, _) = mixed();
        let before = tree.clone();
        let leaves = leaves.into_iter().map(|(index, generation, member)| LeafChange {
            index,
            generation,
            member: member.map(MemberId),
        });
        let nodes = nodes.into_iter().map(|(level, index, generation, step)| NodeChange {
            node: NodeId { level, index },
            generation,
            step,
        });
        let diff = TreeDiff { height, leaves: leaves.collect(), nodes: nodes.collect(), renewed: false };
        match tree.apply(&diff) {
            Ok(()) => prop_assert_ne!(tree.root(), before.root()),
            Err(_) => prop_assert_eq!(tree, before),
        }
    }
}

#[test]
fn a_diff_of_before_there_were_rollovers_renews_nothing() {
    let tree = tree_of(5);
    let diff = planned(&tree, 5..7, &[1]).diff;
    let old = minicbor::to_vec((diff.height, &diff.leaves, &diff.nodes)).unwrap();
    assert_eq!(minicbor::decode::<TreeDiff>(&old).unwrap(), diff);
    let new = minicbor::to_vec(&diff).unwrap();
    assert_eq!(minicbor::decode::<TreeDiff>(&new).unwrap(), diff);
}

#[test]
fn a_renewal_gives_every_key_that_there_was_its_next_generation() {
    let mut tree = tree_of(40);
    tree.apply(&planned(&tree, 0..0, &[3, 7]).diff).unwrap();
    let before = tree.clone();
    let change = Change {
        renew: true,
        ..Change::default()
    };
    let plan = plan(&tree, &change).unwrap();
    assert!(plan.diff.renewed && plan.rekey.is_empty() && plan.grants.is_empty());
    assert_eq!(
        plan.diff.nodes.len(),
        1,
        "the diff is as small as a rotation"
    );
    tree.apply(&plan.diff).unwrap();
    assert_eq!(tree.root(), plan.root);
    for level in 0..=before.height() {
        for index in 0..40 {
            let node = NodeId { level, index };
            let (old, new) = (before.key(node), tree.key(node));
            match old.generation {
                0 => assert_eq!(new, old),
                used if node == plan.root.node => assert_eq!(new.generation, used + 2),
                used => assert_eq!((new.generation, new.step), (used + 1, 0)),
            }
            assert_eq!(before.population(node), tree.population(node));
        }
    }
}

#[test]
fn a_renewal_past_the_last_generation_is_refused_and_changes_nothing() {
    let mut tree = tree_of(3);
    tree.leaves[1].generation = u32::MAX;
    let before = tree.clone();
    let change = Change {
        renew: true,
        ..Change::default()
    };
    let node = NodeId { level: 0, index: 1 };
    let refused = plan(&tree, &change);
    assert_eq!(
        refused.err(),
        Some(crate::group::planner::PlanError::Exhausted { node })
    );
    let diff = TreeDiff {
        height: 1,
        leaves: vec![],
        nodes: vec![],
        renewed: true,
    };
    assert_eq!(tree.apply(&diff), Err(DiffError::Exhausted(node)));
    assert_eq!(tree, before);
}
