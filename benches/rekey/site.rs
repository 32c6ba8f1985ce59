//! A gateway in this process, and members in memory.

use std::iter::Sum;
use std::net::{SocketAddr, UdpSocket};
use std::ops::Add;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use wardcast::attributes::Attributes;
use wardcast::attributes::certificate::Certificate;
use wardcast::crypto::{EphemeralKey, Key};
use wardcast::engine::{
    self, Channel, Eviction, Gate, Handle, Opening, Outbox, Parts, Whereabouts,
};
use wardcast::group::ids::{Epoch, Identity, MasterId, MemberId, Role, Suite};
use wardcast::group::policy::{AdmissionRule, GroupPolicy};
use wardcast::group::wire::datagram::{ChannelId, Datagram, acknowledge};
use wardcast::group::wire::{self, Join, Offer, OpenChannel};
use wardcast::hsm::{self, Lane, PinSource, Pool, PoolOptions, TokenConfig, TokenKind};
use wardcast::pki::{Authority, Request};
use wardcast::quic::{self, Limits, Listener};
use wardcast::store::SqliteStore;
use wardcast::tls::{Credentials, Trust, server_config};

const GROUP: &str = "room";
/// Members that share a socket: as many as its buffer holds datagrams for.
const OF_A_SOCKET: usize = 50;
/// Members that join or acknowledge at once.
const AT_ONCE: usize = 50;
/// Nothing here takes longer, not even when each instruction is counted.
const SOON: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(1);

/// Datagrams that went out and came back for so many deliveries.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Packets {
    pub(crate) deliveries: u64,
    pub(crate) out: u64,
    pub(crate) back: u64,
}

impl Add for Packets {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Packets {
            deliveries: self.deliveries + other.deliveries,
            out: self.out + other.out,
            back: self.back + other.back,
        }
    }
}

impl Sum for Packets {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Packets::default(), Add::add)
    }
}

/// One member: only its channel and where its datagrams come.
struct Member {
    number: MemberId,
    channel: Arc<Channel>,
    /// A connection's, which would push by stream.
    _outbox: Arc<Outbox>,
}

pub(crate) struct Site {
    runtime: Runtime,
    engine: Handle,
    listener: Listener,
    sockets: Vec<UdpSocket>,
    members: Vec<Member>,
    _folder: TempDir,
}

impl Site {
    /// Starts a gateway, whose group so many members join.
    pub(crate) fn start(members: usize) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let (engine, listener) = runtime.block_on(gateway(&folder));
        let sockets = (0..members.div_ceil(OF_A_SOCKET)).map(|_| socket());
        let mut site = Site {
            runtime,
            engine,
            listener,
            sockets: sockets.collect(),
            members: Vec::new(),
            _folder: folder,
        };
        let joined = site.runtime.block_on(site.join(members));
        site.members = joined;
        site.settle();
        site
    }

    /// Evicts one member; the others are sent the epoch and acknowledge it.
    pub(crate) fn rekey(&mut self) -> Packets {
        let evicted = self.members.pop().expect("there are more than rekeys");
        // What was sent twice in the round before.
        let late = self.take();
        let before = self.delivered();
        let eviction = Eviction {
            members: vec![evicted.number],
            urgent: false,
            reason: "bench".into(),
            by: None,
        };
        let done = self.engine.evict(GROUP, eviction);
        self.runtime.block_on(done).expect("is evicted");
        let out = late + self.receive(self.members.len());
        let epoch = self.delivered();
        assert!(epoch > before, "an epoch was delivered");
        let back = self.acknowledge(epoch);
        Packets {
            deliveries: self.members.len() as u64,
            out,
            back,
        }
    }

    async fn join(&self, members: usize) -> Vec<Member> {
        let mut joined = Vec::with_capacity(members);
        for first in (0..members).step_by(AT_ONCE) {
            let mut some = JoinSet::new();
            for at in first..members.min(first + AT_ONCE) {
                let socket = &self.sockets[at / OF_A_SOCKET];
                let address = socket.local_addr().expect("is bound");
                some.spawn(member(self.engine.clone(), at, address));
            }
            joined.extend(some.join_all().await);
        }
        joined
    }

    /// All channels are seen to work, and all members to hold the newest epoch, before anything is counted.
    fn settle(&self) {
        let began = Instant::now();
        loop {
            let epoch = self.delivered();
            self.acknowledge(epoch);
            let view = self.runtime.block_on(self.engine.group(GROUP));
            let view = view.expect("there is the group");
            let current = view.status.assurance.acknowledged as usize == self.members.len();
            if current && view.status.epochs.active == self.delivered() {
                return;
            }
            assert!(began.elapsed() < SOON, "they settle: {view:?}");
            std::thread::sleep(PAUSE);
        }
    }

    fn delivered(&self) -> Epoch {
        let view = self.runtime.block_on(self.engine.group(GROUP));
        view.expect("there is the group").status.epochs.delivered
    }

    /// Takes pushes until there were so many; how many there were.
    fn receive(&self, count: usize) -> u64 {
        let (mut received, began) = (0, Instant::now());
        while received < count as u64 {
            std::thread::sleep(PAUSE);
            received += self.take();
            assert!(began.elapsed() < SOON, "{received} of {count} received");
        }
        received
    }

    /// Takes the pushes that have come; how many.
    fn take(&self) -> u64 {
        let (mut taken, mut buffer) = (0, [0; 1_500]);
        for socket in &self.sockets {
            while let Ok(length) = socket.recv(&mut buffer) {
                let datagram = Datagram::parse(&buffer[..length]);
                taken += u64::from(matches!(datagram, Some(Datagram::Sealed { .. })));
            }
        }
        taken
    }

    /// All members acknowledge, some at a time, so that the gateway's socket holds them; how many datagrams that took.
    fn acknowledge(&self, epoch: Epoch) -> u64 {
        let to = self.listener.local_addr().expect("is bound");
        let mut sent = 0;
        for (at, some) in self.members.chunks(AT_ONCE).enumerate() {
            let socket = &self.sockets[at % self.sockets.len()];
            let current =
                |member: &&Member| member.channel.heard() >= epoch && member.channel.is_up();
            let began = Instant::now();
            loop {
                for member in some.iter().filter(|member| !current(member)) {
                    let channel = &member.channel;
                    let code = |covered: &[u8]| channel.key().code(covered);
                    let datagram = acknowledge(channel.number(), epoch, code);
                    socket.send_to(&datagram, to).expect("is sent");
                    sent += 1;
                }
                let asked = Instant::now();
                while !some.iter().all(|member| current(&member)) && asked.elapsed() < SOON / 10 {
                    std::thread::sleep(PAUSE);
                }
                if some.iter().all(|member| current(&member)) {
                    break;
                }
                assert!(began.elapsed() < SOON, "acknowledgements arrive");
            }
        }
        sent
    }
}

