//! Invariant 4: whoever was not in an epoch cannot compute its root, alone or together with all others who were not, and
//! not with every key from before or after a rollover either.

use std::collections::{BTreeMap, BTreeSet};

use wardcast::group::ids::{Epoch, KeyRef, MemberId, NodeId};

use crate::symbolic::{Origin, SymbolicToken};

/// Everything that happened to a group, as far as it matters for who knows what.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) epochs: BTreeMap<Epoch, Past>,
    /// The leaf keys of every registration there ever was: one more with every rollover.
    pub(crate) leaves: BTreeMap<MemberId, BTreeSet<KeyRef>>,
}

/// An epoch as it is on record.
#[derive(Debug)]
pub(crate) struct Past {
    pub(crate) root: KeyRef,
    pub(crate) members: BTreeSet<MemberId>,
    /// What its keys come from.
    pub(crate) origin: Origin,
}

impl History {
    /// Lets all who were not in an epoch pool their leaf keys, every key there ever was of another seed than the epoch's
    /// (as if its master were broken), and every edge ever published, and close that set under unwrapping and ratcheting;
    /// returns an epoch whose root they find.
    pub(crate) fn broken_by(&self, token: &SymbolicToken) -> Option<Epoch> {
        let mut edges: BTreeMap<(NodeId, u32), Vec<(u16, KeyRef)>> = BTreeMap::new();
        for &(child, parent) in &token.published {
            let from = edges.entry((child.node, child.generation)).or_default();
            from.push((child.step, parent));
        }
        let breaks = |(_, past): &(&Epoch, &Past)| {
            let Past {
                root,
                members,
                origin,
            } = past;
            let outside = self
                .leaves
                .iter()
                .filter(|(member, _)| !members.contains(member));
            let leaves = outside.flat_map(|(_, leaves)| leaves.iter().copied());
            let others = token.origins.iter().filter(|(_, other)| *other != origin);
            let others = others.map(|(&(node, generation), _)| KeyRef {
                node,
                generation,
                step: 0,
            });
            let known = close(leaves.chain(others), &edges);
            let step = known.get(&(root.node, root.generation));
            step.is_some_and(|&step| step <= root.step)
        };
        self.epochs.iter().find(breaks).map(|(&epoch, _)| epoch)
    }
}

/// The lowest step that is known of each key. Whoever knows a step knows all later ones, so an edge is open when the
/// known step is at or below the child's.
fn close(
    leaves: impl Iterator<Item = KeyRef>,
    edges: &BTreeMap<(NodeId, u32), Vec<(u16, KeyRef)>>,
) -> BTreeMap<(NodeId, u32), u16> {
    let mut known: BTreeMap<(NodeId, u32), u16> = BTreeMap::new();
    let mut news: Vec<KeyRef> = leaves.collect();
    while let Some(key) = news.pop() {
        let name = (key.node, key.generation);
        if known.get(&name).is_some_and(|&step| step <= key.step) {
            continue;
        }
        known.insert(name, key.step);
        let from = edges.get(&name).into_iter().flatten();
        news.extend(
            from.filter(|(step, _)| *step >= key.step)
                .map(|&(_, parent)| parent),
        );
    }
    known
}
