//! One group in service: its machine, who waits for an answer of it, and who is pushed its epochs.

mod ask;
mod operate;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::count::{self, Population};
use super::event::{GroupView, MemberView, Reply};
use super::outbox::Outbox;
use crate::group::ids::{Epoch, GroupId, MemberId, Revision, Time};
use crate::group::machine::{Effect, GroupMachine, Input, JobId, Ticket};
use crate::group::operations::{Batch, Priority};
use crate::group::policy::GroupPolicy;
use crate::group::wire::{Grant, KeySet, PathDelivery, Refusal, RefusalCode, RemovalReason};
use crate::store::StoredGroup;

/// Who waits for the effect that answers a ticket.
enum Waiter {
    Join(Arc<Outbox>, Reply<Grant>),
    Path(Reply<PathDelivery>),
    Pull(Reply<KeySet>),
}

/// An effect that reaches beyond the group: the shard carries it out.
pub(super) enum Outward {
    Persist(Revision, Vec<u8>),
    Token(JobId, Priority, Batch),
    Destroyed,
}

/// Somebody who waits until these members are gone, and that is on record.
struct Departures {
    members: HashSet<MemberId>,
    reply: Reply<()>,
}

/// A group and those who deal with it.
pub(super) struct Served {
    machine: GroupMachine,
    listeners: HashMap<MemberId, Arc<Outbox>>,
    waiters: HashMap<Ticket, Waiter>,
    next_ticket: u64,
    departures: Vec<Departures>,
    creating: Option<Reply<GroupView>>,
    changing: Vec<(GroupPolicy, Reply<GroupView>)>,
    destroying: Vec<Reply<()>>,
    /// The timer that the shard has set for this group.
    pub(super) timer: Option<Time>,
    log: Log,
    population: Population,
}

/// How long the group's log has grown.
#[derive(Default)]
struct Log {
    /// Bytes of records since the last snapshot.
    records: usize,
    /// Bytes of the last snapshot.
    snapshot: usize,
}

/// A log shorter than this is not worth a snapshot.
const SNAPSHOT_FLOOR: usize = 64 * 1024;

impl Served {
    pub(super) fn new(machine: GroupMachine) -> Self {
        let mut population = Population::default();
        population.is(machine.state().roster().len());
        Self {
            population,
            machine,
            listeners: HashMap::new(),
            waiters: HashMap::new(),
            next_ticket: 0,
            departures: Vec::new(),
            creating: None,
            changing: Vec::new(),
            destroying: Vec::new(),
            timer: None,
            log: Log::default(),
        }
    }

    /// A group from the store. Its log counts as grown as it is, or restarts would let it grow without end.
    pub(super) fn restored(machine: GroupMachine, stored: &StoredGroup) -> Self {
        let log = Log {
            records: stored.records.iter().map(Vec::len).sum(),
            snapshot: stored.snapshot.as_ref().map_or(0, Vec::len),
        };
        Self {
            log,
            ..Self::new(machine)
        }
    }

    pub(super) fn id(&self) -> GroupId {
        self.machine.state().group()
    }

    pub(super) fn name(&self) -> &str {
        self.machine.state().name()
    }

    pub(super) fn handle(&mut self, now: Time, input: Input) {
        self.machine.handle(now, input);
    }

    pub(super) fn next_timeout(&self) -> Option<Time> {
        self.machine.next_timeout()
    }

    /// Carries out what concerns the group's own peers, and hands on the rest.
    pub(super) fn poll(&mut self, now: Time) -> Option<Outward> {
        while let Some(effect) = self.machine.poll() {
            match effect {
                Effect::Persist { expected, record } => {
                    self.log.records += record.len();
                    return Some(Outward::Persist(expected, record));
                }
                Effect::Token {
                    job,
                    priority,
                    batch,
                } => return Some(Outward::Token(job, priority, batch)),
                Effect::Deliver(rekey) => {
                    let group = self.id();
                    let mut conflated = 0;
                    for (&member, outbox) in &self.listeners {
                        conflated += u64::from(outbox.rekey((group, member), &rekey));
                    }
                    count::rekeyed(conflated);
                }
                Effect::Activate { epoch } => {
                    let group = self.id();
                    for (&member, outbox) in &self.listeners {
                        outbox.activate((group, member), epoch);
                    }
                    count::activated();
                }
                Effect::Granted {
                    ticket,
                    member,
                    grant,
                } => self.granted(now, ticket, member, grant),
                Effect::Path { ticket, path, .. } => self.path(now, ticket, path),
                Effect::Refused { ticket, refusal } => self.refused(ticket, refusal),
                Effect::Removed { member, reason } => self.removed(member, reason),
                Effect::Destroyed => {
                    self.destroyed();
                    return Some(Outward::Destroyed);
                }
            }
        }
        None
    }

    /// A record is durable: whoever waited for that is answered, and the log is cut where it has grown long.
    pub(super) fn stored(&mut self) -> Option<(Revision, Vec<u8>)> {
        self.population.is(self.machine.state().roster().len());
        if let Some(reply) = self.creating.take() {
            let _ = reply.send(Ok(self.view()));
        }
        self.answer_policy_changes();
        if self.log.records <= SNAPSHOT_FLOOR.max(self.log.snapshot) {
            return None;
        }
        let snapshot = self.machine.snapshot();
        self.log = Log {
            records: 0,
            snapshot: snapshot.len(),
        };
        Some((self.machine.state().revision(), snapshot))
    }

