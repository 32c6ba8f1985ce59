//! What a change does to a tree: an outcome that is checked and applied, so that replay needs no planner.

use minicbor::{Decode, Encode};
use thiserror::Error;

use super::{Leaf, Mark, NOBODY, Node, Tree, climb};
use crate::group::ids::{MemberId, NodeId};
use crate::group::index;
use crate::group::limits::{DEGREE, MAX_RATCHET_STEPS};

/// A leaf that gets a new occupant or loses its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct LeafChange {
    /// Which leaf.
    #[n(0)]
    pub index: u32,
    /// The leaf key's generation afterwards: one more for a new occupant, the same for a leaf that falls vacant.
    #[n(1)]
    pub generation: u32,
    /// Whose the leaf is afterwards.
    #[n(2)]
    pub member: Option<MemberId>,
}

/// A node above the leaves that gets a new key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct NodeChange {
    /// Which node.
    #[n(0)]
    pub node: NodeId,
    /// The generation of its new key.
    #[n(1)]
    pub generation: u32,
    /// The ratchet step of its new key.
    #[n(2)]
    pub step: u16,
}

/// The outcome of a change, for one particular state of the tree.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct TreeDiff {
    /// The root's level afterwards.
    #[n(0)]
    pub height: u8,
    /// Changed leaves, from the left. Leaves never used before follow each other without a gap.
    #[n(1)]
    pub leaves: Vec<LeafChange>,
    /// Nodes with new keys: by level, then from the left.
    #[n(2)]
    pub nodes: Vec<NodeChange>,
    /// Whether before all that every leaf and node that ever had a key gets its next generation: the group's seed is
    /// another one. Absent in diffs of builds that had no rollovers.
    #[cbor(n(3), default)]
    pub renewed: bool,
}

/// Why a diff does not fit a tree; the tree is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DiffError {
    /// The height is not the least one with room for the leaves.
    #[error(
        "the diff says that the tree is {found} levels high afterwards, its leaves ask for {expected}"
    )]
    Height {
        /// What the diff says.
        found: u8,
        /// What follows from its leaves.
        expected: u8,
    },
    /// More leaves than the tallest tree has, a gap before a new leaf, or leaves out of order.
    #[error("leaf {0} of the diff is out of order, leaves a gap or lies outside every tree")]
    LeafOrder(u32),
    /// A vacant leaf falls vacant.
    #[error("leaf {0} of the diff falls vacant, but it is nobody's already")]
    AlreadyVacant(u32),
    /// The member id that stands for nobody.
    #[error("leaf {0} of the diff is given to the reserved member id")]
    ReservedMember(u32),
    /// A leaf's generation is not the one that must follow.
    #[error("leaf {leaf} of the diff has generation {found} where {expected} must follow")]
    LeafGeneration {
        /// Which leaf.
        leaf: u32,
        /// What the diff says.
        found: u32,
        /// What must follow.
        expected: u32,
    },
    /// A leaf or node has no generation left.
    #[error("{0:?} has used up its generations: create a new group")]
    Exhausted(NodeId),
    /// A key that is neither the next ratchet step nor the next generation of the one before.
    #[error("the key of {0:?} in the diff does not follow the one before")]
    Succession(NodeId),
    /// A node that must be given an independent key is not: someone who left would know it.
    #[error("{0:?} must be given an independent key by the diff")]
    NotRegenerated(NodeId),
    /// A node that must at least be ratcheted is not: someone who joined would learn the past.
    #[error("{0:?} must be given a new key by the diff")]
    Unchanged(NodeId),
    /// A node with a new key that no change below it explains, or nodes out of order.
    #[error("{0:?} of the diff is out of order or has nothing changed below it")]
    Unexpected(NodeId),
}

impl Tree {
    /// Checks a diff as a whole, then applies it as a whole. Costs O(changes * log N), or O(N) when every key is renewed.
    ///
    /// # Errors
    /// When the diff was not made for this state of the tree or breaks a rule; nothing is changed then.
    pub fn apply(&mut self, diff: &TreeDiff) -> Result<(), DiffError> {
        if !diff.renewed {
            return self.change(diff);
        }
        // On a copy, so that a diff that does not fit changes nothing. A rollover costs O(N) anyway, and is rare.
        let mut renewed = self.renewed().map_err(DiffError::Exhausted)?;
        renewed.change(diff)?;
        *self = renewed;
        Ok(())
    }

