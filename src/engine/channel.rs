//! The push channel's side of the delivery seam: whose datagrams go where, and what was acknowledged.
//!
//! A shard seals a rekey once and hands it to whoever sends datagrams, who was told before, in the same order, which channels the
//! group has: a [`Volley`]. What becomes of each is known to the [`Channel`] alone, in a few atomics; nothing is allocated,
//! cloned or locked for a member. Whoever cannot be reached so gets the rekey through the outbox, as everybody does who has
//! no channel.

mod seat;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use super::count;
use super::outbox::{Outbox, Registration};
use super::volley::Volley;
use crate::crypto::{ChannelKey, Key};
use crate::group::ids::Epoch;
use crate::group::machine::Rekey;
use crate::group::multicast::MulticastTimes;
use crate::group::wire::datagram::{AUTHENTICATED, ChannelId, Said, channel_context, newest};
use seat::Seat;
pub use seat::Whereabouts;

/// Channels that a gateway has open; members beyond are served by streams.
pub const MAX_CHANNELS: usize = 131_072;
/// Answers to parked members that wait to be sent; whoever gets none says again that it is there.
const MAX_ANSWERS: usize = 8_192;

/// One member's channel: on one connection, or parked.
#[derive(Debug)]
pub struct Channel {
    number: ChannelId,
    registration: Registration,
    leaf: u32,
    sends: bool,
    key: ChannelKey,
    seat: Mutex<Seat>,
    /// The newest epoch that the group has delivered: nobody can hold a newer one.
    delivered: Arc<AtomicU64>,
    known: Known,
}

/// What the member has said, and what was concluded from it.
#[derive(Debug, Default)]
struct Known {
    held: AtomicU64,
    /// The newest epoch that a datagram said to be held.
    heard: AtomicU64,
    up: AtomicBool,
    /// When a parked member was heard of last, in milliseconds of the channels' clock.
    alive: AtomicU64,
    /// How often the member has said that it hears its group's multicast, since it was last taken for deaf.
    reports: AtomicU64,
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
    /// Where QUIC knows the member to be.
    pub whereabouts: Whereabouts,
    /// Exports the channel's key from the connection.
    pub export: Export,
}

/// Exports a key for a context; none only when the connection is over.
pub type Export = Box<dyn FnOnce(&[u8]) -> Option<Key> + Send>;

impl Channel {
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

