//! What follows from known keys and everything that was ever published.

use std::collections::{HashMap, HashSet};

use wardcast::group::ids::{KeyRef, NodeId};

/// Every edge that was ever on the wire.
#[derive(Default)]
pub(crate) struct Published {
    /// Names of independent keys, as numbers.
    names: HashMap<(NodeId, u32), usize>,
    seen: HashSet<(KeyRef, KeyRef)>,
    /// By the child's level. An edge leads one level up, so one pass from the leaves up closes a set.
    levels: Vec<Vec<Link>>,
}

struct Link {
    child: usize,
    child_step: u16,
    parent: usize,
    parent_step: u16,
}

impl Published {
    fn name(&mut self, key: KeyRef) -> usize {
        let next = self.names.len();
        *self.names.entry((key.node, key.generation)).or_insert(next)
    }

    pub(crate) fn add(&mut self, child: KeyRef, parent: KeyRef) {
        if !self.seen.insert((child, parent)) {
            return;
        }
        let link = Link {
            child: self.name(child),
            child_step: child.step,
            parent: self.name(parent),
            parent_step: parent.step,
        };
        let level = usize::from(child.node.level);
        if self.levels.len() <= level {
            self.levels.resize_with(level + 1, Vec::new);
        }
        self.levels[level].push(link);
    }

    pub(crate) fn len(&self) -> usize {
        self.seen.len()
    }

    /// Everything that follows from these keys.
    pub(crate) fn closure(&self, known: &[KeyRef]) -> Knowledge<'_> {
        let mut earliest = vec![None; self.names.len()];
        for key in known {
            if let Some(&name) = self.names.get(&(key.node, key.generation)) {
                earlier(&mut earliest[name], key.step);
            }
        }
        for link in self.levels.iter().flatten() {
            if earliest[link.child].is_some_and(|step| step <= link.child_step) {
                earlier(&mut earliest[link.parent], link.parent_step);
            }
        }
        Knowledge {
            published: self,
            earliest,
        }
    }
}

fn earlier(known: &mut Option<u16>, step: u16) {
    if known.is_none_or(|known| step < known) {
        *known = Some(step);
    }
}

/// A closed set of keys: of each independent key the earliest ratchet step that is known.
pub(crate) struct Knowledge<'a> {
    published: &'a Published,
    earliest: Vec<Option<u16>>,
}

impl Knowledge<'_> {
    pub(crate) fn knows(&self, key: KeyRef) -> bool {
        self.published
            .names
            .get(&(key.node, key.generation))
            .and_then(|&name| self.earliest[name])
            .is_some_and(|step| step <= key.step)
    }
}
