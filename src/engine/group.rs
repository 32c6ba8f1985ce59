//! One group in service: its machine, who waits for an answer of it, and who is pushed its epochs.

mod ask;
mod counted;
mod course;
mod fan;
mod listeners;
mod operate;
mod pace;
mod park;
mod shown;
mod spans;
mod trace;
mod waiters;

use std::collections::HashSet;
use std::sync::Arc;

use super::channels::Channels;
use super::count;
use super::event::{GroupView, Reply};
use super::outbox::Outbox;
use super::trail::{Granting, GroupTrail, Trail};
use crate::group::ids::{Epoch, GroupId, MemberId, Revision, Suite, Time};
use crate::group::machine::{Effect, GroupMachine, Input, JobId, Rekey};
use crate::group::operations::{Batch, Operation, Output, Priority};
use crate::group::policy::GroupPolicy;
use crate::group::request::Requests;
use crate::group::wire::{Refusal, RefusalCode, RemovalReason};
use crate::hsm::PoolError;
use crate::store::StoredGroup;
pub(super) use counted::Seen;
use fan::Fan;
use listeners::{Listener, Listeners};
use pace::Pace;
use shown::Shown;
use waiters::Waiters;

/// An effect that reaches beyond the group: the shard carries it out.
pub(super) enum Outward {
    Persist(Revision, Vec<u8>),
    Token(JobId, Priority, Batch),
    /// Ask the token for the push key of an epoch.
    PushKey(Epoch, Batch),
    /// Hand keys to a member once that is on record.
    Grant(Granting),
    Destroyed,
}

/// Somebody who waits until these members are gone, and that is on record.
struct Departures {
    members: HashSet<MemberId>,
    reply: Reply<()>,
}

/// Operators and members that wait until what they asked for is on record.
#[derive(Default)]
struct Asked {
    departures: Vec<Departures>,
    creating: Option<Reply<GroupView>>,
    changing: Vec<(GroupPolicy, Reply<GroupView>)>,
    /// With how many rollovers there had been.
    rolling: Vec<(u64, Reply<()>)>,
    /// Whether the group is to be frozen, or thawed.
    freezing: Vec<(bool, Reply<GroupView>)>,
    destroying: Vec<Reply<()>>,
}

/// A group and those who deal with it.
pub(super) struct Served {
    machine: GroupMachine,
    listeners: Listeners,
    fan: Fan,
    trail: GroupTrail,
    repairs: Pace,
    waiters: Waiters,
    asked: Asked,
    /// The timer that the shard has set for this group.
    pub(super) timer: Option<Time>,
    log: Log,
    shown: Shown,
}

/// How long the group's log has grown.
#[derive(Default)]
struct Log {
    /// Bytes of records since the last snapshot.
    records: usize,
    /// Bytes of the last snapshot.
    snapshot: usize,
}

/// So many senders are told one by one that they switch.
const FEW_SENDERS: usize = 64;
/// A log shorter than this is not worth a snapshot.
const SNAPSHOT_FLOOR: usize = 64 * 1024;

impl Served {
    pub(super) fn new(machine: GroupMachine, (channels, trail): (&Arc<Channels>, &Trail)) -> Self {
        let mut fan = Fan::new(channels.clone(), machine.status().epochs.delivered);
        fan.multicasts(machine.state().group(), machine.state().policy().multicast);
        Self {
            fan,
            trail: trail.of(machine.state().group(), machine.state().name()),
            machine,
            listeners: Listeners::default(),
            repairs: Pace::default(),
            waiters: Waiters::default(),
            asked: Asked::default(),
            timer: None,
            log: Log::default(),
            shown: Shown::default(),
        }
    }

    /// A group from the store. Its log counts as grown as it is, or restarts would let it grow without end.
    pub(super) fn restored(
        machine: GroupMachine,
        stored: &StoredGroup,
        reach: (&Arc<Channels>, &Trail),
    ) -> Self {
        let log = Log {
            records: stored.records.iter().map(Vec::len).sum(),
            snapshot: stored.snapshot.as_ref().map_or(0, Vec::len),
        };
        Self {
            log,
            ..Self::new(machine, reach)
        }
    }

    pub(super) fn id(&self) -> GroupId {
        self.machine.state().group()
    }

