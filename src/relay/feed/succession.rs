//! Another sink in the place of one that is fed: its feed goes on where the one before had come to.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{Feed, Over};
use crate::relay::Sink;

/// Where the next sink of a feed is put. Clones are of the same feed.
pub struct Succession<S>(Arc<Next<S>>);

struct Next<S> {
    sink: Mutex<Option<S>>,
    there: Notify,
}

impl<S> Clone for Succession<S> {
    fn clone(&self) -> Self {
        Succession(self.0.clone())
    }
}

impl<S> fmt::Debug for Succession<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Succession")
    }
}

impl<S> Default for Succession<S> {
    fn default() -> Self {
        Succession(Arc::new(Next {
            sink: Mutex::new(None),
            there: Notify::new(),
        }))
    }
}

impl<S> Succession<S> {
    /// Feeds this sink from the next batch on. What the one before is sending ends first, and then it ends its connection in good order.
    pub fn replace(&self, sink: S) {
        *self.slot() = Some(sink);
        self.0.there.notify_one();
    }

    fn slot(&self) -> MutexGuard<'_, Option<S>> {
        // Nothing is left half done by a panic.
        self.0.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_there(&self) -> bool {
        self.slot().is_some()
    }

    /// Done once there is one.
    pub(super) async fn there(&self) {
        while !self.is_there() {
            self.0.there.notified().await;
        }
    }
}

impl<S: Sink> Feed<S> {
    /// Has the next sink take over, if there is one. What cannot be known to have been taken by the one before, it is sent again.
    pub(super) async fn succeed(&mut self) -> Result<(), Over> {
        let next = self.succession.slot().take();
        let Some(next) = next else {
            return Ok(());
        };
        let closed = self.sink.close().await;
        self.sink = next;
        let (sink, peer) = (self.sink.name(), self.sink.destination().peer);
        tracing::debug!(sink, "{peer} is spoken to anew");
        match (closed, self.advance.doubt.is_empty()) {
            (_, true) => Ok(()),
            (Ok(()), false) => self.taken().await,
            (Err(error), false) => {
                let after = self.advance.cursor.sequence;
                tracing::warn!(sink, after, why = %error, "{peer} did not end the connection in good order; it is sent again what it may not have taken");
                self.again().await
            }
        }
    }
}
