//! A membership's push channel: granted with a registration or opened with a connection, given up with that.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use zeroize::Zeroizing;

use super::Driver;
use super::heard::Ear;
use super::parking::Parking;
use crate::crypto::{ChannelKey, Key, PushCipher, random};
use crate::group::ids::{Epoch, Time};
use crate::group::operations::PushKey;
use crate::group::wire::ChannelOpened;
use crate::group::wire::datagram::{
    CHANNEL_LABEL, ChannelId, PushKeyId, acknowledge, alive, channel_context, leaves, report,
};
use crate::member::channel::Owner;

/// How long the first probe of a channel that was granted is waited for, in milliseconds; another one comes after 250.
const TOLD_WITHIN_MS: u64 = 500;

/// What this membership knows of its channel.
pub(super) struct OwnChannel {
    owner: Owner,
    open: Option<Open>,
    telling: Option<Telling>,
    /// The names of the push keys of the epochs that are held.
    names: BTreeMap<Epoch, PushKeyId>,
    pub(super) parking: Parking,
    /// How often it was refused to be parked, one time after the other.
    pub(super) refusals: u32,
    /// Listens to the group's multicast address.
    pub(super) ear: Option<Ear>,
}

struct Open {
    number: ChannelId,
    key: ChannelKey,
    gateway: SocketAddr,
}

/// The answer to the first probe is to tell the gateway that what a grant brought is held. Whether it was heard shows in nothing but
/// another probe, which may come late: those before it may be lost, or the answers to them.
struct Telling {
    /// Without a probe until then, none comes through; nothing where one did.
    due: Option<Time>,
    probes: u32,
}

impl OwnChannel {
    pub(super) fn new(owner: Owner) -> Self {
        OwnChannel {
            owner,
            open: None,
            telling: None,
            names: BTreeMap::new(),
            parking: Parking::default(),
            refusals: 0,
            ear: None,
        }
    }

    pub(super) fn owner(&self) -> Owner {
        self.owner
    }

    /// Whether this is the name of that epoch's push key.
    pub(super) fn seals(&self, epoch: Epoch, name: PushKeyId) -> bool {
        self.names.get(&epoch) == Some(&name)
    }

    /// When something is to be done.
    pub(super) fn next_timeout(&self) -> Option<Time> {
        let ear = self.ear.as_ref().and_then(Ear::next_timeout);
        let telling = self.telling.as_ref().and_then(|telling| telling.due);
        ear.into_iter().chain(telling).min()
    }
}

impl Driver {
    /// The gateway has opened one together with the registration: the answer to its first probe tells what the grant brought, and is
    /// given from now on, when that is held.
    pub(super) fn channel_granted(&mut self, opened: ChannelOpened) {
        self.channel.telling = Some(Telling {
            due: Some(self.now().after(TOLD_WITHIN_MS)),
            probes: 0,
        });
        self.channel_opened(opened);
    }

    /// The gateway asks whether datagrams come through.
    pub(super) fn probed(&mut self) {
        self.acknowledge_by_datagram();
        self.park_later();
        if let Some(telling) = &mut self.channel.telling {
            telling.probes += 1;
            if telling.probes > 1 {
                // It has not heard the answer to the one before.
                self.tell_by_stream();
            }
        }
    }

    /// Does what the channel's clocks say.
    pub(super) fn channel_due(&mut self) {
        self.listening();
        let now = self.now();
        match &mut self.channel.telling {
            Some(Telling { due: Some(due), .. }) if *due > now => {}
            // One more probe, whenever it comes, says that the answer was not heard.
            Some(telling) if telling.probes == 1 => telling.due = None,
            Some(_) => self.tell_by_stream(),
            None => {}
        }
    }

    /// Datagrams do not seem to get through: what the grant brought is acknowledged as without a channel, unless the answer to a
    /// push has told it meanwhile.
    fn tell_by_stream(&mut self) {
        self.channel.telling = None;
        if self.known.told < self.newest() {
            self.acknowledge();
        }
    }

