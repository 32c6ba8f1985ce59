//! What the workers share: one lock over the queue, the lanes and what is being done, and the signals that go with it.
//!
//! Everything that changes it goes through [`Board::change`], which afterwards wakes whoever may have got something to do
//! and sends the answers that came of it, outside the lock.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::counts::{Count, Counters};
use super::job::{Job, Reply, Ticket};
use super::lane::{Lane, PoolState, RingTask, eligible};
use super::options::{OPERATIONS_PER_CALL, PoolOptions, RETRY_AFTER};
use super::pace::Drain;
use super::queue::Queue;
use super::{PoolError, PoolStatus};
use crate::group::operations::{Batch, Issuers, Output, Priority};
use crate::hsm::threads::Threads;
use crate::hsm::{RingChange, TokenError};

/// A worker's number; a replacement has a new one.
pub(super) type WorkerId = u64;

/// A call into a token that has not come back.
pub(super) struct Doing {
    pub(super) lane: usize,
    pub(super) since: Instant,
    pub(super) work: Work,
}

/// What a worker is doing.
pub(super) enum Work {
    /// Opening or closing a session.
    Session,
    /// Executing batches, one for each ticket.
    Batches {
        tickets: Vec<Ticket>,
        batches: Arc<Vec<Batch>>,
    },
    /// Changing the ring.
    Ring(RingTask),
}

/// What a worker that has a session does next.
pub(super) enum Next {
    /// End.
    Stop,
    /// Close the session and open another.
    Reopen,
    /// Execute these.
    Batches(Arc<Vec<Batch>>),
    /// Change the ring.
    Ring(RingChange),
}

/// What is under the lock.
pub(super) struct State {
    pub(super) open: bool,
    pub(super) queue: Queue,
    pub(super) lanes: Vec<Lane>,
    pub(super) doing: HashMap<WorkerId, Doing>,
    pub(super) drain: Drain,
    /// Threads that a shutdown waits for: not those that are stuck.
    pub(super) threads: usize,
    /// Batches and workers are numbered from here.
    pub(super) numbers: u64,
    pub(super) published: watch::Sender<PoolState>,
    pub(super) issuers: watch::Sender<Option<Issuers>>,
    /// Answers to send once the lock is free.
    answers: Vec<(Reply, Result<Vec<Output>, PoolError>)>,
}

/// The lock, and who waits for what.
pub(super) struct Board {
    state: Mutex<State>,
    /// For each lane: there may be something to do.
    work: Vec<Condvar>,
    /// A session may be opened, or a pause is over because the pool closes.
    sessions: Condvar,
    /// The watchdog's pause, and the end of threads.
    ended: Condvar,
    pub(super) threads: Threads,
    pub(super) counters: Counters,
    pub(super) options: PoolOptions,
}

