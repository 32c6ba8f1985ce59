//! Sends what the shards have sealed: one thread, many datagrams a call, no state of a member but its channel's.
//!
//! A rekey is sent to all who take it by datagram. Whoever did not acknowledge it is sent the same bytes again, twice, with
//! growing pauses; after that it is pushed on the member's stream, and the channel is probed anew. A newer rekey of the
//! same group ends the rounds of the older one: who has not acknowledged that cannot take this one, and gets it by stream.
//!
//! Whoever has only just opened its channel is about to answer the probe: it is waited for a moment, as a datagram costs a small
//! part of what a stream does. In a storm of joins that is everybody, once.

mod audience;

use std::collections::HashMap;
use std::hint::black_box;
use std::iter::Peekable;
use std::net::SocketAddr;
use std::slice::Iter;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::timers::Timers;
use super::transmit::Transmitter;
use crate::crypto::random;
use crate::engine::{Channel, Channels, SealedRekey, Volley};
use crate::group::ids::{Epoch, GroupId};
use crate::group::machine::Rekey;
use crate::group::wire::datagram::{self, AUTHENTICATED};
use audience::Audience;

/// How long acknowledgements are waited for before a rekey is sent for the second and the third time, and given up.
pub(super) const PAUSES: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
];
/// The first pause after a probe; it doubles, up to the longest. A member that has much to do may know of its channel only long
/// after the first probe came, and must not be served by stream for as long again.
const NEXT_PROBE: Duration = Duration::from_millis(250);
const PROBE_AGAIN: Duration = Duration::from_secs(30);
/// Channels that are fetched from memory together.
const FETCHED: usize = 16;
/// How long a rekey waits for the first probe's answer.
const COMING: Duration = Duration::from_millis(100);

/// Whom a group reaches, and what is on its way.
#[derive(Default)]
struct Group {
    /// By leaf: each has one at most.
    targets: Vec<Target>,
    round: Option<Round>,
    /// Those who listen to the multicast, and are no targets.
    audience: Audience,
}

impl Group {
    fn is_empty(&self) -> bool {
        self.targets.is_empty() && self.round.is_none() && self.audience.is_empty()
    }
}

/// A channel, and where its datagrams go: looked up when it is probed, so that whoever has moved is found again.
struct Target {
    channel: Arc<Channel>,
    /// The channel's: whoever looks for one need not touch the channels before it.
    leaf: u32,
    address: SocketAddr,
    /// No second probe was sent since it was opened.
    fresh: bool,
}

impl Target {
    fn new(channel: Arc<Channel>, address: SocketAddr, fresh: bool) -> Self {
        Target {
            leaf: channel.leaf(),
            channel,
            address,
            fresh,
        }
    }

    /// Whether its first probe may still be answered.
    fn is_coming(&self) -> bool {
        self.fresh && self.channel.heard() == Epoch(0)
    }
}

/// One rekey on its way.
struct Round {
    sealed: Arc<SealedRekey>,
    /// Leaves of those who were sent it and have not acknowledged it; ascending.
    waiting: Vec<u32>,
    /// Leaves of those who are sent it if they answer the first probe in time; ascending.
    coming: Vec<u32>,
    sent: usize,
}

/// Who does not wait for a rekey any more, though no datagram said so.
#[derive(Default)]
struct Settled {
    /// They have it by other means: its datagrams, or what would acknowledge them, are lost.
    unheard: Vec<Arc<Channel>>,
    /// It is not sent to them again.
    lost: Vec<Arc<Channel>>,
}

impl Round {
    /// Leaves those waiting whom it is to be sent again.
    fn settle(&mut self, targets: &[Target]) -> Settled {
        let (epoch, last) = (self.sealed.rekey.epoch, self.sent == PAUSES.len());
        let mut settled = Settled::default();
        let mut own = targets.iter().peekable();
        self.waiting.retain(|leaf| {
            // Whoever has left meanwhile, or was evicted, has no channel any more.
            let Some(Target { channel, .. }) = at(&mut own, *leaf) else {
                return false;
            };
            if channel.heard() >= epoch {
                return false;
            }
            let into = match channel.held() >= epoch {
                true => &mut settled.unheard,
                false if channel.is_up() && !last => return true,
                false => &mut settled.lost,
            };
            into.push(channel.clone());
            false
        });
        settled
    }
}

