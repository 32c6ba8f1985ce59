//! Keys that a session holds on to between batches: a bounded number, the most recently used ones.
//!
//! The upper nodes of a tree are in every change of the group, so their keys are kept, with the seeds; leaf keys are not.
//! And only those of groups that come back: a group's first batch leaves nothing behind, for objects that nobody asks for
//! again make every call into a token dearer (by an eighth on SoftHSM, with a hundred of them). A node has one key here: a
//! newer step or generation takes the place of the older one. What was not used for [`MAX_IDLE_BATCHES`] batches of the
//! session goes, and with it the keys of groups that ended.
//!
//! Nothing here destroys a key: whatever is pushed out is handed back to whoever can.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use crate::group::ids::{GroupId, GroupNonce, KeyRef, MasterId, NodeId, Suite};
use crate::group::operations::Batch;

/// Node keys that one session holds. A leave among 10,000 touches 25 nodes above the leaves, and those near the root are the
/// same for all. SoftHSM makes objects a tenth slower with 4,096 others about, which eight sessions have then, and half
/// as fast with twice as many.
pub(super) const MAX_NODES: usize = 512;
/// Seeds that one session holds: one for each group, master and nonce.
pub(super) const MAX_SEEDS: usize = 64;
/// Groups that one session remembers, to know them when they come back.
pub(super) const MAX_KNOWN: usize = 1_024;
/// Batches that a held key may see without being used.
pub(super) const MAX_IDLE_BATCHES: u64 = 4_096;

/// What a seed belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    pub(super) suite: Suite,
    pub(super) group: GroupId,
    pub(super) master: MasterId,
    nonce: [u8; 32],
}

impl Scope {
    pub(super) fn of(batch: &Batch) -> Self {
        Scope {
            suite: batch.suite,
            group: batch.group,
            master: batch.master,
            nonce: batch.nonce.0,
        }
    }

    pub(super) fn nonce(&self) -> GroupNonce {
        GroupNonce(self.nonce)
    }

    /// Tells groups apart well enough to guess whether one has come back. Identifiers and nonces are random, and no peer
    /// chooses them.
    fn mark(&self) -> u64 {
        let half = |bytes: &[u8]| u64::from_be_bytes(std::array::from_fn(|at| bytes[at]));
        let [suite, master] = [self.suite as u64, u64::from(self.master.0)];
        half(&self.group.0) ^ half(&self.nonce) ^ suite ^ master
    }
}

/// The keys of one session that outlive a batch.
pub(super) struct Held<K> {
    seeds: Recent<Scope, K>,
    nodes: Recent<(Scope, NodeId), Versioned<K>>,
    /// Marks of groups that were seen, each in a place of its own choosing: of two that choose the same the later stays.
    known: Box<[u64; MAX_KNOWN]>,
    /// Whether the batch under way is of a group that has come back.
    familiar: bool,
    batches: u64,
}

struct Versioned<K> {
    generation: u32,
    step: u16,
    key: K,
}

impl<K> Held<K> {
    pub(super) fn new() -> Self {
        Held {
            seeds: Recent::new(MAX_SEEDS),
            nodes: Recent::new(MAX_NODES),
            known: Box::new([0; MAX_KNOWN]),
            familiar: false,
            batches: 0,
        }
    }

    /// A batch of this group begins; hands back what has been idle for too long.
    pub(super) fn next_batch(&mut self, scope: &Scope) -> Vec<K> {
        self.batches += 1;
        let mark = scope.mark();
        let place = (mark % MAX_KNOWN as u64) as usize;
        self.familiar = std::mem::replace(&mut self.known[place], mark) == mark;
        let before = self.batches.saturating_sub(MAX_IDLE_BATCHES);
        let mut idle = self.seeds.older_than(before);
        let nodes = self.nodes.older_than(before);
        idle.extend(nodes.into_iter().map(|node| node.key));
        idle
    }

    pub(super) fn take_seed(&mut self, scope: &Scope) -> Option<K> {
        // Nothing is held of any other group, so nothing is looked up.
        if !self.familiar {
            return None;
        }
        self.seeds.take(scope)
    }

