//! The key tree's shadow: generations, steps and populations, never a key.
//!
//! A tree changes in one way only: a [`TreeDiff`], made by the planner or read back from a record, is checked as a
//! whole and then applied as a whole. The check knows the rules that forward and backward secrecy rest on, so a
//! record that was damaged, or made by a planner with a fault, is refused rather than believed.

mod diff;
mod marks;
mod snapshot;
#[cfg(test)]
mod tests;

pub use diff::{DiffError, LeafChange, NodeChange, TreeDiff};
pub use snapshot::SnapshotError;

pub(super) use marks::{Mark, climb};

use super::ids::{KeyRef, MemberId, NodeId};
use super::index;
use super::limits::DEGREE;

/// The one member id that stands for "nobody" in a leaf, so that a leaf needs 12 bytes and not 24.
const NOBODY: u64 = u64::MAX;

/// A leaf: whose it is, and which of its keys is the current one. Packed: a large group has a million of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(Rust, packed(4))]
struct Leaf {
    occupant: u64,
    generation: u32,
}

impl Leaf {
    fn member(self) -> Option<MemberId> {
        (self.occupant != NOBODY).then_some(MemberId(self.occupant))
    }
}

/// A node above the leaves: its current key, and how many members are below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) generation: u32,
    pub(super) population: u32,
    pub(super) step: u16,
}

