//! What members ask of a group.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Departures, Served, Waiter};
use crate::crypto;
use crate::engine::count;
use crate::engine::event::{Ask, Reply};
use crate::engine::outbox::Outbox;
use crate::group::ids::{Epoch, Identity, MemberId, Suite, Time};
use crate::group::machine::Input;
use crate::group::wire::{
    Grant, Join, KeyState, PathDelivery, Refusal, RefusalCode, Resume, StatusReport, spi,
};
use crate::policy::{self, Decision};

impl Served {
    /// A member's request; its identity comes from its certificate.
    pub(in crate::engine) fn ask(&mut self, now: Time, identity: &Identity, ask: Ask) {
        match ask {
            Ask::Join(join, outbox, reply) => self.join(now, identity, &join, outbox, reply),
            Ask::Resume(resume, outbox, reply) => {
                self.resume(now, identity, &resume, &outbox, reply)
            }
            Ask::Leave(leave, reply) => {
                let member = leave.member;
                if let Err(refusal) = self.owned(identity, member) {
                    let _ = reply.send(Err(refusal));
                    return;
                }
                self.departures.push(Departures {
                    members: HashSet::from([member]),
                    reply,
                });
                self.handle(now, Input::Leave { member });
            }
            Ask::Pull(pull, reply) => match self.owned(identity, pull.member) {
                Ok(()) => self.catch_up(now, pull.member, Waiter::Pull(reply)),
                Err(refusal) => drop(reply.send(Err(refusal))),
            },
            Ask::Acknowledge(member, epoch, reply) => {
                let owned = self.owned(identity, member);
                if owned.is_ok() {
                    self.acknowledged(now, member, epoch);
                }
                let _ = reply.send(owned);
            }
            Ask::Status(reply) => {
                let _ = reply.send(self.report(identity));
            }
        }
    }

    /// A member holds an epoch.
    pub(in crate::engine) fn acknowledged(&mut self, now: Time, member: MemberId, epoch: Epoch) {
        if let Some(outbox) = self.listeners.get(&member) {
            outbox.held((self.id(), member), epoch);
        }
        count::acknowledged();
        self.handle(now, Input::Ack { member, epoch });
    }

    /// The delivery of this registration needs a path.
    pub(in crate::engine) fn path_for(
        &mut self,
        now: Time,
        member: MemberId,
        reply: Reply<PathDelivery>,
    ) {
        self.catch_up(now, member, Waiter::Path(reply));
    }

    fn catch_up(&mut self, now: Time, member: MemberId, waiter: Waiter) {
        let ticket = self.ticket(waiter);
        self.handle(now, Input::CatchUp { ticket, member });
    }

    fn join(
        &mut self,
        now: Time,
        identity: &Identity,
        join: &Join,
        outbox: Arc<Outbox>,
        reply: Reply<Grant>,
    ) {
        if !join.supports(Suite::One) {
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
        // Before anything is planned for it: what the token finds out has cost an epoch by then.
        if !crypto::is_point(&join.public) {
            let _ = reply.send(Err(Refusal::new(RefusalCode::BadPublicKey)));
            return;
        }
        if let Decision::Refused { why } =
            policy::admit(self.machine.state().policy(), identity, join.role)
        {
            tracing::info!(group = %self.name(), %identity, %why, "join refused");
            let _ = reply.send(Err(Refusal::new(RefusalCode::NotAdmitted)));
            return;
        }
        let ticket = self.ticket(Waiter::Join(outbox, reply));
        let input = Input::Join {
            ticket,
            identity: identity.clone(),
            role: join.role,
            public: join.public,
        };
        self.handle(now, input);
    }

    fn resume(
        &mut self,
        now: Time,
        identity: &Identity,
        resume: &Resume,
        outbox: &Arc<Outbox>,
        reply: Reply<PathDelivery>,
    ) {
        let member = resume.member;
        let known = self.owned(identity, member).and_then(|()| {
            let held = self.machine.leaf_key(member) == Some(resume.leaf);
            held.then_some(())
                .ok_or(Refusal::new(RefusalCode::UnknownMember))
        });
        if let Err(refusal) = known {
            let _ = reply.send(Err(refusal));
            return;
        }
        // What it says that it holds is not taken for acknowledged: it is sent a path, and acknowledges that.
        self.listen(member, resume.leaf.node.index, Epoch(0), outbox);
        self.handle(now, Input::Present { member });
        if outbox.is_closed() {
            self.detached(now, member, outbox);
        }
        self.catch_up(now, member, Waiter::Path(reply));
    }

    /// Whether the registration is this identity's. Whose else it is, is not told.
    fn owned(&self, identity: &Identity, member: MemberId) -> Result<(), Refusal> {
        match self.machine.member(member) {
            Some(registration) if *registration.identity == *identity => Ok(()),
            _ => Err(Refusal::new(RefusalCode::UnknownMember)),
        }
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
        let state = |epoch: Epoch| KeyState {
            epoch,
            spi: spi(&status.group, epoch),
            suite: Suite::One,
            activates_in_ms: match epoch == epochs.active {
                true => 0,
                false => epochs.activates.map_or(0, until),
            },
            lifetime_s: epochs.rotates.map(|time| until(time) / 1_000),
            active: epoch == epochs.active,
        };
        let mut states = vec![state(epochs.active)];
        if epochs.delivered != epochs.active {
            states.push(state(epochs.delivered));
        }
        states
    }
}
