//! Connections that nobody uses, kept for a while.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::transport::Connection;

/// Idle connections to all addresses, the one that was idle longest first.
pub(super) struct Idle {
    longest: Duration,
    connections: Mutex<Vec<Kept>>,
}

struct Kept {
    address: usize,
    connection: Connection,
    since: Instant,
}

impl Idle {
    pub(super) fn new(longest: Duration) -> Self {
        let connections = Mutex::default();
        Self {
            longest,
            connections,
        }
    }

    /// The connection to an address that was used last.
    pub(super) fn take(&self, address: usize, now: Instant) -> Option<Connection> {
        let mut kept = self.kept();
        self.drop_old(&mut kept, now);
        let place = kept.iter().rposition(|kept| kept.address == address)?;
        Some(kept.remove(place).connection)
    }

    pub(super) fn keep(&self, address: usize, connection: Connection, now: Instant) {
        let since = now;
        self.kept().push(Kept {
            address,
            connection,
            since,
        });
    }

    /// Closes the oldest ones until no more than these are left.
    pub(super) fn shrink(&self, most: usize) {
        let mut kept = self.kept();
        let beyond = kept.len().saturating_sub(most);
        kept.drain(..beyond);
    }

    /// Closes those of an address that is in trouble.
    pub(super) fn forget(&self, address: usize) {
        self.kept().retain(|kept| kept.address != address);
    }

    /// Closes those that were idle for too long.
    pub(super) fn sweep(&self, now: Instant) {
        self.drop_old(&mut self.kept(), now);
    }

    pub(super) fn len(&self) -> usize {
        self.kept().len()
    }

    fn drop_old(&self, kept: &mut Vec<Kept>, now: Instant) {
        kept.retain(|kept| now.saturating_duration_since(kept.since) < self.longest);
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        // Nothing is left half done by a panic.
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
