//! Invariant 4: whoever was not in an epoch cannot compute its root, alone or together with all others who were not.

use std::collections::{BTreeMap, BTreeSet};

use wardcast::group::ids::{Epoch, KeyRef, MemberId, NodeId};

/// Everything that happened to a group, as far as it matters for who knows what.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// The root of every epoch and who was in it.
    pub(crate) epochs: BTreeMap<Epoch, (KeyRef, BTreeSet<MemberId>)>,
    /// The leaf key of every registration there ever was.
    pub(crate) leaves: BTreeMap<MemberId, KeyRef>,
}

impl History {
    /// Lets all who were not in an epoch pool their leaf keys and every edge ever published, and close that set under
    /// unwrapping and ratcheting; returns an epoch whose root they find.
    pub(crate) fn broken_by(&self, published: &BTreeSet<(KeyRef, KeyRef)>) -> Option<Epoch> {
        let mut edges: BTreeMap<(NodeId, u32), Vec<(u16, KeyRef)>> = BTreeMap::new();
        for &(child, parent) in published {
            let from = edges.entry((child.node, child.generation)).or_default();
            from.push((child.step, parent));
        }
        let breaks = |(_, (root, members)): &(&Epoch, &(KeyRef, BTreeSet<MemberId>))| {
            let outside = self
                .leaves
                .iter()
                .filter(|(member, _)| !members.contains(member));
            let known = close(outside.map(|(_, &leaf)| leaf), &edges);
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
