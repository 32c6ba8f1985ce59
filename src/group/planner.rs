//! From a batch of joins and leaves to the smallest set of new keys and wraps: stage, then commit or discard.
//!
//! [`plan`] reads the tree and never changes it; to commit is [`Tree::apply`] of [`Plan::diff`], to discard is to
//! drop the plan. Its cost is O(changes * log N), whatever the size of the tree.
//!
//! What happens to a node above a changed leaf:
//!
//! | below it | the node | wraps |
//! | --- | --- | --- |
//! | someone left | gets the next generation | under each child with members |
//! | someone joined, others were there before | is ratcheted one step | for the joiners alone |
//! | joiners, and nobody from before | gets the next generation | for the joiners alone |
//! | nobody is left | keeps its key, which nobody is given again | none |
//!
//! A rollover gives every leaf and node the next generation before all that, as its keys come from another seed then.
//! Nobody holds a key that another could be wrapped under for them: such a plan has no edges, and every member is
//! granted its leaf key anew.
//!
//! Three exceptions: the root changes with every plan, so that every epoch has a secret of its own; a node that was
//! ratcheted [`MAX_RATCHET_STEPS`] times gets the next generation; and a tree that grows gets a root on top, whose
//! key is wrapped once under the old root: the only wrap that a join costs the members who are there already.

mod placing;
#[cfg(test)]
mod tests;

use thiserror::Error;

use super::ids::{KeyRef, MemberId, NodeId};
use super::index;
use super::limits::MAX_RATCHET_STEPS;
use super::tree::{LeafChange, Mark, NodeChange, Tree, TreeDiff, climb};
use placing::{Placement, place};

/// Changes that take effect together, as one epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// New registrations, in the order in which they are given leaves.
    pub joins: Vec<MemberId>,
    /// The leaves of those who leave.
    pub leaves: Vec<u32>,
    /// Whether the root gets an independent key though nobody leaves.
    pub rotate: bool,
    /// Whether every key is renewed: the group's seed is another one.
    pub renew: bool,
}

/// A parent's key to be wrapped under a child's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlannedEdge {
    /// The key that wraps.
    pub child: KeyRef,
    /// The key that is wrapped: of the node right above.
    pub parent: KeyRef,
}

/// A staged change. To commit it is to apply its diff, to discard it is to drop it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What becomes of the tree.
    pub diff: TreeDiff,
    /// Who was given which leaf key, in the order of the joins.
    pub placed: Vec<(MemberId, KeyRef)>,
    /// What members who were there before need, from the leaves up; nothing helps them when every key is renewed.
    pub rekey: Vec<PlannedEdge>,
    /// What only joiners need, from the leaves up: with `rekey` it makes up every joiner's path, unless every key is renewed.
    pub grants: Vec<PlannedEdge>,
    /// The root's new key.
    pub root: KeyRef,
}

/// Why a change cannot be planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// Nobody joins or leaves and nothing rotates: there would be an epoch for nothing.
    #[error("the change is empty: an epoch needs a join, a leave, a rotation or a rollover")]
    Nothing,
    /// A leave names a leaf that is nobody's.
    #[error("leaf {leaf} cannot leave: it is nobody's")]
    Vacant {
        /// Which leaf.
        leaf: u32,
    },
    /// A leaf leaves twice.
    #[error("leaf {leaf} leaves twice in one change")]
    LeavesTwice {
        /// Which leaf.
        leaf: u32,
    },
    /// A member joins twice.
    #[error("member {member} joins twice in one change")]
    JoinsTwice {
        /// Which member.
        member: MemberId,
    },
    /// The member id that stands for nobody.
    #[error("member id {} is reserved", u64::MAX)]
    ReservedMember,
    /// The tallest tree has no room for the joiners.
    #[error("the tree is full: it has room for {} members", index::MAX_LEAVES)]
    Full,
    /// A leaf or node had the last generation already.
    #[error("{node:?} has used up its generations: create a new group")]
    Exhausted {
        /// Which one.
        node: NodeId,
    },
}

/// Plans a change without changing the tree.
///
/// # Errors
/// When the change is empty, contradicts the tree or itself, or does not fit; nothing happened then.
pub fn plan(tree: &Tree, change: &Change) -> Result<Plan, PlanError> {
    if !change.renew {
        return plan_on(tree, change, change.rotate);
    }
    let renewed = tree
        .renewed()
        .map_err(|node| PlanError::Exhausted { node })?;
    let mut plan = plan_on(&renewed, change, true)?;
    plan.diff.renewed = true;
    plan.rekey.clear();
    plan.grants.clear();
    Ok(plan)
}