    /// The gateway has opened it: what it says there is listened to from now on, and what it said before is answered.
    pub(super) fn channel_opened(&mut self, opened: ChannelOpened) {
        let number = ChannelId(opened.channel);
        let Some(connection) = &self.connection else {
            return;
        };
        let (group, member) = (self.ticket.group_id, self.ticket.member);
        let context = channel_context(&group, member, number);
        let mut key = Zeroizing::new([0; 32]);
        let exported = connection.export_keying_material(&mut *key, CHANNEL_LABEL, &context);
        if exported.is_err() {
            return; // the connection is over, and the next one begins with a channel of its own
        }
        let key = ChannelKey::new(Key::from_bytes(*key));
        let gateway = connection.remote_address();
        let datagrams = self.client.link.datagrams();
        let probed = datagrams.open(self.channel.owner, number, key.clone());
        self.channel.open = Some(Open {
            number,
            key,
            gateway,
        });
        self.listen(opened.multicast);
        if probed {
            self.probed();
        }
    }

    /// The connection is lost.
    pub(super) fn channel_lost(&mut self) {
        self.channel.open = None;
        self.channel.telling = None;
        self.channel.parking = Parking::default();
        self.channel.refusals = 0;
    }

    /// The registration is over, or nobody follows it any more.
    pub(super) fn channel_forgotten(&mut self) {
        self.client.link.datagrams().forget(self.channel.owner);
        self.channel = OwnChannel::new(self.channel.owner);
    }

    /// An epoch is held: what follows it may be sealed under its push key.
    pub(super) fn hold_push_key(&mut self, epoch: Epoch, key: &PushKey) {
        let datagrams = self.client.link.datagrams();
        if datagrams.are_there() {
            let cipher = PushCipher::new(key);
            self.channel.names.insert(epoch, cipher.name());
            self.shared.held().push_cipher = Some(cipher.clone());
            datagrams.hold(self.channel.owner, cipher);
        }
    }

    /// An epoch is not held any more.
    pub(super) fn drop_push_key(&mut self, epoch: Epoch) {
        if let Some(name) = self.channel.names.remove(&epoch) {
            let datagrams = self.client.link.datagrams();
            datagrams.drop_cipher(self.channel.owner, &name);
        }
    }

    /// Says by datagram that it is there; false without a channel.
    pub(super) fn say_alive(&self) -> bool {
        let Some(open) = &self.channel.open else {
            return false;
        };
        let number = u64::from_be_bytes(random());
        let code = |covered: &[u8]| open.key.code(covered);
        let datagram = alive(open.number, number, code);
        let datagrams = self.client.link.datagrams();
        datagrams.asks(open.number, number);
        datagrams.send(open.gateway, &datagram);
        true
    }

    /// Says by datagram what is held.
    pub(super) fn acknowledge_by_datagram(&self) {
        if let Some(open) = &self.channel.open {
            let code = |covered: &[u8]| open.key.code(covered);
            self.say(open, &acknowledge(open.number, self.newest(), code));
        }
    }

    /// Says by datagram what is held, and that the group's multicast is heard.
    pub(super) fn report_by_datagram(&self) {
        if let Some(open) = &self.channel.open {
            let code = |covered: &[u8]| open.key.code(covered);
            self.say(open, &report(open.number, self.newest(), code));
        }
    }

    /// Says by datagram that it knows that the gateway goes.
    pub(super) fn leave_by_datagram(&self) {
        if let Some(open) = &self.channel.open {
            let code = |covered: &[u8]| open.key.code(covered);
            self.say(open, &leaves(open.number, self.newest(), code));
        }
    }

    fn say(&self, open: &Open, datagram: &[u8]) {
        self.client.link.datagrams().send(open.gateway, datagram);
    }
}
