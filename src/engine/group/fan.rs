//! Whom a group reaches by datagram and by multicast, and with what its pushes are sealed.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::crypto::PushCipher;
use crate::engine::channel::{Channel, GroupState, Newcomer, Opening};
use crate::engine::channels::Channels;
use crate::engine::volley::{Cast, Multicast, SealedRekey, Volley};
use crate::group::edges::{self, Packet};
use crate::group::ids::{Epoch, GroupId};
use crate::group::limits::MAX_HELD_EPOCHS;
use crate::group::machine::{NO_EDGES, Rekey};
use crate::group::multicast::{MulticastAddress, MulticastTimes};
use crate::group::operations::PushKey;
use crate::group::wire::datagram::{MAX_DATAGRAM, SEALED_OVERHEAD};
use crate::group::wire::{Activate, Heartbeat, Message, PACKET_OVERHEAD, Push, RekeyPacket};

/// Packets of one rekey that are multicast: a larger one goes to each member alone, as its size is that of its whole tree.
const MAX_PACKETS: usize = 256;

/// A group's part of the push channel.
pub(super) struct Fan {
    channels: Arc<Channels>,
    /// How many channels the group has open, in each lane.
    open: Vec<usize>,
    /// What each channel is told.
    state: Arc<GroupState>,
    /// Each seals what follows an epoch, once the token has told its key: of the epochs that members may be at, the newest last.
    ciphers: VecDeque<(Epoch, PushCipher)>,
    /// The epoch whose key the token was asked for.
    asked: Epoch,
    /// Senders are to switch to this epoch, and are told so when its key is known.
    activating: Option<Epoch>,
    /// Where the group multicasts, if it does.
    to: Option<MulticastAddress>,
}

impl Fan {
    pub(super) fn new(channels: Arc<Channels>, delivered: Epoch) -> Self {
        Fan {
            open: vec![0; channels.lanes()],
            channels,
            state: GroupState::new(delivered),
            ciphers: VecDeque::new(),
            asked: Epoch(0),
            activating: None,
            to: None,
        }
    }

    /// Where the group multicasts from now on, as its policy says, where this gateway does.
    pub(super) fn multicasts(&mut self, group: GroupId, to: Option<MulticastAddress>) {
        let to = to.filter(|_| self.channels.multicast().is_some());
        if std::mem::replace(&mut self.to, to) == to {
            return;
        }
        self.state.multicasts(to.is_some());
        match to {
            Some(_) => self.beat(group),
            None => {
                self.channels.cast(Cast::Heartbeats(group, None));
                self.send(|| Volley::Silence(group));
            }
        }
    }

    /// What members who open a channel are told of it: where, and who waits for what.
    pub(super) fn multicast(&self) -> Option<(MulticastAddress, MulticastTimes)> {
        self.to.zip(self.channels.multicast())
    }

    /// Opens a channel for a member; none when that cannot be had.
    pub(super) fn open(&mut self, newcomer: Newcomer, opening: Opening) -> Option<Arc<Channel>> {
        let is_first = !self.is_open();
        let channel = self.channels.open(newcomer, &self.state, opening)?;
        self.open[channel.lane()] += 1;
        if is_first {
            self.beat(channel.registration().0);
        }
        Some(channel)
    }

    /// Serves a member by datagram alone from now on; false when that cannot be.
    pub(super) fn park(&self, channel: &Channel) -> bool {
        self.channels.park(channel)
    }

    pub(super) fn close(&mut self, channel: &Arc<Channel>) {
        self.channels.close(channel);
        self.open[channel.lane()] -= 1;
        if self.to.is_some() && !self.is_open() {
            let (group, _) = channel.registration();
            self.channels.cast(Cast::Heartbeats(group, None));
        }
    }

    fn is_open(&self) -> bool {
        self.open.iter().any(|open| *open > 0)
    }

    /// Tells the lanes that have channels of the group.
    fn send(&self, volley: impl Fn() -> Volley) {
        for (lane, open) in self.open.iter().enumerate() {
            if *open > 0 {
                self.channels.send(lane, volley());
            }
        }
    }

    /// Sends a rekey to all who have a channel; false when it has to go by streams.
    pub(super) fn rekey(&mut self, rekey: &Arc<Rekey>) -> bool {
        self.state.deliver(rekey.epoch);
        // Whoever holds the new epoch is told by its activation, and it tells in itself who sends with what meanwhile.
        self.activating = None;
        let cipher = self.cipher_of(rekey.previous);
        let sealed = cipher.and_then(|cipher| seal(cipher, rekey, self.to));
        let is_sealed = sealed.is_some();
        if let Some((sealed, packets)) = sealed {
            let sealed = Arc::new(sealed);
            self.send(|| Volley::Rekey(sealed.clone()));
            if let Some(packets) = packets {
                self.channels.cast(Cast::Now(packets));
            }
        }
        self.beat(rekey.group);
        is_sealed
    }

