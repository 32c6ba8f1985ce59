//! Who is sent what, again, and by which way; members are sockets that do not answer by themselves.

mod audience;

use std::net::UdpSocket;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::super::lanes::Lanes;
use super::super::pace::Pace;
use super::super::socket::Socket;
use super::*;
use crate::engine::testing::{GROUP, channels, granted, opened, rekey};
use crate::engine::{Channels, DuePush, Outbox};
use crate::group::edges::Chunk;
use crate::udp::Sink;

/// Within which members that hear a multicast report.
const REPORT: Duration = Duration::from_secs(30);

struct Member {
    socket: UdpSocket,
    channel: Arc<Channel>,
    outbox: Arc<Outbox>,
}

impl Member {
    fn new(channels: &Channels, number: u64) -> Self {
        Self::with(|address| opened(channels, number, address))
    }

    /// One that joins: it is not known to hold anything yet.
    fn joining(channels: &Channels, number: u64) -> Self {
        Self::with(|address| granted(channels, number, address))
    }

    fn with(open: impl FnOnce(&str) -> Option<(Arc<Channel>, Arc<Outbox>)>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("binds");
        socket.set_nonblocking(true).expect("is a socket");
        let address = socket.local_addr().expect("is bound").to_string();
        let (channel, outbox) = open(&address).expect("is opened");
        Member {
            socket,
            channel,
            outbox,
        }
    }

    /// The next datagram; on loopback it is there once it is sent.
    fn got(&self) -> Option<Vec<u8>> {
        let mut buffer = [0; 100];
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(buffer[..length].to_vec())
    }

    /// Whether its stream is to bring a rekey.
    async fn has_by_stream(&self) -> bool {
        let next = timeout(Duration::from_millis(10), self.outbox.next()).await;
        let push = next.ok().flatten().map(|delivery| delivery.push);
        matches!(push, Some(DuePush::Rekey { .. } | DuePush::Path))
    }
}

#[derive(Debug)]
struct Nobody;

impl Sink for Nobody {
    fn take(&self, _: &[(SocketAddr, &[u8])]) {}
}

struct Stage {
    fanout: Fanout,
    channels: Arc<Channels>,
    _socket: Arc<Socket>,
}

impl Stage {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("binds");
        let socket = Socket::start(socket, Arc::new(Nobody), (Lanes::new(1), 0)).expect("starts");
        let channels = Arc::new(channels());
        Stage {
            fanout: Fanout::new(
                Transmitter::new(socket.reader(), Pace::of(0, 1)),
                channels.clone(),
                REPORT,
            ),
            channels,
            _socket: socket,
        }
    }

    /// Members with these leaves, whose datagrams get through.
    fn members<const N: usize>(&mut self, leaves: [u64; N]) -> [Member; N] {
        leaves.map(|leaf| {
            let member = Member::new(&self.channels, leaf);
            self.fanout.volley(Volley::Open(member.channel.clone()));
            member.channel.acknowledged(Epoch(3));
            member
        })
    }

    /// Epoch 4, for leaves 2 and 3 with edges of their own.
    fn rekey(&mut self) {
        let mut rekey = (*rekey(3)).clone();
        rekey.chunks = vec![Chunk {
            first_leaf: 2,
            last_leaf: 3,
            edges: Bytes::new(),
        }];
        self.fanout.volley(Volley::Rekey(Arc::new(SealedRekey {
            rekey: Arc::new(rekey),
            chunks: vec![Bytes::from_static(b"own")],
            others: Bytes::from_static(b"others'"),
            is_multicast: false,
        })));
    }

    fn again(&mut self) {
        self.fanout.again(GROUP, Epoch(4));
    }
}

#[tokio::test]
async fn each_is_sent_its_chunk_and_again_until_it_acknowledges() {
    let mut stage = Stage::new();
    let members = stage.members([4, 1, 2, 3]);
    stage.rekey();
    let got = members
        .each_ref()
        .map(|member| member.got().expect("was sent"));
    assert_eq!(got, [&b"others'"[..], b"others'", b"own", b"own"]);
    members[1].channel.acknowledged(Epoch(4));
    members[2].channel.acknowledged(Epoch(4));
    for _ in 0..2 {
        stage.again();
        let got = members.each_ref().map(|member| member.got());
        let expected = [Some(b"others'".to_vec()), None, None, Some(b"own".to_vec())];
        assert_eq!(got, expected);
    }
    stage.again();
    for (at, member) in members.iter().enumerate() {
        assert_eq!(member.got(), None);
        let silent = at == 0 || at == 3;
        assert_eq!(
            (member.has_by_stream().await, member.channel.is_up()),
            (silent, !silent)
        );
    }
    // That was all: what was given up is not tried again.
    stage.again();
    assert!(members.iter().all(|member| member.got().is_none()));
}

#[tokio::test]
async fn whoever_opens_a_channel_anew_meanwhile_gets_the_rekey_and_whoever_left_does_not() {
    let mut stage = Stage::new();
    let [comes_back, leaves] = stage.members([1, 2]);
    stage.rekey();
    assert!(comes_back.got().is_some() && leaves.got().is_some());
    for member in [&comes_back, &leaves] {
        member.channel.down();
        stage.fanout.volley(Volley::Close(member.channel.clone()));
    }
    let again = Member::new(&stage.channels, 1);
    stage.fanout.volley(Volley::Open(again.channel.clone()));
    stage.again();
    assert!(again.has_by_stream().await);
    assert!(!leaves.has_by_stream().await && leaves.got().is_none());
}

