//! Every member finds its edges in one packet, and few edges are sent twice.

use super::*;
use crate::group::edges::packets;
use crate::group::index::ancestor;

/// A tree of so many members, after these have left, and the edges of that.
fn left(members: u64, leaves: &[u32]) -> (Tree, Vec<Edge>) {
    let mut tree = Tree::default();
    change(&mut tree, 0..members, &[]);
    let edges = made_all(&change(&mut tree, 0..0, leaves).rekey);
    (tree, edges)
}

fn check(tree: &Tree, edges: &[Edge], room: usize) -> usize {
    let packed = packets(&chunks(tree, edges), room).expect("they fit");
    let mut next = Some(0);
    for packet in &packed {
        assert_eq!(Some(packet.first_leaf), next, "no leaf is left out");
        next = packet.last_leaf.checked_add(1);
        let bytes = minicbor::to_vec(&packet.edges).expect("encodes").len();
        assert!(bytes <= room + 3);
    }
    assert_eq!(next, None);
    for edge in edges {
        // Whoever is below an edge has it in its packet.
        let node = edge.child.node;
        for member in [
            crate::group::index::first_leaf(node),
            crate::group::index::last_leaf(node),
        ] {
            if !tree.any_member(member, member) {
                continue;
            }
            let own = packed
                .iter()
                .find(|packet| (packet.first_leaf..=packet.last_leaf).contains(&member))
                .expect("all leaves are there");
            assert_eq!(ancestor(member, node.level), node);
            assert!(own.edges.contains(edge), "leaf {member} lacks {node:?}");
        }
    }
    packed.len()
}

#[test]
fn an_eviction_among_thousands_is_two_packets() {
    let (tree, edges) = left(10_000, &[4_321]);
    assert!(edges.len() > 20);
    assert_eq!(check(&tree, &edges, 880), 2);
    let sent: usize = packets(&chunks(&tree, &edges), 880)
        .expect("they fit")
        .iter()
        .map(|packet| packet.edges.len())
        .sum();
    assert!(sent < edges.len() + 7, "{sent} for {}", edges.len());
}

#[test]
fn many_leaves_at_once_are_packed_as_well() {
    let gone: Vec<u32> = (0..400).map(|at| at * 5).collect();
    let (tree, edges) = left(2_000, &gone);
    for room in [420, 880, 5_000] {
        assert!(check(&tree, &edges, room) > 1);
    }
}

#[test]
fn what_does_not_fit_is_said_and_no_edges_are_one_empty_packet() {
    let (tree, edges) = left(10_000, &[4_321]);
    assert_eq!(packets(&chunks(&tree, &edges), 100), None);
    let none = packets(&[], 880).expect("nothing fits");
    assert_eq!(none.len(), 1);
    assert_eq!(
        (none[0].first_leaf, none[0].last_leaf, none[0].edges.len()),
        (0, u32::MAX, 0)
    );
}
