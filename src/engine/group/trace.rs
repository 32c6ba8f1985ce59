//! Members as operators see them: a page of them, one in full, and who lacks the newest epoch.

use std::time::Duration;

use super::{Listener, Served};
use crate::engine::event::MemberView;
use crate::engine::watch::{Deliveries, MemberTrace, Reach, Who};
use crate::group::ids::{MemberId, Time};
use crate::group::machine::GroupMachine;
use crate::group::roster::{Member, Presence};

impl Served {
    pub(in crate::engine) fn machine(&self) -> &GroupMachine {
        &self.machine
    }

    /// A page of members, by number.
    pub(super) fn members(&self, after: Option<MemberId>, limit: usize) -> Vec<MemberView> {
        let later = self.machine.state().roster().after(after);
        later
            .take(limit)
            .map(|(member, registration)| MemberView::of(member, registration))
            .collect()
    }

    /// The registrations that are asked for; none where there is no such one.
    pub(in crate::engine) fn trace(&self, now: Time, who: &Who) -> Vec<MemberTrace> {
        let own;
        let members = match who {
            Who::Member(member) => {
                own = [*member];
                &own[..]
            }
            Who::Identity(identity) => self.machine.state().roster().of(identity),
        };
        let known = members.iter().filter_map(|member| {
            let registration = self.machine.member(*member)?;
            Some(self.traced(now, *member, registration))
        });
        known.collect()
    }

    /// Members after this one that did not acknowledge the newest delivered epoch, up to so many, of so many that are looked at
    /// at most; and the last that was looked at, where there may be more.
    pub(in crate::engine) fn lacking(
        &self,
        now: Time,
        after: Option<MemberId>,
        (most, looked): (usize, usize),
    ) -> (Vec<MemberTrace>, Option<MemberId>) {
        let (delivered, _) = self.machine.delivered();
        let mut found = Vec::new();
        let mut members = self.machine.state().roster().after(after);
        let mut last = after;
        for (member, registration) in members.by_ref().take(looked) {
            last = Some(member);
            if registration.acknowledged < delivered {
                found.push(self.traced(now, member, registration));
                if found.len() == most {
                    break;
                }
            }
        }
        let more = members.next().is_some();
        (found, last.filter(|_| more))
    }

    /// A registration in full.
    pub(in crate::engine) fn traced(
        &self,
        now: Time,
        member: MemberId,
        registration: &Member,
    ) -> MemberTrace {
        let listener = self.listeners.get(member);
        let channel = listener.and_then(|listener| listener.channel.as_ref());
        let ago = |time: Time| Duration::from_millis(now.0.saturating_sub(time.0));
        let joining = registration.presence == Presence::Joining;
        MemberTrace {
            registration: MemberView::of(member, registration),
            reach: reach(registration.presence, listener),
            hears_multicast: channel.is_some_and(|channel| channel.reports() > 0),
            since: (!joining).then(|| ago(registration.since)),
            acknowledged: registration.confirmed().map(ago),
            asked: registration.asked().map(ago),
            delivered: self.machine.delivered().0,
            active: self.machine.active(),
            deliveries: listener.map(|listener| self.deliveries(member, listener)),
        }
    }

    fn deliveries(&self, member: MemberId, listener: &Listener) -> Deliveries {
        let channel = listener.channel.as_ref();
        let mut deliveries = channel
            .map(|channel| channel.deliveries())
            .unwrap_or_default();
        if let Some(outbox) = &listener.outbox {
            let (sent, conflated) = outbox.pushed((self.id(), member));
            (deliveries.streams, deliveries.conflated) = (sent, conflated);
        }
        deliveries
    }
}

fn reach(presence: Presence, listener: Option<&Listener>) -> Reach {
    match (presence, listener) {
        (Presence::Joining, _) => Reach::Joining,
        (Presence::Absent, _) | (_, None) => Reach::Absent,
        (Presence::Present, Some(Listener { outbox: None, .. })) => Reach::Parked,
        (Presence::Present, Some(Listener { channel, .. })) => match channel {
            Some(channel) if channel.is_up() => Reach::Datagram,
            _ => Reach::Stream,
        },
    }
}
