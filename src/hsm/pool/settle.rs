//! What becomes of batches, and of the session, when a call comes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::PoolError;
use super::board::{Board, Doing, Next, State, Work, WorkerId};
use super::counts::Count;
use super::job::{Job, Progress, Ticket};
use super::lane::{possible, unasked};
use super::options::MAX_FAILURES;
use crate::group::ids::MasterId;
use crate::group::operations::{Batch, Output};
use crate::hsm::{ErrorClass, Executed, RingChange, TokenError};

/// What a worker does with its session after a call, from the mildest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum After {
    /// It is fine.
    Keep,
    /// Close it and open another.
    Reopen,
    /// The same after a pause.
    Rest,
    /// The worker was taken for lost meanwhile: what came back is of no use.
    Lost,
}

/// What is known of the session that made a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionNote {
    /// When it was opened.
    pub(super) opened: Instant,
    /// Whether it has executed anything.
    pub(super) proven: bool,
    /// Which ring it is of: see [`super::lane::Lane::age`].
    pub(super) age: u64,
}

/// What is to be settled.
pub(super) struct Settling<'a> {
    pub(super) board: &'a Board,
    pub(super) lane: usize,
    pub(super) session: SessionNote,
    pub(super) now: Instant,
    /// Whether several batches rode together.
    pub(super) shared: bool,
}

impl Board {
    /// A call with batches came back after so long; `None` when it panicked. If the session is fine and something waits,
    /// the next call is begun at once: the token does not idle until the lock comes round again.
    pub(super) fn executed(
        &self,
        worker: WorkerId,
        executed: Option<Executed>,
        took: Duration,
        session: SessionNote,
    ) -> (After, Option<Next>) {
        let now = Instant::now();
        self.change(|state| {
            let Some(Doing {
                lane,
                work: Work::Batches { tickets, batches },
                ..
            }) = state.doing.remove(&worker)
            else {
                return (After::Lost, None);
            };
            let settling = Settling {
                board: self,
                lane,
                session,
                now,
                shared: tickets.len() > 1,
            };
            let after = settling.all(state, tickets, batches, executed, took);
            match after {
                After::Keep => (after, state.next(worker, lane, session.age, now)),
                _ => (after, None),
            }
        })
    }

    /// A change of the ring came back.
    pub(super) fn ring_changed(
        &self,
        worker: WorkerId,
        result: Result<Vec<MasterId>, TokenError>,
        session: SessionNote,
    ) -> After {
        let after = self.change(|state| match state.doing.remove(&worker) {
            Some(Doing {
                lane,
                work: Work::Ring(mut task),
                ..
            }) => {
                let error = match result {
                    Ok(masters) => {
                        let lane = &mut state.lanes[lane];
                        if let Some(profile) = &mut lane.profile {
                            profile.masters.clone_from(&masters);
                        }
                        // Sessions hold keys: the others' are of the old ring.
                        lane.age += u64::from(task.change != RingChange::List);
                        lane.backoff.succeed();
                        let _ = task.reply.send(Ok(masters));
                        return After::Keep;
                    }
                    Err(error) => error,
                };
                task.failures += 1;
                let after = session_after(&error, session);
                if retryable(&error) && task.failures < MAX_FAILURES && state.open {
                    state.lanes[lane].ring.push_front(task);
                } else {
                    let _ = task.reply.send(Err(error.into()));
                }
                self.rest(state, lane, after);
                after
            }
            _ => After::Lost,
        });
        self.wake_all();
        after
    }

    fn rest(&self, state: &mut State, lane: usize, after: After) {
        if after >= After::Reopen {
            self.counters.add(Count::Relogins, 1);
        }
        if after == After::Rest {
            state.lanes[lane].backoff.fail(Instant::now(), false);
        }
    }
}