async fn member(engine: Handle, at: usize, address: SocketAddr) -> Member {
    let identity = Arc::new(Identity(format!("cn:{at}")));
    let outbox = Outbox::new();
    let join = Join {
        group: GROUP.into(),
        role: Role::Receiver,
        offer: Offer::of(Suite::One, EphemeralKey::generate().public().to_vec()),
        token: None,
        channel: false,
    };
    let known = Attributes::new((*identity).clone(), Certificate::default());
    let grant = engine.join(&identity, join, Ok(known), &outbox, None).await;
    let number = grant.expect("is granted").member;
    let open = OpenChannel {
        group: GROUP.into(),
        member: number,
        epoch: None,
    };
    let opening = Opening {
        lane: 0,
        whereabouts: Whereabouts::new(move || Some(address)),
        export: Box::new(|_| Some(Key::generate())),
    };
    let channel = engine.open_channel(&identity, open, &outbox, opening).await;
    let channel = ChannelId(channel.expect("is opened").channel);
    let channel = engine.channels().table().get(channel).cloned();
    Member {
        number,
        channel: channel.expect("is in the table"),
        _outbox: outbox,
    }
}

async fn gateway(folder: &TempDir) -> (Handle, Listener) {
    let store = SqliteStore::open(folder.path().join("store")).expect("a store");
    let parts = Parts {
        store: Arc::new(store),
        audit: None,
        token: Arc::new(pool(folder)),
        shards: 1,
        lanes: 1,
        gate: Gate::open(),
        decider: Arc::default(),
        multicast: None,
    };
    let engine = engine::start(parts).await.expect("an engine");
    let authority = Authority::new("bench").expect("an authority");
    let issued = authority.issue(&Request::server("gateway").host("localhost"));
    let issued = issued.expect("a certificate");
    let credentials = Credentials::new(issued.chain(), issued.key());
    let trust = Trust::new([authority.certificate().clone()], Vec::new()).expect("a trust anchor");
    let tls = server_config(credentials, &trust, &[wire::ALPN]).expect("a configuration");
    let limits = Limits {
        connections: 1,
        connections_per_identity: 1,
        handshakes: 1,
        alive: SOON,
        pace_mbit_s: 0,
    };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let parts = quic::Parts {
        engine: engine.clone(),
        sources: std::sync::Arc::default(),
        audit: None,
    };
    let listener = Listener::bind(any, tls, limits, None, parts).expect("a listener");
    let created = engine.create(GROUP, policy()).await;
    created.expect("a group");
    (engine, listener)
}

fn pool(folder: &TempDir) -> Pool {
    let pin = folder.path().join("pin");
    std::fs::write(&pin, "correct horse").expect("a PIN file");
    let config = TokenConfig {
        kind: TokenKind::Soft {
            path: folder.path().join("token"),
        },
        pin: PinSource::File(pin),
        master: MasterId(1),
        escrow: None,
    };
    hsm::provision(&config).expect("a token");
    let lane = Lane {
        name: "soft".to_owned(),
        opener: hsm::open(&config).expect("the token"),
    };
    // Nothing is late here: all is slow when each instruction is counted.
    let options = PoolOptions {
        deadline: SOON,
        patience: SOON,
        ..PoolOptions::default()
    };
    Pool::start(vec![lane], options).expect("a pool")
}

fn policy() -> GroupPolicy {
    GroupPolicy {
        // The token has told the key for the next push by then.
        batch_interval_ms: 500,
        rekey_period_s: 0,
        admit: vec![AdmissionRule {
            identity: "cn:*".into(),
            roles: vec![Role::Receiver],
        }],
        ..GroupPolicy::default()
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("binds");
    socket.set_nonblocking(true).expect("is a socket");
    socket
}