/// What is due at some time.
enum Due {
    /// The rounds of this epoch, unless a newer one took its place.
    Round(GroupId, Epoch),
    /// A look at those who are coming, likewise.
    Coming(GroupId, Epoch),
    /// A probe, after so many.
    Probe(Weak<Channel>, u32),
    /// A look at those who listen, as long as the group's clock is this one.
    Review(GroupId, u64),
}

/// The sending thread.
pub(super) struct Fanout {
    transmitter: Transmitter,
    channels: Arc<Channels>,
    /// Within which a member that hears a multicast reports.
    report: Duration,
    groups: HashMap<GroupId, Group>,
    timers: Timers<Due>,
}

impl Fanout {
    /// Members that hear a multicast report within that time.
    pub(super) fn new(transmitter: Transmitter, channels: Arc<Channels>, report: Duration) -> Self {
        Fanout {
            transmitter,
            channels,
            report,
            groups: HashMap::new(),
            timers: Timers::default(),
        }
    }

    /// Runs until the engine has ended.
    pub(super) fn run(mut self, volleys: &Receiver<Volley>) {
        loop {
            match volleys.recv_timeout(self.timers.wait()) {
                Ok(volley) => self.volley(volley),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.tick(Instant::now());
        }
    }

    /// Not inlined: the benchmark `rekey` counts its instructions.
    #[inline(never)]
    fn volley(&mut self, volley: Volley) {
        match volley {
            Volley::Rekey(sealed) => self.rekey(sealed),
            Volley::Activate(group, epoch, datagram) => self.activate(group, epoch, &datagram),
            Volley::Open(channel) => self.open(channel),
            Volley::Close(channel) => self.close(&channel),
            Volley::Answers(answers) => self.answers(&answers),
            Volley::Farewells(datagrams, done) => self.farewells(&datagrams, done),
            Volley::Hears(channel) => self.hears(&channel),
            Volley::Silence(group) => self.nobody_listens(group),
        }
    }

    fn open(&mut self, channel: Arc<Channel>) {
        // Without an address its connection is over already, and what closes it follows.
        let Some(address) = channel.address() else {
            return;
        };
        let probe = Due::Probe(Arc::downgrade(&channel), 0);
        self.timers.after(Duration::ZERO, probe);
        let (group, _) = channel.registration();
        let targets = &mut self.groups.entry(group).or_default().targets;
        let at = place(targets, channel.leaf());
        targets.insert(at, Target::new(channel, address, true));
    }

    fn close(&mut self, channel: &Arc<Channel>) {
        let (group, _) = channel.registration();
        let Some(of) = self.groups.get_mut(&group) else {
            return;
        };
        if let Some(at) = own(&of.targets, channel) {
            of.targets.remove(at);
        }
        of.audience.remove(channel);
        // Whoever opens a channel anew in the middle of a rekey's rounds is still owed it.
        if of.is_empty() {
            self.groups.remove(&group);
        }
    }

    fn rekey(&mut self, sealed: Arc<SealedRekey>) {
        let id = sealed.rekey.group;
        self.heard_by_audience(&sealed);
        let Some(group) = self.groups.get_mut(&id) else {
            return;
        };
        let older = group.round.take();
        let unheard = older.map(|mut older| older.settle(&group.targets).unheard);
        self.doubt(&unheard.unwrap_or_default());
        let Some(group) = self.groups.get_mut(&id) else {
            return;
        };
        let mut waiting = Vec::with_capacity(group.targets.len());
        let mut coming = Vec::new();
        for some in group.targets.chunks(FETCHED) {
            for target in some {
                black_box(target.channel.held());
            }
            for target in some {
                let channel = &target.channel;
                if channel.takes(&sealed.rekey) {
                    channel.sent();
                    waiting.push(target.leaf);
                } else if target.is_coming() && channel.will_hold() >= sealed.rekey.previous {
                    coming.push(target.leaf);
                } else {
                    channel.by_stream(&sealed.rekey);
                }
            }
        }
        metrics::counter!("wardcast_datagrams_sent_total").increment(waiting.len() as u64);
        if !coming.is_empty() {
            let look = Due::Coming(id, sealed.rekey.epoch);
            self.timers.after(COMING, look);
        }
        group.round = Some(Round {
            sealed,
            waiting,
            coming,
            sent: 0,
        });
        self.send(id);
    }

    /// Sends a group's rekey to all who wait for it.
    fn send(&mut self, id: GroupId) {
        let Some(Group { targets, round, .. }) = self.groups.get_mut(&id) else {
            return;
        };
        let Some(round) = round else {
            return;
        };
        let again = round.sent > 0;
        let datagrams = datagrams(&round.sealed, targets, &round.waiting);
        let datagrams = datagrams.map(|(target, datagram)| {
            if again {
                target.channel.resent();
            }
            (target.address, datagram)
        });
        let began = Instant::now();
        self.transmitter.send(datagrams);
        if round.sent == 0 {
            metrics::histogram!("wardcast_rekey_sending_seconds").record(began.elapsed());
        }
        let (epoch, pause) = (round.sealed.rekey.epoch, PAUSES[round.sent]);
        round.sent += 1;
        self.timers.after(pause, Due::Round(id, epoch));
    }

    /// Those whose channel was new have been waited for: whoever has answered its probe is sent the rekey, the others get it by
    /// stream.
    fn came(&mut self, id: GroupId, epoch: Epoch) {
        let Some(Group { targets, round, .. }) = self.groups.get_mut(&id) else {
            return;
        };
        let Some(round) = round
            .as_mut()
            .filter(|round| round.sealed.rekey.epoch == epoch)
        else {
            return;
        };
        let rekey = &round.sealed.rekey;
        let mut own = targets.iter().peekable();
        let mut reached = std::mem::take(&mut round.coming);
        reached.retain(|leaf| {
            // Whoever has left meanwhile has no channel any more.
            let lacking = at(&mut own, *leaf).filter(|target| target.channel.held() < epoch);
            let Some(Target { channel, .. }) = lacking else {
                return false;
            };
            let takes = channel.takes(rekey);
            match takes {
                true => channel.sent(),
                false => channel.by_stream(rekey),
            }
            takes
        });
        metrics::counter!("wardcast_datagrams_sent_total").increment(reached.len() as u64);
        let datagrams = datagrams(&round.sealed, targets, &reached);
        let datagrams = datagrams.map(|(target, datagram)| (target.address, datagram));
        self.transmitter.send(datagrams);
        round.waiting.append(&mut reached);
        round.waiting.sort_unstable();
    }

    fn activate(&mut self, group: GroupId, epoch: Epoch, datagram: &Bytes) {
        let targets = self
            .groups
            .get(&group)
            .map_or(&[][..], |group| &group.targets);
        let mut told = 0;
        let senders = targets.iter().filter(|target| target.channel.sends());
        let datagrams = senders.filter_map(|target| {
            let Target {
                channel, address, ..
            } = target;
            if channel.is_up() && channel.held() >= epoch {
                told += 1;
                return Some((*address, &datagram[..]));
            }
            channel.activate_by_stream(epoch);
            None
        });
        self.transmitter.send(datagrams);
        metrics::counter!("wardcast_datagrams_activations_total").increment(told);
    }

    fn answers(&mut self, answers: &[(SocketAddr, [u8; AUTHENTICATED])]) {
        let datagrams = answers.iter().map(|(to, bytes)| (*to, &bytes[..]));
        self.transmitter.send(datagrams);
        self.channels.answered(answers.len());
        metrics::counter!("wardcast_datagrams_answers_total").increment(answers.len() as u64);
    }

    fn farewells(&mut self, datagrams: &[(SocketAddr, Vec<u8>)], done: oneshot::Sender<()>) {
        let datagrams = datagrams.iter().map(|(to, bytes)| (*to, &bytes[..]));
        self.transmitter.send(datagrams);
        // Nobody may wait for it any more.
        let _ = done.send(());
    }

    fn tick(&mut self, now: Instant) {
        while let Some(due) = self.timers.next(now) {
            match due {
                Due::Round(group, epoch) => self.again(group, epoch),
                Due::Coming(group, epoch) => self.came(group, epoch),
                Due::Probe(channel, sent) => self.probe(channel, sent),
                Due::Review(group, clock) => self.review(group, clock),
            }
        }
    }

    /// A pause is over: whoever has not acknowledged is sent it again, or served by stream.
    fn again(&mut self, id: GroupId, epoch: Epoch) {
        let Some(group) = self.groups.get_mut(&id) else {
            return;
        };
        let Group { targets, round, .. } = group;
        let Some(current) = round
            .as_mut()
            .filter(|round| round.sealed.rekey.epoch == epoch)
        else {
            return;
        };
        let settled = current.settle(targets);
        let rekey = current.sealed.rekey.clone();
        let left = current.waiting.len() as u64;
        if left == 0 {
            *round = None;
            if group.is_empty() {
                self.groups.remove(&id);
            }
        } else {
            metrics::counter!("wardcast_datagrams_resent_total").increment(left);
            self.send(id);
        }
        self.doubt(&settled.unheard);
        self.give_up(&rekey, &settled.lost);
    }

    /// These members get it by stream.
    fn give_up(&mut self, rekey: &Arc<Rekey>, channels: &[Arc<Channel>]) {
        metrics::counter!("wardcast_datagrams_given_up_total").increment(channels.len() as u64);
        for channel in channels {
            channel.given_up();
            channel.by_stream(rekey);
        }
        self.doubt(channels);
    }

    /// Datagrams do not get through to these: nothing goes by them until a probe is answered.
    fn doubt(&mut self, channels: &[Arc<Channel>]) {
        // One that is down already, for it was only just opened, is being probed.
        for channel in channels.iter().filter(|channel| channel.is_up()) {
            channel.down();
            let probe = Due::Probe(Arc::downgrade(channel), 0);
            self.timers.after(Duration::ZERO, probe);
        }
    }

    fn probe(&mut self, channel: Weak<Channel>, sent: u32) {
        // It was closed meanwhile.
        let Some(probed) = channel.upgrade() else {
            return;
        };
        if probed.is_up() {
            return;
        }
        let Some(address) = probed.address() else {
            return; // its connection is over
        };
        let (group, _) = probed.registration();
        if let Some(group) = self.groups.get_mut(&group)
            && let Some(at) = own(&group.targets, &probed)
        {
            let target = &mut group.targets[at];
            target.address = address;
            target.fresh &= sent == 0;
        }
        let number = u64::from_be_bytes(random());
        let code = |covered: &[u8]| probed.key().code(covered);
        let datagram = datagram::probe(probed.number(), number, code);
        self.transmitter
            .send(std::iter::once((address, &datagram[..])));
        let pause = NEXT_PROBE.saturating_mul(1 << sent.min(16));
        let again = Due::Probe(channel, sent + 1);
        self.timers.after(pause.min(PROBE_AGAIN), again);
    }
}

/// What those of these leaves that are targets are sent; all are in their order.
fn datagrams<'a>(
    sealed: &'a SealedRekey,
    targets: &'a [Target],
    leaves: &'a [u32],
) -> impl Iterator<Item = (&'a Target, &'a [u8])> {
    let mut targets = targets.iter().peekable();
    let mut chunks = sealed.rekey.chunks.iter().zip(&sealed.chunks);
    let mut chunk = chunks.next();
    leaves.iter().filter_map(move |leaf| {
        let target = at(&mut targets, *leaf)?;
        while chunk.is_some_and(|(run, _)| run.last_leaf < *leaf) {
            chunk = chunks.next();
        }
        let own = chunk.filter(|(run, _)| run.first_leaf <= *leaf);
        let datagram = own.map_or(&sealed.others, |(_, sealed)| sealed);
        Some((target, datagram.as_ref()))
    })
}

/// The target of a leaf, when asked for one leaf after the other.
fn at<'a>(targets: &mut Peekable<Iter<'a, Target>>, leaf: u32) -> Option<&'a Target> {
    let before = |target: &&Target| target.leaf < leaf;
    while targets.next_if(before).is_some() {}
    targets.next_if(|target| target.leaf == leaf)
}

/// Where a leaf's target is, or would be.
fn place(targets: &[Target], leaf: u32) -> usize {
    targets.partition_point(|target| target.leaf < leaf)
}

/// Where this channel is, unless another one took its place.
fn own(targets: &[Target], channel: &Arc<Channel>) -> Option<usize> {
    let at = place(targets, channel.leaf());
    let found = targets.get(at)?;
    Arc::ptr_eq(&found.channel, channel).then_some(at)
}

#[cfg(test)]
mod tests;