    /// From now on heartbeats tell the epoch that was delivered last, to whoever holds one of the last few.
    fn beat(&self, group: GroupId) {
        // With nobody to hear them there are none to be told of.
        let Some(to) = self.to.filter(|_| self.is_open()) else {
            return;
        };
        let epoch = self.state.delivered();
        let message = Push::Heartbeat(Heartbeat { group, epoch }).to_bytes();
        let ciphers = self.ciphers.iter();
        let sealed = ciphers.filter_map(|(_, cipher)| cipher.seal(&[&message]));
        let datagrams = sealed.collect();
        let heartbeats = Multicast { to, datagrams };
        self.channels
            .cast(Cast::Heartbeats(group, Some(heartbeats)));
    }

    /// Tells the senders who have a channel to switch, as soon as the epoch's key is known; false when it has to go by streams.
    pub(super) fn activate(&mut self, group: GroupId, epoch: Epoch) -> bool {
        let Some(cipher) = self.cipher_of(epoch) else {
            let awaited = self.is_open() && self.asked == epoch;
            self.activating = awaited.then_some(epoch);
            return awaited;
        };
        let message = Push::Activate(Activate { group, epoch }).to_bytes();
        let Some(sealed) = cipher.seal(&[&message]) else {
            return false;
        };
        if let Some(to) = self.to {
            let datagrams = vec![sealed.clone()];
            self.channels.cast(Cast::Now(Multicast { to, datagrams }));
        }
        self.send(|| Volley::Activate(group, epoch, sealed.clone()));
        true
    }

    /// What seals that which follows an epoch; none while nobody has a channel.
    fn cipher_of(&self, epoch: Epoch) -> Option<&PushCipher> {
        let mut known = self.ciphers.iter().filter(|_| self.is_open());
        known.find_map(|(of, cipher)| (*of == epoch).then_some(cipher))
    }

    /// The epoch whose key has to be asked for, once: the newest on record when it is delivered, as long as anybody has a
    /// channel.
    pub(super) fn wants_key(&mut self, newest: Epoch) -> Option<Epoch> {
        let delivered = self.state.delivered();
        if !self.is_open() || self.asked == delivered || newest != delivered {
            return None;
        }
        self.asked = delivered;
        Some(delivered)
    }

    /// The token told the key of an epoch; of an older one than was delivered meanwhile it is of no use.
    pub(super) fn key(&mut self, group: GroupId, epoch: Epoch, key: &PushKey) {
        if epoch == self.state.delivered() {
            if self.ciphers.len() == MAX_HELD_EPOCHS {
                self.ciphers.pop_front();
            }
            self.ciphers.push_back((epoch, PushCipher::new(key)));
            self.beat(group);
        }
        if self.no_key(epoch) {
            self.activate(group, epoch);
        }
    }

    /// The token did not tell the key of an epoch; whether senders wait to be told by streams then.
    pub(super) fn no_key(&mut self, epoch: Epoch) -> bool {
        self.activating.take_if(|waits| *waits == epoch).is_some()
    }
}

/// Seals a rekey once for each chunk, and for those who listen where it is multicast; none when one chunk does not fit
/// into a datagram.
fn seal(
    cipher: &PushCipher,
    rekey: &Arc<Rekey>,
    to: Option<MulticastAddress>,
) -> Option<(SealedRekey, Option<Multicast>)> {
    let seal = |edges: &[u8]| cipher.seal(&[&rekey.head, edges]);
    let chunks = rekey.chunks.iter();
    let chunks: Option<Vec<Bytes>> = chunks.map(|chunk| seal(&chunk.edges)).collect();
    let packets = to.and_then(|to| pack(cipher, rekey, to));
    let sealed = SealedRekey {
        chunks: chunks?,
        others: seal(NO_EDGES)?,
        is_multicast: packets.is_some(),
        rekey: rekey.clone(),
    };
    Some((sealed, packets))
}

