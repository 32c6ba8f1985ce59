//! What waits for a worker: four queues in the order of their priorities, without a lock or a clock.
//!
//! Inside a priority the first to come is the first to be taken, and a batch that comes back after a failure has its old
//! place. Among priorities the most urgent goes first, but for a *turn*: after [`CALLS_PER_TURN`] calls that passed
//! somebody over, one call goes to the priority that was passed over most. So nobody starves, and an urgent batch waits
//! for one such call at most.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::job::Job;
use super::options::{BATCHES_PER_CALL, CALLS_PER_TURN, LOOK_AHEAD};
use crate::group::operations::Priority;

/// Every priority, the most urgent first; `priority as usize` is its place.
pub(super) const PRIORITIES: [Priority; 4] = [
    Priority::Urgent,
    Priority::Grant,
    Priority::Scheduled,
    Priority::Prefetch,
];

/// What waits at one priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Batches.
    pub batches: usize,
    /// Their operations.
    pub operations: usize,
    /// How long the oldest has waited.
    pub oldest: Duration,
}

/// The queues of a pool.
pub(super) struct Queue {
    jobs: [VecDeque<Job>; 4],
    operations: [usize; 4],
    bound: usize,
    /// Calls that passed a priority over since it was served.
    passed: [u32; 4],
    /// Calls that passed anybody over since the last turn.
    since_turn: u32,
    /// Batches that were met and thrown away because nobody waits for them.
    pub(super) abandoned: u64,
}

impl Queue {
    pub(super) fn new(bound: usize) -> Self {
        Queue {
            jobs: Default::default(),
            operations: [0; 4],
            bound,
            passed: [0; 4],
            since_turn: 0,
            abandoned: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.iter().all(VecDeque::is_empty)
    }

    /// Operations that wait at a priority and above.
    pub(super) fn before(&self, priority: Priority) -> usize {
        self.operations[..=priority as usize].iter().sum()
    }

    /// Adds a new job, if there is room at its priority and above. One that is larger than all the room is let in alone.
    /// Otherwise it is dropped.
    pub(super) fn push(&mut self, job: Job) -> bool {
        let before = self.before(job.ticket.priority);
        if before > 0 && before + job.weight() > self.bound {
            return false;
        }
        self.operations[job.ticket.priority as usize] += job.weight();
        self.jobs[job.ticket.priority as usize].push_back(job);
        true
    }

    /// Gives a job its old place again, whatever the bound says.
    pub(super) fn put_back(&mut self, job: Job) {
        let number = job.ticket.number;
        self.operations[job.ticket.priority as usize] += job.weight();
        let jobs = &mut self.jobs[job.ticket.priority as usize];
        let place = jobs.partition_point(|other| other.ticket.number < number);
        jobs.insert(place, job);
    }

    /// In which order the priorities are to be looked at; `also` has something to do besides what waits here.
    pub(super) fn order(&self, also: Option<Priority>) -> [Priority; 4] {
        let mut order = PRIORITIES;
        if self.since_turn < CALLS_PER_TURN {
            return order;
        }
        let waits =
            |priority: Priority| !self.jobs[priority as usize].is_empty() || also == Some(priority);
        let waiting = PRIORITIES.into_iter().filter(|priority| waits(*priority));
        // The more urgent of two that were passed over as often.
        if let Some(turn) = waiting
            .rev()
            .max_by_key(|priority| self.passed[*priority as usize])
        {
            order[..=turn as usize].rotate_right(1);
        }
        order
    }

    /// Notes that a call goes to a priority.
    pub(super) fn served(&mut self, priority: Priority, also: Option<Priority>) {
        let mut passed = false;
        for lower in &PRIORITIES[priority as usize + 1..] {
            let place = *lower as usize;
            if !self.jobs[place].is_empty() || also == Some(*lower) {
                self.passed[place] += 1;
                passed = true;
            }
        }
        let more_urgent = &PRIORITIES[..priority as usize];
        if more_urgent
            .iter()
            .any(|higher| !self.jobs[*higher as usize].is_empty())
        {
            self.since_turn = 0;
        } else if passed {
            self.since_turn += 1;
        }
        self.passed[priority as usize] = 0;
    }

    /// Takes the first jobs of a priority that may be executed where they are wanted: at least one if there is any, and
    /// no more operations than `share`.
    pub(super) fn take(
        &mut self,
        priority: Priority,
        share: usize,
        eligible: impl Fn(&Job) -> bool,
    ) -> Vec<Job> {
        let jobs = &mut self.jobs[priority as usize];
        let mut taken: Vec<Job> = Vec::new();
        let mut operations = 0;
        let mut at = 0;
        while at < jobs.len().min(LOOK_AHEAD) && taken.len() < BATCHES_PER_CALL {
            let job = &jobs[at];
            let gone = job.ticket.reply.is_closed();
            if !gone && !eligible(job) {
                at += 1;
                continue;
            }
            let alone = job.ticket.trials.alone;
            let sum = operations + job.batch.operations.len();
            if !gone && !taken.is_empty() && (alone || sum > share) {
                break;
            }
            let job = jobs.remove(at).expect("it was just looked at");
            self.operations[priority as usize] -= job.weight();
            if gone {
                self.abandoned += 1;
                continue;
            }
            operations = sum;
            taken.push(job);
            if alone {
                break;
            }
        }
        taken
    }

    /// Takes out what has waited for too long.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<Job> {
        let mut expired = Vec::new();
        for (jobs, operations) in self.jobs.iter_mut().zip(&mut self.operations) {
            // They are in the order in which they came, so in the one in which they expire.
            let count = jobs.partition_point(|job| job.ticket.expires <= now);
            for job in jobs.drain(..count) {
                *operations -= job.weight();
                expired.push(job);
            }
        }
        expired
    }

    /// Throws away what nobody waits for, so that it takes no room.
    pub(super) fn forget_abandoned(&mut self) {
        for (jobs, operations) in self.jobs.iter_mut().zip(&mut self.operations) {
            let before = jobs.len();
            jobs.retain(|job| {
                let gone = job.ticket.reply.is_closed();
                if gone {
                    *operations -= job.weight();
                }
                !gone
            });
            self.abandoned += (before - jobs.len()) as u64;
        }
    }

    /// Takes out everything.
    pub(super) fn drain(&mut self) -> Vec<Job> {
        self.operations = [0; 4];
        let jobs = self.jobs.iter_mut();
        jobs.flat_map(|jobs| jobs.drain(..)).collect()
    }

    /// Operations of a priority.
    pub(super) fn operations(&self, priority: Priority) -> usize {
        self.operations[priority as usize]
    }

    /// What waits, by priority.
    pub(super) fn waiting(&self, now: Instant) -> [Waiting; 4] {
        PRIORITIES.map(|priority| {
            let jobs = &self.jobs[priority as usize];
            let since = |job: &Job| now.saturating_duration_since(job.ticket.entered);
            Waiting {
                batches: jobs.len(),
                operations: self.operations[priority as usize],
                oldest: jobs.front().map(since).unwrap_or_default(),
            }
        })
    }
}

#[cfg(test)]
mod tests;
