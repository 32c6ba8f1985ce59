//! What members ask of a group.

use std::collections::HashSet;
use std::sync::Arc;

use super::listeners::Listener;
use super::waiters::Waiter;
use super::{Departures, Served};
use crate::audit::Event;
use crate::crypto;
use crate::engine::channel::{Newcomer, Opening};
use crate::engine::count;
use crate::engine::event::{Ask, Asker, Joining, Known, Reply};
use crate::engine::outbox::Outbox;
use crate::group::ids::{Epoch, Identity, MemberId, Role, Suite, Time};
use crate::group::limits::{BUSY_RETRY_MS, FROZEN_RETRY_MS, OUTAGE_RETRY_MS, SOURCE_RETRY_MS};
use crate::group::machine::{Claim, Input, Ticket};
use crate::group::request::RequestId;
use crate::group::wire::{
    ChannelOpened, Grant, KeyState, MulticastOffer, Offer, OpenChannel, PathDelivery, Pull,
    Refusal, RefusalCode, Response, Resume, StatusReport, spi,
};
use crate::policy::{Decider, Decision, Refused};

/// A member that listens to a multicast reports so often before it would be removed as silent.
const REPORTS_BEFORE_SILENCE: u32 = 4;

/// Somebody who was admitted, and waits to be registered and granted his keys.
pub(super) struct Joiner {
    identity: Arc<Identity>,
    role: Role,
    /// The rule that admitted him.
    pub(super) rule: String,
    pub(super) outbox: Arc<Outbox>,
    pub(super) opening: Option<Opening>,
    pub(super) reply: Reply<Grant>,
}

impl Served {
    /// A member's request; its identity comes from its certificate.
    pub(in crate::engine) fn ask(&mut self, now: Time, asker: &Asker, ask: Ask) {
        let Asker { identity, request } = asker;
        match ask {
            Ask::Join(joining, reply) => self.join(now, asker, *joining, reply),
            Ask::Resume(resume, outbox, reply) => self.resume(now, asker, &resume, &outbox, reply),
            Ask::Leave(leave, reply) => {
                let member = leave.member;
                if let Err(refusal) = self.owned(identity, member) {
                    let _ = reply.send(Err(refusal));
                    return;
                }
                self.asked.departures.push(Departures {
                    members: HashSet::from([member]),
                    reply,
                });
                self.shown.spans.asked(request.as_ref());
                self.handle(now, Input::Leave { member });
            }
            Ask::Pull(pull, reply) => self.pull(now, asker, pull, reply),
            Ask::Acknowledge(member, epoch, reply) => {
                let owned = self.owned(identity, member);
                if owned.is_ok() {
                    self.acknowledged(now, member, epoch);
                }
                let _ = reply.send(owned);
            }
            Ask::OpenChannel(open, outbox, opening, reply) => {
                let _ = reply.send(self.asked_for_channel(now, identity, &open, &outbox, opening));
            }
            Ask::Park(member, outbox, reply) => {
                let _ = reply.send(self.park(identity, member, &outbox));
            }
            Ask::Status(reply) => {
                let _ = reply.send(self.report(identity));
            }
        }
    }

    /// A member holds an epoch.
    pub(in crate::engine) fn acknowledged(&mut self, now: Time, member: MemberId, epoch: Epoch) {
        match self.listeners.get(member) {
            Some(Listener {
                channel: Some(channel),
                ..
            }) => drop(channel.learn(epoch)),
            Some(Listener {
                outbox: Some(outbox),
                ..
            }) => outbox.held((self.id(), member), epoch),
            _ => {}
        }
        count::acknowledged(1);
        self.handle(now, Input::Acks(vec![(member, epoch)]));
        let course = &mut self.shown.course;
        course.acknowledged(now, || self.machine.current());
    }

    /// Members hold epochs, as their channels know already.
    pub(in crate::engine) fn all_acknowledged(&mut self, now: Time, all: Vec<(MemberId, Epoch)>) {
        count::acknowledged(all.len() as u64);
        self.handle(now, Input::Acks(all));
        let course = &mut self.shown.course;
        course.acknowledged(now, || self.machine.current());
    }

