//! Who waits for the effect that answers a ticket: members that are to be granted keys, and those that are to be shown a path.

use std::collections::HashMap;

use super::Served;
use super::ask::Joiner;
use crate::engine::event::Reply;
use crate::engine::trail::{Grantee, Granting};
use crate::group::ids::{MemberId, Revision, Time};
use crate::group::machine::{JobId, Ticket};
use crate::group::operations::Batch;
use crate::group::request::{RequestId, Requests};
use crate::group::wire::{Grant, KeySet, PathDelivery, Refusal, Response};

/// Who waits for one effect.
pub(super) enum Waiter {
    Join(Joiner),
    Path(Reply<PathDelivery>),
    Resume(Reply<Response>),
    Pull(Reply<Response>),
}

/// All who wait, and what their requests are called.
#[derive(Default)]
pub(super) struct Waiters {
    waiting: HashMap<Ticket, (Option<RequestId>, Waiter)>,
    next: u64,
}

impl Waiters {
    fn add(&mut self, request: Option<RequestId>, waiter: Waiter) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.waiting.insert(ticket, (request, waiter));
        ticket
    }

    fn request(&self, ticket: Ticket) -> Option<&RequestId> {
        self.waiting.get(&ticket)?.0.as_ref()
    }

    pub(super) fn tickets(&self) -> Vec<Ticket> {
        self.waiting.keys().copied().collect()
    }
}

impl Served {
    pub(super) fn ticket(&mut self, request: Option<RequestId>, waiter: Waiter) -> Ticket {
        self.waiters.add(request, waiter)
    }

    /// The record that is under way is about to be stored, for whoever joins with it.
    pub(super) fn planned(&mut self, at: Revision) {
        let group = self.machine.state().group();
        let waiters = &self.waiters;
        let joining = self
            .machine
            .joining()
            .map(|tickets| tickets.filter_map(move |ticket| waiters.request(ticket)));
        self.shown.spans.planned(group, at, joining);
    }

    /// What a token is asked, with the requests that it is asked for: of those who wait for keys, or of those that led to the epoch.
    pub(super) fn named(&self, job: JobId, batch: Batch) -> Batch {
        let mut requests = Requests::default();
        match self.machine.tickets(job) {
            Some(tickets) => tickets
                .filter_map(|ticket| self.waiters.request(ticket))
                .for_each(|request| requests.add(request)),
            None => requests.clone_from(self.shown.spans.requests()),
        }
        Batch { requests, ..batch }
    }

    /// The token has wrapped a leaf key for its member, who is handed it once that is on record.
    pub(super) fn granted(
        &mut self,
        now: Time,
        ticket: Ticket,
        member: MemberId,
        mut grant: Box<Grant>,
    ) -> Option<Granting> {
        let (request, waiter) = self.waiters.waiting.remove(&ticket)?;
        // One that has gone meanwhile is not answered with keys, and asks again.
        let identity = (*self.machine.member(member)?.identity).clone();
        let epoch = self.machine.status().epochs.delivered;
        let granting = |grant, to| Granting {
            member,
            identity,
            request,
            epoch,
            grant,
            to,
        };
        let joiner = match waiter {
            Waiter::Join(joiner) => joiner,
            // Whoever does not wait any more asks again.
            Waiter::Resume(reply) | Waiter::Pull(reply) => {
                return Some(granting(grant, Grantee::Member(reply)));
            }
            Waiter::Path(_) => return None,
        };
        let Joiner {
            rule,
            outbox,
            opening,
            reply,
            ..
        } = joiner;
        self.shown.counted.joined();
        self.listen(member, grant.leaf.node.index, epoch, &outbox);
        // Whoever does not wait any more has a registration all the same: it comes back, or is dropped as absent.
        if reply.is_closed() || outbox.is_closed() {
            self.detached(now, member, &outbox);
        } else if let Some(opening) = opening {
            // With what it listens to, so that no epoch that follows goes by stream; and it ends with that, also where the grant
            // cannot be put on record.
            grant.channel = self.open_channel(member, &outbox, epoch, opening);
        }
        Some(granting(grant, Grantee::Joiner(outbox, rule, reply)))
    }

    pub(super) fn path(&mut self, now: Time, ticket: Ticket, path: PathDelivery) {
        let waiter = self.waiters.waiting.remove(&ticket);
        match waiter.map(|(_, waiter)| waiter) {
            Some(Waiter::Path(reply)) => drop(reply.send(Ok(path))),
            Some(Waiter::Resume(reply)) => drop(reply.send(Ok(Response::Path(path)))),
            Some(Waiter::Pull(reply)) => {
                let epochs = self.key_states(now);
                let _ = reply.send(Ok(Response::KeySet(KeySet { epochs, path })));
            }
            Some(Waiter::Join(..)) | None => {}
        }
    }

    pub(super) fn refused(&mut self, ticket: Ticket, refusal: Refusal) {
        // Whoever does not wait any more needs no answer.
        let Some((request, waiter)) = self.waiters.waiting.remove(&ticket) else {
            return;
        };
        match waiter {
            Waiter::Join(joiner) => self.turned_away(request, joiner, refusal),
            Waiter::Path(reply) => drop(reply.send(Err(refusal))),
            Waiter::Resume(reply) | Waiter::Pull(reply) => drop(reply.send(Err(refusal))),
        }
    }
}
