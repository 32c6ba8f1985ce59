//! What a lane's driver is to do: connections that have something to do, deadlines, and packets that a full socket did not take.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use quinn_proto::Transmit;

use super::inner::Inner;

/// The work of one lane.
#[derive(Default)]
pub(super) struct Work {
    /// Each at most once: see [`Inner::schedule`].
    dirty: VecDeque<Arc<Inner>>,
    /// One of each connection, so that their number is bounded; by their handles, as several may be due at one time.
    deadlines: BTreeMap<(Instant, usize), Arc<Inner>>,
    unsent: VecDeque<Unsent>,
    /// The driver, when it waits.
    driver: Option<Waker>,
    /// It is to go round, whatever there is to do.
    woken: bool,
    /// There is no driver any more: nothing is taken on.
    over: bool,
}

/// A packet that waits until the socket has room.
pub(super) struct Unsent {
    pub(super) transmit: Transmit,
    pub(super) bytes: Box<[u8]>,
}

impl Work {
    /// This connection has something to do.
    pub(super) fn push(&mut self, inner: Arc<Inner>) {
        if !self.over {
            self.dirty.push_back(inner);
            self.nudge();
        }
    }

    /// The first few that have something to do, and whether there are more.
    pub(super) fn take(&mut self, most: usize, into: &mut Vec<Arc<Inner>>) -> bool {
        let count = self.dirty.len().min(most);
        into.extend(self.dirty.drain(..count));
        !self.dirty.is_empty()
    }

    /// A connection's deadline is another one now.
    pub(super) fn set(
        &mut self,
        inner: &Arc<Inner>,
        (old, new): (Option<Instant>, Option<Instant>),
    ) {
        let key = |due| (due, inner.handle.0);
        if let Some(old) = old {
            self.deadlines.remove(&key(old));
        }
        let Some(new) = new.filter(|_| !self.over) else {
            return;
        };
        if self.first().is_none_or(|first| new < first) {
            self.nudge();
        }
        self.deadlines.insert(key(new), inner.clone());
    }

    /// A connection whose deadline has passed.
    pub(super) fn due(&mut self, now: Instant) -> Option<Arc<Inner>> {
        let entry = self.deadlines.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    fn first(&self) -> Option<Instant> {
        let next = self.deadlines.first_key_value();
        next.map(|((due, _), _)| *due)
    }

    /// The socket was full: when it has room, the driver sends it.
    pub(super) fn keep(&mut self, unsent: Unsent) {
        self.unsent.push_back(unsent);
        self.wake();
    }

    /// The socket is full still: it stays the first.
    pub(super) fn put_back(&mut self, unsent: Unsent) {
        self.unsent.push_front(unsent);
    }

    pub(super) fn unsent(&mut self) -> Option<Unsent> {
        self.unsent.pop_front()
    }

    /// The driver waits until this is woken, or a deadline passes, if there is one; it does not when there is something to do.
    pub(super) fn wait(&mut self, driver: &Waker) -> Result<Option<Instant>, Ready> {
        if std::mem::take(&mut self.woken) || !self.dirty.is_empty() {
            return Err(Ready);
        }
        self.driver = Some(driver.clone());
        Ok(self.first())
    }

    /// The driver is to go round once more.
    pub(super) fn wake(&mut self) {
        self.woken = true;
        self.nudge();
    }

    /// The driver is to look whether it still waits for the right thing.
    fn nudge(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    /// Nobody's deadline is kept, and nobody waits for a turn.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.deadlines.is_empty() && self.dirty.is_empty()
    }

    #[cfg(test)]
    pub(super) fn has_driver(&self) -> bool {
        !self.over
    }

    /// There is no driver any more, and nothing that it would have done.
    pub(super) fn end(&mut self) -> Vec<Arc<Inner>> {
        self.over = true;
        self.unsent.clear();
        let deadlines = std::mem::take(&mut self.deadlines).into_values();
        deadlines.chain(self.dirty.drain(..)).collect()
    }
}

/// There is something to do.
pub(super) struct Ready;
