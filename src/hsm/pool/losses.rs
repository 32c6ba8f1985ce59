//! Calls that do not come back: the worker is given up, and what it was doing goes on elsewhere.

use std::time::{Duration, Instant};

use super::PoolError;
use super::board::{Board, Doing, State, Work, WorkerId};
use super::counts::Count;
use super::lane::Lane;
use super::settle::{SessionNote, Settling, jobs};
use crate::hsm::{ErrorClass, TokenError};

impl Board {
    /// Takes workers whose call is overdue for lost. Answers with the lanes that need another worker.
    pub(super) fn lose_overdue(&self, now: Instant) -> Vec<usize> {
        let deadline = self.options.deadline;
        let lanes = self.change(|state| {
            let overdue = state.doing.iter();
            let overdue: Vec<WorkerId> = overdue
                .filter(|(_, doing)| now.saturating_duration_since(doing.since) >= deadline)
                .map(|(worker, _)| *worker)
                .collect();
            let lost = overdue.into_iter().filter_map(|worker| {
                let doing = state.doing.remove(&worker)?;
                let lane = doing.lane;
                self.lose(state, worker, doing, now).then_some(lane)
            });
            lost.collect::<Vec<_>>()
        });
        if !lanes.is_empty() {
            self.wake_all();
        }
        lanes
    }

    /// Takes one worker for lost; whether it is to be replaced.
    fn lose(&self, state: &mut State, worker: WorkerId, doing: Doing, now: Instant) -> bool {
        let Doing { lane, since, work } = doing;
        self.counters.add(Count::WorkersLost, 1);
        let error = overdue(self.options.deadline);
        let took = now.saturating_duration_since(since);
        let this = state.strand(lane, &work);
        let replaced = this.crew.lost <= self.options.lost;
        if replaced {
            this.crew.workers += 1;
        }
        tracing::error!(
            lane = %this.name, lost = this.crew.lost, replaced, waited_ms = took.as_millis() as u64,
            "a call into the token does not come back; its worker is given up"
        );
        match work {
            Work::Session => {
                if this.crew.prober == Some(worker) {
                    this.crew.prober = None;
                }
                if this.crew.sessions == 0 {
                    state.unusable_lane(self, lane, error.clone());
                }
            }
            Work::Batches { tickets, batches } => {
                let settling = Settling {
                    board: self,
                    lane,
                    // Whatever hangs hangs: an old session says as much as a new one.
                    session: SessionNote {
                        opened: now,
                        proven: true,
                        age: this.age,
                    },
                    now,
                    shared: tickets.len() > 1,
                };
                let operations = batches.iter().map(|batch| batch.operations.len()).sum();
                this.latency.note(took, operations);
                for job in jobs(tickets, batches) {
                    settling.failed(state, job, error.clone(), true);
                }
            }
            Work::Ring(task) => {
                let _ = task.reply.send(Err(error.clone().into()));
            }
        }
        state.threads += usize::from(replaced);
        if state.lanes[lane].crew.workers == 0 {
            state.unusable_lane(self, lane, error);
        }
        replaced
    }

    /// Gives up all workers that are still in a call: the pool is closed, and nobody waits for them any longer.
    pub(super) fn forget_running(&self) {
        self.change(|state| {
            for (_, doing) in std::mem::take(&mut state.doing) {
                state.strand(doing.lane, &doing.work);
                if let Work::Batches { tickets, .. } = doing.work {
                    for ticket in tickets {
                        state.answer(ticket, Err(PoolError::Closed));
                    }
                }
            }
        });
    }

    /// A lost worker came back: whether it goes on as a worker of its lane.
    pub(super) fn returned(&self, lane: usize) -> bool {
        self.counters.add(Count::WorkersReturned, 1);
        let wanted = self.options.workers;
        self.change(|state| {
            let open = state.open;
            let crew = &mut state.lanes[lane].crew;
            crew.lost -= 1;
            let goes_on = open && crew.workers < wanted;
            if goes_on {
                crew.workers += 1;
                state.threads += 1;
            }
            goes_on
        })
    }

    /// Answers what has waited for too long.
    pub(super) fn expire(&self, now: Instant) {
        let after = self.options.patience;
        self.change(|state| {
            state.queue.forget_abandoned();
            let jobs = state.queue.expired(now);
            self.counters.add(Count::Expired, jobs.len() as u64);
            for job in jobs {
                state.answer(job.ticket, Err(PoolError::Expired { after }));
            }
            for lane in &mut state.lanes {
                while lane.ring.front().is_some_and(|task| task.expires <= now) {
                    let task = lane.ring.pop_front().expect("it was just looked at");
                    let _ = task.reply.send(Err(PoolError::Expired { after }));
                }
            }
        });
    }
}

impl State {
    /// Counts a worker as lost that was doing this.
    fn strand(&mut self, lane: usize, work: &Work) -> &mut Lane {
        self.threads -= 1;
        let lane = &mut self.lanes[lane];
        lane.crew.workers -= 1;
        lane.crew.lost += 1;
        lane.crew.sessions -= usize::from(!matches!(work, Work::Session));
        lane
    }
}

/// What is said of a call that does not come back.
fn overdue(deadline: Duration) -> TokenError {
    TokenError::Call {
        class: ErrorClass::Elsewhere,
        operation: "answer in time".into(),
        code: format!(
            "a call did not come back within {} ms",
            deadline.as_millis()
        ),
        value: None,
    }
}
