//! Who hears a group's multicast.
//!
//! Whoever reports that it hears its group's multicast is taken out of those who are sent datagrams of their own, and is not
//! looked at when a rekey is sent. It is looked at once in a report's time: who does not report any more is deaf, and who
//! reports without what it should have by then is brought up to date by stream. So a member that nothing reaches is
//! noticed within two or three such times, and one that only the multicast does not reach notices that itself, at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Due, Fanout, Target, own, place};
use crate::engine::{Channel, SealedRekey};
use crate::group::ids::{Epoch, GroupId};
use crate::group::machine::Rekey;

/// So many times in a row a member may not have reported before it is taken for deaf: reports may be lost.
const MISSED_REPORTS: u8 = 3;

/// Those of a group who listen.
#[derive(Default)]
pub(super) struct Audience {
    /// By leaf.
    members: BTreeMap<u32, Listener>,
    /// Reviews come by timers of this number, if they come: older ones are over.
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
        let (id, _) = channel.registration();
        let known = self.groups.get_mut(&id).filter(|_| channel.may_hear());
        let at = known.and_then(|group| {
            let at = own(&group.targets, channel)?;
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
        if group.audience.clock.is_none() {
            let clock = self.timers.number();
            group.audience.clock = Some(clock);
            self.timers.after(self.report, Due::Review(id, clock));
        }
        metrics::counter!("wardcast_multicast_listeners_total").increment(1);
    }

    /// Those who listen hear this rekey, or are sent it like everybody else.
    pub(super) fn heard_by_audience(&mut self, sealed: &SealedRekey) {
        let id = sealed.rekey.group;
        if !sealed.is_multicast {
            self.nobody_listens(id);
        } else if let Some(group) = self.groups.get_mut(&id) {
            group.audience.newest = Some(sealed.rekey.clone());
        }
    }

    /// Looks at everybody who listens, once in a report's time.
    pub(super) fn review(&mut self, id: GroupId, clock: u64) {
        let own = self.groups.get_mut(&id);
        let Some(group) = own.filter(|group| group.audience.clock == Some(clock)) else {
            return;
        };
        let (deaf, behind) = group.audience.review();
        let newest = group.audience.newest.clone();
        self.timers.after(self.report, Due::Review(id, clock));
        if let Some(newest) = newest {
            metrics::counter!("wardcast_multicast_given_up_total").increment(behind.len() as u64);
            for channel in behind {
                channel.by_stream(&newest);
            }
        }
        self.turn_to(id, deaf);
    }

    /// Nobody hears what this group sends: all are sent datagrams of their own.
    pub(super) fn nobody_listens(&mut self, id: GroupId) {
        let Some(group) = self.groups.get_mut(&id) else {
            return;
        };
        group.audience.clock = None;
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
            let target = Target::new(channel.clone(), address, false);
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
