//! A batch that waits for a token, who waits for it, and what it has met with.

use std::time::Instant;

use tokio::sync::oneshot;

use super::PoolError;
use super::lane::LaneSet;
use super::options::OPERATIONS_PER_CALL;
use crate::group::operations::{Batch, Operation, Output, Priority};

/// The sender of a batch's answer. It is consumed by the answer, so there is never a second one.
pub(super) type Reply = oneshot::Sender<Result<Vec<Output>, PoolError>>;

/// Whoever waits for a batch, and what was done for them so far.
pub(super) struct Ticket {
    /// Its place: batches are numbered as they come.
    pub(super) number: u64,
    pub(super) priority: Priority,
    pub(super) reply: Reply,
    pub(super) entered: Instant,
    pub(super) expires: Instant,
    /// Answers to the parts that were executed. Allocated by whoever asks, not by the worker: see [`Executed`](crate::hsm::Executed).
    done: Vec<Output>,
    /// What comes after the part that is next.
    rest: std::vec::IntoIter<Operation>,
    pub(super) trials: Trials,
    /// What it is done for, in logs and traces.
    pub(super) span: tracing::Span,
}

/// What a batch has met with.
#[derive(Default)]
pub(super) struct Trials {
    /// Failures that say something about the batch, or about all lanes.
    pub(super) failures: u32,
    /// When it failed first: sessions that are older may have gone the same way unnoticed, and do not count.
    pub(super) first: Option<Instant>,
    /// Lanes that failed at it: others first.
    pub(super) avoid: LaneSet,
    /// Lanes that have not got its keys: never there.
    pub(super) missing: LaneSet,
    /// It may be what a session panicked or hung at: it rides with nobody, so that it is found out.
    pub(super) alone: bool,
}

/// A part of a batch that one call can execute: the whole of most.
pub(super) struct Job {
    pub(super) ticket: Ticket,
    pub(super) batch: Batch,
}

impl Job {
    /// Cuts the first part off a batch.
    pub(super) fn new(priority: Priority, mut batch: Batch, reply: Reply, life: Life) -> Self {
        let first = batch.operations.len().min(OPERATIONS_PER_CALL);
        let done = Vec::with_capacity(batch.operations.len());
        let rest = batch.operations.split_off(first).into_iter();
        let ticket = Ticket {
            number: life.number,
            priority,
            reply,
            entered: life.entered,
            expires: life.expires,
            done,
            rest,
            trials: Trials::default(),
            span: tracing::Span::current(),
        };
        Job { ticket, batch }
    }

    /// Keeps what a part was answered with and cuts off the next.
    pub(super) fn proceed(mut self, outputs: impl IntoIterator<Item = Output>) -> Progress {
        let mut done = std::mem::take(&mut self.ticket.done);
        done.extend(outputs);
        let rest = &mut self.ticket.rest;
        if rest.len() == 0 {
            return Progress::Done(self, done);
        }
        self.batch.operations = rest.take(OPERATIONS_PER_CALL).collect();
        self.ticket.done = done;
        Progress::More(self)
    }

    /// Operations that are left; an empty batch costs a call as well.
    pub(super) fn weight(&self) -> usize {
        (self.batch.operations.len() + self.ticket.rest.len()).max(1)
    }
}

/// How far a batch is after a part of it was executed.
pub(super) enum Progress {
    /// All of it, with all outputs.
    Done(Job, Vec<Output>),
    /// There is another part.
    More(Job),
}

/// When a batch came, and how long it may stay.
pub(super) struct Life {
    pub(super) number: u64,
    pub(super) entered: Instant,
    pub(super) expires: Instant,
}
