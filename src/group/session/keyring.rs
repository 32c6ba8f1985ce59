//! The keys on a member's path, by level, and how edges lead from them to a root.

use super::KeyOperations;
use crate::group::edges::Edge;
use crate::group::ids::{KeyRef, NodeId};
use crate::group::index;
use crate::group::limits::{MAX_LEVELS, MAX_RATCHET_STEPS};
use crate::group::wire::ParsedHeader;

/// Edges from one child that are tried. There is one; a second may be there where somebody adds what does not
/// belong, and then it costs no more than this.
const TRIES: usize = 2;

#[derive(Clone)]
struct Held<Key> {
    name: KeyRef,
    key: Key,
}

/// At most one key for each level, the leaf's always.
#[derive(Clone)]
pub(super) struct Keyring<Key> {
    leaf: u32,
    keys: [Option<Held<Key>>; MAX_LEVELS as usize],
}

impl<Key> std::fmt::Debug for Keyring<Key> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.keys.iter().flatten().map(|held| held.name);
        f.debug_list().entries(names).finish()
    }
}

impl<Key: Clone> Keyring<Key> {
    pub(super) fn new(leaf: KeyRef, key: Key) -> Self {
        let mut keys = [const { None }; MAX_LEVELS as usize];
        keys[0] = Some(Held { name: leaf, key });
        Keyring {
            leaf: leaf.node.index,
            keys,
        }
    }

    /// The leaf's key alone.
    pub(super) fn leaf_only(&self) -> Self {
        let mut keys = [const { None }; MAX_LEVELS as usize];
        keys[0].clone_from(&self.keys[0]);
        Keyring {
            leaf: self.leaf,
            keys,
        }
    }

    pub(super) fn clear(&mut self) {
        self.keys = [const { None }; MAX_LEVELS as usize];
    }

    /// The keyring afterwards and the root's key, when edges and keys lead to a root that confirms the header. Takes
    /// a bounded number of steps, whatever the edges are: a few unwraps and a run of ratchets for each level.
    pub(super) fn open<K: KeyOperations<Key = Key>>(
        &self,
        operations: &K,
        header: &ParsedHeader,
        edges: &[Edge],
    ) -> Option<(Self, Key)> {
        let mut after = self.clone();
        for level in 0..index::MAX_HEIGHT {
            let child = index::ancestor(self.leaf, level);
            let from_child = edges.iter().filter(|edge| edge.child.node == child);
            for edge in from_child.take(TRIES) {
                after.climb(operations, edge);
            }
        }
        let root = after.at(operations, header.header.root)?;
        if !operations.confirms(&root, header) {
            return None;
        }
        after.put(header.header.root, root.clone());
        Some((after, root))
    }

    /// Learns an edge's parent, unless a key of that generation or a later one is held already.
    fn climb<K: KeyOperations<Key = Key>>(&mut self, operations: &K, edge: &Edge) {
        let known = self.get(edge.parent.node).map(|held| held.name.generation);
        if known >= Some(edge.parent.generation) {
            return;
        }
        let Some(child) = self.at(operations, edge.child) else {
            return;
        };
        if let Some(parent) = operations.unwrap(&child, &edge.wrapped) {
            self.put(edge.child, child);
            self.put(edge.parent, parent);
        }
    }

    /// A key at the step that is named, ratcheted forward from the one that is held.
    fn at<K: KeyOperations<Key = Key>>(&self, operations: &K, name: KeyRef) -> Option<Key> {
        let held = self.get(name.node)?;
        let reachable = held.name.step..=MAX_RATCHET_STEPS;
        if held.name.generation != name.generation || !reachable.contains(&name.step) {
            return None;
        }
        let mut key = held.key.clone();
        for _ in held.name.step..name.step {
            key = operations.ratchet(&key);
        }
        Some(key)
    }

    fn get(&self, node: NodeId) -> Option<&Held<Key>> {
        let held = self.keys.get(usize::from(node.level))?.as_ref();
        held.filter(|held| held.name.node == node)
    }

    fn put(&mut self, name: KeyRef, key: Key) {
        if let Some(slot) = self.keys.get_mut(usize::from(name.node.level)) {
            *slot = Some(Held { name, key });
        }
    }
}
