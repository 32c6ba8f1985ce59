//! Index arithmetic of the key tree, apart from everything else.
//!
//! Leaves are at level 0 and numbered from the left; the parent of `(l, i)` is `(l + 1, i / d)`. Nothing here
//! depends on how many leaves a tree has, so growing a tree renumbers nothing: it only adds a level on top.

use super::ids::NodeId;
use super::limits::{DEGREE, MAX_LEVELS};

/// The level of the root of the tallest tree.
pub const MAX_HEIGHT: u8 = MAX_LEVELS - 1;

/// `SPAN[l]` is how many leaves a node at level `l` stands over.
const SPAN: [u32; MAX_LEVELS as usize] = {
    let mut span = [1; MAX_LEVELS as usize];
    let mut level = 1;
    while level < span.len() {
        span[level] = span[level - 1] * DEGREE;
        level += 1;
    }
    span
};

/// How many leaves the tallest tree has.
pub const MAX_LEAVES: u32 = SPAN[MAX_HEIGHT as usize];

/// How many leaves a node at `level` stands over; a tree of that height has room for as many members.
///
/// # Panics
/// When `level` exceeds [`MAX_HEIGHT`]: levels from outside pass [`exists`] first.
pub const fn span(level: u8) -> u32 {
    SPAN[level as usize]
}

/// Whether the tallest tree has this node: what comes from outside is asked this before any other arithmetic.
pub const fn exists(node: NodeId) -> bool {
    node.level <= MAX_HEIGHT && node.index < span(MAX_HEIGHT - node.level)
}

/// The leaf with this index.
pub const fn leaf(index: u32) -> NodeId {
    NodeId { level: 0, index }
}

/// The node right above; only a node below [`MAX_HEIGHT`] has one.
pub const fn parent(node: NodeId) -> NodeId {
    NodeId {
        level: node.level + 1,
        index: node.index / DEGREE,
    }
}

/// The nodes right below a node above level 0, from the left.
pub fn children(node: NodeId) -> impl Iterator<Item = NodeId> {
    (0..DEGREE).map(move |slot| NodeId {
        level: node.level - 1,
        index: node.index * DEGREE + slot,
    })
}

/// The node above a leaf at `level`; at level 0 the leaf itself.
pub const fn ancestor(leaf: u32, level: u8) -> NodeId {
    NodeId {
        level,
        index: leaf / span(level),
    }
}

/// The leftmost leaf below a node.
pub const fn first_leaf(node: NodeId) -> u32 {
    node.index * span(node.level)
}

/// The rightmost leaf below a node.
pub const fn last_leaf(node: NodeId) -> u32 {
    first_leaf(node) + (span(node.level) - 1)
}

/// The least height (at least 1, so that the root is never a leaf) with room for as many leaves, if there is one.
pub fn height_for(leaves: u32) -> Option<u8> {
    (1..=MAX_HEIGHT).find(|&height| leaves <= span(height))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ancestors_are_repeated_parents(index in 0..MAX_LEAVES) {
            let mut node = leaf(index);
            for level in 0..=MAX_HEIGHT {
                prop_assert_eq!(ancestor(index, level), node);
                prop_assert!(exists(node));
                prop_assert!(first_leaf(node) <= index && index <= last_leaf(node));
                if level < MAX_HEIGHT {
                    prop_assert!(children(parent(node)).any(|child| child == node));
                    node = parent(node);
                }
            }
        }

        #[test]
        fn children_split_their_parents_leaves(level in 1..=MAX_HEIGHT, index: u32) {
            let node = NodeId { level, index: index % span(MAX_HEIGHT - level) };
            let mut next = first_leaf(node);
            for child in children(node) {
                prop_assert_eq!(first_leaf(child), next);
                next = last_leaf(child) + 1;
            }
            prop_assert_eq!(next - 1, last_leaf(node));
        }
    }

    #[test]
    fn heights_are_the_least_with_room() {
        assert_eq!(height_for(0), Some(1));
        assert_eq!(height_for(DEGREE), Some(1));
        assert_eq!(height_for(DEGREE + 1), Some(2));
        assert_eq!(height_for(MAX_LEAVES), Some(MAX_HEIGHT));
        assert_eq!(height_for(MAX_LEAVES + 1), None);
    }

    #[test]
    fn nodes_outside_the_tallest_tree_do_not_exist() {
        for node in [
            NodeId {
                level: MAX_LEVELS,
                index: 0,
            },
            NodeId {
                level: u8::MAX,
                index: 0,
            },
            NodeId {
                level: MAX_HEIGHT,
                index: 1,
            },
            NodeId {
                level: 0,
                index: u32::MAX,
            },
        ] {
            assert!(!exists(node), "{node:?}");
        }
    }
}