    /// The delivery of this registration needs a path.
    pub(in crate::engine) fn path_for(
        &mut self,
        now: Time,
        member: MemberId,
        reply: Reply<PathDelivery>,
    ) {
        let ticket = self.ticket(None, Waiter::Path(reply));
        self.catch_up(now, member, None, ticket);
    }

    fn catch_up(&mut self, now: Time, member: MemberId, claim: Option<Claim>, ticket: Ticket) {
        let input = Input::CatchUp {
            ticket,
            member,
            claim,
        };
        self.handle(now, input);
    }

    fn pull(&mut self, now: Time, asker: &Asker, pull: Pull, reply: Reply<Response>) {
        let known = self.owned(&asker.identity, pull.member);
        match known.and_then(|()| self.check_offer(pull.offer.as_ref())) {
            // Leaf keys after a rollover are asked for at a pace of their own.
            Ok(())
                if self.machine.leaf_key(pull.member) == pull.leaf && !self.repairs.take(now) =>
            {
                count::repair_refused();
                let later = Refusal::retry(RefusalCode::Busy, BUSY_RETRY_MS);
                let _ = reply.send(Err(later));
            }
            Ok(()) => {
                count::repair_asked();
                let claim = Claim {
                    leaf: pull.leaf,
                    offer: pull.offer,
                };
                let ticket = self.ticket(asker.request.clone(), Waiter::Pull(reply));
                self.catch_up(now, pull.member, Some(claim), ticket);
            }
            Err(refusal) => drop(reply.send(Err(refusal))),
        }
    }

    /// Refuses keys that are none, before anything is planned for them: what the token finds out has cost an epoch by
    /// then.
    fn check_offer(&self, offer: Option<&Offer>) -> Result<(), Refusal> {
        let keys = |suite| offer.and_then(|offer| offer.key(suite));
        let good = |&suite: &Suite| keys(suite).is_none_or(|key| crypto::is_member_key(suite, key));
        match Suite::ALL.iter().all(good) {
            true => Ok(()),
            false => Err(Refusal::new(RefusalCode::BadPublicKey)),
        }
    }

    fn join(&mut self, now: Time, asker: &Asker, joining: Joining, reply: Reply<Grant>) {
        let Asker { identity, request } = asker;
        let Joining {
            join,
            known,
            decider,
            outbox,
            opening,
        } = joining;
        if join.offer.key(self.machine.coming_suite()).is_none() {
            let _ = reply.send(Err(Refusal::new(RefusalCode::UnsupportedSuite)));
            return;
        }
        if outbox
            .registrations()
            .iter()
            .any(|(group, _)| *group == self.id())
        {
            // Pushes name the group: two registrations of it could not be told apart on one connection.
            let _ = reply.send(Err(Refusal::new(RefusalCode::AlreadyMember)));
            return;
        }
        if let Err(refusal) = self.check_offer(Some(&join.offer)) {
            let _ = reply.send(Err(refusal));
            return;
        }
        let rule = match self.decided(&decider, known, join.role) {
            Ok(rule) => rule,
            Err((why, refusal)) => {
                return self.not_admitted(asker, join.role, (why, refusal), reply);
            }
        };
        if let Some((why, refusal)) = self.shut() {
            return self.not_admitted(asker, join.role, (why, refusal), reply);
        }
        if let Err(refusal) = self.trail.admits() {
            let _ = reply.send(Err(refusal));
            return;
        }
        let joiner = Joiner {
            identity: identity.clone(),
            role: join.role,
            rule,
            outbox,
            opening,
            reply,
        };
        let ticket = self.ticket(request.clone(), Waiter::Join(joiner));
        let input = Input::Join {
            ticket,
            identity: (**identity).clone(),
            role: join.role,
            offer: join.offer,
        };
        self.handle(now, input);
    }

    /// Why nobody is admitted now, whoever it is, if that is so.
    fn shut(&self) -> Option<(String, Refusal)> {
        if let Some(why) = self.frozen() {
            return Some((why, Refusal::retry(RefusalCode::Frozen, FROZEN_RETRY_MS)));
        }
        let why = self.trail.outage(self.machine.state().policy().outage_s)?;
        Some((why, Refusal::retry(RefusalCode::Outage, OUTAGE_RETRY_MS)))
    }

