//! Tests of edges, their cache and chunks.

mod chunks;
mod packets;

use std::error::Error as _;

use proptest::prelude::*;

use super::*;
use crate::group::ids::MemberId;
use crate::group::index::{leaf, parent};
use crate::group::planner::{Change, Plan, plan};
use crate::group::tree::Tree;

/// An edge as the token would make it; the bytes name what is wrapped.
fn made(planned: &PlannedEdge) -> Edge {
    let mut wrapped = [0; 40];
    wrapped[..4].copy_from_slice(&planned.parent.generation.to_be_bytes());
    wrapped[4..6].copy_from_slice(&planned.parent.step.to_be_bytes());
    Edge::new(*planned, wrapped)
}

fn made_all(planned: &[PlannedEdge]) -> Vec<Edge> {
    planned.iter().map(made).collect()
}

fn change(tree: &mut Tree, joins: std::ops::Range<u64>, leaves: &[u32]) -> Plan {
    let change = Change {
        joins: joins.map(MemberId).collect(),
        leaves: leaves.to_vec(),
        rotate: false,
        renew: false,
    };
    let plan = plan(tree, &change).unwrap();
    tree.apply(&plan.diff).unwrap();
    plan
}

fn commit(tree: &mut Tree, cache: &mut EdgeCache, joins: std::ops::Range<u64>, leaves: &[u32]) {
    let plan = change(tree, joins, leaves);
    cache.forget(&plan);
    for edge in plan.rekey.iter().chain(&plan.grants) {
        cache.insert(tree, &made(edge));
    }
}

#[test]
fn the_encoding_is_the_fixed_array() {
    let node = NodeId {
        level: 1,
        index: 300,
    };
    let child = KeyRef {
        node,
        generation: 2,
        step: 3,
    };
    let key = KeyRef {
        node: parent(node),
        generation: 70_000,
        step: 0,
    };
    let edge = Edge {
        child,
        parent: key,
        wrapped: [7; 40],
    };
    let bytes = minicbor::to_vec(edge).unwrap();
    let mut expected = vec![
        0x87, 1, 0x19, 1, 44, 2, 3, 0x1a, 0, 1, 0x11, 0x70, 0, 0x58, 40,
    ];
    expected.extend([7; 40]);
    assert_eq!(bytes, expected);
    assert_eq!(minicbor::decode::<Edge>(&bytes).unwrap(), edge);
    for length in 0..bytes.len() {
        assert!(minicbor::decode::<Edge>(&bytes[..length]).is_err());
    }
}

#[test]
fn what_can_be_no_edge_is_refused() {
    let encoded = |level: u8, index: u32, keys: [u32; 4]| {
        let mut e = Encoder::new(Vec::new());
        e.array(7).unwrap().u8(level).unwrap().u32(index).unwrap();
        for item in keys {
            e.u32(item).unwrap();
        }
        e.bytes(&[0; 40]).unwrap();
        minicbor::decode::<Edge>(&e.into_writer())
    };
    let refused = |level, index, keys| {
        let error = encoded(level, index, keys).unwrap_err();
        *error.source().unwrap().downcast_ref::<EdgeError>().unwrap()
    };
    let most = u32::from(MAX_RATCHET_STEPS);
    assert!(encoded(1, 0, [1, most, 1, most]).is_ok());
    for (level, index) in [(15, 0), (16, 0), (255, 0), (14, 4), (0, 1 << 30)] {
        let node = NodeId { level, index };
        assert_eq!(refused(level, index, [1, 0, 1, 0]), EdgeError::Node(node));
    }
    assert!(matches!(refused(1, 0, [0, 0, 1, 0]), EdgeError::Key(_)));
    assert!(matches!(refused(1, 0, [1, 0, 0, 0]), EdgeError::Key(_)));
    assert!(matches!(
        refused(1, 0, [1, most + 1, 1, 0]),
        EdgeError::Key(_)
    ));
    assert!(matches!(
        refused(1, 0, [1, 0, 1, most + 1]),
        EdgeError::Key(_)
    ));
    assert!(matches!(refused(0, 0, [1, 1, 1, 0]), EdgeError::Key(_)));
    let six = minicbor::decode::<Edge>(&[0x86, 0, 0, 1, 0, 1, 0]).unwrap_err();
    assert_eq!(
        six.source().unwrap().downcast_ref(),
        Some(&EdgeError::Length)
    );
}

