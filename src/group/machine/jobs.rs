//! What the token was asked for, and what becomes of its answers.

use std::collections::BTreeMap;

use super::GroupMachine;
use super::asked::Waiter;
use super::backoff::Backoff;
use super::io::{Effect, JobId, Ticket};
use crate::group::edges::Edge;
use crate::group::ids::Epoch;
use crate::group::operations::{Batch, Operation, Output, Priority};
use crate::group::planner::PlannedEdge;
use crate::group::request::Requests;

/// Jobs that the token has.
#[derive(Debug, Default)]
pub(super) struct Token {
    next: u64,
    jobs: BTreeMap<JobId, Work>,
    pub(super) backoff: Backoff,
}

/// What a job is for.
#[derive(Debug)]
pub(super) enum Work {
    /// A share of a rekey.
    Rekey {
        epoch: Epoch,
        edges: Vec<PlannedEdge>,
        seal: bool,
    },
    /// Grants, in the order of those waiters that ask for one, then missing up-edges.
    Keys {
        waiters: Vec<Waiter>,
        edges: Vec<PlannedEdge>,
    },
}

impl Token {
    pub(super) fn jobs(&self) -> usize {
        self.jobs.len()
    }

    /// Jobs for grants and catch-ups.
    pub(super) fn key_jobs(&self) -> usize {
        let keys = |work: &&Work| matches!(work, Work::Keys { .. });
        self.jobs.values().filter(keys).count()
    }

    pub(super) fn clear(&mut self) {
        self.jobs.clear();
        self.backoff = Backoff::default();
    }
}

impl GroupMachine {
    /// Who waits for a job's keys; nobody in particular for a share of a rekey's.
    pub fn tickets(&self, job: JobId) -> Option<impl Iterator<Item = Ticket>> {
        match self.token.jobs.get(&job)? {
            Work::Rekey { .. } => None,
            Work::Keys { waiters, .. } => {
                let ticket = |waiter: &Waiter| self.keys.ticket(waiter.member);
                Some(waiters.iter().filter_map(ticket))
            }
        }
    }

    /// Asks the token.
    pub(super) fn ask(&mut self, priority: Priority, operations: Vec<Operation>, work: Work) {
        let job = JobId(self.token.next);
        self.token.next += 1;
        self.token.jobs.insert(job, work);
        let batch = Batch {
            suite: self.state.suite(),
            group: self.state.group(),
            master: self.state.master(),
            nonce: self.state.nonce(),
            operations,
            requests: Requests::default(),
        };
        self.effects.push_back(Effect::Token {
            job,
            priority,
            batch,
        });
    }

    /// The token answered. Outputs that do not fit the job count as a failure, whoever is to blame.
    pub(super) fn token_done(&mut self, job: JobId, outputs: Vec<Output>) {
        let Some(work) = self.token.jobs.remove(&job) else {
            return;
        };
        match work {
            Work::Rekey { epoch, edges, seal } => {
                let (sealed, rest) = match outputs.split_last() {
                    Some((Output::Sealed { tag, signature }, rest)) if seal => {
                        (Some((*tag, signature.clone())), rest)
                    }
                    _ => (None, outputs.as_slice()),
                };
                match made(&edges, rest) {
                    Some(wrapped) if seal == sealed.is_some() => {
                        self.token.backoff.succeed();
                        self.rekey_done(epoch, wrapped, sealed);
                    }
                    _ => self.work_failed(Work::Rekey { epoch, edges, seal }, 0),
                }
            }
            Work::Keys { waiters, edges } => {
                let asking = waiters.iter().filter(|w| w.asking.is_some()).count();
                let Some((grants, rest)) = outputs.split_at_checked(asking) else {
                    return self.work_failed(Work::Keys { waiters, edges }, 0);
                };
                let is_grant =
                    |o: &Output| matches!(o, Output::Granted { .. } | Output::BadPublicKey);
                match made(&edges, rest) {
                    Some(wrapped) if grants.iter().all(is_grant) => {
                        self.token.backoff.succeed();
                        self.keys_done(waiters, grants, &wrapped);
                    }
                    _ => self.work_failed(Work::Keys { waiters, edges }, 0),
                }
            }
        }
    }

    /// The token did not answer: what was asked for is asked for again after a pause.
    pub(super) fn token_failed(&mut self, job: JobId, retry_ms: Option<u64>) {
        if let Some(work) = self.token.jobs.remove(&job) {
            self.work_failed(work, retry_ms.unwrap_or(0));
        }
    }

    fn work_failed(&mut self, work: Work, least_ms: u64) {
        let pause = self.token.backoff.fail_for(self.now, least_ms);
        match work {
            Work::Rekey { epoch, edges, seal } => self.rekey_failed(epoch, edges, seal),
            Work::Keys { waiters, .. } => self.keys.put_back(waiters),
        }
        self.refuse_impatient(pause);
    }
}

/// The edges that were made, when the outputs are a wrapped key for each.
fn made(planned: &[PlannedEdge], outputs: &[Output]) -> Option<Vec<Edge>> {
    if outputs.len() != planned.len() {
        return None;
    }
    let wrapped = |(edge, output): (&PlannedEdge, &Output)| match output {
        Output::Wrapped(wrapped) => Some(Edge::new(*edge, *wrapped)),
        _ => None,
    };
    planned.iter().zip(outputs).map(wrapped).collect()
}