    /// Whoever asked for the policy that is now on record is told so. Nobody does on the way of a rekey.
    fn answer_policy_changes(&mut self) {
        if self.changing.is_empty() {
            return;
        }
        let view = self.view();
        let done = |(wanted, _): &mut (GroupPolicy, _)| *wanted == view.policy;
        for (_, reply) in self.changing.extract_if(.., done) {
            let _ = reply.send(Ok(view.clone()));
        }
    }

    /// The first record was not stored: there is no such group.
    pub(super) fn was_not_created(&mut self, refusal: &Refusal) -> bool {
        let creating = self.creating.take();
        let failed = creating.is_some();
        if let Some(reply) = creating {
            let _ = reply.send(Err(refusal.clone()));
        }
        failed
    }

    fn ticket(&mut self, waiter: Waiter) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.waiters.insert(ticket, waiter);
        ticket
    }

    fn view(&self) -> GroupView {
        GroupView {
            status: self.machine.status(),
            policy: self.machine.state().policy().clone(),
        }
    }

    fn granted(&mut self, now: Time, ticket: Ticket, member: MemberId, grant: Box<Grant>) {
        let Some(Waiter::Join(outbox, reply)) = self.waiters.remove(&ticket) else {
            return;
        };
        count::joined();
        let (leaf, delivered) = (
            grant.leaf.node.index,
            self.machine.status().epochs.delivered,
        );
        self.listen(member, leaf, delivered, &outbox);
        // Whoever does not wait any more has a registration all the same: it comes back, or is dropped as absent.
        if reply.send(Ok(*grant)).is_err() || outbox.is_closed() {
            self.detached(now, member, &outbox);
        }
    }

    fn path(&mut self, now: Time, ticket: Ticket, path: PathDelivery) {
        match self.waiters.remove(&ticket) {
            Some(Waiter::Path(reply)) => drop(reply.send(Ok(path))),
            Some(Waiter::Pull(reply)) => {
                let epochs = self.key_states(now);
                let _ = reply.send(Ok(KeySet { epochs, path }));
            }
            Some(Waiter::Join(..)) | None => {}
        }
    }

    fn refused(&mut self, ticket: Ticket, refusal: Refusal) {
        // Whoever does not wait any more needs no answer.
        match self.waiters.remove(&ticket) {
            Some(Waiter::Join(_, reply)) => drop(reply.send(Err(refusal))),
            Some(Waiter::Path(reply)) => drop(reply.send(Err(refusal))),
            Some(Waiter::Pull(reply)) => drop(reply.send(Err(refusal))),
            None => {}
        }
    }

    fn removed(&mut self, member: MemberId, reason: RemovalReason) {
        count::removed();
        let registration = (self.id(), member);
        if let Some(outbox) = self.listeners.remove(&member) {
            match reason {
                // It asked for it and is answered.
                RemovalReason::Left => outbox.detach(registration),
                _ => outbox.remove(registration, reason),
            }
        }
        for waiting in &mut self.departures {
            waiting.members.remove(&member);
        }
        for done in self
            .departures
            .extract_if(.., |waiting| waiting.members.is_empty())
        {
            let _ = done.reply.send(Ok(()));
        }
    }

    fn destroyed(&mut self) {
        let group = self.id();
        for (member, outbox) in self.listeners.drain() {
            outbox.remove((group, member), RemovalReason::Destroyed);
        }
        let tickets: Vec<Ticket> = self.waiters.keys().copied().collect();
        for ticket in tickets {
            self.refused(ticket, Refusal::new(RefusalCode::Destroyed));
        }
        let departures = self.departures.drain(..).map(|waiting| waiting.reply);
        for reply in departures.chain(self.destroying.drain(..)) {
            let _ = reply.send(Ok(()));
        }
    }

    /// From now on this connection is pushed the member's epochs, and no other one.
    fn listen(&mut self, member: MemberId, leaf: u32, held: Epoch, outbox: &Arc<Outbox>) {
        let registration = (self.id(), member);
        let before = self.listeners.insert(member, outbox.clone());
        if let Some(before) = before.filter(|before| !Arc::ptr_eq(before, outbox)) {
            before.detach(registration);
        }
        outbox.attach(registration, leaf, held);
    }

    /// A connection is over. A member that has come back on another one meanwhile is not concerned.
    pub(super) fn detached(&mut self, now: Time, member: MemberId, outbox: &Arc<Outbox>) {
        let current = self.listeners.get(&member);
        if current.is_some_and(|current| Arc::ptr_eq(current, outbox)) {
            self.listeners.remove(&member);
            outbox.detach((self.id(), member));
            self.handle(now, Input::Absent { member });
        }
    }

    /// A page of members, by number.
    fn members(&self, after: Option<MemberId>, limit: usize) -> Vec<MemberView> {
        let members = self.machine.members();
        let later = members.filter(|(member, _)| after.is_none_or(|after| *member > after));
        later
            .take(limit)
            .map(|(member, registration)| MemberView::of(member, registration))
            .collect()
    }
}
