//! The delivery seam: what to push to whom, and what came back.
//!
//! A connection has one outbox with a slot for each of its registrations. The shard fills slots, the connection
//! drains them. A slot holds the newest epoch only: a slow member has one pending delivery, never a queue. One
//! push of a slot is under way at a time, so what a member holds is known when the next one is chosen.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::group::ids::{Epoch, GroupId, MemberId};
use crate::group::machine::Rekey;
use crate::group::wire::RemovalReason;

/// A registration, across groups.
pub type Registration = (GroupId, MemberId);

/// One push that is due.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Whose.
    pub registration: Registration,
    /// What.
    pub push: DuePush,
}

/// What is to be pushed.
#[derive(Clone, Debug)]
pub enum DuePush {
    /// An epoch that follows the one that the member holds: header and the chunk of its leaf.
    Rekey {
        /// The epoch.
        rekey: Arc<Rekey>,
        /// The member's leaf.
        leaf: u32,
    },
    /// The member missed what came before: ask the engine for a path and push that.
    Path,
    /// Senders switch to this epoch.
    Activate(Epoch),
    /// The registration is over; nothing follows.
    Removed(RemovalReason),
}

/// What came of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The member holds this epoch.
    Held(Epoch),
    /// The member could not use it, or did not answer: whatever it holds, a path brings it up to date.
    NeedsPath,
}

#[derive(Debug)]
struct Slot {
    leaf: u32,
    held: Epoch,
    pending: Option<Arc<Rekey>>,
    needs_path: bool,
    activate: Option<Epoch>,
    removed: Option<RemovalReason>,
    /// The removal itself is under way, not a push that it follows.
    parting: bool,
    under_way: bool,
    queued: bool,
    /// Pushes that were taken, and epochs that a newer one replaced before.
    sent: u32,
    conflated: u32,
}

impl Slot {
    fn due(&self) -> bool {
        self.pending.is_some()
            || self.needs_path
            || self.activate.is_some()
            || self.removed.is_some()
    }

    /// The next push, most important first.
    fn take(&mut self) -> Option<DuePush> {
        if let Some(reason) = self.removed {
            self.parting = true;
            return Some(DuePush::Removed(reason));
        }
        if std::mem::take(&mut self.needs_path) {
            self.pending = None;
            return Some(DuePush::Path);
        }
        if let Some(rekey) = self.pending.take() {
            let leaf = self.leaf;
            return Some(match rekey.previous == self.held {
                true => DuePush::Rekey { rekey, leaf },
                false => DuePush::Path,
            });
        }
        self.activate.take().map(DuePush::Activate)
    }
}

#[derive(Debug, Default)]
struct State {
    slots: HashMap<Registration, Slot>,
    ready: VecDeque<Registration>,
    conflated: u64,
}

impl State {
    fn queue(&mut self, registration: Registration) -> bool {
        let Some(slot) = self.slots.get_mut(&registration) else {
            return false;
        };
        let wake = slot.due() && !slot.under_way && !slot.queued;
        if wake {
            slot.queued = true;
            self.ready.push_back(registration);
        }
        wake
    }
}

/// The slots of one connection.
#[derive(Debug, Default)]
pub struct Outbox {
    state: Mutex<State>,
    ready: Notify,
    closed: AtomicBool,
}

impl Outbox {
    /// An empty one.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The next push. Cancel-safe. `None` once the outbox is closed.
    pub async fn next(&self) -> Option<Delivery> {
        loop {
            let waiting = self.ready.notified();
            if self.is_closed() {
                return None;
            }
            if let Some(delivery) = self.take() {
                return Some(delivery);
            }
            waiting.await;
        }
    }

    fn take(&self) -> Option<Delivery> {
        let mut state = self.lock();
        while let Some(registration) = state.ready.pop_front() {
            let Some(slot) = state.slots.get_mut(&registration) else {
                continue;
            };
            slot.queued = false;
            if let Some(push) = slot.take() {
                slot.under_way = true;
                slot.sent = slot.sent.saturating_add(1);
                return Some(Delivery { registration, push });
            }
        }
        None
    }

    /// What came of the push that [`next`](Self::next) gave for this registration; the next one may follow.
    pub fn done(&self, registration: Registration, outcome: Outcome) {
        let wake = {
            let mut state = self.lock();
            let Some(slot) = state.slots.get_mut(&registration) else {
                return;
            };
            slot.under_way = false;
            match outcome {
                Outcome::Held(epoch) => slot.held = slot.held.max(epoch),
                Outcome::NeedsPath => slot.needs_path = true,
            }
            if slot.parting {
                state.slots.remove(&registration);
                false
            } else {
                state.queue(registration)
            }
        };
        self.wake(wake);
    }

    /// How many pushes were replaced by newer ones before they were sent.
    pub fn conflated(&self) -> u64 {
        self.lock().conflated
    }

    /// Pushes that were begun for a registration since it has a slot here, and epochs that a newer one replaced before they were
    /// sent.
    pub fn pushed(&self, registration: Registration) -> (u32, u32) {
        let state = self.lock();
        let slot = state.slots.get(&registration);
        slot.map_or((0, 0), |slot| (slot.sent, slot.conflated))
    }

    /// The registrations that have a slot.
    pub fn registrations(&self) -> Vec<Registration> {
        self.lock().slots.keys().copied().collect()
    }

    /// How many registrations have a slot.
    pub fn len(&self) -> usize {
        self.lock().slots.len()
    }

    /// Whether no registration has a slot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the connection is over.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The connection is over: [`next`](Self::next) ends.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.ready.notify_waiters();
        self.ready.notify_one();
    }

    pub(super) fn attach(&self, registration: Registration, leaf: u32, held: Epoch) {
        let slot = Slot {
            leaf,
            held,
            pending: None,
            needs_path: false,
            activate: None,
            removed: None,
            parting: false,
            under_way: false,
            queued: false,
            sent: 0,
            conflated: 0,
        };
        self.lock().slots.insert(registration, slot);
    }

    pub(super) fn detach(&self, registration: Registration) {
        self.lock().slots.remove(&registration);
    }

    /// What the member said that it holds, outside of an answer to a push.
    pub(super) fn held(&self, registration: Registration, epoch: Epoch) {
        if let Some(slot) = self.lock().slots.get_mut(&registration) {
            slot.held = slot.held.max(epoch);
        }
    }

    /// Puts an epoch in the slot; returns whether it replaced one that was not sent.
    pub(super) fn rekey(&self, registration: Registration, rekey: &Arc<Rekey>) -> bool {
        self.fill(registration, |slot| {
            slot.pending.replace(rekey.clone()).is_some()
        })
    }

    pub(super) fn activate(&self, registration: Registration, epoch: Epoch) {
        self.fill(registration, |slot| {
            slot.activate = Some(epoch);
            false
        });
    }

    pub(super) fn remove(&self, registration: Registration, reason: RemovalReason) {
        self.fill(registration, |slot| {
            slot.removed = Some(reason);
            slot.pending.take().is_some()
        });
    }

    fn fill(&self, registration: Registration, change: impl FnOnce(&mut Slot) -> bool) -> bool {
        let (conflated, wake) = {
            let mut state = self.lock();
            let Some(slot) = state.slots.get_mut(&registration) else {
                return false;
            };
            let conflated = change(slot);
            slot.conflated = slot.conflated.saturating_add(conflated.into());
            state.conflated += u64::from(conflated);
            (conflated, state.queue(registration))
        };
        self.wake(wake);
        conflated
    }

    fn wake(&self, wake: bool) {
        if wake {
            self.ready.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; what it guards would be whole even then.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
