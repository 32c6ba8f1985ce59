//! Sinks whose takers say nothing back: the cursor trails what they were sent, and they are sent it again from there.

use std::time::Duration;

use tokio::time::Instant;

use super::{Feed, Over};
use crate::relay::batch::{Batch, Line};
use crate::relay::cursor::Cursor;
use crate::relay::doubt::{Mark, pause};
use crate::relay::follower::Follower;
use crate::relay::{Sink, SinkError};

impl<S: Sink> Feed<S> {
    /// Sends a batch. If that fails, what was sent before it is in doubt too.
    pub(super) async fn send(&mut self, lines: Vec<Line>, settling: Duration) -> Result<(), Over> {
        let batch = Batch {
            lines,
            again: false,
        };
        self.progress.waits(batch.lines.first());
        if let Err(error) = self.sink.take(&batch).await {
            self.said(&batch, &error);
            return self.again().await;
        }
        let mark = Mark {
            sequence: batch.last(),
            head: batch.head(),
        };
        let (position, now) = (self.sink.sent(), Instant::now());
        self.advance.doubt.sent(mark, position, settling, now);
        self.progress.took(mark.sequence);
        Ok(())
    }

    /// The connection broke while there was nothing to send.
    pub(super) async fn broke(&mut self, error: &SinkError) -> Result<(), Over> {
        let (sink, peer) = (self.sink.name(), self.sink.destination().peer);
        if self.advance.doubt.is_empty() {
            tracing::debug!(sink, why = %error, "{peer} ended the connection");
            return Ok(());
        }
        self.progress.failed(error);
        let after = self.advance.cursor.sequence;
        tracing::warn!(sink, after, why = %error, "{peer} ended the connection; it is sent again what it may not have taken");
        self.again().await
    }

    /// Begins again where the sink is known to have come to.
    pub(super) async fn again(&mut self) -> Result<(), Over> {
        let Cursor { sequence, head, .. } = self.advance.cursor;
        self.advance.doubt.none();
        self.waiting.clear();
        self.since = None;
        let directory = self.directory.clone();
        self.follower = Some(Follower::after(directory, sequence, head));
        self.progress.back_to(sequence);
        let failures = self.advance.failures;
        self.advance.failures = failures.saturating_add(1);
        self.rest(failures).await
    }

    /// When it is to be looked what has settled.
    pub(super) fn settles(&self) -> Option<Instant> {
        let settling = self.sink.settling()?;
        (!self.advance.doubt.is_empty()).then(|| self.advance.looked + pause(settling))
    }

    /// Moves the cursor over what has settled.
    pub(super) async fn settle(&mut self) -> Result<(), Over> {
        let Some(settling) = self.sink.settling() else {
            return Ok(());
        };
        let now = Instant::now();
        if self.advance.doubt.is_empty() || now < self.advance.looked + pause(settling) {
            return Ok(());
        }
        self.advance.looked = now;
        let arrived = self.sink.arrived().await;
        match self.advance.doubt.settle(arrived, settling, now) {
            Some(mark) => {
                self.advance.failures = 0;
                self.move_to(mark).await
            }
            None => Ok(()),
        }
    }

    /// All that was in doubt was taken.
    pub(super) async fn taken(&mut self) -> Result<(), Over> {
        match self.advance.doubt.all() {
            Some(mark) => self.move_to(mark).await,
            None => Ok(()),
        }
    }

    async fn move_to(&mut self, mark: Mark) -> Result<(), Over> {
        self.advance.cursor = Cursor {
            sequence: mark.sequence,
            head: mark.head,
            begun: None,
        };
        self.keep().await
    }

    /// Ends what was begun, so that as little as can be is in doubt at the next start.
    pub(super) async fn end(&mut self) {
        if self.sink.settling().is_none() || self.advance.doubt.is_empty() {
            return;
        }
        let (sink, peer) = (self.sink.name(), self.sink.destination().peer);
        match self.sink.close().await {
            Ok(()) => {
                // If it cannot be written, it is sent again.
                let _ = self.taken().await;
            }
            Err(error) => {
                let after = self.advance.cursor.sequence;
                tracing::warn!(sink, after, why = %error, "{peer} did not end the connection in good order; it is sent again what it may not have taken at the next start");
            }
        }
    }
}
