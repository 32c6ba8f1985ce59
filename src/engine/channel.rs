//! One member's push channel: where its datagrams go, and what was acknowledged.
//!
//! What becomes of a delivery is known to its channel alone, in a few atomics. Whoever cannot be reached by datagram gets the
//! rekey through the outbox, as everybody does who has no channel.

mod seat;

use std::mem::offset_of;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::count;
use super::outbox::{Outbox, Registration};
use super::watch::Deliveries;
use crate::crypto::{ChannelKey, Key};
use crate::group::ids::Epoch;
use crate::group::machine::Rekey;
use crate::group::wire::GoAway;
use crate::group::wire::datagram::{AUTHENTICATED, ChannelId, MAX_GO_AWAY, Said, go_away, newest};
use seat::Seat;
pub use seat::Whereabouts;

/// One member's channel: on one connection, or parked.
///
/// What an acknowledgement needs comes first and is two lines of memory, the second of which is all that sending a rekey needs: among many
/// thousand channels each line is waited for.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Channel {
    key: ChannelKey,
    registration: Registration,
    group: Arc<GroupState>,
    known: Known,
    /// The epoch that the member was granted together with the channel; 0 where that was before.
    granted: Epoch,
    number: ChannelId,
    leaf: u32,
    sends: bool,
    lane: u8,
    seat: Mutex<Seat>,
}

const _: () = assert!(offset_of!(Channel, known) == 64 && offset_of!(Channel, granted) <= 128);

/// What the channels of a group share.
#[derive(Debug)]
pub(super) struct GroupState {
    /// The newest epoch that the group has delivered: nobody can hold a newer one.
    delivered: AtomicU64,
    /// Whether there is a multicast to be heard.
    multicasts: AtomicBool,
}

impl GroupState {
    pub(super) fn new(delivered: Epoch) -> Arc<Self> {
        Arc::new(GroupState {
            delivered: AtomicU64::new(delivered.0),
            multicasts: AtomicBool::new(false),
        })
    }

    pub(super) fn delivered(&self) -> Epoch {
        Epoch(self.delivered.load(Ordering::Relaxed))
    }

    pub(super) fn deliver(&self, epoch: Epoch) {
        self.delivered.store(epoch.0, Ordering::Relaxed);
    }

    pub(super) fn multicasts(&self, does: bool) {
        self.multicasts.store(does, Ordering::Relaxed);
    }
}

/// What the member has said, and what was concluded from it.
#[derive(Debug, Default)]
struct Known {
    held: AtomicU64,
    /// The newest epoch that a datagram said to be held.
    heard: AtomicU64,
    up: AtomicBool,
    /// It has said that it knows that the gateway goes.
    leaves: AtomicBool,
    /// When a parked member was heard of last, in milliseconds of the channels' clock.
    alive: AtomicU64,
    /// How often the member has said that it hears its group's multicast, since it was last taken for deaf.
    reports: AtomicU64,
    /// Rekeys that went by datagram, those that went again, and those that were given up.
    datagrams: AtomicU32,
    resent: AtomicU32,
    given_up: AtomicU32,
}

/// What a report tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported {
    /// Which epoch the member holds is news.
    pub news: bool,
    /// That it hears the multicast is.
    pub hears: bool,
}

/// What a member asks for, and where its connection is.
pub struct Opening {
    /// The lane of the connection: the number of the gateway's socket that serves it.
    pub lane: u8,
    /// Where QUIC knows the member to be.
    pub whereabouts: Whereabouts,
    /// Exports the channel's key from the connection.
    pub export: Export,
}

/// Exports a key for a context; none only when the connection is over.
pub type Export = Box<dyn FnOnce(&[u8]) -> Option<Key> + Send>;

impl Channel {
    pub(super) fn new(
        number: ChannelId,
        key: Key,
        newcomer: Newcomer,
        (lane, whereabouts): (u8, Whereabouts),
        group: Arc<GroupState>,
    ) -> Self {
        let held = AtomicU64::new(newcomer.held.0);
        Channel {
            key: ChannelKey::new(key),
            registration: newcomer.registration,
            group,
            known: Known {
                held,
                ..Known::default()
            },
            granted: newcomer.granted,
            number,
            leaf: newcomer.leaf,
            sends: newcomer.sends,
            lane,
            seat: Mutex::new(Seat::Connected(whereabouts, newcomer.outbox)),
        }
    }

