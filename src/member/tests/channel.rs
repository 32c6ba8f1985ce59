//! A channel that comes with the grant: how the gateway is told that what was granted is held.

use std::net::{SocketAddr, UdpSocket};

use super::gateway::Reply;
use super::*;
use crate::crypto::ChannelKey;
use crate::group::wire::datagram::{ChannelId, probe};

const CHANNEL: ChannelId = ChannelId(7);
/// Longer than the first probe is waited for.
const LATE: Duration = Duration::from_millis(600);
/// By then whoever has to has acknowledged by stream.
const TOLD: Duration = Duration::from_millis(1_500);

type Granted = (Client, Membership, Wire, Gateway, Group);

/// A gateway's side of one channel. Members answer where their connection is.
struct Line {
    key: ChannelKey,
    socket: UdpSocket,
    member: SocketAddr,
}

impl Line {
    fn new(wire: &Wire, group: &Group) -> Self {
        Line {
            key: wire.channel_key(group, CHANNEL),
            socket: UdpSocket::bind("127.0.0.1:0").expect("a socket"),
            member: wire.0.remote_address(),
        }
    }

    fn probe(&self) {
        let asked = probe(CHANNEL, 1, |covered| self.key.code(covered));
        self.socket.send_to(&asked, self.member).expect("is sent");
    }
}

/// Joins with a channel, probed as often before the grant as is said, and after it.
async fn granted(before: usize, after: usize) -> Granted {
    let (granted, _) = granted_on_line(before, after).await;
    granted
}

/// Likewise, and shows the gateway's side of the channel.
async fn granted_on_line(before: usize, after: usize) -> (Granted, Line) {
    let (gateway, group) = (Gateway::start(), Group::new());
    let mut options = gateway.options();
    options.sockets.shared = None;
    let client = Client::new(options).expect("a client");
    let serve = async {
        let wire = gateway.accept().await;
        let (Request::Join(join), reply) = wire.asked().await else {
            panic!("not a join");
        };
        let line = Line::new(&wire, &group);
        assert!(join.channel);
        (0..before).for_each(|_| line.probe());
        say(reply, &group.grant_with(&join, CHANNEL)).await;
        (wire, line)
    };
    let (membership, (wire, line)) = tokio::join!(client.join("studio", Role::Both), serve);
    (0..after).for_each(|_| line.probe());
    let membership = membership.expect("it is granted");
    ((client, membership, wire, gateway, group), line)
}

/// Once what was sent before is there.
async fn say(reply: Reply, response: &Response) {
    tokio::time::sleep(Duration::from_millis(50)).await;
    reply.say(response).await;
}

/// Whether it acknowledges by stream, which is all that it may ask.
async fn acknowledges_by_stream(wire: &Wire) -> bool {
    let asked = tokio::time::timeout(TOLD, wire.acknowledged()).await;
    asked.is_ok_and(|epoch| epoch == Epoch(1))
}

#[tokio::test]
async fn who_is_probed_once_before_or_after_its_grant_is_read_asks_for_nothing() {
    let (first, second) = tokio::join!(granted(1, 0), granted(0, 1));
    for (_client, membership, wire, gateway, group) in [first, second] {
        assert!(!acknowledges_by_stream(&wire).await);
        assert!(agrees(&membership, &group));
        assert_eq!(gateway.answers(), [(CHANNEL, Epoch(1))]);
    }
}

#[tokio::test]
async fn who_is_not_probed_or_not_heard_acknowledges_by_stream() {
    let (never, twice) = tokio::join!(granted(0, 0), granted(1, 1));
    for (_client, _membership, wire, _gateway, _group) in [never, twice] {
        assert!(acknowledges_by_stream(&wire).await);
    }
}

#[tokio::test]
async fn who_is_probed_again_later_was_not_heard_and_acknowledges_by_stream_once() {
    let ((_client, _membership, wire, gateway, _), line) = granted_on_line(1, 0).await;
    tokio::time::sleep(LATE).await;
    line.probe();
    assert!(acknowledges_by_stream(&wire).await);
    line.probe();
    assert!(!acknowledges_by_stream(&wire).await);
    assert_eq!(gateway.answers(), [(CHANNEL, Epoch(1)); 3]);
}

#[tokio::test]
async fn what_ends_an_earlier_registration_tells_nothing_of_what_is_held() {
    let (_client, _membership, wire, _gateway, mut group) = granted(0, 0).await;
    group.member.0 -= 1;
    let reply = wire.push(group.removed(RemovalReason::Evicted)).await;
    assert_eq!(reply, PushReply::ack(Epoch(1)));
    assert!(acknowledges_by_stream(&wire).await);
}
