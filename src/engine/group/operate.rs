//! What operators ask of a group.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Departures, Served};
use crate::engine::channels::Channels;
use crate::engine::event::{Eviction, GroupView, Operate, Reply, UnderWay};
use crate::engine::trail::Trail;
use crate::group::ids::{Identity, MemberId, Time};
use crate::group::machine::{GroupMachine, Input};
use crate::group::request::RequestId;
use crate::group::wire::{Refusal, RefusalCode};

impl Served {
    /// What is under way in it. An epoch that was activated is with a quorum of its members, or they had their time.
    pub(in crate::engine) fn under_way(&self) -> UnderWay {
        UnderWay {
            rekeys: usize::from(!self.machine.is_at_rest()),
            behind: self.machine.assurance().behind.into(),
        }
    }

    /// A new group; the answer goes out once its first record is durable.
    pub(in crate::engine) fn create(
        machine: GroupMachine,
        reply: Reply<GroupView>,
        reach: (&Arc<Channels>, &Trail),
    ) -> Self {
        let mut served = Self::new(machine, reach);
        served.asked.creating = Some(reply);
        served
    }

    /// An operator's request.
    pub(in crate::engine) fn operate(
        &mut self,
        now: Time,
        request: Option<RequestId>,
        operate: Operate,
    ) {
        match operate {
            Operate::Create(_, reply) => {
                let why = "a group with this identifier exists";
                let _ = reply.send(Err(Refusal::because(RefusalCode::Busy, why)));
            }
            Operate::Show(reply) => drop(reply.send(Ok(self.view()))),
            Operate::Members(after, limit, reply) => {
                drop(reply.send(Ok(self.members(after, limit))))
            }
            Operate::Trace(who, reply) => drop(reply.send(Ok(self.trace(now, &who)))),
            Operate::SetPolicy(policy, reply) => {
                self.asked.changing.push((policy.clone(), reply));
                self.handle(now, Input::SetPolicy(policy));
            }
            Operate::DecideAnew => self.handle(now, Input::DecideAnew),
            Operate::Rotate(reply) => {
                self.shown.spans.asked(request.as_ref());
                self.handle(now, Input::Rotate);
                let _ = reply.send(Ok(()));
            }
            Operate::RollOver(rollover, reply) => {
                let before = self.machine.state().rollovers();
                self.asked.rolling.push((before, reply));
                self.shown.spans.asked(request.as_ref());
                self.handle(now, Input::Rollover(rollover));
            }
            Operate::Freeze(why, by, reply) => self.freeze(now, (why, by), reply),
            Operate::Thaw(by, reply) => {
                self.asked.freezing.push((false, reply));
                self.handle(now, Input::Thaw { by });
                self.answer_freezes();
            }
            Operate::Evict(eviction, reply) => self.evict(now, request, eviction, reply),
            Operate::Destroy(reply) => {
                self.asked.destroying.push(reply);
                self.handle(now, Input::Destroy);
            }
        }
    }

    fn freeze(
        &mut self,
        now: Time,
        (why, by): (String, Option<Identity>),
        reply: Reply<GroupView>,
    ) {
        self.asked.freezing.push((true, reply));
        self.handle(now, Input::Freeze { why, by });
        self.answer_freezes();
    }

    /// Whoever asked for a freeze or a thaw is told what the group is, once that is on record; or that somebody asked for the
    /// opposite meanwhile.
    pub(super) fn answer_freezes(&mut self) {
        if self.asked.freezing.is_empty() || self.machine.is_gate_moving() {
            return;
        }
        let view = self.view();
        for (wanted, reply) in self.asked.freezing.drain(..) {
            let answer = match view.status.frozen.is_some() == wanted {
                true => Ok(view.clone()),
                false => Err(Refusal::because(
                    RefusalCode::Busy,
                    "another operator asked for the opposite: look how the group is, and ask again",
                )),
            };
            let _ = reply.send(answer);
        }
    }

    fn evict(
        &mut self,
        now: Time,
        request: Option<RequestId>,
        eviction: Eviction,
        reply: Reply<()>,
    ) {
        let Eviction {
            members,
            urgent,
            reason,
            by,
        } = eviction;
        let known = |member: &MemberId| self.machine.member(*member).is_some();
        if let Some(unknown) = members.iter().find(|member| !known(member)) {
            let why =
                format!("there is no registration {unknown} in this group; nobody was evicted");
            let _ = reply.send(Err(Refusal::because(RefusalCode::UnknownMember, why)));
            return;
        }
        self.shown.spans.asked(request.as_ref());
        self.asked.departures.push(Departures {
            members: HashSet::from_iter(members.iter().copied()),
            reply,
        });
        let input = Input::Evict {
            members,
            urgent,
            reason,
            by,
        };
        self.handle(now, input);
    }
}