    /// Its number.
    pub fn number(&self) -> ChannelId {
        self.number
    }

    /// Whose it is.
    pub fn registration(&self) -> Registration {
        self.registration
    }

    /// The member's leaf.
    pub fn leaf(&self) -> u32 {
        self.leaf
    }

    /// Whether the member may send, and so has to know when senders switch.
    pub fn sends(&self) -> bool {
        self.sends
    }

    /// The number of the gateway's socket that serves it.
    pub fn lane(&self) -> usize {
        usize::from(self.lane)
    }

    /// Whether its group has a multicast that it may hear.
    pub fn may_hear(&self) -> bool {
        self.group.multicasts.load(Ordering::Relaxed)
    }

    /// Vouches for what either end says.
    pub fn key(&self) -> &ChannelKey {
        &self.key
    }

    /// Has the processor fetch what taking an acknowledgement needs. Among many thousand channels that is rarely at hand; for some
    /// that are named one right after the other it fetches it at the same time, and waits once.
    pub fn fetch(&self) {
        self.key.touch();
        std::hint::black_box(self.held());
    }

    /// Where the member is now, as QUIC has validated it; none once its connection is over. Takes the connection's lock: not
    /// to be asked for each datagram. A parked member is where it was when it was parked.
    pub fn address(&self) -> Option<SocketAddr> {
        self.seat().address()
    }

    /// Whether the member is served by datagram alone.
    pub fn is_parked(&self) -> bool {
        matches!(*self.seat(), Seat::Parked(_))
    }

    /// Serves the member by datagram alone from now on, where it is; false when datagrams do not reach it, or it lacks what was
    /// delivered.
    pub(super) fn park(&self, now: Duration) -> bool {
        // However it came: what was delivered by stream once, because an acknowledgement was late, keeps nobody on a connection.
        let current = self.held() >= self.group.delivered();
        let mut seat = self.seat();
        let Some(address) = seat.address().filter(|_| self.is_up() && current) else {
            return false;
        };
        self.lives(now);
        *seat = Seat::Parked(address);
        true
    }

    /// A parked member says from this address that it is there: what it is answered. From elsewhere it is not answered, and
    /// has to come back on a connection, which validates where it is.
    pub(super) fn answer(
        &self,
        said: &Said<'_, u64>,
        from: SocketAddr,
    ) -> Option<[u8; AUTHENTICATED]> {
        let at = |own: SocketAddr| {
            (own.ip().to_canonical(), own.port()) == (from.ip().to_canonical(), from.port())
        };
        match *self.seat() {
            Seat::Parked(own) if at(own) && self.key.vouches(said) => {}
            _ => return None,
        }
        let delivered = self.group.delivered();
        let code = |covered: &[u8]| self.key.code(covered);
        Some(newest(self.number, delivered, said.what, code))
    }

    /// What tells a parked member to go, and where it is; none for whoever has a connection to be told on.
    pub fn farewell(&self, away: GoAway) -> Option<(SocketAddr, Vec<u8>)> {
        let Seat::Parked(address) = *self.seat() else {
            return None;
        };
        let message = away.message_within(MAX_GO_AWAY);
        let code = |covered: &[u8]| self.key.code(covered);
        Some((address, go_away(self.number, &message, code)))
    }

    /// The member says that it was told to go.
    pub fn leaves(&self) {
        self.known.leaves.store(true, Ordering::Relaxed);
    }

    /// Whether a parked member is not known to be told that the gateway goes.
    pub(super) fn stays(&self) -> bool {
        !self.known.leaves.load(Ordering::Relaxed) && self.is_parked()
    }

    #[cfg(test)]
    pub(super) fn group(&self) -> &GroupState {
        &self.group
    }

    /// When it was heard of last, as a parked one, in milliseconds of the channels' clock.
    pub(super) fn was_alive(&self) -> u64 {
        self.known.alive.load(Ordering::Relaxed)
    }

    /// The member is there, at this time of the channels' clock.
    pub fn lives(&self, now: Duration) {
        self.known.alive.store(milliseconds(now), Ordering::Relaxed);
    }

    fn seat(&self) -> MutexGuard<'_, Seat> {
        // Nothing panics while it holds the lock.
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest epoch that the member is known to hold.
    pub fn held(&self) -> Epoch {
        Epoch(self.known.held.load(Ordering::Relaxed))
    }

