//! Which group a name stands for, and which shard serves it.

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::MAX_GROUPS;
use crate::group::ids::GroupId;

/// Names of groups; read on every request, written when a group comes or goes.
#[derive(Debug)]
pub(super) struct Directory {
    names: DashMap<String, GroupId>,
    shards: usize,
}

impl Directory {
    pub(super) fn new(shards: usize) -> Self {
        Self {
            names: DashMap::new(),
            shards,
        }
    }

    pub(super) fn shards(&self) -> usize {
        self.shards
    }

    /// The shard of a group: identifiers are random, so any part of one spreads them evenly.
    pub(super) fn shard(&self, group: GroupId) -> usize {
        let GroupId([a, b, c, d, ..]) = group;
        u32::from_be_bytes([a, b, c, d]) as usize % self.shards
    }

    pub(super) fn find(&self, name: &str) -> Option<GroupId> {
        self.names.get(name).map(|group| *group)
    }

    /// Whether the name is now this group's: it was free, and there is room for a group more.
    pub(super) fn claim(&self, name: &str, group: GroupId) -> bool {
        if self.names.len() >= MAX_GROUPS {
            return false;
        }
        match self.names.entry(name.to_owned()) {
            Entry::Vacant(free) => {
                free.insert(group);
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    /// Frees a name, if it is this group's.
    pub(super) fn release(&self, name: &str, group: GroupId) {
        self.names.remove_if(name, |_, owner| *owner == group);
    }

    /// All groups, by name.
    pub(super) fn all(&self) -> Vec<(String, GroupId)> {
        let mut all: Vec<_> = self
            .names
            .iter()
            .map(|entry| (entry.key().clone(), *entry.value()))
            .collect();
        all.sort();
        all
    }
}
