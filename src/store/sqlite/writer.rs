//! The one thread that writes: it takes what is queued, commits it in one transaction, then answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use super::super::{StoreError, StoredGroup};
use super::log::Log;
use super::{Counters, SqliteOptions};
use crate::group::ids::{GroupId, Revision};

/// What the writer is asked for.
pub(super) enum Command {
    Write(Write),
    Page {
        after: Option<GroupId>,
        answer: oneshot::Sender<Result<Vec<StoredGroup>, StoreError>>,
    },
}

/// A change of one group that somebody waits for.
pub(super) struct Write {
    pub(super) group: GroupId,
    pub(super) change: Change,
    pub(super) answer: oneshot::Sender<Result<Revision, StoreError>>,
}

/// What changes.
pub(super) enum Change {
    Append { expected: Revision, record: Vec<u8> },
    Snapshot { at: Revision, bytes: Vec<u8> },
    Remove,
}

impl Change {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Change::Append { record, .. } => record.len(),
            Change::Snapshot { bytes, .. } => bytes.len(),
            Change::Remove => 0,
        }
    }
}

/// The thread's state.
pub(super) struct Writer {
    log: Log,
    queue: mpsc::Receiver<Command>,
    options: SqliteOptions,
    counters: Arc<Counters>,
}

impl Writer {
    pub(super) fn new(
        log: Log,
        queue: mpsc::Receiver<Command>,
        options: SqliteOptions,
        counters: Arc<Counters>,
    ) -> Self {
        Writer {
            log,
            queue,
            options,
            counters,
        }
    }

    /// Serve until every sender is gone and the queue is empty.
    pub(super) fn run(mut self) {
        while let Some(first) = self.queue.blocking_recv() {
            let mut next = Some(first);
            while let Some(command) = next.take() {
                match command {
                    Command::Write(write) => next = self.collect_and_commit(write),
                    Command::Page { after, answer } => drop(answer.send(self.log.page(after))),
                }
            }
        }
    }

    /// Commit this write and those queued behind it, up to the first that is no write, which is returned.
    fn collect_and_commit(&mut self, first: Write) -> Option<Command> {
        let mut bytes = first.change.bytes();
        let mut batch = vec![first];
        let mut other = None;
        while batch.len() < self.options.batch && bytes < self.options.batch_bytes {
            match self.queue.try_recv() {
                Ok(Command::Write(write)) => {
                    bytes += write.change.bytes();
                    batch.push(write);
                }
                Ok(command) => {
                    other = Some(command);
                    break;
                }
                Err(_) => break,
            }
        }
        self.commit(batch);
        other
    }

    fn commit(&mut self, batch: Vec<Write>) {
        let changes = batch.iter().map(|write| (write.group, &write.change));
        let began = Instant::now();
        let committed = self.log.commit(changes);
        metrics::histogram!("wardcast_store_commit_seconds").record(began.elapsed());
        match committed {
            Ok(answers) => {
                let done = answers.iter().filter(|answer| answer.is_ok()).count();
                let (written, commits) = (&self.counters.written, &self.counters.commits);
                written.fetch_add(done as u64, Ordering::Relaxed);
                commits.fetch_add(u64::from(done > 0), Ordering::Relaxed);
                metrics::counter!("wardcast_store_changes_total").increment(done as u64);
                for (write, answer) in batch.into_iter().zip(answers) {
                    // Whoever asked may have gone; the change is durable all the same.
                    let _ = write.answer.send(answer);
                }
            }
            Err(error) => self.failed(batch, error),
        }
    }

    /// A batch failed as a whole. On a full disk the small changes may fit where a great one does not, so each
    /// is tried by itself; other trouble is everyone's.
    fn failed(&mut self, batch: Vec<Write>, error: StoreError) {
        self.counters.failures.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("wardcast_store_commit_failures_total").increment(1);
        tracing::warn!(%error, changes = batch.len(), "a commit failed");
        if batch.len() > 1 && matches!(error, StoreError::Full { .. }) {
            for write in batch {
                self.commit(vec![write]);
            }
            return;
        }
        for write in batch {
            let _ = write.answer.send(Err(error.clone()));
        }
    }
}