#[tokio::test]
async fn whoever_has_only_just_opened_a_channel_is_waited_for_and_then_gets_it_by_datagram_or_stream()
 {
    let mut stage = Stage::new();
    let members = [1, 2, 3, 4].map(|leaf| {
        let member = Member::new(&stage.channels, leaf);
        stage.fanout.volley(Volley::Open(member.channel.clone()));
        member.channel.learn(Epoch(3));
        member
    });
    let [answers, does_not, was_probed_twice, goes] = &members;
    let probe = Arc::downgrade(&was_probed_twice.channel);
    stage.fanout.probe(probe, 1);
    assert!(was_probed_twice.got().is_some());
    stage.rekey();
    assert!(was_probed_twice.has_by_stream().await);
    for member in [answers, does_not, goes] {
        assert!(member.got().is_none() && !member.has_by_stream().await);
    }
    answers.channel.acknowledged(Epoch(3));
    stage.fanout.volley(Volley::Close(goes.channel.clone()));
    stage.fanout.came(GROUP, Epoch(4));
    assert_eq!(answers.got(), Some(b"others'".to_vec()));
    assert!(does_not.got().is_none() && does_not.has_by_stream().await);
    assert!(goes.got().is_none() && !goes.has_by_stream().await);
    // From here on it is sent as to anybody.
    stage.again();
    assert_eq!(answers.got(), Some(b"others'".to_vec()));
    stage.fanout.came(GROUP, Epoch(4));
    assert!(answers.got().is_none() && !answers.has_by_stream().await);
}

#[tokio::test]
async fn whoever_joins_is_waited_for_until_it_says_that_it_holds_what_it_was_granted() {
    let mut stage = Stage::new();
    let members = [1, 2].map(|leaf| {
        let member = Member::joining(&stage.channels, leaf);
        stage.fanout.volley(Volley::Open(member.channel.clone()));
        member
    });
    stage.rekey();
    let [holds, holds_nothing] = &members;
    for member in &members {
        assert!(member.got().is_none() && !member.has_by_stream().await);
    }
    assert!(holds.channel.acknowledged(Epoch(3)), "it is news");
    holds_nothing.channel.acknowledged(Epoch(0));
    stage.fanout.came(GROUP, Epoch(4));
    assert_eq!(holds.got(), Some(b"others'".to_vec()));
    assert!(!holds.has_by_stream().await);
    assert!(holds_nothing.got().is_none() && holds_nothing.has_by_stream().await);
}

#[tokio::test]
async fn a_newer_rekey_ends_the_rounds_of_the_older_one() {
    let mut stage = Stage::new();
    let [current, behind] = stage.members([1, 4]);
    stage.rekey();
    current.channel.acknowledged(Epoch(4));
    stage.fanout.volley(Volley::Rekey(Arc::new(SealedRekey {
        rekey: rekey(4),
        chunks: vec![],
        others: Bytes::from_static(b"newer"),
        is_multicast: false,
    })));
    assert_eq!(
        [current.got(), current.got()],
        [Some(b"others'".to_vec()), Some(b"newer".to_vec())]
    );
    assert_eq!(
        [behind.got(), behind.got()],
        [Some(b"others'".to_vec()), None]
    );
    assert!(behind.has_by_stream().await);
    stage.again(); // of the older one
    assert_eq!((current.got(), behind.got()), (None, None));
}

#[tokio::test]
async fn an_activation_goes_to_senders_and_by_stream_to_whoever_lacks_the_epoch() {
    let mut stage = Stage::new();
    let [receiver, behind, current] = stage.members([1, 2, 4]);
    receiver.channel.acknowledged(Epoch(4));
    current.channel.acknowledged(Epoch(4));
    let sealed = Bytes::from_static(b"switch");
    stage
        .fanout
        .volley(Volley::Activate(GROUP, Epoch(4), sealed));
    assert_eq!(
        (current.got(), behind.got()),
        (Some(b"switch".to_vec()), None)
    );
    let push = behind.outbox.next().await.expect("is told").push;
    assert!(matches!(push, DuePush::Activate(Epoch(4))));
    assert_eq!(receiver.got(), None, "who does not send need not know");
    assert!(!receiver.has_by_stream().await);
}

#[test]
fn a_channel_is_probed_until_it_is_up_or_closed() {
    let mut stage = Stage::new();
    let member = Member::new(&stage.channels, 1);
    let probe = |stage: &mut Stage| stage.fanout.probe(Arc::downgrade(&member.channel), 0);
    probe(&mut stage);
    let said = member.got().expect("is probed");
    let Some(datagram::Datagram::Probe(said)) = datagram::Datagram::parse(&said) else {
        panic!("it is a probe");
    };
    assert!(member.channel.key().vouches(&said) && said.channel == member.channel.number());
    member.channel.acknowledged(Epoch(3));
    probe(&mut stage);
    assert_eq!(member.got(), None);
}

#[tokio::test]
async fn a_channel_whose_member_acknowledges_by_other_means_alone_is_probed_anew() {
    let mut stage = Stage::new();
    let [by_datagram, by_stream, behind] = stage.members([1, 2, 4]);
    stage.rekey();
    by_datagram.channel.acknowledged(Epoch(4));
    by_stream.channel.learn(Epoch(4));
    stage.again();
    let up = |member: &Member| member.channel.is_up();
    assert!(up(&by_datagram) && !up(&by_stream) && up(&behind));
    assert!(!by_stream.has_by_stream().await, "it has it");
    // A newer rekey that comes before the next round does not hide it either.
    behind.channel.learn(Epoch(4));
    stage.fanout.volley(Volley::Rekey(Arc::new(SealedRekey {
        rekey: rekey(4),
        chunks: vec![],
        others: Bytes::from_static(b"newer"),
        is_multicast: false,
    })));
    assert!(up(&by_datagram) && !up(&behind));
    assert!(behind.has_by_stream().await);
}
