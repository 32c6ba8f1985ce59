//! The push channel of members that only acknowledge: what a real member can open, they read with its keys.

use std::collections::{HashMap, VecDeque};
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use quinn::{Connection, Endpoint, TokioRuntime};
use tokio::sync::Notify;
use wardcast::crypto::{ChannelKey, Key, PushCipher};
use wardcast::group::ids::{Epoch, GroupId, MemberId};
use wardcast::group::wire::datagram::{
    AUTHENTICATED, CHANNEL_LABEL, ChannelId, Datagram, acknowledge, channel_context, is_datagram,
};
use wardcast::group::wire::{EpochHeader, Message, Push};
use wardcast::udp::endpoint_config;

use super::seen::{Reporter, What};
use super::socket::{Packets, Socket};
use crate::Failure;
use crate::sockets::{Answers, Port, Sockets, Watched};

/// Push keys that are kept: of the epochs that a member holds, and one more.
const KEYS: usize = 4;

/// What all members of a run read pushes with.
#[derive(Default)]
pub(super) struct Opener(Mutex<Keys>);

#[derive(Default)]
struct Keys {
    ciphers: VecDeque<PushCipher>,
    /// What datagrams brought that were opened before, by nonce: each is sent to many.
    opened: HashMap<[u8; 12], Brought>,
}

/// What a sealed datagram brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Brought {
    Rekey(Epoch),
    Activate(Epoch),
}

impl Opener {
    /// A real member holds this key.
    pub(super) fn learn(&self, cipher: PushCipher) {
        let mut keys = lock(&self.0);
        if keys.ciphers.len() == KEYS {
            keys.ciphers.pop_front();
            keys.opened.clear();
        }
        keys.ciphers.push_back(cipher);
    }

    /// What a sealed datagram brings; none when no key opens it.
    fn open(&self, datagram: &Datagram<'_>) -> Option<Brought> {
        let Datagram::Sealed { key, nonce, .. } = datagram else {
            return None;
        };
        let mut keys = lock(&self.0);
        if let Some(brought) = keys.opened.get(nonce) {
            return Some(*brought);
        }
        let cipher = keys.ciphers.iter().find(|cipher| cipher.name() == *key)?;
        let brought = match Push::from_bytes(&cipher.open(datagram)?).ok()? {
            Push::Rekey(rekey) => {
                Brought::Rekey(EpochHeader::parse(&rekey.header).ok()?.header.epoch)
            }
            Push::Activate(activate) => Brought::Activate(activate.epoch),
            _ => return None,
        };
        keys.opened.insert(*nonce, brought);
        Some(brought)
    }
}

/// One member's address: QUIC's packets go on to quinn, the others are answered where they are read.
///
/// What an answer needs comes first and together: of many thousand members it is rarely at hand, and each line of memory is waited for.
#[repr(C, align(64))]
pub(super) struct Line {
    held: AtomicU64,
    /// Nothing is read meanwhile: neither datagrams nor streams.
    stalled: AtomicBool,
    parted: AtomicBool,
    gateway: SocketAddr,
    reporter: Reporter,
    opener: Arc<Opener>,
    own: Own,
    /// Epochs that were news and came by stream since it began to read.
    by_stream: AtomicU64,
    port: Port,
    packets: Packets,
    read_on: Notify,
}

/// Its channel, once that is known.
#[derive(Default)]
#[repr(C)]
struct Own {
    channel: OnceLock<Channel>,
    /// A probe that was here before.
    early: Mutex<Option<[u8; AUTHENTICATED]>>,
}

impl Own {
    /// The channel; before there is one, the last that may be a probe of it is kept.
    fn channel_for(&self, bytes: &[u8]) -> Option<&Channel> {
        if let Some(channel) = self.channel.get() {
            return Some(channel);
        }
        let mut early = lock(&self.early);
        // It may have been opened meanwhile.
        let channel = self.channel.get();
        if let (None, Ok(probe)) = (channel, bytes.try_into()) {
            *early = Some(probe);
        }
        channel
    }

    /// The channel is this one; whether it was probed already. It is opened once.
    fn open(&self, channel: Channel) -> bool {
        let mut early = lock(&self.early);
        let probed = early
            .take()
            .is_some_and(|bytes| channel.is_probed_by(&bytes));
        let _ = self.channel.set(channel);
        probed
    }
}

struct Channel {
    number: ChannelId,
    key: ChannelKey,
}

