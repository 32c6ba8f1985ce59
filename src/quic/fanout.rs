//! Sends what the shards have sealed: one thread, many datagrams a call, no state of a member but its channel's.
//!
//! A rekey is sent to all who take it by datagram. Whoever did not acknowledge it is sent the same bytes again, twice, with
//! growing pauses; after that it is pushed on the member's stream, and the channel is probed anew. A newer rekey of the
//! same group ends the rounds of the older one: who has not acknowledged that cannot take this one, and gets it by stream.

use std::collections::{BTreeMap, HashMap};
use std::iter::Peekable;
use std::net::UdpSocket;
use std::slice::Iter;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::transmit::Transmitter;
use crate::crypto::random;
use crate::engine::{Channel, SealedRekey, Volley};
use crate::group::ids::{Epoch, GroupId};
use crate::group::machine::Rekey;
use crate::group::wire::datagram;

/// How long acknowledgements are waited for before a rekey is sent for the second and the third time, and given up.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
];
/// Probes that follow each other soon, and after what time; then one comes now and again.
const PROBES: u32 = 3;
const NEXT_PROBE: Duration = Duration::from_millis(250);
const PROBE_AGAIN: Duration = Duration::from_secs(30);
/// How long the thread sleeps when nothing is due.
const IDLE: Duration = Duration::from_secs(3_600);

/// Whom a group reaches, and what is on its way.
#[derive(Default)]
struct Group {
    /// By leaf: each has one at most.
    channels: Vec<Arc<Channel>>,
    round: Option<Round>,
}

/// One rekey on its way.
struct Round {
    sealed: SealedRekey,
    /// Leaves of those who were sent it and have not acknowledged it; ascending.
    waiting: Vec<u32>,
    sent: usize,
}

/// What is due at some time.
enum Due {
    /// The rounds of this epoch, unless a newer one took its place.
    Round(GroupId, Epoch),
    /// A probe, after so many.
    Probe(Weak<Channel>, u32),
}

/// The sending thread.
pub(super) struct Fanout {
    transmitter: Transmitter,
    groups: HashMap<GroupId, Group>,
    /// Numbered, as several may be due at one time.
    timers: BTreeMap<(Instant, u64), Due>,
    numbers: u64,
}

impl Fanout {
    /// Sends on that socket as long as anybody else holds it.
    pub(super) fn new(socket: Weak<UdpSocket>) -> Self {
        Fanout {
            transmitter: Transmitter::new(socket),
            groups: HashMap::new(),
            timers: BTreeMap::new(),
            numbers: 0,
        }
    }