impl Board {
    pub(super) fn new(names: Vec<String>, options: PoolOptions) -> Self {
        let lane = |name| Lane::new(name, options.workers, options.pauses);
        let lanes: Vec<Lane> = names.into_iter().map(lane).collect();
        let work = lanes.iter().map(|_| Condvar::new()).collect();
        let state = State {
            open: true,
            queue: Queue::new(options.queue),
            lanes,
            doing: HashMap::new(),
            drain: Drain::default(),
            threads: 0,
            numbers: 0,
            published: watch::Sender::new(PoolState::Probing),
            issuers: watch::Sender::new(None),
            answers: Vec::new(),
        };
        Board {
            state: Mutex::new(state),
            work,
            sessions: Condvar::new(),
            ended: Condvar::new(),
            threads: Threads::default(),
            counters: Counters::new(),
            options,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock, so a poisoned one is still in order.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the pool is up to.
    pub(super) fn status(&self, now: Instant) -> PoolStatus {
        self.look(|state| PoolStatus {
            state: state.state(),
            lanes: state.lanes.iter().map(Lane::status).collect(),
            waiting: state.queue.waiting(now),
            rate: state.drain.rate(now),
            counts: self.counters.counts(),
        })
    }

    /// Looks without changing anything.
    pub(super) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    /// Changes something; wakes and answers whom that concerns.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        self.release(state);
        result
    }

    fn release(&self, mut state: MutexGuard<'_, State>) {
        let answers = std::mem::take(&mut state.answers);
        let abandoned = std::mem::take(&mut state.queue.abandoned);
        self.wake(&state);
        drop(state);
        self.counters.add(Count::Abandoned, abandoned);
        for (reply, answer) in answers {
            // Whoever asked may have given up meanwhile; the outputs are then of no use to anybody.
            let _ = reply.send(answer);
        }
    }

    /// One worker of each lane looks again: which of them takes a job is decided under the lock.
    fn wake(&self, state: &State) {
        let waits = !state.queue.is_empty();
        for (lane, work) in state.lanes.iter().zip(&self.work) {
            if lane.crew.idle > 0 && (waits || !lane.ring.is_empty()) {
                work.notify_one();
            }
        }
    }

    /// Everybody looks again: the pool closes, or a lane changed.
    pub(super) fn wake_all(&self) {
        self.work.iter().for_each(Condvar::notify_all);
        self.sessions.notify_all();
        self.ended.notify_all();
    }

    /// Waits for something to do on a lane, with a session of this age.
    pub(super) fn next(&self, worker: WorkerId, lane: usize, age: u64) -> Next {
        let mut state = self.lock();
        state.lanes[lane].crew.idle += 1;
        let next = loop {
            if let Some(next) = state.next(worker, lane, age, Instant::now()) {
                break next;
            }
            state = self.work[lane]
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        };
        state.lanes[lane].crew.idle -= 1;
        self.release(state);
        next
    }

    /// Waits until the worker may open a session; false when it is to end.
    pub(super) fn may_open(&self, worker: WorkerId, lane: usize) -> bool {
        let mut state = self.lock();
        loop {
            if !state.open || state.lanes[lane].given_up.is_some() {
                return false;
            }
            let now = Instant::now();
            let this = &mut state.lanes[lane];
            let left = this.backoff.left(now);
            let probed = this.crew.prober.is_some();
            if left.is_zero() && !probed {
                this.crew.prober = Some(worker);
                state.begin(worker, lane, Work::Session, now);
                return true;
            }
            // Who probes may be lost, and a pause may be ended by another worker's success: those wake everybody.
            let wait = if probed { self.options.deadline } else { left };
            state = self
                .sessions
                .wait_timeout(state, wait)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Sleeps, but no longer than the pool is open.
    pub(super) fn pause(&self, pause: Duration) {
        let asleep = |state: &mut State| state.open;
        let _ = self.sessions.wait_timeout_while(self.lock(), pause, asleep);
    }

    /// Sleeps until the watchdog is to look again; false once the pool is closed.
    pub(super) fn tick(&self, pause: Duration) -> bool {
        let asleep = |state: &mut State| state.open;
        let waited = self.ended.wait_timeout_while(self.lock(), pause, asleep);
        waited.unwrap_or_else(PoisonError::into_inner).0.open
    }

    /// Refuses what waits and wakes every worker so that it ends.
    pub(super) fn close(&self) {
        self.change(|state| {
            state.open = false;
            state.publish();
            state.refuse_all(&PoolError::Closed);
            for lane in 0..state.lanes.len() {
                state.refuse_ring(lane, &PoolError::Closed);
            }
        });
        self.wake_all();
    }

    /// The thread that says so ends.
    pub(super) fn thread_ended(&self) {
        self.threads.ending();
        self.lock().threads -= 1;
        self.ended.notify_all();
    }

    /// Waits for the threads to end, no longer than that for calls that are under way. How many are left?
    pub(super) fn wait_for_threads(&self, longest: Duration) -> usize {
        let running = |state: &mut State| state.threads > 0;
        let waited = self.ended.wait_timeout_while(self.lock(), longest, running);
        let left = waited.unwrap_or_else(PoisonError::into_inner).0.threads;
        self.threads.join_ending();
        left
    }
}

impl State {
    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn begin(&mut self, worker: WorkerId, lane: usize, work: Work, since: Instant) {
        self.doing.insert(worker, Doing { lane, since, work });
    }

    pub(super) fn lane_names(&self) -> Vec<String> {
        self.lanes.iter().map(|lane| lane.name.clone()).collect()
    }

    /// What a lane's worker with a session of this age does next; `None` when nothing is for it.
    pub(super) fn next(
        &mut self,
        worker: WorkerId,
        lane: usize,
        age: u64,
        now: Instant,
    ) -> Option<Next> {
        if !self.open {
            return Some(Next::Stop);
        }
        if self.lanes[lane].age != age {
            return Some(Next::Reopen);
        }
        self.pick(worker, lane, now)
    }

    /// Picks a call for a lane's worker and begins it.
    fn pick(&mut self, worker: WorkerId, lane: usize, now: Instant) -> Option<Next> {
        let ring = !self.lanes[lane].ring.is_empty();
        let also = ring.then_some(Priority::Scheduled);
        for priority in self.queue.order(also) {
            if priority == Priority::Scheduled
                && let Some(task) = self.lanes[lane].ring.pop_front()
            {
                let change = task.change;
                self.queue.served(priority, also);
                self.begin(worker, lane, Work::Ring(task), now);
                return Some(Next::Ring(change));
            }
            let share = self.share(priority, lane);
            let lanes = &self.lanes;
            let take = |job: &Job| eligible(lanes, lane, job);
            let jobs = self.queue.take(priority, share, take);
            if jobs.is_empty() {
                continue;
            }
            self.queue.served(priority, also);
            super::lane::called(&mut self.lanes, lane);
            let (tickets, batches) = jobs.into_iter().map(|job| (job.ticket, job.batch)).unzip();
            let batches: Arc<Vec<Batch>> = Arc::new(batches);
            let work = Work::Batches {
                tickets,
                batches: batches.clone(),
            };
            self.begin(worker, lane, work, now);
            return Some(Next::Batches(batches));
        }
        None
    }

    /// How many of the operations that wait a lane's worker takes in one call.
    fn share(&self, priority: Priority, lane: usize) -> usize {
        let sessions: usize = self.lanes.iter().map(|lane| lane.crew.sessions).sum();
        // The other sessions are to have something to do as well.
        let share = self.queue.operations(priority).div_ceil(sessions.max(1));
        // Of many, half: whoever is answered has time to ask for more while the rest is executed.
        let most = self.lanes[lane].latency.operations_per_call();
        share.min((share / 2).clamp(OPERATIONS_PER_CALL, most))
    }

    /// Gives a job its old place in the queue, as long as anybody takes it from there.
    pub(super) fn put_back(&mut self, job: Job) {
        if self.open {
            self.queue.put_back(job);
        } else {
            self.answer(job.ticket, Err(PoolError::Closed));
        }
    }

    /// Keeps an answer until the lock is free.
    pub(super) fn answer(&mut self, ticket: Ticket, answer: Result<Vec<Output>, PoolError>) {
        self.answers.push((ticket.reply, answer));
    }

    /// Refuses all that waits.
    pub(super) fn refuse_all(&mut self, error: &PoolError) -> u64 {
        let jobs: Vec<Job> = self.queue.drain();
        let count = jobs.len() as u64;
        for job in jobs {
            self.answer(job.ticket, Err(error.clone()));
        }
        count
    }

    /// Refuses what waits for one lane's ring.
    pub(super) fn refuse_ring(&mut self, lane: usize, error: &PoolError) {
        for task in self.lanes[lane].ring.drain(..) {
            let _ = task.reply.send(Err(error.clone()));
        }
    }

    /// When a lane is probed again.
    pub(super) fn retry_after(&self, now: Instant) -> Duration {
        let lanes = self.lanes.iter().filter(|lane| lane.given_up.is_none());
        let next = lanes.map(|lane| lane.backoff.left(now)).min();
        next.map_or(RETRY_AFTER.1, |next| {
            next.clamp(RETRY_AFTER.0, RETRY_AFTER.1)
        })
    }

    /// What the pool as a whole is up to.
    pub(super) fn state(&self) -> PoolState {
        if !self.open {
            return PoolState::Closed;
        }
        let mut unusable: Option<&TokenError> = None;
        let mut probing = false;
        for lane in &self.lanes {
            match &lane.state {
                PoolState::Usable => return PoolState::Usable,
                PoolState::Probing | PoolState::Closed => probing = true,
                PoolState::Unusable(error) => {
                    unusable.get_or_insert(error);
                }
            }
        }
        match unusable {
            Some(error) if !probing => PoolState::Unusable(error.clone()),
            _ => PoolState::Probing,
        }
    }

    /// Why the pool can execute nothing, if it cannot.
    pub(super) fn unusable(&self, now: Instant) -> Option<PoolError> {
        match self.state() {
            PoolState::Unusable(error) => Some(PoolError::Unusable {
                error,
                retry_after: self.retry_after(now),
            }),
            _ => None,
        }
    }

    /// Tells those who watch, if the pool as a whole changed.
    pub(super) fn publish(&self) {
        let state = self.state();
        self.published.send_if_modified(|published| {
            let changed = *published != state;
            *published = state;
            changed
        });
    }
}