impl Channel {
    fn is_probed_by(&self, bytes: &[u8]) -> bool {
        match Datagram::parse(bytes) {
            Some(Datagram::Probe(said)) => said.channel == self.number && self.key.vouches(&said),
            _ => false,
        }
    }
}

impl Line {
    /// An address for one connection with the gateway, which is read from now on.
    pub(super) fn endpoint(
        sockets: &Arc<Sockets>,
        opener: Arc<Opener>,
        reporter: Reporter,
        gateway: SocketAddr,
    ) -> Result<(Endpoint, Arc<Self>), Failure> {
        let port = sockets.port()?;
        let line = Arc::new(Line {
            opener,
            reporter,
            port: port.clone(),
            gateway,
            packets: Packets::default(),
            own: Own::default(),
            held: AtomicU64::new(0),
            by_stream: AtomicU64::new(0),
            stalled: AtomicBool::new(false),
            read_on: Notify::new(),
            parted: AtomicBool::new(false),
        });
        let socket = Arc::new(Socket {
            _watch: port.watch(line.clone()),
            line: line.clone(),
        });
        let runtime = Arc::new(TokioRuntime);
        let endpoint =
            Endpoint::new_with_abstract_socket(endpoint_config(), None, socket, runtime)?;
        Ok((endpoint, line))
    }

    /// QUIC's packets.
    pub(super) fn packets(&self) -> &Packets {
        &self.packets
    }

    pub(super) fn port(&self) -> &Port {
        &self.port
    }

    pub(super) fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    /// The gateway has opened the channel; it may have probed it already.
    pub(super) fn open(
        &self,
        connection: &Connection,
        (group, member): (GroupId, MemberId),
        number: ChannelId,
    ) -> Result<(), Failure> {
        let mut key = [0; 32];
        let context = channel_context(&group, member, number);
        connection
            .export_keying_material(&mut key, CHANNEL_LABEL, &context)
            .map_err(|_| "the connection is over")?;
        let channel = Channel {
            number,
            key: ChannelKey::new(Key::from_bytes(key)),
        };
        let answer = self.acknowledgement(&channel);
        if self.own.open(channel) {
            // What cannot be sent is lost, as any datagram may be.
            let _ = self.port.send(self.gateway, &answer);
        }
        Ok(())
    }

    /// An epoch came; whether it is news.
    pub(super) fn holds(&self, epoch: Epoch) -> bool {
        let news = self.held.fetch_max(epoch.0, Ordering::Relaxed) < epoch.0;
        if news {
            self.reporter.tell(What::Holds(epoch));
        }
        news
    }

    /// An epoch came by stream.
    pub(super) fn came_by_stream(&self, epoch: Epoch) {
        if self.holds(epoch) {
            self.by_stream.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reads nothing from now on; QUIC's own packets are taken and answered, so that the connection stays.
    pub(super) fn stall(&self) {
        self.stalled.store(true, Ordering::Release);
    }

    /// Reads again.
    pub(super) fn read_on(&self) {
        self.by_stream.store(0, Ordering::Relaxed);
        self.stalled.store(false, Ordering::Release);
        self.read_on.notify_waiters();
    }

    /// Waits until it reads.
    pub(super) async fn reading(&self) {
        loop {
            // It is woken by what comes after this line.
            let woken = self.read_on.notified();
            if !self.is_stalled() {
                return;
            }
            woken.await;
        }
    }

    fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Acquire)
    }

    /// How many epochs that were news came by stream since it began to read.
    pub(super) fn caught_up_by(&self) -> u64 {
        self.by_stream.load(Ordering::Relaxed)
    }

    /// It leaves: its end is no loss.
    pub(super) fn part(&self) {
        self.parted.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_parted(&self) -> bool {
        self.parted.load(Ordering::Relaxed)
    }

    fn acknowledgement(&self, channel: &Channel) -> [u8; AUTHENTICATED] {
        let held = Epoch(self.held.load(Ordering::Relaxed));
        acknowledge(channel.number, held, |covered| channel.key.code(covered))
    }

    fn answer(&self, channel: &Channel, answers: &mut Answers) {
        answers.add(self.gateway, &self.acknowledgement(channel));
    }

    fn datagram(&self, bytes: &[u8], answers: &mut Answers) {
        let Some((channel, datagram)) = self.own.channel_for(bytes).zip(Datagram::parse(bytes))
        else {
            return;
        };
        if self.is_stalled() {
            return;
        }
        match &datagram {
            Datagram::Probe(said) if channel.key.vouches(said) => {
                self.answer(channel, answers);
            }
            sealed => match self.opener.open(sealed) {
                Some(Brought::Rekey(epoch)) => {
                    // What is no news is acknowledged as well: the gateway asked twice.
                    let _ = self.holds(epoch);
                    self.answer(channel, answers);
                }
                Some(Brought::Activate(epoch)) => self.reporter.tell(What::Sends(epoch)),
                None => {}
            },
        }
    }
}

impl Watched for Line {
    fn take(&self, datagram: &[u8], answers: &mut Answers) {
        match datagram.first() {
            Some(first) if is_datagram(*first) => self.datagram(datagram, answers),
            _ => self.packets.put(datagram),
        }
    }

