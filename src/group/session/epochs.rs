//! The epochs that a member holds, and their clocks.

use std::collections::VecDeque;
use std::fmt;

use crate::group::ids::{Epoch, Time};
use crate::group::limits::MAX_HELD_EPOCHS;
use crate::group::wire::EpochHeader;

struct Held<Key> {
    header: EpochHeader,
    root: Key,
    /// When it is dropped, once a newer one is active.
    retires: Option<Time>,
}

/// When the newest epoch becomes active by itself.
#[derive(Clone, Copy, Debug)]
struct Pending {
    /// When the first epoch after the active one was installed.
    first: Time,
    deadline: Time,
}

/// A few epochs, the oldest first.
pub(super) struct HeldEpochs<Key> {
    held: VecDeque<Held<Key>>,
    active: Epoch,
    pending: Option<Pending>,
}

impl<Key> Default for HeldEpochs<Key> {
    fn default() -> Self {
        HeldEpochs {
            held: VecDeque::new(),
            active: Epoch(0),
            pending: None,
        }
    }
}

impl<Key> fmt::Debug for HeldEpochs<Key> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldEpochs")
            .field("held", &self.headers().map(|h| h.epoch).collect::<Vec<_>>())
            .field("active", &self.active)
            .field("pending", &self.pending)
            .finish()
    }
}

impl<Key> HeldEpochs<Key> {
    pub(super) fn newest(&self) -> Epoch {
        self.held.back().map_or(Epoch(0), |held| held.header.epoch)
    }

    pub(super) fn active(&self) -> Epoch {
        self.active
    }

    pub(super) fn headers(&self) -> impl DoubleEndedIterator<Item = &EpochHeader> {
        self.held.iter().map(|held| &held.header)
    }

    pub(super) fn header(&self, epoch: Epoch) -> Option<&EpochHeader> {
        self.headers().find(|header| header.epoch == epoch)
    }

    pub(super) fn root(&self, epoch: Epoch) -> Option<&Key> {
        let held = self.held.iter().find(|held| held.header.epoch == epoch);
        held.map(|held| &held.root)
    }

    /// Adds the newest epoch; returns those that there is no room for any more: the oldest, but never the active one.
    pub(super) fn install(&mut self, now: Time, header: EpochHeader, root: Key) -> Vec<Epoch> {
        let delay = u64::from(header.activation_delay_ms);
        // As at the gateway: epochs that keep coming put activation off for at most twice the delay.
        let first = self.pending.map_or(now, |pending| pending.first);
        let deadline = now.after(delay).min(first.after(2 * delay));
        self.pending = Some(Pending { first, deadline });
        self.held.push_back(Held {
            header,
            root,
            retires: None,
        });
        let mut dropped = Vec::new();
        while self.held.len() > MAX_HELD_EPOCHS {
            let oldest = self
                .held
                .iter()
                .position(|held| held.header.epoch != self.active);
            let removed = oldest.and_then(|at| self.held.remove(at));
            dropped.extend(removed.map(|held| held.header.epoch));
        }
        dropped
    }

    /// Activates what the gateway said to be active, and the newest when its delay has passed.
    pub(super) fn activate_when_due(&mut self, now: Time, told: Epoch) {
        let due = self.pending.is_some_and(|pending| pending.deadline <= now);
        let epoch = if due { self.newest() } else { told };
        if epoch <= self.active {
            return;
        }
        let Some(header) = self.header(epoch) else {
            // Not here yet, or passed over: the next one is activated by its own clock.
            return;
        };
        let retires = now.after(u64::from(header.retirement_delay_ms));
        self.active = epoch;
        if epoch == self.newest() {
            self.pending = None;
        }
        for held in self
            .held
            .iter_mut()
            .filter(|held| held.header.epoch < epoch)
        {
            held.retires.get_or_insert(retires);
        }
    }

    /// Drops what has retired.
    pub(super) fn retire(&mut self, now: Time) -> Vec<Epoch> {
        let over = |held: &Held<Key>| held.retires.is_some_and(|at| at <= now);
        let dropped = self.held.iter().filter(|held| over(held));
        let dropped: Vec<Epoch> = dropped.map(|held| held.header.epoch).collect();
        self.held.retain(|held| !over(held));
        dropped
    }

    pub(super) fn next_timeout(&self) -> Option<Time> {
        let retirement = self.held.iter().filter_map(|held| held.retires);
        let activation = self.pending.map(|pending| pending.deadline);
        retirement.chain(activation).min()
    }
}