/// The shape of a group's key tree and the names of its current keys.
///
/// It never shrinks: a leaf that was once used keeps its generation for good, so that no later occupant is ever
/// given a key that an earlier one held. Leaves are refilled from the left, so the tree stays as low as its peak
/// membership asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Every leaf that was ever used.
    leaves: Vec<Leaf>,
    /// `levels[l - 1]` holds the nodes of level `l` above those leaves; the last has the root alone.
    levels: Vec<Vec<Node>>,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// A tree without members: a root that has no key yet, one level above the leaves to come.
    pub fn new() -> Self {
        Tree {
            leaves: Vec::new(),
            levels: vec![vec![Node::default()]],
        }
    }

    /// The root's level: at least 1.
    pub fn height(&self) -> u8 {
        self.levels.len() as u8
    }

    /// The current key of the root: the newest epoch's secret hangs on it.
    pub fn root(&self) -> KeyRef {
        self.key(NodeId {
            level: self.height(),
            index: 0,
        })
    }

    /// How many members the group has.
    pub fn members(&self) -> u32 {
        self.levels
            .last()
            .and_then(|top| top.first())
            .map_or(0, |root| root.population)
    }

    /// How many leaves were ever used: every member's leaf has a lower index.
    pub fn leaves(&self) -> u32 {
        self.leaves.len() as u32
    }

    /// The current key of a node; generation 0 when it never had one or the tree has no such node.
    pub fn key(&self, node: NodeId) -> KeyRef {
        let Node {
            generation, step, ..
        } = self.node(node);
        KeyRef {
            node,
            generation,
            step,
        }
    }

    /// How many members are at or below a node.
    pub fn population(&self, node: NodeId) -> u32 {
        self.node(node).population
    }

    /// Whose a leaf is.
    pub fn member_at(&self, leaf: u32) -> Option<MemberId> {
        self.leaves
            .get(leaf as usize)
            .and_then(|leaf| leaf.member())
    }

    /// The current keys from a leaf to the root, both included; empty when no member is at the leaf.
    pub fn path(&self, leaf: u32) -> impl Iterator<Item = KeyRef> {
        let levels = match self.member_at(leaf) {
            Some(_) => 0..self.height() + 1,
            None => 0..0,
        };
        levels.map(move |level| self.key(index::ancestor(leaf, level)))
    }

    /// The tree with every key at its next generation, as a rollover leaves it: what never had a key has none still.
    ///
    /// # Errors
    /// With a leaf or node that has no generation left.
    pub(super) fn renewed(&self) -> Result<Tree, NodeId> {
        let next = |generation: u32, node: NodeId| match generation {
            0 => Ok(0),
            used => used.checked_add(1).ok_or(node),
        };
        let mut renewed = self.clone();
        for (at, leaf) in (0..).zip(&mut renewed.leaves) {
            leaf.generation = next(leaf.generation, index::leaf(at))?;
        }
        for (level, nodes) in (1..).zip(&mut renewed.levels) {
            for (index, node) in (0..).zip(nodes) {
                node.generation = next(node.generation, NodeId { level, index })?;
                node.step = 0;
            }
        }
        Ok(renewed)
    }

    /// The members and their leaves, from the left.
    pub fn iter(&self) -> impl Iterator<Item = (u32, MemberId)> {
        (0..)
            .zip(&self.leaves)
            .filter_map(|(index, leaf)| Some((index, leaf.member()?)))
    }

    /// Reads the nodes above a leaf and their siblings, all at once. Planning needs them one level after the other, and
    /// in a large tree the lower ones are in no cache of the processor: so it waits for them together and not in turn.
    pub(super) fn prefetch(&self, leaf: u32) {
        let mut first = leaf - leaf % DEGREE;
        let ends = |first: u32| [first as usize, (first + (DEGREE - 1)) as usize];
        let mut read = 0;
        for leaf in ends(first) {
            read ^= self.leaves.get(leaf).map_or(0, |leaf| leaf.generation);
        }
        for level in &self.levels {
            first /= DEGREE;
            first -= first % DEGREE;
            for node in ends(first) {
                read ^= level.get(node).map_or(0, |node| node.generation);
            }
        }
        std::hint::black_box(read);
    }

    /// The lowest leaf at or after `from` that is nobody's. Climbs over full subtrees and descends into the first
    /// that has room: O(d log N), no scan. May lie past the end of the tree, which then has to grow.
    pub(super) fn next_vacant(&self, from: u32) -> u32 {
        let mut node = index::leaf(from);
        loop {
            while node.index.is_multiple_of(DEGREE) && node.level < self.height() {
                node = index::parent(node);
            }
            if self.population(node) < index::span(node.level) {
                break;
            }
            node.index += 1;
        }
        while node.level > 0 {
            node = index::children(node)
                .find(|&child| self.population(child) < index::span(child.level))
                // A node that is not full has a child that is not full, so this never falls back.
                .unwrap_or(NodeId {
                    level: node.level - 1,
                    index: node.index * DEGREE,
                });
        }
        node.index
    }

    /// Whether any leaf from `first` to `last` is someone's: visits O(d log N) nodes.
    pub(super) fn any_member(&self, first: u32, last: u32) -> bool {
        let mut node = index::leaf(first);
        while index::first_leaf(node) <= last {
            while node.index.is_multiple_of(DEGREE) && node.level < self.height() {
                node = index::parent(node);
            }
            while node.level > 0 && index::last_leaf(node) > last {
                node = NodeId {
                    level: node.level - 1,
                    index: node.index * DEGREE,
                };
            }
            if self.population(node) > 0 {
                return true;
            }
            node.index += 1;
        }
        false
    }

    /// A node's current state. Above the root there is what growing would add: nodes never keyed, of which the
    /// leftmost stands over every member.
    pub(super) fn node(&self, node: NodeId) -> Node {
        if node.level == 0 {
            return match self.leaves.get(node.index as usize) {
                Some(leaf) => Node {
                    generation: leaf.generation,
                    population: u32::from(leaf.occupant != NOBODY),
                    step: 0,
                },
                None => Node::default(),
            };
        }
        match self.levels.get(usize::from(node.level) - 1) {
            Some(level) => level.get(node.index as usize).copied().unwrap_or_default(),
            None if node.index == 0 => Node {
                population: self.members(),
                ..Node::default()
            },
            None => Node::default(),
        }
    }

    /// Bytes on the heap, spare capacity included.
    pub fn heap_bytes(&self) -> usize {
        self.leaves.capacity() * size_of::<Leaf>()
            + self.levels.capacity() * size_of::<Vec<Node>>()
            + self
                .levels
                .iter()
                .map(|level| level.capacity() * size_of::<Node>())
                .sum::<usize>()
    }
}