    fn fetch(&self) {
        // All of it is fetched at the same time.
        black_box(self.own.channel.get().map(|channel| channel.number));
        black_box((self.held.load(Ordering::Relaxed), self.reporter.member));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use wardcast::group::ids::{KeyRef, NodeId, Suite};
    use wardcast::group::operations::PushKey;
    use wardcast::group::wire::datagram::probe;
    use wardcast::group::wire::{Activate, RekeyDelivery};

    use super::*;
    use crate::sockets::Keep;

    const GROUP: GroupId = GroupId([1; 16]);

    fn rekey(epoch: u64) -> Push {
        let header = EpochHeader {
            suite: Suite::One,
            group: GROUP,
            epoch: Epoch(epoch),
            root: KeyRef {
                node: NodeId { level: 1, index: 0 },
                generation: 1,
                step: 0,
            },
            activation_delay_ms: 1,
            retirement_delay_ms: 1,
            sender_space: 0,
            members: 1,
            rollover: 0,
        };
        Push::Rekey(RekeyDelivery {
            group: GROUP,
            header: header.assemble([0; 8], [0; 16], &[0; 64]),
            active: Epoch(epoch - 1),
            edges: Vec::new(),
        })
    }

    #[test]
    fn what_a_real_member_can_open_is_read_and_nothing_else() {
        let cipher = |byte| PushCipher::new(&PushKey([byte; 32]));
        let sealed = |byte, push: &Push| cipher(byte).seal(&[&push.to_bytes()]).expect("fits");
        let opener = Opener::default();
        let read = |bytes: &[u8]| opener.open(&Datagram::parse(bytes)?);
        let datagram = sealed(1, &rekey(7));
        assert_eq!(read(&datagram), None);
        opener.learn(cipher(1));
        for _ in 0..2 {
            assert_eq!(read(&datagram), Some(Brought::Rekey(Epoch(7))));
        }
        let activate = Push::Activate(Activate {
            group: GROUP,
            epoch: Epoch(7),
        });
        assert_eq!(
            read(&sealed(1, &activate)),
            Some(Brought::Activate(Epoch(7)))
        );
        (2..=KEYS as u8 + 1).for_each(|byte| opener.learn(cipher(byte)));
        assert_eq!(read(&datagram), None, "its key is forgotten");
        assert_eq!(read(&sealed(2, &rekey(8))), Some(Brought::Rekey(Epoch(8))));
    }

    #[test]
    fn a_probe_that_comes_before_the_grant_is_found_with_it() {
        let channel = |number| Channel {
            number: ChannelId(number),
            key: ChannelKey::new(Key::from_bytes([number as u8; 32])),
        };
        let asked = probe(ChannelId(7), 1, |covered| channel(7).key.code(covered));
        for (number, probed) in [(7, true), (8, false)] {
            let own = Own::default();
            assert!(own.channel_for(&asked).is_none());
            assert!(own.channel_for(&[4; 60]).is_none(), "that is none");
            assert_eq!(own.open(channel(number)), probed);
            assert!(own.channel_for(&asked).is_some());
        }
    }

    #[tokio::test]
    async fn who_stalls_reads_when_it_is_told_to_read_on() {
        let sockets = Sockets::start(Keep::Free).expect("starts");
        let reporter = Reporter {
            member: 0,
            board: Arc::default(),
        };
        let gateway = (std::net::Ipv4Addr::LOCALHOST, 9).into();
        let line = Line::endpoint(&sockets, Arc::default(), reporter, gateway);
        let (_endpoint, line) = line.expect("there is an address");
        line.reading().await;
        line.stall();
        let mut reading = std::pin::pin!(line.reading());
        let first = std::future::poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx)));
        assert!(first.await.is_pending());
        line.read_on();
        reading.await;
    }
}
