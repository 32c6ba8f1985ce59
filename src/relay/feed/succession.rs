//! Another sink in the place of one that is fed: its feed goes on where the one before had come to.

use std::fmt;

use tokio::sync::watch;

use super::{Feed, Over};
use crate::relay::Sink;

/// Where the next sink of a feed is put. Clones are of the same feed.
pub struct Succession<S>(watch::Sender<Option<S>>);

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
        Succession(watch::Sender::new(None))
    }
}

impl<S> Succession<S> {
    /// Feeds this sink from the next batch on. What the one before is sending ends first, and then it ends its connection in good order.
    pub fn replace(&self, sink: S) {
        self.0.send_replace(Some(sink));
    }

    fn take(&self) -> Option<S> {
        self.0.send_replace(None)
    }

    pub(super) fn is_there(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Done once there is one.
    pub(super) async fn there(&self) {
        // It fails only once there is no sender, and this is one.
        let _ = self.0.subscribe().wait_for(Option::is_some).await;
    }
}

impl<S: Sink> Feed<S> {
    /// Has the next sink take over, if there is one. What cannot be known to have been taken by the one before, it is sent again.
    pub(super) async fn succeed(&mut self) -> Result<(), Over> {
        let Some(next) = self.succession.take() else {
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
