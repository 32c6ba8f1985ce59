//! Rekeys by multicast: once for all who listen, however many they are.
//!
//! Whoever reports that it hears its group's multicast is taken out of those who are sent datagrams of their own, and is not
//! looked at when a rekey is sent. It is looked at once in a report's time: who does not report any more is deaf, and who
//! reports without what it should have by then is brought up to date by stream. So a member that nothing reaches is
//! noticed within two or three such times, and one that only the multicast does not reach notices that itself, at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Due, Fanout, Target, own, place};
use crate::engine::{Channel, Multicast};
use crate::group::ids::{Epoch, GroupId};
use crate::group::machine::Rekey;
use crate::udp::multicast::Sender;

/// So many times in a row a member may not have reported before it is taken for deaf: reports may be lost.
const MISSED_REPORTS: u8 = 3;

/// How a gateway multicasts.
pub(in crate::quic) struct Multicaster {
    sender: Sender,
    /// The pauses before what was sent is sent again.
    repeat_after: Arc<[Duration]>,
    heartbeat: Duration,
    report: Duration,
    /// Whether the last one could not be sent: logged once, not for each.
    failing: bool,
}

impl Multicaster {
    pub(in crate::quic) fn new(sender: Sender, times: &crate::quic::Multicast) -> Self {
        Multicaster {
            sender,
            repeat_after: times.repeat_after.clone().into(),
            heartbeat: times.heartbeat,
            report: times.report,
            failing: false,
        }
    }

    fn send(&mut self, all: &Multicast) {
        for datagram in &all.datagrams {
            let sent = self.sender.send(all.to, datagram);
            let failed = sent.is_err();
            if let Err(error) = sent
                && !self.failing
            {
                tracing::warn!(to = %all.to, %error, "cannot multicast; members are served by other means. Look at multicast.interface");
            }
            self.failing = failed;
        }
    }
}

/// Those of a group who listen.
#[derive(Default)]
pub(super) struct Audience {
    /// By leaf.
    members: BTreeMap<u32, Listener>,
    heartbeats: Option<Multicast>,
    /// Heartbeats and reviews come by timers of this number, if they come: older ones are over.
    pub(super) clock: Option<u64>,
    newest: Option<Arc<Rekey>>,
    /// Whoever does not hold this one at the next review has not got it.
    owed: Epoch,
}

struct Listener {
    channel: Arc<Channel>,
    /// How often it had reported at the last review.
    reports: u64,
    missed: u8,
}

impl Audience {
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// This channel is closed.
    pub(super) fn remove(&mut self, channel: &Arc<Channel>) {
        let leaf = channel.leaf();
        let found = self.members.get(&leaf);
        if found.is_some_and(|listener| Arc::ptr_eq(&listener.channel, channel)) {
            self.members.remove(&leaf);
        }
    }

    /// Who has not reported for long, and is not listened for any more; and who has, but lacks what was delivered long ago.
    fn review(&mut self) -> (Vec<Arc<Channel>>, Vec<Arc<Channel>>) {
        let (mut deaf, mut behind) = (Vec::new(), Vec::new());
        self.members.retain(|_, listener| {
            let Listener {
                channel,
                reports,
                missed,
            } = listener;
            let now = channel.reports();
            *missed = match std::mem::replace(reports, now) == now {
                true => *missed + 1,
                false => 0,
            };
            if *missed >= MISSED_REPORTS {
                deaf.push(channel.clone());
                return false;
            }
            if channel.held() < self.owed {
                behind.push(channel.clone());
            }
            true
        });
        if let Some(newest) = &self.newest {
            self.owed = newest.epoch;
        }
        (deaf, behind)
    }
}

impl Fanout {
    /// A member hears the multicast: it is sent no datagrams of its own any more.
    pub(super) fn hears(&mut self, channel: &Arc<Channel>) {
        let (group, _) = channel.registration();
        let known = self.groups.get_mut(&group);
        let at = known.and_then(|group| {
            let at = group
                .audience
                .heartbeats
                .as_ref()
                .and(own(&group.targets, channel))?;
            Some((group, at))
        });
        let Some((group, at)) = at else {
            channel.deaf(); // it is gone, or there is nothing to be heard
            return;
        };
        group.targets.remove(at);
        let listener = Listener {
            channel: channel.clone(),
            reports: channel.reports(),
            missed: 0,
        };
        group.audience.members.insert(channel.leaf(), listener);
        metrics::counter!("wardcast_multicast_listeners_total").increment(1);
    }

    /// What a group's heartbeats are from now on.
    pub(super) fn heartbeats(&mut self, id: GroupId, heartbeats: Option<Multicast>) {
        let Some(group) = self.groups.get_mut(&id) else {
            return;
        };
        let ends = heartbeats.is_none();
        group.audience.heartbeats = heartbeats;
        if ends {
            group.audience.clock = None;
            return self.nobody_listens(id);
        }
        if group.audience.clock.is_some() {
            return;
        }
        if let Some(times) = &self.multicaster {
            let (heartbeat, report) = (times.heartbeat, times.report);
            self.numbers += 1;
            let clock = self.numbers;
            group.audience.clock = Some(clock);
            self.after(heartbeat, Due::Heartbeat(id, clock));
            self.after(report, Due::Review(id, clock));
        }
    }

