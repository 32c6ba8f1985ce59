//! What waits for a worker: three bounded queues under one lock.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::PoolError;
use crate::group::operations::{Batch, Output, Priority};
use crate::hsm::TokenError;

/// The sender of a batch's answer.
pub(super) type Reply = oneshot::Sender<Result<Vec<Output>, PoolError>>;

/// A batch that waits for its turn.
pub(super) struct Job {
    pub(super) priority: Priority,
    pub(super) batch: Batch,
    pub(super) reply: Reply,
    /// How often a session failed at it.
    pub(super) failures: u32,
}

impl Job {
    pub(super) fn new(priority: Priority, batch: Batch, reply: Reply) -> Self {
        Job {
            priority,
            batch,
            reply,
            failures: 0,
        }
    }
}

/// The queues of a pool.
pub(super) struct Queue {
    state: Mutex<State>,
    /// A job was added, or the queue closed.
    changed: Condvar,
    /// The queue closed: for those that pause, so that a job's wake-up never goes to one without a session.
    closed: Condvar,
    bound: usize,
}

struct State {
    jobs: [VecDeque<Job>; 3],
    open: bool,
    /// Workers that have a session, or are about to open their first.
    live: usize,
    /// Why none has, once that is so.
    down: Option<TokenError>,
}

impl Queue {
    pub(super) fn new(bound: usize, workers: usize) -> Self {
        let state = State {
            jobs: Default::default(),
            open: true,
            live: workers,
            down: None,
        };
        Queue {
            state: Mutex::new(state),
            changed: Condvar::new(),
            closed: Condvar::new(),
            bound,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock, so a poisoned one is still in order.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a new job at the end of its queue.
    pub(super) fn push(&self, job: Job) -> Result<(), PoolError> {
        let mut state = self.lock();
        if !state.open {
            return Err(PoolError::Closed);
        }
        if state.live == 0
            && let Some(error) = &state.down
        {
            return Err(PoolError::Token(error.clone()));
        }
        let bound = self.bound;
        let queue = &mut state.jobs[job.priority as usize];
        if queue.len() >= bound {
            return Err(PoolError::Busy(job.priority));
        }
        queue.push_back(job);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Puts a job that a session failed at before all others of its priority, whatever the bound says.
    pub(super) fn put_back(&self, job: Job) {
        let mut state = self.lock();
        if state.open {
            state.jobs[job.priority as usize].push_front(job);
            drop(state);
            self.changed.notify_one();
        } else {
            let _ = job.reply.send(Err(PoolError::Closed));
        }
    }

    /// Waits for the next job; `None` once the queue is closed. Jobs that nobody waits for any more are skipped.
    pub(super) fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if !state.open {
                return None;
            }
            while let Some(job) = state.jobs.iter_mut().find_map(VecDeque::pop_front) {
                if !job.reply.is_closed() {
                    return Some(job);
                }
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Sleeps; false once the queue is closed.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        let end = Instant::now() + pause;
        let mut state = self.lock();
        while state.open {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            state = self
                .closed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        false
    }

    /// A worker has a session again.
    pub(super) fn up(&self) {
        let mut state = self.lock();
        state.live += 1;
        state.down = None;
    }

    /// A worker lost its session, or could not open one.
    pub(super) fn lost(&self) {
        self.lock().live -= 1;
    }

    /// No session could be opened: if no worker has one, what waits is refused.
    pub(super) fn unusable(&self, error: &TokenError) {
        let mut state = self.lock();
        if state.live > 0 {
            return;
        }
        state.down = Some(error.clone());
        let jobs: Vec<Job> = state
            .jobs
            .iter_mut()
            .flat_map(|jobs| jobs.drain(..))
            .collect();
        drop(state);
        for job in jobs {
            let _ = job.reply.send(Err(PoolError::Token(error.clone())));
        }
    }

    /// How many jobs wait.
    pub(super) fn waiting(&self) -> usize {
        self.lock().jobs.iter().map(VecDeque::len).sum()
    }

    /// Refuses what waits and wakes every worker so that it ends.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.open = false;
        let jobs: Vec<Job> = state
            .jobs
            .iter_mut()
            .flat_map(|jobs| jobs.drain(..))
            .collect();
        drop(state);
        self.changed.notify_all();
        self.closed.notify_all();
        for job in jobs {
            let _ = job.reply.send(Err(PoolError::Closed));
        }
    }
}