    /// Why the group admits nobody, if it is frozen.
    fn frozen(&self) -> Option<String> {
        let why = self.machine.frozen()?;
        Some(format!("the group is frozen: {why}"))
    }

    /// Somebody who was admitted is not registered. If the group was frozen while he waited, that is put on record as it is for
    /// whoever comes later.
    pub(super) fn turned_away(&self, request: Option<RequestId>, joiner: Joiner, refusal: Refusal) {
        let Joiner {
            identity,
            role,
            reply,
            ..
        } = joiner;
        match self.frozen() {
            Some(why) if refusal.code == RefusalCode::Frozen => {
                let asker = Asker { identity, request };
                self.not_admitted(&asker, role, (why, refusal), reply);
            }
            _ => drop(reply.send(Err(refusal))),
        }
    }

    /// By which rule somebody is admitted, or why he is not. Never asked for who is a member.
    fn decided(
        &self,
        decider: &Decider,
        known: Known,
        role: Role,
    ) -> Result<String, (String, Refusal)> {
        let never = || Refusal::new(RefusalCode::NotAdmitted);
        let known = known.map_err(|unknown| {
            let refusal = match unknown.passes() {
                // What is down comes back: nobody is to take it for the last word.
                true => Refusal::retry(RefusalCode::Busy, SOURCE_RETRY_MS),
                false => never(),
            };
            (unknown.to_string(), refusal)
        })?;
        let policy = self.machine.state().policy();
        match decider.decide(self.name(), policy, &known, role) {
            Decision::Admitted { rule } => Ok(rule),
            // So do rules, with another document or by the operator's hand.
            Decision::Refused {
                why: why @ Refused::Lost(_),
            } => Err((
                why.to_string(),
                Refusal::retry(RefusalCode::Busy, SOURCE_RETRY_MS),
            )),
            Decision::Refused { why } => Err((why.to_string(), never())),
        }
    }

    /// Somebody is told that he is not admitted once it is on record why.
    fn not_admitted(
        &self,
        asker: &Asker,
        role: Role,
        (why, refusal): (String, Refusal),
        reply: Reply<Grant>,
    ) {
        let identity = &asker.identity;
        tracing::info!(group = %self.name(), %identity, %why, "join refused");
        let event = Event::Refused {
            identity: (**identity).clone(),
            role,
            why,
            times: 1,
        };
        self.trail.refused(asker, event, || {
            let _ = reply.send(Err(refusal));
        });
    }

    fn resume(
        &mut self,
        now: Time,
        asker: &Asker,
        resume: &Resume,
        outbox: &Arc<Outbox>,
        reply: Reply<Response>,
    ) {
        let Asker { identity, request } = asker;
        let member = resume.member;
        let known = self.owned(identity, member);
        let known = known.and_then(|()| self.check_offer(resume.offer.as_ref()));
        let held = self.machine.leaf_key(member).filter(|_| known.is_ok());
        let helped = held.filter(|held| *held == resume.leaf || resume.offer.is_some());
        let known = known.and(helped.ok_or(Refusal::new(RefusalCode::UnknownMember)));
        let leaf = match known {
            Ok(leaf) => leaf.node.index,
            Err(refusal) => {
                let _ = reply.send(Err(refusal));
                return;
            }
        };
        // What it says that it holds is not taken for acknowledged: it is sent a path, and acknowledges that.
        self.listen(member, leaf, Epoch(0), outbox);
        self.handle(now, Input::Present { member });
        if outbox.is_closed() {
            self.detached(now, member, outbox);
        }
        let claim = Claim {
            leaf: Some(resume.leaf),
            offer: resume.offer.clone(),
        };
        let ticket = self.ticket(request.clone(), Waiter::Resume(reply));
        self.catch_up(now, member, Some(claim), ticket);
    }

