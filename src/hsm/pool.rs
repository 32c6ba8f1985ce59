//! The pool: OS threads that each own a session with a token, fed from a bounded queue with three priorities.
//!
//! Calls into a token block, sometimes for long, so they never run on an async thread. A worker whose session fails opens
//! a new one with a growing pause in between; a batch that panics costs that session, never the pool. When no worker
//! has a session, what waits is refused at once: whoever asked decides when to ask again.

mod queue;
mod worker;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use queue::{Job, Queue};

use super::{Opener, TokenError};
use crate::group::operations::{Batch, Issuer, Operation, Output, Priority};

/// How large the pool is.
#[derive(Clone, Copy, Debug)]
pub struct PoolOptions {
    /// Threads, each with a session of its own.
    pub workers: usize,
    /// Batches that may wait at each priority; one more is refused as busy.
    pub queue: usize,
}

/// Why a batch was not executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// As many batches wait as may.
    #[error("the token pool's {0:?} queue is full: try again in a moment")]
    Busy(Priority),
    /// The pool is shutting down.
    #[error("the token pool is shutting down")]
    Closed,
    /// The token did not execute it.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// What a pool has executed since it started. The metrics `wardcast_token_*_total` say the same of all pools of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Batches executed.
    pub batches: u64,
    /// Up-edges wrapped.
    pub wraps: u64,
    /// Leaf keys granted.
    pub grants: u64,
    /// Epoch headers sealed.
    pub seals: u64,
    /// Batches that failed for good.
    pub failures: u64,
    /// Sessions opened, the first of each worker included.
    pub sessions: u64,
}

#[derive(Default)]
struct Counters {
    batches: AtomicU64,
    wraps: AtomicU64,
    grants: AtomicU64,
    seals: AtomicU64,
    failures: AtomicU64,
    sessions: AtomicU64,
}

impl Counters {
    fn executed(&self, batch: &Batch) {
        let counts = |wanted: fn(&Operation) -> bool| {
            batch
                .operations
                .iter()
                .filter(|operation| wanted(operation))
                .count() as u64
        };
        let wraps = counts(|operation| matches!(operation, Operation::Wrap { .. }));
        let grants = counts(|operation| matches!(operation, Operation::Grant { .. }));
        let seals = counts(|operation| matches!(operation, Operation::Seal { .. }));
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.wraps.fetch_add(wraps, Ordering::Relaxed);
        self.grants.fetch_add(grants, Ordering::Relaxed);
        self.seals.fetch_add(seals, Ordering::Relaxed);
        metrics::counter!("wardcast_token_batches_total").increment(1);
        metrics::counter!("wardcast_token_wraps_total").increment(wraps);
        metrics::counter!("wardcast_token_grants_total").increment(grants);
        metrics::counter!("wardcast_token_seals_total").increment(seals);
    }

    fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("wardcast_token_failures_total").increment(1);
    }

    fn opened(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("wardcast_token_sessions_total").increment(1);
    }
}

/// What the workers share.
struct Shared {
    queue: Queue,
    counters: Counters,
    opener: Opener,
    issuer: Issuer,
}

/// A running pool. Dropping it tells the workers to stop; [`Pool::shutdown`] also waits for them.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Mutex<Vec<JoinHandle<()>>>,
}

impl Pool {
    /// Opens the first session, which proves configuration, PIN and keys, and starts the workers. Blocks.
    pub fn start(opener: Opener, options: PoolOptions) -> Result<Self, TokenError> {
        let first = opener()?;
        let workers = options.workers.max(1);
        let shared = Arc::new(Shared {
            queue: Queue::new(options.queue.max(1), workers),
            counters: Counters::default(),
            issuer: first.issuer(),
            opener,
        });
        let mut first = Some(first);
        let threads = (0..workers).map(|number| {
            let shared = shared.clone();
            let first = first.take();
            thread::Builder::new()
                .name(format!("token-{number}"))
                .spawn(move || worker::run(&shared, first))
        });
        let threads: Result<Vec<_>, _> = threads.collect();
        let pool = Pool {
            shared,
            workers: Mutex::new(Vec::new()),
        };
        let threads = threads.map_err(|error| TokenError::Library {
            path: "token pool".to_owned(),
            why: format!("cannot start a thread: {error}"),
        })?;
        *pool.threads() = threads;
        tracing::info!(workers, "token pool started");
        Ok(pool)
    }

    /// The token's public keys.
    pub fn issuer(&self) -> Issuer {
        self.shared.issuer
    }

    /// Executes a batch: waits for its turn, and for the token. A batch whose future is dropped before its turn is
    /// not executed.
    pub async fn execute(
        &self,
        priority: Priority,
        batch: Batch,
    ) -> Result<Vec<Output>, PoolError> {
        let (reply, answer) = oneshot::channel();
        self.shared.queue.push(Job::new(priority, batch, reply))?;
        // A worker that ends without an answer has been told to stop.
        answer.await.unwrap_or(Err(PoolError::Closed))
    }

    /// What was executed so far.
    pub fn counts(&self) -> Counts {
        let counters = &self.shared.counters;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            batches: get(&counters.batches),
            wraps: get(&counters.wraps),
            grants: get(&counters.grants),
            seals: get(&counters.seals),
            failures: get(&counters.failures),
            sessions: get(&counters.sessions),
        }
    }

    /// Batches that wait for a worker.
    pub fn waiting(&self) -> usize {
        self.shared.queue.waiting()
    }

    /// Refuses what waits, lets what runs finish, and waits for the threads. Blocks; harmless to repeat.
    pub fn shutdown(&self) {
        self.shared.queue.close();
        for thread in self.threads().drain(..) {
            // A worker catches what its token throws, so a join that fails has nothing left to save.
            let _ = thread.join();
        }
    }

    fn threads(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

#[cfg(test)]
mod tests;