    /// Where what happens to it is put on record.
    pub(super) fn trail(&self) -> &GroupTrail {
        &self.trail
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
                    self.planned(expected);
                    return Some(Outward::Persist(expected, record));
                }
                Effect::Token {
                    job,
                    priority,
                    batch,
                } => return Some(Outward::Token(job, priority, self.named(job, batch))),
                Effect::Deliver(rekey) => self.deliver(now, &rekey),
                Effect::Activate { epoch } => self.activate(now, epoch),
                Effect::Granted {
                    ticket,
                    member,
                    grant,
                } => {
                    if let Some(granting) = self.granted(now, ticket, member, grant) {
                        return Some(Outward::Grant(granting));
                    }
                }
                Effect::Path { ticket, path, .. } => self.path(now, ticket, path),
                Effect::Refused { ticket, refusal } => self.refused(ticket, refusal),
                Effect::Removed { member, reason } => self.removed(member, reason),
                Effect::RolloverRefused(why) => {
                    let refusal = Refusal::because(RefusalCode::UnsupportedSuite, why.to_string());
                    for (_, reply) in self.asked.rolling.drain(..) {
                        let _ = reply.send(Err(refusal.clone()));
                    }
                }
                Effect::Destroyed => {
                    self.destroyed();
                    return Some(Outward::Destroyed);
                }
            }
        }
        self.push_key_wanted()
    }

    /// Whoever has a channel is seen to by whoever sends datagrams; the others get it by stream.
    fn deliver(&mut self, now: Time, rekey: &Arc<Rekey>) {
        let push = self.shown.spans.push(rekey.epoch).entered();
        let group = self.id();
        let sealed = self.fan.rekey(rekey);
        let streamed = self.listeners.streamed();
        let replaced = streamed.map(|(member, to)| to.rekey((group, member), rekey));
        let conflated = replaced.map(u64::from).sum();
        if !sealed {
            let channels = self.listeners.iter();
            channels
                .filter_map(|(_, listener)| listener.channel.as_ref())
                .for_each(|channel| channel.by_stream(rekey));
        }
        let roster = self.machine.state().roster();
        let present = roster.present_count();
        let lacking = present - roster.acknowledged_present(rekey.previous);
        let course = &mut self.shown.course;
        course.delivered(now, rekey.why, present, lacking);
        self.shown.counted.rekeyed();
        count::conflated(conflated);
        drop(push);
        self.shown.spans.pushed(rekey.epoch);
    }

    /// Tells those who may send to switch: few of them by stream, which loses nothing, many by datagram.
    fn activate(&mut self, now: Time, epoch: Epoch) {
        let senders = self.listeners.senders();
        let channels = senders.filter(|(_, sender)| sender.channel.is_some());
        let many = channels.take(FEW_SENDERS + 1).count() > FEW_SENDERS;
        let by_datagram = many && self.fan.activate(self.id(), epoch);
        self.activate_by_stream(epoch, by_datagram);
        self.shown.course.activated(now);
        self.shown.spans.activated(epoch);
    }

    /// Tells all who may send, or only those of them who have no channel.
    fn activate_by_stream(&self, epoch: Epoch, without_channel: bool) {
        let group = self.id();
        for (member, listener) in self.listeners.senders() {
            if !without_channel || listener.channel.is_none() {
                listener.activate((group, member), epoch);
            }
        }
    }

    /// The key that seals what follows the newest epoch, asked for ahead of time.
    fn push_key_wanted(&mut self) -> Option<Outward> {
        let state = self.machine.state();
        let header = state.header();
        if header.suite != Suite::One {
            return None; // no header of another suite fits into a datagram
        }
        // While a newer epoch is on its way, that one's key is waited for.
        let epoch = self.fan.wants_key(header.epoch)?;
        let batch = Batch {
            suite: state.suite(),
            group: state.group(),
            master: state.master(),
            nonce: state.nonce(),
            operations: vec![Operation::PushKey { root: header.root }],
            requests: Requests::default(),
        };
        Some(Outward::PushKey(epoch, batch))
    }

    /// The token told the push key of an epoch, or could not: then what follows it goes by streams.
    pub(super) fn push_key(&mut self, epoch: Epoch, answer: Result<Vec<Output>, PoolError>) {
        match answer.as_deref() {
            Ok([Output::PushKey(key)]) => return self.fan.key(self.id(), epoch, key),
            Ok(_) => tracing::warn!(group = %self.id(), "the token's answer is no push key"),
            Err(error) => tracing::debug!(group = %self.id(), %error, "no push key"),
        }
        if self.fan.no_key(epoch) {
            self.activate_by_stream(epoch, false);
        }
    }

    /// A record is durable: whoever waited for that is answered, and the log is cut where it has grown long.
    pub(super) fn stored(&mut self) -> Option<(Revision, Vec<u8>)> {
        let to = self.machine.state().policy().multicast;
        self.fan.multicasts(self.id(), to);
        if let Some(reply) = self.asked.creating.take() {
            let _ = reply.send(Ok(self.view()));
        }
        self.answer_policy_changes();
        self.answer_freezes();
        let rollovers = self.machine.state().rollovers();
        let rolled = |(before, _): &mut (u64, _)| *before < rollovers;
        for (_, reply) in self.asked.rolling.extract_if(.., rolled) {
            let _ = reply.send(Ok(()));
        }
        let short = self.log.records <= SNAPSHOT_FLOOR.max(self.log.snapshot);
        if short || !self.trail.trail().is_current() {
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
        if self.asked.changing.is_empty() {
            return;
        }
        let view = self.view();
        let done = |(wanted, _): &mut (GroupPolicy, _)| *wanted == view.policy;
        for (_, reply) in self.asked.changing.extract_if(.., done) {
            let _ = reply.send(Ok(view.clone()));
        }
    }

    /// The first record was not stored: there is no such group.
    pub(super) fn was_not_created(&mut self, refusal: &Refusal) -> bool {
        let creating = self.asked.creating.take();
        let failed = creating.is_some();
        if let Some(reply) = creating {
            let _ = reply.send(Err(refusal.clone()));
        }
        failed
    }

    fn view(&self) -> GroupView {
        GroupView {
            status: self.machine.status(),
            policy: self.machine.state().policy().clone(),
        }
    }

    fn removed(&mut self, member: MemberId, reason: RemovalReason) {
        count::removed(reason);
        let registration = (self.id(), member);
        if let Some(listener) = self.listeners.remove(member) {
            self.close(&listener);
            match (reason, listener.outbox) {
                // It asked for it and is answered.
                (RemovalReason::Left, Some(outbox)) => outbox.detach(registration),
                (_, Some(outbox)) => outbox.remove(registration, reason),
                // It is not answered any more, comes back, and is told then.
                (_, None) => {}
            }
        }
        for waiting in &mut self.asked.departures {
            waiting.members.remove(&member);
        }
        for done in self
            .asked
            .departures
            .extract_if(.., |waiting| waiting.members.is_empty())
        {
            let _ = done.reply.send(Ok(()));
        }
    }

    fn destroyed(&mut self) {
        let group = self.id();
        let listeners = std::mem::take(&mut self.listeners);
        for (member, listener) in listeners.iter() {
            self.close(listener);
            if let Some(outbox) = &listener.outbox {
                outbox.remove((group, member), RemovalReason::Destroyed);
            }
        }
        for ticket in self.waiters.tickets() {
            self.refused(ticket, Refusal::new(RefusalCode::Destroyed));
        }
        let departures = self.asked.departures.drain(..).map(|waiting| waiting.reply);
        for (_, reply) in self.asked.rolling.drain(..) {
            let _ = reply.send(Err(Refusal::new(RefusalCode::Destroyed)));
        }
        for (_, reply) in self.asked.freezing.drain(..) {
            let _ = reply.send(Err(Refusal::new(RefusalCode::Destroyed)));
        }
        for reply in departures.chain(self.asked.destroying.drain(..)) {
            let _ = reply.send(Ok(()));
        }
    }

    /// From now on this connection is pushed the member's epochs, and no other one.
    fn listen(&mut self, member: MemberId, leaf: u32, held: Epoch, outbox: &Arc<Outbox>) {
        let registration = (self.id(), member);
        let known = self.machine.member(member);
        let listener = Listener {
            outbox: Some(outbox.clone()),
            channel: None,
            sends: known.is_some_and(|known| known.role.sends()),
        };
        if let Some(before) = self.listeners.insert(member, listener) {
            self.close(&before);
            if let Some(old) = before.outbox
                && !Arc::ptr_eq(&old, outbox)
            {
                old.detach(registration);
            }
        }
        outbox.attach(registration, leaf, held);
    }

    fn close(&mut self, listener: &Listener) {
        if let Some(channel) = &listener.channel {
            self.fan.close(channel);
        }
    }

    /// A connection is over. A member that has come back on another one meanwhile is not concerned.
    pub(super) fn detached(&mut self, now: Time, member: MemberId, outbox: &Arc<Outbox>) {
        let current = self.listeners.get(member);
        if current.is_some_and(|current| current.is_on(outbox)) {
            outbox.detach((self.id(), member));
            self.absent(now, member);
        }
    }

    fn absent(&mut self, now: Time, member: MemberId) {
        if let Some(listener) = self.listeners.remove(member) {
            self.close(&listener);
        }
        self.handle(now, Input::Absent { member });
    }
}