    /// Vouches for what either end says.
    pub fn key(&self) -> &ChannelKey {
        &self.key
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
        let current = self.heard().0 >= self.delivered.load(Ordering::Relaxed);
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
    fn answer(&self, said: &Said<'_, u64>, from: SocketAddr) -> Option<[u8; AUTHENTICATED]> {
        let at = |own: SocketAddr| {
            (own.ip().to_canonical(), own.port()) == (from.ip().to_canonical(), from.port())
        };
        match *self.seat() {
            Seat::Parked(own) if at(own) && self.key.vouches(said) => {}
            _ => return None,
        }
        let delivered = Epoch(self.delivered.load(Ordering::Relaxed));
        let code = |covered: &[u8]| self.key.code(covered);
        Some(newest(self.number, delivered, said.what, code))
    }

    fn lives(&self, now: Duration) {
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
        if epoch.0 > self.delivered.load(Ordering::Relaxed) {
            return false;
        }
        self.known.heard.fetch_max(epoch.0, Ordering::Relaxed);
        self.known.up.store(true, Ordering::Relaxed);
        self.learn(epoch)
    }

    /// A report came that the key vouches for. One that tells of an epoch that was not delivered tells nothing.
    pub fn reported(&self, epoch: Epoch) -> Reported {
        if epoch.0 > self.delivered.load(Ordering::Relaxed) {
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

/// All channels of a gateway, by number, and the way to whoever sends datagrams.
#[derive(Debug)]
pub struct Channels {
    table: RwLock<Table>,
    volleys: Sender<Volley>,
    /// Taken by whoever sends datagrams.
    waiting: Mutex<Option<Receiver<Volley>>>,
    /// Answers that were handed to whoever sends and are not sent yet.
    answers: AtomicUsize,
    began: Instant,
    multicast: Option<MulticastTimes>,
}

/// Channels by number; numbers that are free are given again.
#[derive(Debug, Default)]
pub struct Table {
    channels: Vec<Option<Arc<Channel>>>,
    free: Vec<u32>,
}

impl Table {
    /// The channel with this number.
    pub fn get(&self, number: ChannelId) -> Option<&Arc<Channel>> {
        self.channels.get(number.0 as usize)?.as_ref()
    }

    fn number(&mut self) -> Option<ChannelId> {
        if let Some(free) = self.free.pop() {
            return Some(ChannelId(free));
        }
        let next = self.channels.len();
        (next < MAX_CHANNELS).then(|| {
            self.channels.push(None);
            ChannelId(next as u32)
        })
    }
}

impl Channels {
    /// With the times that members who listen to a multicast are told, where the gateway sends such.
    pub(super) fn new(multicast: Option<MulticastTimes>) -> Self {
        let (volleys, waiting) = channel();
        Channels {
            table: RwLock::default(),
            volleys,
            waiting: Mutex::new(Some(waiting)),
            answers: AtomicUsize::new(0),
            began: Instant::now(),
            multicast,
        }
    }

    /// When those who listen to a multicast wait for what; none where the gateway sends none.
    pub(super) fn multicast(&self) -> Option<MulticastTimes> {
        self.multicast
    }

    /// A member has begun to hear its group's multicast.
    pub fn hears(&self, channel: &Arc<Channel>) {
        self.send(Volley::Hears(channel.clone()));
    }

    /// What is to be sent; whoever takes it first sends it all, and from then on channels can be opened.
    pub fn volleys(&self) -> Option<Receiver<Volley>> {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Looks several channels up under one lock: acknowledgements come by the dozen.
    pub fn table(&self) -> RwLockReadGuard<'_, Table> {
        // Nothing panics while it is written to.
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a channel for a member of a group that has delivered so much; none when there are too many, nobody sends
    /// datagrams, or the connection is over.
    pub(super) fn open(
        &self,
        newcomer: Newcomer,
        delivered: &Arc<AtomicU64>,
        opening: Opening,
    ) -> Option<Arc<Channel>> {
        let served = self
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none();
        if !served {
            return None;
        }
        let number = self.write(Table::number)?;
        let Newcomer {
            registration,
            leaf,
            sends,
            outbox,
            held,
        } = newcomer;
        let (group, member) = registration;
        let Some(key) = (opening.export)(&channel_context(&group, member, number)) else {
            self.write(|table| table.free.push(number.0));
            return None;
        };
        let channel = Arc::new(Channel {
            number,
            registration,
            leaf,
            sends,
            key: ChannelKey::new(key),
            seat: Mutex::new(Seat::Connected(opening.whereabouts, outbox)),
            delivered: delivered.clone(),
            known: Known {
                held: AtomicU64::new(held.0),
                ..Known::default()
            },
        });
        self.write(|table| table.channels[number.0 as usize] = Some(channel.clone()));
        self.send(Volley::Open(channel.clone()));
        Some(channel)
    }

    pub(super) fn close(&self, channel: &Arc<Channel>) {
        channel.down();
        self.send(Volley::Close(channel.clone()));
        let number = channel.number.0;
        self.write(|table| {
            table.channels[number as usize] = None;
            table.free.push(number);
        });
    }

    pub(super) fn send(&self, volley: Volley) {
        // Nobody sends any more while the gateway ends.
        let _ = self.volleys.send(volley);
    }

    /// Serves a member by datagram alone from now on; false when that cannot be.
    pub(super) fn park(&self, channel: &Channel) -> bool {
        channel.park(self.began.elapsed())
    }

    /// A parked member says from an address that it is there: what it is answered, if it is believed.
    pub fn answer(
        &self,
        channel: &Channel,
        said: &Said<'_, u64>,
        from: SocketAddr,
    ) -> Option<[u8; AUTHENTICATED]> {
        let answer = channel.answer(said, from)?;
        channel.lives(self.began.elapsed());
        Some(answer)
    }

    /// Has answers sent, as long as not too many wait.
    pub fn send_answers(&self, answers: Vec<(SocketAddr, [u8; AUTHENTICATED])>) {
        let count = answers.len();
        let waiting = self.answers.fetch_add(count, Ordering::Relaxed);
        if count == 0 || waiting + count > MAX_ANSWERS {
            self.answers.fetch_sub(count, Ordering::Relaxed);
            return;
        }
        self.send(Volley::Answers(answers));
    }

    /// So many answers were sent.
    pub fn answered(&self, count: usize) {
        self.answers.fetch_sub(count, Ordering::Relaxed);
    }

    /// Parked members that were not heard of for so long, by their channels.
    pub fn silent(&self, patience: Duration) -> Vec<Arc<Channel>> {
        let Some(since) = self.began.elapsed().checked_sub(patience) else {
            return Vec::new();
        };
        let since = milliseconds(since);
        let table = self.table();
        let open = table.channels.iter().flatten();
        let silent = open.filter(|channel| {
            channel.known.alive.load(Ordering::Relaxed) < since && channel.is_parked()
        });
        silent.cloned().collect()
    }

    fn write<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        change(&mut self.table.write().unwrap_or_else(PoisonError::into_inner))
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Whom a channel is opened for.
pub(super) struct Newcomer {
    pub(super) registration: Registration,
    pub(super) leaf: u32,
    pub(super) sends: bool,
    pub(super) outbox: Arc<Outbox>,
    pub(super) held: Epoch,
}

/// For tests, here and of whoever sends.
#[cfg(test)]
pub(crate) mod testing {
    use bytes::Bytes;

    use super::*;
    use crate::group::ids::{GroupId, MemberId};

    /// The group of all channels here; it has delivered epoch 5.
    pub(crate) const GROUP: GroupId = GroupId([1; 16]);

    pub(crate) fn channels() -> Channels {
        let channels = Channels::new(None);
        drop(channels.volleys());
        channels
    }

    /// A channel of a member that is known to hold epoch 3, whose leaf is its number, and that may send where that is even;
    /// without an address the connection is over. And where its stream's pushes are.
    pub(crate) fn opened(
        channels: &Channels,
        member: u64,
        address: &str,
    ) -> Option<(Arc<Channel>, Arc<Outbox>)> {
        let address: SocketAddr = address.parse().expect("an address");
        let (registration, leaf) = ((GROUP, MemberId(member)), member as u32);
        let outbox = Outbox::new();
        outbox.attach(registration, leaf, Epoch(3));
        let newcomer = Newcomer {
            registration,
            leaf,
            sends: leaf % 2 == 0,
            outbox: outbox.clone(),
            held: Epoch(3),
        };
        let opening = Opening {
            whereabouts: Whereabouts::new(move || Some(address)),
            export: Box::new(move |_| (address.port() != 0).then(Key::generate)),
        };
        let delivered = Arc::new(AtomicU64::new(5));
        let channel = channels.open(newcomer, &delivered, opening)?;
        Some((channel, outbox))
    }

    /// A rekey that needs no edges.
    pub(crate) fn rekey(previous: u64) -> Arc<Rekey> {
        Arc::new(Rekey {
            group: GROUP,
            epoch: Epoch(previous + 1),
            previous: Epoch(previous),
            active: Epoch(0),
            header: Bytes::new(),
            head: Bytes::new(),
            chunks: vec![],
        })
    }
}

#[cfg(test)]
mod tests;
