//! The push channel's side of the delivery seam: all channels, and the way to whoever sends datagrams.
//!
//! A shard seals a rekey once and hands it to each lane that has channels of the group, which was told before, in the same order,
//! which those are: a [`Volley`]. Nothing is allocated, cloned or locked for a member.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::channel::{Channel, GroupState, Newcomer, Opening, milliseconds};
use super::volley::{Cast, Outbound, Volley};
use crate::group::multicast::MulticastTimes;
use crate::group::wire::datagram::{AUTHENTICATED, ChannelId, Said, channel_context};

/// Channels that a gateway has open; members beyond are served by streams.
pub const MAX_CHANNELS: usize = 131_072;
/// Answers to parked members that wait to be sent; whoever gets none says again that it is there.
const MAX_ANSWERS: usize = 8_192;

/// All channels of a gateway, by number, and the way to whoever sends datagrams.
#[derive(Debug)]
pub struct Channels {
    table: RwLock<Table>,
    lanes: Vec<Sender<Volley>>,
    casts: Sender<Cast>,
    /// Taken by whoever sends datagrams.
    waiting: Mutex<Option<Outbound>>,
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
    /// For so many sockets; with the times that members who listen to a multicast are told, where the gateway sends such.
    pub(super) fn new(lanes: u8, multicast: Option<MulticastTimes>) -> Self {
        let (senders, receivers) = (0..lanes.max(1)).map(|_| channel()).unzip();
        let (casts, waiting) = channel();
        let outbound = Outbound {
            lanes: receivers,
            casts: waiting,
        };
        Channels {
            table: RwLock::default(),
            lanes: senders,
            casts,
            waiting: Mutex::new(Some(outbound)),
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
        self.send(channel.lane(), Volley::Hears(channel.clone()));
    }

    /// How many lanes there are.
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// What is to be sent; whoever takes it first sends it all, and from then on channels can be opened.
    pub fn outbound(&self) -> Option<Outbound> {
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

    /// Opens a channel for a member of a group; none when there are too many, nobody sends
    /// datagrams, or the connection is over.
    pub(super) fn open(
        &self,
        newcomer: Newcomer,
        group: &Arc<GroupState>,
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
        let (of, member) = newcomer.registration;
        let Some(key) = (opening.export)(&channel_context(&of, member, number)) else {
            self.write(|table| table.free.push(number.0));
            return None;
        };
        let place = (opening.lane, opening.whereabouts);
        let channel = Channel::new(number, key, newcomer, place, group.clone());
        let channel = Arc::new(channel);
        self.write(|table| table.channels[number.0 as usize] = Some(channel.clone()));
        self.send(channel.lane(), Volley::Open(channel.clone()));
        Some(channel)
    }

    pub(super) fn close(&self, channel: &Arc<Channel>) {
        channel.down();
        self.send(channel.lane(), Volley::Close(channel.clone()));
        let number = channel.number().0;
        self.write(|table| {
            table.channels[number as usize] = None;
            table.free.push(number);
        });
    }

    /// Has a lane tell parked members that the gateway goes; what is returned is done when it has.
    pub async fn send_farewells(&self, lane: usize, datagrams: Vec<(SocketAddr, Vec<u8>)>) {
        let (done, sent) = oneshot::channel();
        self.send(lane, Volley::Farewells(datagrams, done));
        // It fails as well where nobody sends any more.
        let _ = sent.await;
    }

    pub(super) fn send(&self, lane: usize, volley: Volley) {
        // Nobody sends any more while the gateway ends.
        let _ = self.lanes[lane].send(volley);
    }

    pub(super) fn cast(&self, cast: Cast) {
        let _ = self.casts.send(cast);
    }

    /// Serves a member by datagram alone from now on; false when that cannot be.
    pub(super) fn park(&self, channel: &Channel) -> bool {
        channel.park(self.now())
    }

    /// A parked member says from an address that it is there: what it is answered, if it is believed.
    pub fn answer(
        &self,
        channel: &Channel,
        said: &Said<'_, u64>,
        from: SocketAddr,
    ) -> Option<[u8; AUTHENTICATED]> {
        let answer = channel.answer(said, from)?;
        channel.lives(self.now());
        Some(answer)
    }

    /// The time by the clock that signs of life go by.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Has answers sent by a lane, as long as not too many wait.
    pub fn send_answers(&self, lane: usize, answers: Vec<(SocketAddr, [u8; AUTHENTICATED])>) {
        let count = answers.len();
        let waiting = self.answers.fetch_add(count, Ordering::Relaxed);
        if count == 0 || waiting + count > MAX_ANSWERS {
            self.answers.fetch_sub(count, Ordering::Relaxed);
            return;
        }
        self.send(lane, Volley::Answers(answers));
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
        let silent = open.filter(|channel| channel.was_alive() < since && channel.is_parked());
        silent.cloned().collect()
    }

    /// Parked members that do not know that the gateway goes, by their channels.
    pub fn staying(&self) -> Vec<Arc<Channel>> {
        let table = self.table();
        let open = table.channels.iter().flatten();
        open.filter(|channel| channel.stays()).cloned().collect()
    }

    fn write<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        change(&mut self.table.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// For tests, here and of whoever sends.
#[cfg(test)]
pub(crate) mod testing {
    use bytes::Bytes;

    use super::*;
    use crate::crypto::Key;
    use crate::engine::channel::Whereabouts;
    use crate::engine::outbox::Outbox;
    use crate::group::ids::Time;
    use crate::group::ids::{Epoch, GroupId, MemberId};
    use crate::group::machine::{Cause, Rekey, Why};

    /// The group of all channels here; it has delivered epoch 5.
    pub(crate) const GROUP: GroupId = GroupId([1; 16]);

    pub(crate) fn channels() -> Channels {
        let channels = Channels::new(1, None);
        drop(channels.outbound());
        channels
    }

    /// The same, and what is to be sent on them.
    pub(crate) fn channels_and_outbound() -> (Channels, Outbound) {
        let channels = Channels::new(1, None);
        let outbound = channels.outbound().expect("nobody took it");
        (channels, outbound)
    }

    /// Parks the member of a channel, which holds what its group delivered.
    pub(crate) fn park(channels: &Channels, channel: &Channel) {
        channel.acknowledged(Epoch(5));
        assert!(channels.park(channel));
    }

    /// A channel of a member that is known to hold epoch 3, whose leaf is its number, and that may send where that is even;
    /// without an address the connection is over. And where its stream's pushes are.
    pub(crate) fn opened(
        channels: &Channels,
        member: u64,
        address: &str,
    ) -> Option<(Arc<Channel>, Arc<Outbox>)> {
        holding(channels, member, address, (Epoch(3), Epoch(0)))
    }

    /// The same, of a member that is known to hold nothing, and was only just granted epoch 3.
    pub(crate) fn granted(
        channels: &Channels,
        member: u64,
        address: &str,
    ) -> Option<(Arc<Channel>, Arc<Outbox>)> {
        holding(channels, member, address, (Epoch(0), Epoch(3)))
    }

    fn holding(
        channels: &Channels,
        member: u64,
        address: &str,
        (held, granted): (Epoch, Epoch),
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
            held,
            granted,
        };
        let opening = Opening {
            lane: 0,
            whereabouts: Whereabouts::new(move || Some(address)),
            export: Box::new(move |_| (address.port() != 0).then(Key::generate)),
        };
        let channel = channels.open(newcomer, &GroupState::new(Epoch(5)), opening)?;
        Some((channel, outbox))
    }

    /// Whether a channel's group has a multicast from now on.
    pub(crate) fn multicasts(channel: &Channel, does: bool) {
        channel.group().multicasts(does);
    }

    /// A rekey that needs no edges.
    pub(crate) fn rekey(previous: u64) -> Arc<Rekey> {
        Arc::new(Rekey {
            group: GROUP,
            epoch: Epoch(previous + 1),
            previous: Epoch(previous),
            active: Epoch(0),
            why: Why {
                cause: Cause::Rotation,
                since: Time(0),
            },
            header: Bytes::new(),
            head: Bytes::new(),
            chunks: vec![],
        })
    }
}

#[cfg(test)]
mod tests;