    /// The newest epoch that the member holds, or will once it answers its first probe: whoever has the number of its channel
    /// by its grant confirms what that brought before it answers.
    pub fn will_hold(&self) -> Epoch {
        self.held().max(self.granted)
    }

    /// The newest epoch that a datagram acknowledged.
    pub fn heard(&self) -> Epoch {
        Epoch(self.known.heard.load(Ordering::Relaxed))
    }

    /// Whether datagrams were seen to get through, both ways.
    pub fn is_up(&self) -> bool {
        self.known.up.load(Ordering::Relaxed)
    }

    /// Whether a rekey can go by datagram: the member is known to hold what it follows.
    pub fn takes(&self, rekey: &Rekey) -> bool {
        self.is_up() && self.held() >= rekey.previous
    }

    /// An acknowledgement came that the key vouches for; whether it is news. An epoch that was not delivered is no news.
    pub fn acknowledged(&self, epoch: Epoch) -> bool {
        if epoch > self.group.delivered() {
            return false;
        }
        self.known.heard.fetch_max(epoch.0, Ordering::Relaxed);
        self.known.up.store(true, Ordering::Relaxed);
        self.learn(epoch)
    }

    /// A report came that the key vouches for. One that tells of an epoch that was not delivered tells nothing.
    pub fn reported(&self, epoch: Epoch) -> Reported {
        if epoch > self.group.delivered() {
            return Reported {
                news: false,
                hears: false,
            };
        }
        self.known.heard.fetch_max(epoch.0, Ordering::Relaxed);
        Reported {
            hears: self.known.reports.fetch_add(1, Ordering::Relaxed) == 0,
            news: self.learn(epoch),
        }
    }

    /// How often it has reported since it began to, or was taken for deaf.
    pub fn reports(&self) -> u64 {
        self.known.reports.load(Ordering::Relaxed)
    }

    /// The member does not hear its group's multicast any more; its next report says that it does.
    pub fn deaf(&self) {
        self.known.reports.store(0, Ordering::Relaxed);
    }

    /// The member holds an epoch, however that became known; whether it is news.
    pub(crate) fn learn(&self, epoch: Epoch) -> bool {
        self.known.held.fetch_max(epoch.0, Ordering::Relaxed) < epoch.0
    }

    /// Datagrams do not get through: nothing goes by them until the channel was probed again.
    pub fn down(&self) {
        self.known.up.store(false, Ordering::Relaxed);
    }

    /// A rekey goes to the member by datagram.
    pub fn sent(&self) {
        self.known.datagrams.fetch_add(1, Ordering::Relaxed);
    }

    /// One goes again.
    pub fn resent(&self) {
        self.known.resent.fetch_add(1, Ordering::Relaxed);
    }

    /// One is not sent again.
    pub fn given_up(&self) {
        self.known.given_up.fetch_add(1, Ordering::Relaxed);
    }

    /// What was sent by datagram since the channel was opened.
    pub fn deliveries(&self) -> Deliveries {
        let count = |of: &AtomicU32| of.load(Ordering::Relaxed);
        Deliveries {
            datagrams: count(&self.known.datagrams),
            resent: count(&self.known.resent),
            given_up: count(&self.known.given_up),
            ..Deliveries::default()
        }
    }

    /// Hands a rekey to the member's stream. A parked member has none: it is told of the epoch when it says that it is there.
    pub fn by_stream(&self, rekey: &Arc<Rekey>) {
        let Some(outbox) = self.seat().outbox() else {
            return;
        };
        outbox.held(self.registration, self.held());
        if outbox.rekey(self.registration, rekey) {
            count::conflated(1);
        }
    }

    /// Tells the member by its stream that senders switch.
    pub fn activate_by_stream(&self, epoch: Epoch) {
        if let Some(outbox) = self.seat().outbox() {
            outbox.activate(self.registration, epoch);
        }
    }
}

/// Whom a channel is opened for.
pub(super) struct Newcomer {
    pub(super) registration: Registration,
    pub(super) leaf: u32,
    pub(super) sends: bool,
    pub(super) outbox: Arc<Outbox>,
    /// What it is known to hold.
    pub(super) held: Epoch,
    /// What it is granted at the same time.
    pub(super) granted: Epoch,
}

pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
