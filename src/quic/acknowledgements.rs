//! What members acknowledge by datagram: verified where it is read, told to the engine by the dozen.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smallvec::SmallVec;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::engine::{Channels, Handle, Registration, Reported, Table};
use crate::group::ids::{Epoch, GroupId, MemberId};
use crate::group::wire::datagram::Datagram;
use crate::udp::Sink;

/// Reads whose news are told to the engine at once.
const TOLD_AT_ONCE: usize = 64;
/// Datagrams of one read that need no memory of their own.
const AT_ONCE: usize = 32;

/// What a member holds by now.
type News = Vec<(Registration, Epoch)>;

/// What is said besides which epoch is held.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Means {
    Holds,
    Hears,
    Leaves,
}

/// Takes acknowledgements from the socket.
///
/// What waits to be told is bounded by what is news: each channel brings one for each epoch that was delivered.
#[derive(Debug)]
pub(super) struct Acknowledgements {
    channels: Arc<Channels>,
    lane: usize,
    /// What the reads before this one brought, while there is more to read.
    waiting: Mutex<News>,
    news: UnboundedSender<News>,
}

impl Acknowledgements {
    /// Begins to tell the engine what comes in by a lane; ends when the sink is dropped.
    pub(super) fn start(engine: Handle, lane: usize) -> Arc<Self> {
        let (news, waiting) = unbounded_channel();
        let channels = engine.channels().clone();
        tokio::spawn(tell(engine, waiting));
        Arc::new(Self {
            channels,
            lane,
            waiting: Mutex::default(),
            news,
        })
    }

    fn waiting(&self) -> MutexGuard<'_, News> {
        // Nothing panics while it holds the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Acknowledgements {
    fn take(&self, datagrams: &[(SocketAddr, &[u8])]) {
        let mut news = self.waiting();
        let mut answers = Vec::new();
        let (mut sound, mut reported, mut unsound) = (0, 0, 0);
        let now = self.channels.now();
        {
            let table = self.channels.table();
            let mut parsed = SmallVec::<[_; AT_ONCE]>::new();
            parsed.extend(datagrams.iter().map(|(_, bytes)| Datagram::parse(bytes)));
            fetch(&table, &parsed);
            for ((from, _), datagram) in datagrams.iter().zip(&parsed) {
                // Where it comes from does not count: addresses are easily forged, codes are not. Only answers go to where somebody
                // was parked.
                let (said, means) = match *datagram {
                    Some(Datagram::Acknowledge(said)) => (said, Means::Holds),
                    Some(Datagram::Report(said)) => (said, Means::Hears),
                    Some(Datagram::Leaves(said)) => (said, Means::Leaves),
                    Some(Datagram::Alive(said)) => {
                        let channel = table.get(said.channel);
                        match channel.and_then(|own| self.channels.answer(own, &said, *from)) {
                            Some(answer) => answers.push((*from, answer)),
                            None => unsound += 1,
                        }
                        continue;
                    }
                    _ => {
                        unsound += 1;
                        continue;
                    }
                };
                let channel = table.get(said.channel);
                let Some(channel) = channel.filter(|channel| channel.key().vouches(&said)) else {
                    unsound += 1;
                    continue;
                };
                if means == Means::Leaves {
                    channel.leaves();
                }
                let is_news = if means == Means::Hears {
                    reported += 1;
                    let Reported { news, hears } = channel.reported(said.what);
                    if hears {
                        self.channels.hears(channel);
                    }
                    news
                } else {
                    sound += 1;
                    channel.acknowledged(said.what)
                };
                if is_news {
                    // As good as saying that it is there, and nobody can have said it before.
                    channel.lives(now);
                    news.push((channel.registration(), said.what));
                }
            }
        }
        self.channels.send_answers(self.lane, answers);
        metrics::counter!("wardcast_datagrams_acknowledged_total").increment(sound);
        metrics::counter!("wardcast_multicast_reports_total").increment(reported);
        metrics::counter!("wardcast_datagrams_refused_total").increment(unsound);
    }

    /// To wake a shard, and to look at its group, costs more than most of what one read brings.
    fn done(&self) {
        let news = std::mem::take(&mut *self.waiting());
        if !news.is_empty() {
            // The engine has ended: nobody is left to be told.
            let _ = self.news.send(news);
        }
    }
}

/// The channels of those who acknowledge, all before the first is worked on.
fn fetch(table: &Table, datagrams: &[Option<Datagram<'_>>]) {
    for datagram in datagrams {
        if let Some(Datagram::Acknowledge(said) | Datagram::Report(said)) = datagram
            && let Some(channel) = table.get(said.channel)
        {
            channel.fetch();
        }
    }
}

async fn tell(engine: Handle, mut waiting: UnboundedReceiver<News>) {
    let mut batches = Vec::with_capacity(TOLD_AT_ONCE);
    while waiting.recv_many(&mut batches, TOLD_AT_ONCE).await > 0 {
        for (group, all) in by_group(&mut batches) {
            engine.all_acknowledged(group, all).await;
        }
    }
}

/// Not inlined: the benchmark `rekey` counts its instructions.
#[inline(never)]
fn by_group(batches: &mut Vec<News>) -> HashMap<GroupId, Vec<(MemberId, Epoch)>> {
    let mut groups: HashMap<GroupId, Vec<(MemberId, Epoch)>> = HashMap::new();
    for news in batches.drain(..) {
        for run in news.chunk_by(|((one, _), _), ((other, _), _)| one == other) {
            let ((group, _), _) = run[0];
            let members = run.iter().map(|&((_, member), epoch)| (member, epoch));
            groups.entry(group).or_default().extend(members);
        }
    }
    groups
}
