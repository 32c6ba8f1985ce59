//! The pool: OS threads that each own a session with a token, fed from one bounded queue with four priorities.
//!
//! Calls into a token block, sometimes for ever, so they never run on an async thread, and nothing waits for one longer
//! than its deadline. A pool has one or more *lanes*: tokens that hold the same keys, or several ways to one token.
//!
//! | what | how |
//! | --- | --- |
//! | order | the most urgent priority first, first come first served inside one, and a turn for the others so that nobody starves (`queue`) |
//! | calls | several small batches ride together and a large one takes several calls, so that every call is short |
//! | admission | what does not fit is refused with the time that the queue takes to drain, as measured (`pace`) |
//! | lanes | workers pull: a faster token takes more, and a much slower one only what the others have no hand free for (`lane`) |
//! | failures | by their class: again here, elsewhere, after a new login, or not at all (`settle`, `sessions`) |
//! | deadlines | a worker whose call does not come back is given up, counted and replaced, up to a bound (`watchdog`, `losses`) |
//! | start | at once: every lane is probed on its own threads, one attempt at a time, and what comes meanwhile waits |
//!
//! A batch has exactly one answer. One that was given up may still be executed by the token that hung: the answer that
//! comes back late is dropped, and as every key is derived by its name, executing twice changes nothing.

mod board;
mod counts;
mod error;
mod gauges;
mod job;
mod lane;
mod losses;
mod options;
mod pace;
mod queue;
mod sessions;
mod settle;
mod watchdog;
mod worker;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{oneshot, watch};

use board::Board;
use counts::Count;
pub use counts::{Counts, Trouble};
pub use error::{PoolError, PoolStartError, RingError};
use job::{Job, Life};
use lane::RingTask;
pub use lane::{LaneStatus, PoolState};
use options::MAX_LANES;
pub use options::{Lane, Pauses, PoolOptions};
pub use queue::Waiting;

use super::{Opener, RingChange};
use crate::group::ids::MasterId;
use crate::group::operations::{Batch, Issuers, Output, Priority};

/// What a pool is up to.
#[derive(Clone, Debug)]
pub struct PoolStatus {
    /// Whether it can execute anything.
    pub state: PoolState,
    /// Its lanes, as configured.
    pub lanes: Vec<LaneStatus>,
    /// What waits, the most urgent priority first.
    pub waiting: [Waiting; 4],
    /// Operations a second while some wait; unknown before some have.
    pub rate: Option<f64>,
    /// What it has done.
    pub counts: Counts,
}

/// The ring of masters after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    /// The masters that every usable lane holds now, ascending.
    pub masters: Vec<MasterId>,
    /// Lanes that are not usable, and so did not make the change.
    pub skipped: Vec<String>,
}

/// What all threads of a pool share.
struct Shared {
    board: Board,
    openers: Vec<Opener>,
}

/// A running pool. Dropping it tells the workers to stop; [`Pool::shutdown`] also waits for them.
pub struct Pool {
    shared: Arc<Shared>,
}

impl Pool {
    /// Starts the threads and returns: no token is touched here. [`Pool::watch`] and [`Pool::issuers`] tell how it goes.
    pub fn start(lanes: Vec<Lane>, options: PoolOptions) -> Result<Self, PoolStartError> {
        if lanes.is_empty() {
            return Err(PoolStartError::NoLane);
        }
        if lanes.len() > MAX_LANES {
            return Err(PoolStartError::TooManyLanes(lanes.len()));
        }
        for (at, lane) in lanes.iter().enumerate() {
            if lanes[..at].iter().any(|other| other.name == lane.name) {
                return Err(PoolStartError::SameName(lane.name.clone()));
            }
        }
        let options = PoolOptions {
            workers: options.workers.max(1),
            queue: options.queue.max(1),
            ..options
        };
        let (names, openers): (Vec<_>, Vec<_>) = lanes
            .into_iter()
            .map(|lane| (lane.name, lane.opener))
            .unzip();
        let pool = Pool {
            shared: Arc::new(Shared {
                board: Board::new(names, options),
                openers,
            }),
        };
        // A thread that cannot be started drops the pool, which ends those that were.
        watchdog::start(&pool.shared)?;
        for lane in 0..pool.shared.openers.len() {
            for _ in 0..options.workers {
                watchdog::start_worker(&pool.shared, lane)?;
            }
        }
        tracing::info!(
            lanes = pool.shared.openers.len(),
            workers = options.workers,
            "token pool started"
        );
        Ok(pool)
    }

