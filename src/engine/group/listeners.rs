//! Where a group's pushes go: members with a connection, and which of them have to be looked at when something is pushed.
//!
//! A rekey that goes by datagram or multicast concerns only those here who have no channel, and an activation only those who
//! may send; of ten thousand others none is looked at.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::engine::channel::Channel;
use crate::engine::outbox::{Outbox, Registration};
use crate::group::ids::{Epoch, MemberId};
use crate::group::machine::Rekey;

/// Where a member's pushes go.
pub(super) struct Listener {
    /// Its connection's; a parked member has none.
    pub(super) outbox: Option<Arc<Outbox>>,
    pub(super) channel: Option<Arc<Channel>>,
    /// Whether the member may send: who may not is not told when senders switch.
    pub(super) sends: bool,
}

impl Listener {
    pub(super) fn is_on(&self, outbox: &Arc<Outbox>) -> bool {
        let own = self.outbox.as_ref();
        own.is_some_and(|own| Arc::ptr_eq(own, outbox))
    }

    pub(super) fn rekey(&self, registration: Registration, rekey: &Arc<Rekey>) -> bool {
        let outbox = self.outbox.as_ref();
        outbox.is_some_and(|outbox| outbox.rekey(registration, rekey))
    }

    pub(super) fn activate(&self, registration: Registration, epoch: Epoch) {
        if let Some(outbox) = &self.outbox {
            outbox.activate(registration, epoch);
        }
    }
}

/// Members with a connection, or parked.
#[derive(Default)]
pub(super) struct Listeners {
    all: HashMap<MemberId, Listener>,
    /// Those without a channel.
    streamed: HashSet<MemberId>,
    senders: HashSet<MemberId>,
}

impl Listeners {
    pub(super) fn get(&self, member: MemberId) -> Option<&Listener> {
        self.all.get(&member)
    }

    /// A member's pushes go here now; where they went before.
    pub(super) fn insert(&mut self, member: MemberId, listener: Listener) -> Option<Listener> {
        let before = self.remove(member);
        if listener.sends {
            self.senders.insert(member);
        }
        if listener.channel.is_none() {
            self.streamed.insert(member);
        }
        self.all.insert(member, listener);
        before
    }

    pub(super) fn remove(&mut self, member: MemberId) -> Option<Listener> {
        self.senders.remove(&member);
        self.streamed.remove(&member);
        self.all.remove(&member)
    }

    /// A member that is here has this channel now, or none.
    pub(super) fn channel(&mut self, member: MemberId, channel: Option<Arc<Channel>>) {
        if let Some(listener) = self.all.get_mut(&member) {
            match &channel {
                Some(_) => self.streamed.remove(&member),
                None => self.streamed.insert(member),
            };
            listener.channel = channel;
        }
    }

    /// A member that is here, on a channel, needs its connection no more.
    pub(super) fn park(&mut self, member: MemberId) {
        if let Some(listener) = self.all.get_mut(&member) {
            listener.outbox = None;
        }
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (MemberId, &Listener)> {
        self.all
            .iter()
            .map(|(member, listener)| (*member, listener))
    }

    /// Those without a channel.
    pub(super) fn streamed(&self) -> impl Iterator<Item = (MemberId, &Listener)> {
        self.chosen(&self.streamed)
    }

    /// Those who may send.
    pub(super) fn senders(&self) -> impl Iterator<Item = (MemberId, &Listener)> {
        self.chosen(&self.senders)
    }

    fn chosen<'a>(
        &'a self,
        members: &'a HashSet<MemberId>,
    ) -> impl Iterator<Item = (MemberId, &'a Listener)> {
        let found = members.iter().map(|member| (*member, self.all.get(member)));
        found.filter_map(|(member, listener)| Some((member, listener?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{channels, opened};

    #[test]
    fn whoever_has_a_channel_and_does_not_send_is_not_looked_at() {
        let channels = channels();
        let (channel, outbox) = opened(&channels, 1, "127.0.0.1:9").expect("is opened");
        let listener = |sends| Listener {
            outbox: Some(outbox.clone()),
            channel: None,
            sends,
        };
        let mut listeners = Listeners::default();
        for member in 0..4 {
            let before = listeners.insert(MemberId(member), listener(member == 0));
            assert!(before.is_none());
        }
        for member in 0..3 {
            listeners.channel(MemberId(member), Some(channel.clone()));
        }
        let members = |found: Vec<(MemberId, &Listener)>| -> Vec<u64> {
            found.iter().map(|(member, _)| member.0).collect()
        };
        assert_eq!(members(listeners.streamed().collect()), [3]);
        assert_eq!(members(listeners.senders().collect()), [0]);
        listeners.channel(MemberId(2), None);
        assert_eq!(listeners.streamed().count(), 2);
        // One that comes back on another connection has no channel there yet, and may have another role.
        assert!(listeners.insert(MemberId(0), listener(false)).is_some());
        assert_eq!(
            (listeners.senders().count(), listeners.streamed().count()),
            (0, 3)
        );
        for member in 0..4 {
            assert!(listeners.remove(MemberId(member)).is_some());
        }
        assert_eq!(
            (listeners.iter().count(), listeners.streamed().count()),
            (0, 0)
        );
    }
}