    /// A rekey goes to all who listen, or they do not hear this one.
    pub(super) fn multicast_rekey(
        &mut self,
        id: GroupId,
        rekey: &Arc<Rekey>,
        packets: Option<Multicast>,
    ) {
        let Some(group) = self.groups.get_mut(&id) else {
            return;
        };
        let Some(packets) = packets else {
            return self.nobody_listens(id);
        };
        group.audience.newest = Some(rekey.clone());
        self.multicast(packets);
    }

    /// An activation, for those who listen, if there are any.
    pub(super) fn multicast_activation(&mut self, id: GroupId, datagram: &bytes::Bytes) {
        let audience = self.groups.get(&id).map(|group| &group.audience);
        let Some(audience) = audience.filter(|audience| !audience.is_empty()) else {
            return;
        };
        if let Some(to) = audience.heartbeats.as_ref().map(|beats| beats.to) {
            let datagrams = vec![datagram.clone()];
            self.multicast(Multicast { to, datagrams });
        }
    }

    /// Sends something for the first time.
    fn multicast(&mut self, all: Multicast) {
        let Some(multicaster) = &mut self.multicaster else {
            return;
        };
        multicaster.send(&all);
        metrics::counter!("wardcast_multicast_datagrams_sent_total")
            .increment(all.datagrams.len() as u64);
        self.repeat_later(Arc::new(all), 0);
    }

    fn repeat_later(&mut self, all: Arc<Multicast>, repeated: usize) {
        let pauses = self
            .multicaster
            .as_ref()
            .map(|own| own.repeat_after.clone());
        if let Some(pause) = pauses.and_then(|pauses| pauses.get(repeated).copied()) {
            self.after(pause, Due::Repeat(all, repeated));
        }
    }

    /// Sends the same bytes again.
    pub(super) fn repeat(&mut self, all: Arc<Multicast>, repeated: usize) {
        if let Some(multicaster) = &mut self.multicaster {
            multicaster.send(&all);
            metrics::counter!("wardcast_multicast_datagrams_repeated_total")
                .increment(all.datagrams.len() as u64);
            self.repeat_later(all, repeated + 1);
        }
    }

    pub(super) fn heartbeat(&mut self, id: GroupId, clock: u64) {
        let Some((group, multicaster)) = self.groups.get_mut(&id).zip(self.multicaster.as_mut())
        else {
            return;
        };
        let own = group.audience.clock == Some(clock);
        let Some(heartbeats) = group.audience.heartbeats.as_ref().filter(|_| own) else {
            return;
        };
        multicaster.send(heartbeats);
        metrics::counter!("wardcast_multicast_heartbeats_sent_total")
            .increment(heartbeats.datagrams.len() as u64);
        let pause = multicaster.heartbeat;
        self.after(pause, Due::Heartbeat(id, clock));
    }

    /// Looks at everybody who listens, once in a report's time.
    pub(super) fn review(&mut self, id: GroupId, clock: u64) {
        let Some((group, multicaster)) = self.groups.get_mut(&id).zip(self.multicaster.as_ref())
        else {
            return;
        };
        if group.audience.clock != Some(clock) {
            return;
        }
        let (deaf, behind) = group.audience.review();
        let newest = group.audience.newest.clone();
        let pause = multicaster.report;
        self.after(pause, Due::Review(id, clock));
        if let Some(newest) = newest {
            metrics::counter!("wardcast_multicast_given_up_total").increment(behind.len() as u64);
            for channel in behind {
                channel.by_stream(&newest);
            }
        }
        self.turn_to(id, deaf);
    }

    /// Nobody hears what this group sends: all are sent datagrams of their own.
    fn nobody_listens(&mut self, id: GroupId) {
        let Some(group) = self.groups.get_mut(&id) else {
            return;
        };
        let members = std::mem::take(&mut group.audience.members).into_values();
        let channels = members.map(|listener| listener.channel).collect();
        self.turn_to(id, channels);
    }

    /// These members are sent datagrams of their own again; what they lack meanwhile comes by stream.
    fn turn_to(&mut self, id: GroupId, channels: Vec<Arc<Channel>>) {
        let Some(group) = self.groups.get_mut(&id) else {
            return;
        };
        let newest = group.audience.newest.clone();
        let mut turned = Vec::with_capacity(channels.len());
        for channel in channels {
            channel.deaf();
            // Without an address its connection is over, and what closes it follows.
            let Some(address) = channel.address() else {
                continue;
            };
            let at = place(&group.targets, channel.leaf());
            let target = Target {
                channel: channel.clone(),
                address,
            };
            group.targets.insert(at, target);
            if let Some(newest) = newest
                .as_ref()
                .filter(|newest| channel.held() < newest.epoch)
            {
                channel.by_stream(newest);
            }
            turned.push(channel);
        }
        self.doubt(&turned);
    }
}
