//! Tests of cutting a rekey into chunks.

use proptest::prelude::*;

use super::{change, made, made_all};
use crate::group::edges::{Edge, chunks};
use crate::group::ids::{KeyRef, NodeId};
use crate::group::index::parent;
use crate::group::planner::PlannedEdge;
use crate::group::tree::Tree;

proptest! {
    #[test]
    fn everyone_gets_the_edges_on_their_path_and_no_others(
        members in 1..400u64,
        first in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        joins in 0..30u64,
        leaves in prop::collection::vec(any::<prop::sample::Index>(), 1..20),
    ) {
        let mut tree = Tree::new();
        change(&mut tree, 0..members, &[]);
        for (joins, at) in [(0, first), (joins, leaves)] {
            let occupied: Vec<u32> = tree.iter().map(|(leaf, _)| leaf).collect();
            let mut leaves: Vec<u32> = match occupied.len() {
                0 => continue,
                count => at.iter().map(|at| occupied[at.index(count)]).collect(),
            };
            leaves.sort_unstable();
            leaves.dedup();
            if joins == 0 && leaves.is_empty() {
                continue;
            }
            let plan = change(&mut tree, members..members + joins, &leaves);
            check_chunks(&tree, &made_all(&plan.rekey));
        }
    }

    #[test]
    fn any_set_of_edges_is_cut_as_their_paths_ask(
        nodes in prop::collection::btree_set((0..4u8, 0..80u32), 0..30),
        left in prop::collection::btree_set(0..300u32, 0..200),
    ) {
        let mut tree = Tree::new();
        change(&mut tree, 0..300, &[]);
        if !left.is_empty() {
            change(&mut tree, 0..0, &left.into_iter().collect::<Vec<_>>());
        }
        let edges: Vec<Edge> = nodes
            .into_iter()
            .map(|(level, index)| NodeId { level, index })
            .filter(|&node| tree.population(node) > 0)
            .map(|node| PlannedEdge { child: tree.key(node), parent: tree.key(parent(node)) })
            .map(|edge| made(&edge))
            .collect();
        check_chunks(&tree, &edges);
    }
}

/// Every member's chunk holds exactly the edges whose child is on its path, in order; chunks are sorted and disjoint.
fn check_chunks(tree: &Tree, rekey: &[Edge]) {
    let chunks = chunks(tree, rekey);
    for pair in chunks.windows(2) {
        assert!(pair[0].last_leaf < pair[1].first_leaf, "{pair:?}");
    }
    for chunk in &chunks {
        assert!(
            tree.any_member(chunk.first_leaf, chunk.last_leaf),
            "{chunk:?}"
        );
    }
    for (at, _) in tree.iter() {
        let path: Vec<KeyRef> = tree.path(at).collect();
        let needed: Vec<Edge> = path
            .iter()
            .flat_map(|key| rekey.iter().find(|edge| edge.child.node == key.node))
            .copied()
            .collect();
        let chunk = chunks
            .iter()
            .find(|c| c.first_leaf <= at && at <= c.last_leaf);
        let given: Vec<Edge> = match chunk {
            Some(chunk) => minicbor::decode(&chunk.edges).unwrap(),
            None => Vec::new(),
        };
        assert_eq!(given, needed, "leaf {at}");
    }
}
