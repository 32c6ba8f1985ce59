//! The keys that one batch needs: sorted by name and found before the first operation, for a rekey names each of them several
//! times. What is done between two calls into a token is kept short: the token's code has pushed ours out of the caches.

use crate::group::ids::KeyRef;
use crate::group::operations::{Batch, Operation};

/// Where a key is among those of its batch.
#[derive(Clone, Copy)]
pub(super) struct Place(usize);

struct Need<K> {
    order: Order,
    name: KeyRef,
    /// Uses that are left: after the last, the key can go. Tokens have little memory for sessions.
    uses: usize,
    /// From the first use to the last.
    key: Option<K>,
}

impl<K> Need<K> {
    fn of(name: &KeyRef) -> Self {
        Need {
            order: order(name),
            name: *name,
            uses: 1,
            key: None,
        }
    }
}

/// A name as one number, in the order of names: an operation's keys are compared some ten times.
type Order = u128;

fn order(name: &KeyRef) -> Order {
    let node = u128::from(name.node.level) << 32 | u128::from(name.node.index);
    let version = u128::from(name.generation) << 16 | u128::from(name.step);
    node << 48 | version
}

/// Every key that a batch needs, how often, and those that are there. A session uses the same lists for each of its batches.
pub(in crate::hsm) struct Keys<K> {
    needs: Vec<Need<K>>,
    /// Where the keys are that the operations name, in their order.
    named: Vec<Place>,
    /// How many of these were asked for.
    asked: usize,
}

impl<K> Default for Keys<K> {
    fn default() -> Self {
        Keys {
            needs: Vec::new(),
            named: Vec::new(),
            asked: 0,
        }
    }
}

impl<K> Keys<K> {
    /// Lists what a batch needs; nothing is left of the one before.
    pub(super) fn list(&mut self, batch: &Batch) {
        let needs = &mut self.needs;
        needs.clear();
        let mut last_parent: Option<(&KeyRef, usize)> = None;
        for operation in &batch.operations {
            match operation {
                Operation::Wrap { child, parent } => {
                    needs.push(Need::of(child));
                    // A plan names a node's children one after the other: what is merged here need not be sorted.
                    match last_parent {
                        Some((name, at)) if name == parent => needs[at].uses += 1,
                        _ => {
                            last_parent = Some((parent, needs.len()));
                            needs.push(Need::of(parent));
                        }
                    }
                }
                Operation::Grant { leaf: key, .. }
                | Operation::Seal { root: key, .. }
                | Operation::PushKey { root: key }
                | Operation::Escrow { root: key } => {
                    needs.push(Need::of(key));
                }
                Operation::SignHead { .. } => {}
            }
        }
        needs.sort_unstable_by_key(|need| need.order);
        needs.dedup_by(|again, first| {
            let same = again.order == first.order;
            first.uses += usize::from(same) * again.uses;
            same
        });
        let find = |name: &KeyRef| {
            let found = needs.binary_search_by_key(&order(name), |need| need.order);
            Place(found.expect("every key of an operation was just listed"))
        };
        self.asked = 0;
        self.named.clear();
        for operation in &batch.operations {
            match operation {
                Operation::Wrap { child, parent } => {
                    self.named.extend([find(child), find(parent)]);
                }
                Operation::Grant { leaf: key, .. }
                | Operation::Seal { root: key, .. }
                | Operation::PushKey { root: key }
                | Operation::Escrow { root: key } => {
                    self.named.push(find(key));
                }
                Operation::SignHead { .. } => {}
            }
        }
    }

    /// Where the next key is that the operations name: of a wrap the child, then the parent.
    pub(super) fn next(&mut self) -> Place {
        self.asked += 1;
        self.named[self.asked - 1]
    }

    pub(super) fn name(&self, place: Place) -> KeyRef {
        self.needs[place.0].name
    }

    pub(super) fn is_there(&self, place: Place) -> bool {
        self.needs[place.0].key.is_some()
    }

    pub(super) fn get(&self, place: Place) -> &K {
        let key = self.needs[place.0].key.as_ref();
        key.expect("it was made ready before the operation")
    }

    pub(super) fn put(&mut self, place: Place, key: K) {
        self.needs[place.0].key = Some(key);
    }

    /// The key of the same generation that is there with the latest earlier step.
    pub(super) fn earlier(&self, place: Place) -> Option<(u16, &K)> {
        let name = self.name(place);
        let before = self.needs[..place.0].iter().rev();
        let mut same = before.take_while(|need| {
            (need.name.node, need.name.generation) == (name.node, name.generation)
        });
        same.find_map(|need| Some((need.name.step, need.key.as_ref()?)))
    }

    /// Counts one use; answers with the key after its last.
    pub(super) fn used(&mut self, place: Place) -> Option<K> {
        let need = &mut self.needs[place.0];
        need.uses -= 1;
        match need.uses {
            0 => need.key.take(),
            _ => None,
        }
    }

    /// Whatever is there still.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = K> {
        self.needs.drain(..).filter_map(|need| need.key)
    }
}
