//! Several sockets on one port: which of them a packet of QUIC belongs to.
//!
//! The kernel shares out what comes among the sockets by the addresses at both ends (SO_REUSEPORT). Each has a lane of its own: a
//! thread that reads it, one that sends on it, and an endpoint of QUIC, whose connections are nobody else's. A member whose
//! address changes comes in by another socket, perhaps; its packets name a connection, and the name tells the lane. Handshakes stay
//! where they came in: an address does not change meanwhile (RFC 9000 section 9).

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::BytesMut;
use quinn::udp::RecvMeta;
use quinn_proto::{ConnectionId, ConnectionIdGenerator};

use crate::crypto::random;

/// Packets of QUIC that wait for the driver of a lane; what comes beyond is lost, as it would be in a full socket.
const MAX_WAITING: usize = 8_192;
/// Bytes of a connection's name.
const NAME: usize = 8;
/// Whether a packet has a long header: those of a handshake (RFC 9000 section 17.2).
const LONG: u8 = 0x80;

/// All lanes of a gateway.
pub(super) struct Lanes {
    /// Which lane a connection has is nobody else's business: names look random to whoever has not this key (RFC 9000 section 5.1).
    key: RandomState,
    inboxes: Vec<Inbox>,
}

/// QUIC's packets on their way to the driver, for one lane.
#[derive(Default)]
pub(super) struct Inbox(Mutex<Queue>);

#[derive(Default)]
pub(super) struct Queue {
    pub(super) packets: VecDeque<Packet>,
    pub(super) failed: Option<io::Error>,
    driver: Option<Waker>,
}

/// A packet, and where it came from and to.
pub(super) struct Packet {
    pub(super) meta: RecvMeta,
    pub(super) bytes: BytesMut,
}

impl Lanes {
    pub(super) fn new(count: usize) -> Arc<Self> {
        Arc::new(Lanes {
            key: RandomState::new(),
            inboxes: (0..count).map(|_| Inbox::default()).collect(),
        })
    }

    pub(super) fn inbox(&self, lane: usize) -> &Inbox {
        &self.inboxes[lane]
    }

    /// Hands over packets that came in by a lane's socket, each to the lane that has its connection.
    pub(super) fn hand_over<'a>(
        &self,
        came: usize,
        packets: impl Iterator<Item = (RecvMeta, &'a [u8])>,
    ) {
        let (mut lost, mut others) = (0, Vec::new());
        let mut own = self.inboxes[came].queue();
        for (meta, packet) in packets {
            match self.lane(packet).filter(|lane| *lane != came) {
                Some(lane) => others.push((lane, meta, packet)),
                None => lost += own.put(meta, packet),
            }
        }
        own.wake();
        // Never two at a time: another lane may want this one's while it holds its own.
        drop(own);
        for (lane, meta, packet) in others {
            let mut other = self.inboxes[lane].queue();
            lost += other.put(meta, packet);
            other.wake();
            metrics::counter!("wardcast_quic_packets_moved_total").increment(1);
        }
        if lost > 0 {
            metrics::counter!("wardcast_quic_packets_lost_total").increment(lost);
        }
    }

    /// The lane that a packet names; none that of a handshake, which stays where it came in.
    fn lane(&self, packet: &[u8]) -> Option<usize> {
        if self.inboxes.len() == 1 {
            return None;
        }
        let (first, rest) = packet.split_first()?;
        let name = rest.get(..NAME).filter(|_| first & LONG == 0)?;
        Some(self.lane_of(name))
    }

    fn lane_of(&self, name: &[u8]) -> usize {
        (self.key.hash_one(name) % self.inboxes.len() as u64) as usize
    }
}

impl Inbox {
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// How many were lost.
    fn put(&mut self, meta: RecvMeta, packet: &[u8]) -> u64 {
        let has_room = self.packets.len() < MAX_WAITING;
        if has_room {
            let bytes = BytesMut::from(packet);
            self.packets.push_back(Packet { meta, bytes });
        }
        u64::from(!has_room)
    }

    /// Whether there is something for the driver; it is woken when there is.
    pub(super) fn wait(&mut self, driver: &Waker) -> bool {
        let waits = self.packets.is_empty() && self.failed.is_none();
        if waits {
            self.driver = Some(driver.clone());
        }
        !waits
    }

    /// The driver is to look.
    pub(super) fn wake(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }
}

/// Names the connections of a lane.
pub(super) struct Names {
    pub(super) lanes: Arc<Lanes>,
    pub(super) lane: usize,
}

impl ConnectionIdGenerator for Names {
    fn generate_cid(&mut self) -> ConnectionId {
        loop {
            let name: [u8; NAME] = random();
            if self.lanes.lane_of(&name) == self.lane {
                return ConnectionId::new(&name);
            }
        }
    }

    fn cid_len(&self) -> usize {
        NAME
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of an established connection of that name.
    fn named(name: &ConnectionId) -> Vec<u8> {
        [&[0x40], &name[..], b"the rest"].concat()
    }

    #[test]
    fn a_packet_goes_to_the_lane_that_named_its_connection_wherever_it_comes_in() {
        let lanes = Lanes::new(3);
        for lane in 0..3 {
            let mut names = Names {
                lanes: lanes.clone(),
                lane,
            };
            let packets: Vec<_> = (0..20).map(|_| named(&names.generate_cid())).collect();
            for came in 0..3 {
                let packets = packets
                    .iter()
                    .map(|packet| (RecvMeta::default(), &packet[..]));
                lanes.hand_over(came, packets);
            }
            let waiting: Vec<usize> = lanes
                .inboxes
                .iter()
                .map(|inbox| std::mem::take(&mut inbox.queue().packets).len())
                .collect();
            let mut expected = [0; 3];
            expected[lane] = 60;
            assert_eq!(waiting, expected);
        }
    }

    #[test]
    fn lanes_that_hand_over_to_each_other_do_not_wait_for_each_other() {
        let lanes = Lanes::new(2);
        let handing = [0, 1].map(|came| {
            let lanes = lanes.clone();
            let mut names = Names {
                lanes: lanes.clone(),
                lane: 1 - came,
            };
            let packet = named(&names.generate_cid());
            std::thread::spawn(move || {
                for _ in 0..20_000 {
                    let packets = [(RecvMeta::default(), &packet[..])];
                    lanes.hand_over(came, packets.into_iter());
                    lanes.inbox(1 - came).queue().packets.clear();
                }
            })
        });
        let (done, awaited) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let joined = handing.map(|thread| thread.join().is_ok());
            done.send(joined)
        });
        let joined = awaited.recv_timeout(std::time::Duration::from_secs(20));
        assert_eq!(joined, Ok([true, true]));
    }

    #[test]
    fn a_handshake_stays_where_it_came_in_and_so_does_what_is_too_short() {
        let lanes = Lanes::new(4);
        for first in 0..=255_u8 {
            let long = [&[0xc0, 0, 0, 0, 1, 8][..], &[first; 30]].concat();
            assert_eq!(lanes.lane(&long), None);
            assert_eq!(lanes.lane(&[0x40, first]), None);
        }
        assert_eq!(lanes.lane(&[]), None);
    }

    #[test]
    fn what_does_not_fit_is_lost() {
        let lanes = Lanes::new(1);
        let packets = (0..=MAX_WAITING).map(|_| (RecvMeta::default(), &b"@packet"[..]));
        lanes.hand_over(0, packets);
        assert_eq!(lanes.inbox(0).queue().packets.len(), MAX_WAITING);
    }
}