    /// Runs until the engine has ended.
    pub(super) fn run(mut self, volleys: &Receiver<Volley>) {
        loop {
            let next = self.timers.first_key_value();
            let wait = next.map_or(IDLE, |((due, _), _)| {
                due.saturating_duration_since(Instant::now())
            });
            match volleys.recv_timeout(wait) {
                Ok(volley) => self.volley(volley),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.tick(Instant::now());
        }
    }

    fn volley(&mut self, volley: Volley) {
        match volley {
            Volley::Rekey(sealed) => self.rekey(sealed),
            Volley::Activate(group, epoch, datagram) => self.activate(group, epoch, &datagram),
            Volley::Open(channel) => {
                self.after(Duration::ZERO, Due::Probe(Arc::downgrade(&channel), 0));
                let (group, _) = channel.registration();
                let channels = &mut self.groups.entry(group).or_default().channels;
                let at = place(channels, channel.leaf());
                channels.insert(at, channel);
            }
            Volley::Close(channel) => self.close(&channel),
        }
    }

    fn close(&mut self, channel: &Arc<Channel>) {
        let (group, _) = channel.registration();
        let Some(Group { channels, round }) = self.groups.get_mut(&group) else {
            return;
        };
        let at = place(channels, channel.leaf());
        if channels
            .get(at)
            .is_some_and(|own| Arc::ptr_eq(own, channel))
        {
            channels.remove(at);
        }
        // Whoever opens a channel anew in the middle of a rekey's rounds is still owed it.
        if channels.is_empty() && round.is_none() {
            self.groups.remove(&group);
        }
    }

    fn rekey(&mut self, sealed: SealedRekey) {
        let id = sealed.rekey.group;
        let Some(group) = self.groups.get_mut(&id) else {
            return;
        };
        let mut waiting = Vec::with_capacity(group.channels.len());
        for channel in &group.channels {
            if channel.takes(&sealed.rekey) {
                waiting.push(channel.leaf());
            } else {
                channel.by_stream(&sealed.rekey);
            }
        }
        metrics::counter!("wardcast_datagrams_sent_total").increment(waiting.len() as u64);
        group.round = Some(Round {
            sealed,
            waiting,
            sent: 0,
        });
        self.send(id);
    }

    /// Sends a group's rekey to all who wait for it.
    fn send(&mut self, id: GroupId) {
        let Some(Group { channels, round }) = self.groups.get_mut(&id) else {
            return;
        };
        let Some(round) = round else {
            return;
        };
        // All three are in the order of leaves.
        let mut channels = channels.iter().peekable();
        let mut chunks = round.sealed.rekey.chunks.iter().zip(&round.sealed.chunks);
        let mut chunk = chunks.next();
        let datagrams = round.waiting.iter().filter_map(|leaf| {
            let channel = at(&mut channels, *leaf)?;
            while chunk.is_some_and(|(run, _)| run.last_leaf < *leaf) {
                chunk = chunks.next();
            }
            let own = chunk.filter(|(run, _)| run.first_leaf <= *leaf);
            let datagram = own.map_or(&round.sealed.others, |(_, sealed)| sealed);
            Some((channel.address(), datagram.as_ref()))
        });
        self.transmitter.send(datagrams);
        let (epoch, pause) = (round.sealed.rekey.epoch, PAUSES[round.sent]);
        round.sent += 1;
        self.after(pause, Due::Round(id, epoch));
    }

    fn activate(&mut self, group: GroupId, epoch: Epoch, datagram: &[u8]) {
        let channels = self
            .groups
            .get(&group)
            .map_or(&[][..], |group| &group.channels);
        let mut told = 0;
        let senders = channels.iter().filter(|channel| channel.sends());
        let datagrams = senders.filter_map(|channel| {
            if channel.is_up() && channel.held() >= epoch {
                told += 1;
                return Some((channel.address(), datagram));
            }
            channel.activate_by_stream(epoch);
            None
        });
        self.transmitter.send(datagrams);
        metrics::counter!("wardcast_datagrams_activations_total").increment(told);
    }

    fn after(&mut self, pause: Duration, due: Due) {
        self.numbers += 1;
        self.timers
            .insert((Instant::now() + pause, self.numbers), due);
    }

    fn tick(&mut self, now: Instant) {
        while let Some(entry) = self.timers.first_entry()
            && entry.key().0 <= now
        {
            match entry.remove() {
                Due::Round(group, epoch) => self.again(group, epoch),
                Due::Probe(channel, sent) => self.probe(channel, sent),
            }
        }
    }

    /// A pause is over: whoever has not acknowledged is sent it again, or served by stream.
    fn again(&mut self, id: GroupId, epoch: Epoch) {
        let Some(Group { channels, round }) = self.groups.get_mut(&id) else {
            return;
        };
        let Some(current) = round
            .as_mut()
            .filter(|round| round.sealed.rekey.epoch == epoch)
        else {
            return;
        };
        let last = current.sent == PAUSES.len();
        let mut given_up = Vec::new();
        let mut own = channels.iter().peekable();
        current.waiting.retain(|leaf| {
            // Whoever has left meanwhile, or was evicted, has no channel any more.
            let Some(channel) = at(&mut own, *leaf) else {
                return false;
            };
            if channel.held() >= epoch {
                return false;
            }
            let again = channel.is_up() && !last;
            if !again {
                given_up.push(Arc::clone(channel));
            }
            again
        });
        let rekey = current.sealed.rekey.clone();
        let left = current.waiting.len() as u64;
        if left == 0 {
            *round = None;
            if channels.is_empty() {
                self.groups.remove(&id);
            }
        } else {
            metrics::counter!("wardcast_datagrams_resent_total").increment(left);
            self.send(id);
        }
        self.give_up(&rekey, given_up);
    }

    /// These members get it by stream, and their channels are probed anew.
    fn give_up(&mut self, rekey: &Arc<Rekey>, channels: Vec<Arc<Channel>>) {
        metrics::counter!("wardcast_datagrams_given_up_total").increment(channels.len() as u64);
        for channel in channels {
            channel.by_stream(rekey);
            // One that is down already, for it was only just opened, is being probed.
            if channel.is_up() {
                channel.down();
                self.after(Duration::ZERO, Due::Probe(Arc::downgrade(&channel), 0));
            }
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
        let number = u64::from_be_bytes(random());
        let code = |covered: &[u8]| probed.key().code(covered);
        let datagram = datagram::probe(probed.number(), number, code);
        self.transmitter
            .send(std::iter::once((probed.address(), &datagram[..])));
        let pause = match sent + 1 < PROBES {
            true => NEXT_PROBE,
            false => PROBE_AGAIN,
        };
        self.after(pause, Due::Probe(channel, sent + 1));
    }
}

/// The channel of a leaf, when asked for one leaf after the other.
fn at<'a>(channels: &mut Peekable<Iter<'a, Arc<Channel>>>, leaf: u32) -> Option<&'a Arc<Channel>> {
    while channels.next_if(|channel| channel.leaf() < leaf).is_some() {}
    channels.next_if(|channel| channel.leaf() == leaf)
}

/// Where a leaf's channel is, or would be.
fn place(channels: &[Arc<Channel>], leaf: u32) -> usize {
    channels.partition_point(|channel| channel.leaf() < leaf)
}

#[cfg(test)]
mod tests;
