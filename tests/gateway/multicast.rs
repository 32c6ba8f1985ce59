//! What is said at a group's multicast address by whom it is not for: it costs a bounded number of questions and checks.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::json;
use wardcast::crypto::PushCipher;
use wardcast::group::ids::{Epoch, GroupId, Role};
use wardcast::group::wire::{Heartbeat, Message, Push, RekeyPacket};
use wardcast::member::{Client, Membership, Options, Sockets};

use crate::support::{GROUP, SOON, Setup, Site};

/// To this machine alone.
const MULTICAST: &str =
    "[multicast]\ninterface = \"lo\"\nheartbeat_ms = 200\nreport_s = 1\nrepeat_after_ms = []\n";

/// Somebody who sends to the address what he likes.
struct Liar {
    socket: UdpSocket,
    to: SocketAddr,
    group: GroupId,
}

impl Liar {
    fn new(to: &str, group: GroupId) -> Self {
        // The loopback interface is the one that has this address.
        let socket = UdpSocket::bind("127.0.0.1:0").expect("binds");
        let to = to.parse().expect("an address");
        Liar { socket, to, group }
    }

    fn send(&self, datagram: &[u8]) {
        self.socket.send_to(datagram, self.to).expect("is sent");
    }

    fn heartbeat(&self, cipher: &PushCipher, epoch: Epoch) {
        let group = self.group;
        let message = Push::Heartbeat(Heartbeat { group, epoch }).to_bytes();
        self.send(&cipher.seal(&[&message]).expect("fits"));
    }

    /// A packet with a header that is sound, but for its epoch.
    fn packet(&self, cipher: &PushCipher, header: &[u8]) {
        let message = Push::Packet(RekeyPacket {
            group: self.group,
            header: header.to_vec().into(),
            active: Epoch(1),
            edges: Vec::new(),
            first_leaf: 0,
            last_leaf: u32::MAX,
        });
        self.send(&cipher.seal(&[&message.to_bytes()]).expect("fits"));
    }
}

async fn listen(site: &Site, name: &str) -> Membership {
    let options = Options {
        sockets: Sockets {
            multicast: Some("lo".to_owned()),
            ..Sockets::default()
        },
        ..site.options(name)
    };
    let client = Client::new(options).expect("a client");
    client.join(GROUP, Role::Receiver).await.expect("admitted")
}

async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is().await {
        assert!(began.elapsed() < SOON, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn newest(member: &Membership) -> Option<Epoch> {
    member.epochs().last().copied()
}

/// Two members, one of whom is dishonest, that hear the gateway at this address.
async fn start(address: &str) -> (Site, Membership, Membership) {
    let setup = Setup {
        more: MULTICAST,
        ..Setup::default()
    };
    let site = Site::start(setup).await;
    site.create(
        GROUP,
        json!({ "multicast": address, "quorum_percent": 100 }),
    )
    .await;
    let members = (listen(&site, "anna").await, listen(&site, "bert").await);
    let listeners = "wardcast_multicast_listeners_total";
    until("both listen", async || site.counter(listeners).await == 2).await;
    (site, members.0, members.1)
}

async fn follows(site: &Site, member: &Membership) {
    site.rotate(GROUP).await;
    let epoch = site.group(GROUP).await.epoch;
    until("it follows", async || newest(member) >= Some(epoch)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rekeys_are_heard_and_known_to_be() {
    let (site, anna, bert) = start("239.77.6.1:7481").await;
    let began = Instant::now();
    while anna.counters().heard < 5 || bert.counters().heard < 5 {
        assert!(began.elapsed() < SOON, "they are heard");
        follows(&site, &anna).await;
        follows(&site, &bert).await;
    }
    let epoch = site.group(GROUP).await.epoch;
    until("both are known to have it", async || {
        let group = site.group(GROUP).await;
        group.acknowledged == 2 && group.epoch == epoch
    })
    .await;
    let keys = [&anna, &bert].map(|of| of.export(epoch, "test", b"", 16).expect("is held"));
    assert_eq!(keys[0], keys[1]);
    assert!(
        site.counter("wardcast_multicast_datagrams_sent_total")
            .await
            >= 5
    );
    assert!(site.counter("wardcast_multicast_reports_total").await >= 2);
    // An address that is taken back: both are served as ever.
    site.policy(GROUP, json!({ "multicast": "" })).await;
    let heard = anna.counters().heard;
    for _ in 0..3 {
        follows(&site, &anna).await;
    }
    assert_eq!(anna.counters().heard, heard);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_lies_costs_the_others_one_question_and_three_checks() {
    const TO: &str = "239.77.6.2:7482";
    let (site, anna, bert) = start(TO).await;
    let liar = Liar::new(TO, bert.ticket().group_id);
    until("both are at one epoch", async || {
        newest(&anna) == newest(&bert)
    })
    .await;
    let cipher = bert.push_cipher().expect("it has datagrams");
    let before = anna.counters();
    for number in 0..200 {
        liar.heartbeat(&cipher, Epoch(1_000 + number));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let after = anna.counters();
    assert_eq!(after.pulls - before.pulls, 1);
    assert_eq!(after.rejected, before.rejected);
    // It believes its gateway all the same, though no claims for half a minute.
    follows(&site, &anna).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_are_made_up_are_checked_three_times() {
    const TO: &str = "239.77.6.3:7483";
    let (site, anna, bert) = start(TO).await;
    let liar = Liar::new(TO, bert.ticket().group_id);
    until("both are at one epoch", async || {
        newest(&anna) == newest(&bert)
    })
    .await;
    let cipher = bert.push_cipher().expect("it has datagrams");
    let forged = forged(liar.group);
    let before = anna.counters();
    for _ in 0..100 {
        liar.packet(&cipher, &forged);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let after = anna.counters();
    assert_eq!(after.rejected - before.rejected, 3);
    assert!(after.pulls - before.pulls <= 1);
    assert_eq!(after.heard, before.heard);
    follows(&site, &anna).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_evicted_is_not_listened_to() {
    const TO: &str = "239.77.6.4:7484";
    let (site, anna, bert) = start(TO).await;
    let liar = Liar::new(TO, bert.ticket().group_id);
    until("both are at one epoch", async || {
        newest(&anna) == newest(&bert)
    })
    .await;
    let cipher = bert.push_cipher().expect("it has datagrams");
    let last = newest(&bert);
    site.evict(GROUP, bert.member()).await;
    // The eviction is answered once it is on record: the epoch without him may be on its way still.
    until("it follows", async || newest(&anna) > last).await;
    let before = anna.counters();
    let forged = forged(liar.group);
    for number in 0..50 {
        liar.heartbeat(&cipher, Epoch(1_000 + number));
        liar.packet(&cipher, &forged);
        liar.send(&[4; 200]);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let after = anna.counters();
    assert_eq!(
        (after.pulls, after.rejected),
        (before.pulls, before.rejected)
    );
    follows(&site, &anna).await;
}

/// A header that nobody signed.
fn forged(group: GroupId) -> Vec<u8> {
    use wardcast::group::ids::{KeyRef, NodeId, Suite};
    use wardcast::group::wire::EpochHeader;
    let header = EpochHeader {
        suite: Suite::One,
        group,
        epoch: Epoch(1_000_000),
        root: KeyRef {
            node: NodeId { level: 1, index: 0 },
            generation: 1,
            step: 0,
        },
        activation_delay_ms: 1,
        retirement_delay_ms: 1,
        sender_space: 0,
        members: 2,
        rollover: 0,
    };
    header.assemble([0; 8], [0; 16], &[0; 64]).to_vec()
}