proptest! {
    #[test]
    fn random_bytes_are_no_edge_or_encode_back(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(edge) = minicbor::decode::<Edge>(&bytes) {
            let again = minicbor::to_vec(edge).unwrap();
            prop_assert_eq!(minicbor::decode::<Edge>(&again).unwrap(), edge);
        }
    }
}

#[test]
fn a_path_is_missed_once() {
    let (mut tree, mut cache) = (Tree::new(), EdgeCache::new());
    commit(&mut tree, &mut cache, 0..30, &[]);
    let mut cold = EdgeCache::new();
    for (at, _) in tree.iter() {
        let missing = cold.path(&tree, at).unwrap_err();
        assert!(missing.len() <= usize::from(tree.height()));
        let wrapped = made_all(&missing);
        let completed = cold.path_with(&tree, at, &wrapped).unwrap();
        wrapped.iter().for_each(|edge| cold.insert(&tree, edge));
        assert_eq!(cold.path(&tree, at).unwrap(), completed);
        assert_eq!(
            cold.path(&tree, at).unwrap(),
            cache.path(&tree, at).unwrap()
        );
    }
    assert_eq!(cache.path(&tree, 30).unwrap(), []);
}

#[test]
fn nobody_is_given_an_edge_from_before_they_joined() {
    let (mut tree, mut cache) = (Tree::new(), EdgeCache::new());
    commit(&mut tree, &mut cache, 0..18, &[]);
    let before: Vec<Edge> = cache.path(&tree, 17).unwrap();
    // Nobody tells the cache of this change, and outputs from before it arrive late.
    change(&mut tree, 18..19, &[]);
    before.iter().for_each(|edge| cache.insert(&tree, edge));
    let missing = cache.path(&tree, 18).unwrap_err();
    assert_eq!(missing.len(), 3);
    // The sibling's own edge is still of use: from the step that it wraps, the sibling ratchets forward.
    assert_eq!(cache.path(&tree, 17).unwrap_err().len(), 2);
}

#[test]
fn an_edge_of_someone_who_left_is_not_used() {
    let (mut tree, mut cache) = (Tree::new(), EdgeCache::new());
    commit(&mut tree, &mut cache, 0..8, &[]);
    let own = cache.path(&tree, 7).unwrap();
    change(&mut tree, 0..0, &[7]);
    assert_eq!(cache.path(&tree, 7).unwrap(), []);
    own.iter().for_each(|edge| cache.insert(&tree, edge));
    assert_eq!(cache.path(&tree, 7).unwrap(), []);
    let missing = cache.path(&tree, 6).unwrap_err();
    assert_eq!(missing.len(), 2, "{missing:?}");
}

#[test]
fn the_cache_keeps_the_most_shared_edges_within_its_limit() {
    let mut tree = Tree::new();
    let plan = change(&mut tree, 0..1000, &[]);
    let mut edges = made_all(&plan.grants);
    for order in 0..2 {
        let mut cache = EdgeCache::with_limit(100);
        for edge in &edges {
            cache.insert(&tree, edge);
            assert!(cache.len() <= 100);
        }
        let missing = cache.path(&tree, 999).unwrap_err();
        assert!(
            missing.iter().all(|edge| edge.child.node.level < 2),
            "order {order}: {missing:?}"
        );
        edges.reverse();
    }
    let mut none = EdgeCache::with_limit(0);
    none.insert(&tree, &edges[0]);
    assert!(none.is_empty());
    let all = none.path(&tree, 0).unwrap_err();
    assert_eq!(
        none.path_with(&tree, 0, &made_all(&all)).unwrap().len(),
        all.len()
    );
}

#[test]
fn edges_that_no_tree_asked_for_are_not_cached() {
    let (mut tree, mut cache) = (Tree::new(), EdgeCache::new());
    change(&mut tree, 0..8, &[]);
    let root = tree.root();
    let above = KeyRef {
        node: parent(root.node),
        generation: 1,
        step: 0,
    };
    cache.insert(
        &tree,
        &Edge {
            child: root,
            parent: above,
            wrapped: [0; 40],
        },
    );
    let (own, up) = (tree.key(leaf(0)), tree.key(parent(leaf(0))));
    cache.insert(
        &tree,
        &Edge {
            child: own,
            parent: root,
            wrapped: [0; 40],
        },
    );
    let later = KeyRef {
        step: up.step + 1,
        ..up
    };
    cache.insert(
        &tree,
        &Edge {
            child: own,
            parent: later,
            wrapped: [0; 40],
        },
    );
    assert!(cache.is_empty());
}