    /// Executes a batch: waits for its turn, and for a token. A batch whose future is dropped before its turn is
    /// not executed.
    pub async fn execute(
        &self,
        priority: Priority,
        batch: Batch,
    ) -> Result<Vec<Output>, PoolError> {
        let (reply, answer) = oneshot::channel();
        let board = &self.shared.board;
        let pushed = board.change(|state| {
            if !state.open {
                return Err(PoolError::Closed);
            }
            let entered = Instant::now();
            if let Some(unusable) = state.unusable(entered) {
                return Err(unusable);
            }
            let life = Life {
                number: state.number(),
                entered,
                expires: entered + board.options.patience,
            };
            let job = Job::new(priority, batch, reply, life);
            if !state.queue.push(job) {
                let before = state.queue.before(priority);
                let retry_after = state.drain.retry_after(entered, before);
                return Err(PoolError::Busy {
                    priority,
                    retry_after,
                });
            }
            state.drain.busy(entered);
            Ok(())
        });
        if let Err(error) = pushed {
            board.counters.add(Count::Refused, 1);
            return Err(error);
        }
        // Only a pool that is shut down forgets somebody.
        answer.await.unwrap_or(Err(PoolError::Closed))
    }

    /// The tokens' public keys: known once the first session of any lane was opened, and the same from then on.
    pub async fn issuers(&self) -> Result<Issuers, PoolError> {
        let (mut issuers, mut state) = self
            .shared
            .board
            .look(|state| (state.issuers.subscribe(), state.published.subscribe()));
        tokio::select! {
            biased;
            Ok(known) = issuers.wait_for(Option::is_some) => known.clone().ok_or(PoolError::Closed),
            _ = state.wait_for(|state| *state == PoolState::Closed) => Err(PoolError::Closed),
        }
    }

    /// The same, if they are known already.
    pub fn try_issuers(&self) -> Option<Issuers> {
        self.shared
            .board
            .look(|state| state.issuers.borrow().clone())
    }

    /// Tells when the pool becomes usable, or ceases to be.
    pub fn watch(&self) -> watch::Receiver<PoolState> {
        self.shared.board.look(|state| state.published.subscribe())
    }

    /// Waits until the first lane is usable, or none can be for now: the error says why.
    pub async fn probed(&self) -> Result<(), PoolError> {
        let mut watch = self.watch();
        // The sender lives as long as this pool.
        let _ = watch.wait_for(|state| *state != PoolState::Probing).await;
        self.shared
            .board
            .look(|state| match state.unusable(Instant::now()) {
                _ if !state.open => Err(PoolError::Closed),
                Some(unusable) => Err(unusable),
                None => Ok(()),
            })
    }

    /// Looks at the ring of masters of every usable lane, or changes it. All have to agree on what there is then.
    /// What was asked for is done even if nobody waits for it any more.
    pub async fn ring(&self, change: RingChange) -> Result<Ring, RingError> {
        self.probed().await?;
        let board = &self.shared.board;
        let (asked, skipped) = board.change(|state| {
            let expires = Instant::now() + board.options.patience;
            let mut asked = Vec::new();
            let mut skipped = Vec::new();
            let open = state.open;
            for lane in state.lanes.iter_mut().filter(|_| open) {
                if lane.state != PoolState::Usable {
                    skipped.push(lane.name.clone());
                    continue;
                }
                let (reply, answer) = oneshot::channel();
                let task = RingTask {
                    change,
                    reply,
                    expires,
                    failures: 0,
                };
                lane.ring.push_back(task);
                asked.push((lane.name.clone(), answer));
            }
            (asked, skipped)
        });
        let mut agreed: Option<(String, Vec<MasterId>)> = None;
        let mut failed = None;
        for (lane, answer) in asked {
            match answer.await.unwrap_or(Err(PoolError::Closed)) {
                Ok(others) => match &agreed {
                    None => agreed = Some((lane, others)),
                    Some((first, masters)) if *masters != others => {
                        failed.get_or_insert(RingError::Disagree {
                            lane: first.clone(),
                            masters: masters.clone(),
                            other: lane,
                            others,
                        });
                    }
                    Some(_) => {}
                },
                Err(error) => {
                    failed.get_or_insert(RingError::Lane { lane, error });
                }
            }
        }
        match (failed, agreed) {
            (Some(error), _) => Err(error),
            (None, Some((_, masters))) => Ok(Ring { masters, skipped }),
            // Between the two looks the pool closed, or its last lane went down.
            (None, None) => Err(RingError::Pool(PoolError::Closed)),
        }
    }

    /// What was executed so far.
    pub fn counts(&self) -> Counts {
        self.shared.board.counters.counts()
    }

    /// Batches that wait for a worker.
    pub fn waiting(&self) -> usize {
        let waiting = self.status().waiting;
        waiting.iter().map(|waiting| waiting.batches).sum()
    }

    /// What it is up to.
    pub fn status(&self) -> PoolStatus {
        self.shared.board.status(Instant::now())
    }

    /// Refuses what waits, lets what runs finish, and waits for the threads: for the deadline of a call at most, so that
    /// a token that hangs does not keep the process. Blocks; harmless to repeat.
    pub fn shutdown(&self) {
        let board = &self.shared.board;
        board.close();
        let left = board.wait_for_threads(board.options.deadline);
        if left > 0 {
            tracing::warn!(left, "token workers are left that hang in a call");
            board.forget_running();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.board.close();
    }
}

#[cfg(test)]
mod tests;