fn plan_on(tree: &Tree, change: &Change, rotate: bool) -> Result<Plan, PlanError> {
    let Placement { leaves, placed } = place(tree, change)?;
    if leaves.is_empty() && !rotate {
        return Err(PlanError::Nothing);
    }
    let mut below: Vec<Staged> = leaves.iter().map(|leaf| Staged::leaf(tree, leaf)).collect();
    let last = below.last().map_or(0, |leaf| leaf.mark.index + 1);
    let height = index::height_for(last.max(tree.leaves())).ok_or(PlanError::Full)?;
    let mut stage = Stage::new(tree, height, rotate, leaves.len());
    for level in 1..=height {
        let mut above = Vec::with_capacity(below.len());
        for (mark, siblings) in climb(&below, |staged| staged.mark) {
            above.push(stage.node(level, mark, siblings)?);
        }
        if level == height && above.is_empty() {
            let nobody = Mark {
                index: 0,
                left: 0,
                joined: 0,
            };
            above.push(stage.node(level, nobody, &[])?);
        }
        below = above;
    }
    let root = below.first().map_or(tree.root(), |root| root.key);
    Ok(Plan {
        diff: TreeDiff {
            height,
            leaves,
            nodes: stage.nodes,
            renewed: false,
        },
        placed,
        rekey: stage.rekey,
        grants: stage.grants,
        root,
    })
}

/// A leaf or node on the way up: its mark, and its key after the change.
#[derive(Clone, Copy)]
struct Staged {
    mark: Mark,
    key: KeyRef,
    /// Members below it who were there before and stay.
    continuing: u32,
}

impl Staged {
    fn leaf(tree: &Tree, change: &LeafChange) -> Self {
        let node = index::leaf(change.index);
        Staged {
            mark: Mark {
                index: change.index,
                left: tree.population(node),
                joined: u32::from(change.member.is_some()),
            },
            key: KeyRef {
                node,
                generation: change.generation,
                step: 0,
            },
            continuing: 0,
        }
    }
}

/// What happens to a node's key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// An independent key.
    Regenerate,
    /// One step forward, which whoever holds the key computes without being told more than the step.
    Ratchet,
    /// Nobody is below it any more.
    Abandon,
}

/// A plan in the making.
struct Stage<'a> {
    tree: &'a Tree,
    height: u8,
    rotate: bool,
    nodes: Vec<NodeChange>,
    rekey: Vec<PlannedEdge>,
    grants: Vec<PlannedEdge>,
}

impl<'a> Stage<'a> {
    fn new(tree: &'a Tree, height: u8, rotate: bool, changes: usize) -> Self {
        let nodes = changes.max(1) * usize::from(height);
        Stage {
            tree,
            height,
            rotate,
            nodes: Vec::with_capacity(nodes),
            rekey: Vec::with_capacity(nodes),
            grants: Vec::new(),
        }
    }

    /// Decides a node's key and plans the edges to it from its children, of which `marked` change.
    fn node(&mut self, level: u8, mark: Mark, marked: &[Staged]) -> Result<Staged, PlanError> {
        let id = NodeId {
            level,
            index: mark.index,
        };
        let before = self.tree.key(id);
        let continuing = self.tree.population(id) - mark.left;
        let fate = self.fate(before, mark, continuing);
        let key = match fate {
            Fate::Regenerate => KeyRef {
                generation: before
                    .generation
                    .checked_add(1)
                    .ok_or(PlanError::Exhausted { node: id })?,
                step: 0,
                ..before
            },
            Fate::Ratchet => KeyRef {
                step: before.step + 1,
                ..before
            },
            Fate::Abandon => before,
        };
        if fate != Fate::Abandon {
            self.nodes.push(NodeChange {
                node: id,
                generation: key.generation,
                step: key.step,
            });
            self.edges(fate, key, marked);
        }
        Ok(Staged {
            mark,
            key,
            continuing,
        })
    }

    fn fate(&self, before: KeyRef, mark: Mark, continuing: u32) -> Fate {
        let is_root = before.node.level == self.height;
        if continuing + mark.joined == 0 && !is_root {
            Fate::Abandon
        } else if mark.left > 0
            || continuing == 0
            || before.generation == 0
            || before.step >= MAX_RATCHET_STEPS
            || (is_root && self.rotate)
        {
            Fate::Regenerate
        } else {
            Fate::Ratchet
        }
    }

    /// Plans the edges to a new key: under each child with members when it is independent, else for joiners alone.
    fn edges(&mut self, fate: Fate, parent: KeyRef, marked: &[Staged]) {
        let mut marked = marked.iter().peekable();
        for child in index::children(parent.node) {
            let (child, continuing, joined) = match marked.next_if(|m| m.mark.index == child.index)
            {
                Some(staged) => (staged.key, staged.continuing, staged.mark.joined),
                None if fate == Fate::Ratchet => continue,
                None => (self.tree.key(child), self.tree.population(child), 0),
            };
            let edge = PlannedEdge { child, parent };
            if fate == Fate::Regenerate && continuing > 0 {
                self.rekey.push(edge);
            } else if joined > 0 {
                self.grants.push(edge);
            }
        }
    }
}