    /// Keeps a seed; hands back what has to go for it.
    pub(super) fn keep_seed(&mut self, scope: Scope, seed: K) -> Vec<K> {
        if !self.familiar {
            return vec![seed];
        }
        self.seeds.put(scope, seed, self.batches)
    }

    /// Takes the key that `name` can be had from by ratcheting: itself, or an earlier step of the same generation.
    /// Answers with its step.
    pub(super) fn take_node(&mut self, scope: &Scope, name: &KeyRef) -> Option<(u16, K)> {
        // As with seeds.
        if !self.familiar {
            return None;
        }
        let slot = (*scope, name.node);
        let held = self.nodes.get(&slot)?;
        if held.generation != name.generation || held.step > name.step {
            return None;
        }
        let taken = self.nodes.take(&slot)?;
        Some((taken.step, taken.key))
    }

    /// Whether a node's key is worth keeping: a leaf's serves once or twice in its life, those above it every change below.
    pub(super) fn wants(&self, name: &KeyRef) -> bool {
        self.familiar && name.node.level > 0
    }

    /// Keeps a node's key that it [`wants`](Self::wants), unless a newer one of that node is held; hands back what has to go.
    pub(super) fn keep_node(&mut self, scope: Scope, name: &KeyRef, key: K) -> Vec<K> {
        let slot = (scope, name.node);
        let version = (name.generation, name.step);
        if let Some(held) = self.nodes.get(&slot)
            && (held.generation, held.step) >= version
        {
            return vec![key];
        }
        let (generation, step) = version;
        let kept = Versioned {
            generation,
            step,
            key,
        };
        let gone = self.nodes.put(slot, kept, self.batches);
        gone.into_iter().map(|node| node.key).collect()
    }

    /// Hands back everything.
    pub(super) fn clear(&mut self) -> Vec<K> {
        let mut all = self.seeds.older_than(u64::MAX);
        let nodes = self.nodes.older_than(u64::MAX);
        all.extend(nodes.into_iter().map(|node| node.key));
        all
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.seeds.entries.len() + self.nodes.entries.len()
    }
}

/// A bounded map that forgets what was used longest ago.
struct Recent<S, V> {
    bound: usize,
    entries: HashMap<S, Entry<V>>,
    /// Oldest use first.
    order: BTreeMap<u64, S>,
    uses: u64,
}

struct Entry<V> {
    value: V,
    used: u64,
    batch: u64,
}

impl<S: Copy + Eq + Hash, V> Recent<S, V> {
    fn new(bound: usize) -> Self {
        Recent {
            bound,
            entries: HashMap::new(),
            order: BTreeMap::new(),
            uses: 0,
        }
    }

    fn get(&self, slot: &S) -> Option<&V> {
        self.entries.get(slot).map(|entry| &entry.value)
    }

    fn take(&mut self, slot: &S) -> Option<V> {
        let entry = self.entries.remove(slot)?;
        self.order.remove(&entry.used);
        Some(entry.value)
    }

    /// Puts a value in its slot as the most recently used one; answers with what had to go.
    fn put(&mut self, slot: S, value: V, batch: u64) -> Vec<V> {
        let mut gone: Vec<V> = self.take(&slot).into_iter().collect();
        while self.entries.len() >= self.bound {
            let Some(oldest) = self.order.values().next().copied() else {
                break;
            };
            gone.extend(self.take(&oldest));
        }
        self.uses += 1;
        let used = self.uses;
        self.order.insert(used, slot);
        self.entries.insert(slot, Entry { value, used, batch });
        gone
    }

    /// Takes out what was last used before that batch.
    fn older_than(&mut self, batch: u64) -> Vec<V> {
        let mut gone = Vec::new();
        while let Some(oldest) = self.order.values().next().copied() {
            if self
                .entries
                .get(&oldest)
                .is_some_and(|entry| entry.batch >= batch)
            {
                break;
            }
            gone.extend(self.take(&oldest));
        }
        gone
    }
}

#[cfg(test)]
mod tests;
