//! The embedded store: one SQLite file, one writer thread, group commit.
//!
//! All requests that are queued go into one transaction, and each is answered after its COMMIT, so the cost
//! of making a change durable (one fsync) is shared by everyone who waits. SQLite was chosen for its record of
//! keeping what it acknowledged: a group that is rolled back would use keys twice.

mod file;
mod log;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

pub use self::file::open_alone;
use self::writer::{Change, Command, Write};
use super::{MAX_BYTES, Store, StoreError, StoreFuture, StoredGroup};
use crate::group::ids::{GroupId, Revision};

/// Bounds of the embedded store.
#[derive(Clone, Copy, Debug)]
pub struct SqliteOptions {
    /// Requests that wait for the writer; the next one waits for room in the queue.
    pub queue: usize,
    /// Requests in one transaction.
    pub batch: usize,
    /// Bytes in one transaction, after which the next begins.
    pub batch_bytes: usize,
    /// The greatest size of the file in pages of 4 KiB; SQLite's own limit if `None`.
    pub max_pages: Option<u32>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        SqliteOptions {
            queue: 4_096,
            batch: 1_024,
            batch_bytes: 16 * 1024 * 1024,
            max_pages: None,
        }
    }
}

/// What the writer has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SqliteStats {
    /// Requests that were answered as durable.
    pub written: u64,
    /// Transactions that these took.
    pub commits: u64,
    /// Transactions that failed.
    pub failures: u64,
}

#[derive(Default)]
struct Counters {
    written: AtomicU64,
    commits: AtomicU64,
    failures: AtomicU64,
}

/// The embedded store. Dropping it finishes what is queued and releases the file.
pub struct SqliteStore {
    path: PathBuf,
    commands: Option<mpsc::Sender<Command>>,
    counters: Arc<Counters>,
    writer: Option<JoinHandle<()>>,
}

impl SqliteStore {
    /// Open the database at `path`, and create it if there is none. No other process can open it until this
    /// store is dropped or its process ends, however it ends.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(path, SqliteOptions::default())
    }

    /// Open with bounds other than the default ones.
    pub fn open_with(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        let log = log::Log::open(&path, options.max_pages)?;
        let counters = Arc::new(Counters::default());
        let (commands, queue) = mpsc::channel(options.queue.max(1));
        let writer = writer::Writer::new(log, queue, options, counters.clone());
        let writer = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || writer.run())
            .map_err(|_| StoreError::Closed { path: path.clone() })?;
        Ok(SqliteStore {
            path,
            commands: Some(commands),
            counters,
            writer: Some(writer),
        })
    }

    /// What the writer has done so far.
    pub fn stats(&self) -> SqliteStats {
        SqliteStats {
            written: self.counters.written.load(Ordering::Relaxed),
            commits: self.counters.commits.load(Ordering::Relaxed),
            failures: self.counters.failures.load(Ordering::Relaxed),
        }
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Command,
    ) -> Result<T, StoreError> {
        let closed = || StoreError::Closed {
            path: self.path.clone(),
        };
        let (answer, answered) = oneshot::channel();
        let commands = self.commands.as_ref().ok_or_else(closed)?;
        let sent = commands.send(command(answer)).await;
        sent.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    async fn write(&self, group: GroupId, change: Change) -> Result<Revision, StoreError> {
        let bytes = change.bytes();
        if bytes > MAX_BYTES {
            return Err(StoreError::TooLarge { group, bytes });
        }
        let write = |answer| {
            Command::Write(Write {
                group,
                change,
                answer,
            })
        };
        self.ask(write).await
    }
}

impl Store for SqliteStore {
    fn append(
        &self,
        group: GroupId,
        expected: Revision,
        record: Vec<u8>,
    ) -> StoreFuture<'_, Revision> {
        Box::pin(self.write(group, Change::Append { expected, record }))
    }

    fn snapshot(&self, group: GroupId, at: Revision, bytes: Vec<u8>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.write(group, Change::Snapshot { at, bytes }).await?;
            Ok(())
        })
    }

    fn remove(&self, group: GroupId) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.write(group, Change::Remove).await?;
            Ok(())
        })
    }

    fn page(&self, after: Option<GroupId>) -> StoreFuture<'_, Vec<StoredGroup>> {
        Box::pin(self.ask(move |answer| Command::Page { after, answer }))
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(writer) = self.writer.take() {
            // A panic of the writer was reported by its own thread; there is nobody to tell here.
            let _ = writer.join();
        }
    }
}