    /// Whether the registration is this identity's. Whose else it is, is not told.
    pub(super) fn owned(&self, identity: &Identity, member: MemberId) -> Result<(), Refusal> {
        match self.machine.member(member) {
            Some(registration) if *registration.identity == *identity => Ok(()),
            _ => Err(Refusal::new(RefusalCode::UnknownMember)),
        }
    }

    /// Answers who asks for a channel for a registration that this connection serves, and may tell besides what it holds.
    fn asked_for_channel(
        &mut self,
        now: Time,
        identity: &Identity,
        open: &OpenChannel,
        outbox: &Arc<Outbox>,
        opening: Opening,
    ) -> Result<ChannelOpened, Refusal> {
        let member = open.member;
        self.owned(identity, member)?;
        if let Some(epoch) = open.epoch {
            self.acknowledged(now, member, epoch);
        }
        let listener = self.listeners.get(member);
        if !listener.is_some_and(|listener| listener.is_on(outbox)) {
            return Err(Refusal::new(RefusalCode::UnknownMember));
        }
        let opened = self.open_channel(member, outbox, Epoch(0), opening);
        opened.ok_or_else(|| Refusal::new(RefusalCode::NoChannel))
    }

    /// Opens a channel, in the place of the one before, for a registration that this connection serves; none when that cannot be
    /// had. With the epoch that the member is granted at the same time, and holds when it answers.
    pub(super) fn open_channel(
        &mut self,
        member: MemberId,
        outbox: &Arc<Outbox>,
        granted: Epoch,
        opening: Opening,
    ) -> Option<ChannelOpened> {
        let known = self.machine.member(member)?;
        let (leaf, held) = (known.leaf, known.acknowledged);
        let Listener { sends, channel, .. } = self.listeners.get(member)?;
        let (sends, before) = (*sends, channel.clone());
        if let Some(before) = before {
            self.fan.close(&before);
        }
        let newcomer = Newcomer {
            registration: (self.id(), member),
            leaf,
            sends,
            outbox: outbox.clone(),
            held,
            granted,
        };
        let channel = self.fan.open(newcomer, opening);
        self.listeners.channel(member, channel.clone());
        Some(ChannelOpened {
            channel: channel?.number().0,
            multicast: self.multicast_offer(),
        })
    }

    /// Where members can listen besides. They report well before the policy takes them for silent.
    fn multicast_offer(&self) -> Option<MulticastOffer> {
        let (address, times) = self.fan.multicast()?;
        let silence_ms = self
            .machine
            .state()
            .policy()
            .silence_s
            .saturating_mul(1_000);
        Some(MulticastOffer {
            address,
            heartbeat_ms: times.heartbeat_ms,
            report_ms: times.report_ms.min(silence_ms / REPORTS_BEFORE_SILENCE),
            settle_ms: times.settle_ms,
        })
    }

    fn report(&self, identity: &Identity) -> Result<StatusReport, Refusal> {
        if self.machine.state().roster().of(identity).is_empty() {
            return Err(Refusal::new(RefusalCode::UnknownMember));
        }
        let status = self.machine.status();
        Ok(StatusReport {
            epoch: status.epochs.delivered,
            active: status.epochs.active,
            members: status.assurance.members.into(),
            acknowledged: status.assurance.acknowledged.into(),
        })
    }

    /// The epochs in use, for a member that asks for its keys: the active one, then the one that comes.
    pub(super) fn key_states(&self, now: Time) -> Vec<KeyState> {
        let status = self.machine.status();
        let epochs = status.epochs;
        let until = |time: Time| time.0.saturating_sub(now.0);
        let state = |epoch: Epoch, suite: Suite| KeyState {
            epoch,
            spi: spi(&status.group, epoch),
            suite,
            activates_in_ms: match epoch == epochs.active {
                true => 0,
                false => epochs.activates.map_or(0, until),
            },
            lifetime_s: epochs.rotates.map(|time| until(time) / 1_000),
            active: epoch == epochs.active,
        };
        let mut states = vec![state(epochs.active, epochs.active_suite)];
        if epochs.delivered != epochs.active {
            states.push(state(epochs.delivered, epochs.delivered_suite));
        }
        states
    }
}