    fn change(&mut self, diff: &TreeDiff) -> Result<(), DiffError> {
        let nodes = self.check(diff)?;
        for change in &diff.leaves {
            let leaf = Leaf {
                occupant: change.member.map_or(NOBODY, |member| member.0),
                generation: change.generation,
            };
            match self.leaves.get_mut(change.index as usize) {
                Some(slot) => *slot = leaf,
                // The check made sure that new leaves follow each other without a gap.
                None => self.leaves.push(leaf),
            }
        }
        self.levels.resize(usize::from(diff.height), Vec::new());
        let mut width = self.leaves.len();
        for level in &mut self.levels {
            width = width.div_ceil(DEGREE as usize).max(1);
            level.resize(width, Node::default());
        }
        for (id, node) in nodes {
            self.levels[usize::from(id.level) - 1][id.index as usize] = node;
        }
        Ok(())
    }

    /// Checks a diff and works out the state of every node that it touches.
    fn check(&self, diff: &TreeDiff) -> Result<Vec<(NodeId, Node)>, DiffError> {
        let mut marks = self.check_leaves(diff)?;
        let mut changes = diff.nodes.iter().peekable();
        let mut nodes = Vec::with_capacity(diff.nodes.len());
        for level in 1..=diff.height {
            let mut above: Vec<Mark> = climb(&marks, |&mark| mark).map(|(mark, _)| mark).collect();
            if level == diff.height && above.is_empty() {
                // A rotation: the root changes with nobody joining or leaving.
                above.push(Mark {
                    index: 0,
                    left: 0,
                    joined: 0,
                });
            }
            for &mark in &above {
                let id = NodeId {
                    level,
                    index: mark.index,
                };
                let change = changes.next_if(|change| change.node == id);
                let node = check_node(id, self.node(id), mark, change, level == diff.height)?;
                nodes.push((id, node));
            }
            marks = above;
        }
        match changes.next() {
            Some(change) => Err(DiffError::Unexpected(change.node)),
            None => Ok(nodes),
        }
    }

    /// Checks the leaves and the height of a diff.
    fn check_leaves(&self, diff: &TreeDiff) -> Result<Vec<Mark>, DiffError> {
        let mut marks = Vec::with_capacity(diff.leaves.len());
        let mut length = self.leaves();
        let mut lowest = 0;
        for change in &diff.leaves {
            let at = change.index;
            if at < lowest || at > length || at >= index::MAX_LEAVES {
                return Err(DiffError::LeafOrder(at));
            }
            lowest = at + 1;
            length = length.max(lowest);
            let before = self.node(index::leaf(at));
            let expected = match change.member {
                None if before.population == 0 => return Err(DiffError::AlreadyVacant(at)),
                None => before.generation,
                Some(MemberId(NOBODY)) => return Err(DiffError::ReservedMember(at)),
                Some(_) => before
                    .generation
                    .checked_add(1)
                    .ok_or(DiffError::Exhausted(index::leaf(at)))?,
            };
            if change.generation != expected {
                return Err(DiffError::LeafGeneration {
                    leaf: at,
                    found: change.generation,
                    expected,
                });
            }
            marks.push(Mark {
                index: at,
                left: before.population,
                joined: u32::from(change.member.is_some()),
            });
        }
        let expected = index::height_for(length).unwrap_or(index::MAX_HEIGHT);
        if diff.height != expected {
            return Err(DiffError::Height {
                found: diff.height,
                expected,
            });
        }
        Ok(marks)
    }
}

/// Holds a node's new key against what happens below it, and returns the node's new state.
fn check_node(
    id: NodeId,
    before: Node,
    mark: Mark,
    change: Option<&NodeChange>,
    is_root: bool,
) -> Result<Node, DiffError> {
    let continuing = before.population - mark.left;
    let mut node = Node {
        population: continuing + mark.joined,
        ..before
    };
    let mut regenerated = false;
    if let Some(change) = change {
        regenerated =
            before.generation.checked_add(1) == Some(change.generation) && change.step == 0;
        let ratcheted = before.generation == change.generation
            && before.step.checked_add(1) == Some(change.step)
            && (1..=MAX_RATCHET_STEPS).contains(&change.step)
            && before.generation > 0;
        if !regenerated && !ratcheted {
            return Err(DiffError::Succession(id));
        }
        node.generation = change.generation;
        node.step = change.step;
    }
    // Below an emptied node nobody is left to hold its key: whoever comes next there finds `continuing` at 0.
    let emptied = node.population == 0 && !is_root;
    let pure_join = mark.left == 0 && mark.joined > 0 && continuing > 0 && before.generation > 0;
    if emptied || regenerated {
        Ok(node)
    } else if !pure_join {
        Err(DiffError::NotRegenerated(id))
    } else if change.is_none() {
        Err(DiffError::Unchanged(id))
    } else {
        Ok(node)
    }
}