/// Packs a rekey for those who listen; none when it is too large for that.
fn pack(cipher: &PushCipher, rekey: &Rekey, to: MulticastAddress) -> Option<Multicast> {
    let besides = SEALED_OVERHEAD + PACKET_OVERHEAD + rekey.header.len();
    let packets = edges::packets(&rekey.chunks, MAX_DATAGRAM.checked_sub(besides)?)?;
    if packets.len() > MAX_PACKETS {
        return None;
    }
    let sealed = packets.into_iter().map(|packet| {
        let Packet {
            first_leaf,
            last_leaf,
            edges,
        } = packet;
        let message = Push::Packet(RekeyPacket {
            group: rekey.group,
            header: rekey.header.clone(),
            active: rekey.active,
            edges,
            first_leaf,
            last_leaf,
        });
        cipher.seal(&[&message.to_bytes()])
    });
    let datagrams: Option<Vec<Bytes>> = sealed.collect();
    Some(Multicast {
        to,
        datagrams: datagrams?,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Receiver;

    use super::*;
    use crate::crypto::Key;
    use crate::engine::channel::Whereabouts;
    use crate::engine::outbox::Outbox;
    use crate::engine::testing::{GROUP, rekey};
    use crate::group::ids::MemberId;

    const TIMES: MulticastTimes = MulticastTimes {
        heartbeat_ms: 1_000,
        report_ms: 30_000,
        settle_ms: 300,
    };

    /// A group that has delivered epoch 4, with one channel, and what is sent.
    fn fan() -> (Fan, Receiver<Volley>, Receiver<Cast>) {
        let channels = Arc::new(Channels::new(2, Some(TIMES)));
        let mut outbound = channels.outbound().expect("nobody took it");
        let volleys = outbound.lanes.remove(1);
        let mut fan = Fan::new(channels, Epoch(3));
        let newcomer = Newcomer {
            registration: (GROUP, MemberId(1)),
            leaf: 0,
            sends: true,
            outbox: Outbox::new(),
            held: Epoch(3),
            granted: Epoch(0),
        };
        let opening = Opening {
            lane: 1,
            whereabouts: Whereabouts::new(|| None),
            export: Box::new(|_| Some(Key::generate())),
        };
        fan.open(newcomer, opening).expect("is opened");
        assert!(!fan.rekey(&rekey(3)), "nothing seals it yet");
        assert_eq!(fan.wants_key(Epoch(4)), Some(Epoch(4)));
        assert_eq!(fan.wants_key(Epoch(4)), None, "it is asked for once");
        assert!(matches!(next(&volleys), Some(Volley::Open(_))));
        (fan, volleys, outbound.casts)
    }

    fn next<T>(volleys: &Receiver<T>) -> Option<T> {
        volleys.try_recv().ok()
    }

    #[test]
    fn an_activation_waits_for_its_key() {
        let (mut fan, volleys, _casts) = fan();
        assert!(!fan.activate(GROUP, Epoch(3)), "nobody asked for that key");
        assert!(fan.activate(GROUP, Epoch(4)));
        assert!(next(&volleys).is_none());
        fan.key(GROUP, Epoch(4), &PushKey([1; 32]));
        let sent = next(&volleys);
        assert!(matches!(sent, Some(Volley::Activate(GROUP, Epoch(4), _))));
        assert!(fan.rekey(&rekey(4)));
        assert!(matches!(next(&volleys), Some(Volley::Rekey(_))));
    }

    #[test]
    fn an_activation_without_a_key_goes_by_streams_and_one_that_is_over_does_not() {
        let (mut fan, volleys, _casts) = fan();
        assert!(fan.activate(GROUP, Epoch(4)));
        assert!(fan.no_key(Epoch(4)));
        assert!(!fan.no_key(Epoch(4)), "they are told once");
        assert!(fan.activate(GROUP, Epoch(4)));
        assert!(!fan.rekey(&rekey(4)), "a newer one, by streams");
        assert!(!fan.no_key(Epoch(4)));
        assert!(next(&volleys).is_none());
    }

    #[test]
    fn a_group_with_an_address_multicasts_rekeys_and_tells_of_its_newest_epoch() {
        let (mut fan, volleys, casts) = fan();
        let to: MulticastAddress = "239.1.2.3:7445".parse().expect("is one");
        fan.multicasts(GROUP, Some(to));
        fan.multicasts(GROUP, Some(to));
        let told = |cast: Option<Cast>| match cast {
            Some(Cast::Heartbeats(GROUP, Some(beats))) => beats.datagrams,
            other => panic!("{other:?}"),
        };
        assert!(told(next(&casts)).is_empty(), "no key is known");
        assert!(next(&casts).is_none(), "that is told once");
        fan.key(GROUP, Epoch(4), &PushKey([1; 32]));
        assert_eq!(told(next(&casts)).len(), 1);
        assert!(fan.rekey(&rekey(4)));
        let Some(Volley::Rekey(sealed)) = next(&volleys) else {
            panic!("a rekey");
        };
        assert!(sealed.is_multicast);
        let Some(Cast::Now(packets)) = next(&casts) else {
            panic!("its packets");
        };
        assert_eq!((packets.to, packets.datagrams.len()), (to, 1));
        assert!(packets.datagrams[0].len() <= MAX_DATAGRAM);
        // Whoever missed it holds epoch 4 and is told of 5.
        let cipher = PushCipher::new(&PushKey([1; 32]));
        let beat = told(next(&casts)).remove(0);
        let datagram = crate::group::wire::datagram::Datagram::parse(&beat).expect("is one");
        let opened = cipher.open(&datagram).expect("is sealed so");
        let expected = Push::Heartbeat(Heartbeat {
            group: GROUP,
            epoch: Epoch(5),
        });
        assert_eq!(Push::from_bytes(&opened), Ok(expected));
        for epoch in 5..9 {
            fan.key(GROUP, Epoch(epoch), &PushKey([epoch as u8; 32]));
            fan.rekey(&rekey(epoch));
        }
        let last = std::iter::from_fn(|| next(&casts)).last();
        assert!(
            std::iter::from_fn(|| next(&volleys)).all(|volley| matches!(volley, Volley::Rekey(_)))
        );
        assert_eq!(told(last).len(), MAX_HELD_EPOCHS);
        fan.multicasts(GROUP, None);
        assert!(matches!(next(&casts), Some(Cast::Heartbeats(GROUP, None))));
        assert!(matches!(next(&volleys), Some(Volley::Silence(GROUP))));
        assert!(fan.multicast().is_none());
    }
}