impl Settling<'_> {
    fn all(
        &self,
        state: &mut State,
        tickets: Vec<Ticket>,
        batches: Arc<Vec<Batch>>,
        executed: Option<Executed>,
        took: Duration,
    ) -> After {
        let panicked = executed.is_none();
        let operations: usize = batches.iter().map(|batch| batch.operations.len()).sum();
        let (outputs, results) = match executed {
            None => (vec![], vec![Err(TokenError::Panicked); tickets.len()]),
            Some(executed) => {
                self.board.counters.called(&batches, executed.usage, took);
                executed.into_parts()
            }
        };
        let (mut outputs, mut results) = (outputs.into_iter(), results.into_iter());
        let mut after = After::Keep;
        let mut succeeded = false;
        for job in jobs(tickets, batches) {
            let lost = || Err(TokenError::BadBatch("the back end lost a result".into()));
            match results.next().unwrap_or_else(lost) {
                Ok(count) if count == job.batch.operations.len() => {
                    succeeded = true;
                    self.succeeded(state, job, outputs.by_ref().take(count));
                }
                Ok(count) => {
                    outputs.by_ref().take(count).for_each(drop);
                    let error = TokenError::BadBatch("the back end lost an output".into());
                    after = after.max(self.failed(state, job, error, false));
                }
                Err(error) => after = after.max(self.failed(state, job, error, false)),
            }
        }
        let lane = &mut state.lanes[self.lane];
        if succeeded {
            lane.latency.note(took, operations);
            if after < After::Rest {
                lane.backoff.succeed();
            }
        }
        let executes = |doing: &Doing| matches!(doing.work, Work::Batches { .. });
        let idle = state.queue.is_empty() && !state.doing.values().any(executes);
        let done = if panicked { 0 } else { operations };
        state.drain.done(self.now, done, idle);
        self.board.rest(state, self.lane, after);
        after
    }

    fn succeeded(&self, state: &mut State, job: Job, outputs: impl Iterator<Item = Output>) {
        self.board.counters.executed(&job.batch.operations);
        match job.proceed(outputs) {
            Progress::Done(Job { ticket, batch }, outputs) => {
                let (group, requests, number) = (batch.group, batch.requests, ticket.number);
                let waited = self.now - ticket.entered;
                ticket.span.in_scope(|| tracing::debug!(%group, batch = number, %requests, operations = outputs.len(), ?waited, "batch executed"));
                self.board.counters.add(Count::Batches, 1);
                state.answer(ticket, Ok(outputs));
            }
            Progress::More(job) => state.put_back(job),
        }
    }

    /// Answers with the error, or puts the batch back for another try; says what it means for the session.
    pub(super) fn failed(
        &self,
        state: &mut State,
        mut job: Job,
        error: TokenError,
        hung: bool,
    ) -> After {
        let trials = &mut job.ticket.trials;
        let first = *trials.first.get_or_insert(self.now);
        let fresh = first == self.now || self.session.opened >= first;
        let blames_session = error.class() == ErrorClass::LoginNeeded
            || error.class() == ErrorClass::Elsewhere && !is_missing(&error);
        trials.failures += u32::from(fresh || !blames_session);
        let mut again = retryable(&error) && trials.failures < MAX_FAILURES;
        if is_missing(&error) {
            trials.missing.insert(self.lane);
            again = possible(&state.lanes, &job);
        } else if error == TokenError::Panicked || hung {
            // Among several, it may have been another's fault: each shows by itself.
            again = (self.shared || hung) && trials.failures < MAX_FAILURES;
            trials.alone = true;
            trials.avoid.insert(self.lane);
        } else if error.class() == ErrorClass::Elsewhere {
            trials.avoid.insert(self.lane);
        }
        let after = session_after(&error, self.session);
        let lane = &state.lanes[self.lane].name;
        let (group, batch) = (job.batch.group, job.ticket.number);
        job.ticket.span.in_scope(|| tracing::warn!(%lane, %group, batch, requests = %job.batch.requests, %error, class = ?error.class(), again, "batch failed"));
        let patience = self.board.options.patience;
        if again && job.ticket.expires <= self.now {
            self.board.counters.add(Count::Expired, 1);
            state.answer(job.ticket, Err(PoolError::Expired { after: patience }));
        } else if !again
            && is_lacking(&error)
            && let Some(down) = unasked(&state.lanes, &job)
        {
            let unusable = PoolError::Unusable {
                error: down.clone(),
                retry_after: state.retry_after(self.now),
            };
            self.board.counters.add(Count::Refused, 1);
            state.answer(job.ticket, Err(unusable));
        } else if !again {
            self.board.counters.add(Count::Failures, 1);
            state.answer(job.ticket, Err(error.into()));
        } else if let Some(unusable) = state.unusable(self.now) {
            self.board.counters.add(Count::Refused, 1);
            state.answer(job.ticket, Err(unusable));
        } else {
            self.board.counters.add(Count::Repeated, 1);
            state.put_back(job);
        }
        after
    }
}

/// Puts tickets and batches together again. A worker that is lost still holds the batches: they are copied then.
pub(super) fn jobs(tickets: Vec<Ticket>, batches: Arc<Vec<Batch>>) -> impl Iterator<Item = Job> {
    let batches = Arc::try_unwrap(batches).unwrap_or_else(|shared| (*shared).clone());
    let pairs = tickets.into_iter().zip(batches);
    pairs.map(|(ticket, batch)| Job { ticket, batch })
}

fn is_missing(error: &TokenError) -> bool {
    matches!(error, TokenError::MissingKey { .. })
}

/// Whether another token may have what this one does not.
fn is_lacking(error: &TokenError) -> bool {
    is_missing(error) || matches!(error, TokenError::NoSuite { .. })
}

fn retryable(error: &TokenError) -> bool {
    matches!(
        error.class(),
        ErrorClass::Retry | ErrorClass::LoginNeeded | ErrorClass::Elsewhere
    )
}

/// What an error means for the session that met it.
fn session_after(error: &TokenError, session: SessionNote) -> After {
    match (error, error.class()) {
        (TokenError::Panicked, _) => After::Rest,
        (TokenError::MissingKey { .. }, _) => After::Keep,
        (_, ErrorClass::Retry | ErrorClass::Fatal | ErrorClass::OurBug) => After::Keep,
        // A login that never was any good is not repeated at once.
        (_, ErrorClass::LoginNeeded) if session.proven => After::Reopen,
        (_, ErrorClass::LoginNeeded | ErrorClass::Elsewhere) => After::Rest,
    }
}
