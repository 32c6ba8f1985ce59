//! A parked member that is told by datagram that its gateway goes: by whom it is believed, and when.

use std::net::{SocketAddr, UdpSocket};

use super::gateway::Reply;
use super::*;
use crate::crypto::{ChannelKey, Key};
use crate::group::wire::datagram::{ChannelId, go_away, probe};
use crate::group::wire::{ChannelOpened, Parked};

const CHANNEL: ChannelId = ChannelId(7);

/// Serves what a member asks once it is in, or is back; and the key of the channel that it asks for.
async fn served(wire: &Wire, group: &Group) -> ChannelKey {
    let (Request::OpenChannel(_), reply) = wire.asked().await else {
        panic!("no channel is asked for");
    };
    let opened = ChannelOpened {
        channel: CHANNEL.0,
        multicast: None,
    };
    reply.say(&Response::ChannelOpened(opened)).await;
    wire.channel_key(group, CHANNEL)
}

/// Probes a member's channel until it asks for something.
async fn probed(wire: &Wire, key: &ChannelKey, socket: &UdpSocket) -> (Request, Reply) {
    let datagram = probe(CHANNEL, 1, |covered| key.code(covered));
    let mut asking = std::pin::pin!(wire.asked());
    loop {
        tell(socket, wire.0.remote_address(), &datagram);
        // It may not know yet of the channel that it asked for.
        let again = tokio::time::sleep(Duration::from_millis(50));
        tokio::select! {
            asked = &mut asking => return asked,
            () = again => {}
        }
    }
}

/// Parks a member as soon as it asks for that.
async fn park(wire: &Wire, key: &ChannelKey, socket: &UdpSocket) {
    let (asked, reply) = probed(wire, key, socket).await;
    assert!(matches!(asked, Request::Park(_)), "{asked:?}");
    let terms = Parked {
        alive_ms: 300_000,
        spread_ms: 0,
    };
    reply.say(&Response::Parked(terms)).await;
    within("the end of its connection", wire.0.closed()).await;
}

fn tell(socket: &UdpSocket, member: SocketAddr, datagram: &[u8]) {
    socket.send_to(datagram, member).expect("is sent");
}

/// What tells a member to go to a gateway.
fn away(key: &ChannelKey, retry_after_ms: u64, to: SocketAddr) -> Vec<u8> {
    let to = Some(vec![format!("localhost:{}", to.port())]);
    let message = Push::GoAway(GoAway { retry_after_ms, to }).to_bytes();
    go_away(CHANNEL, &message, |covered| key.code(covered))
}

/// A client whose memberships are parked as soon as they may.
fn parks_soon(gateway: &Gateway) -> Client {
    let mut options = gateway.options();
    options.sockets.shared = None;
    options.presence.park_after = Some(Duration::from_millis(10));
    Client::new(options).expect("a client")
}

/// Lets a member in, and the key of its channel.
async fn joined(gateway: &Gateway, group: &Group) -> (Wire, ChannelKey) {
    let wire = gateway.accept().await;
    let (Request::Join(join), reply) = wire.asked().await else {
        panic!("not a join");
    };
    reply.say(&group.grant(&join)).await;
    let key = served(&wire, group).await;
    (wire, key)
}

/// Takes a member up that comes back, and the key of its new channel.
async fn back(gateway: &Gateway, group: &Group) -> (Wire, ChannelKey) {
    let wire = gateway.accept().await;
    let (Request::Resume(_), reply) = wire.asked().await else {
        panic!("not a resume");
    };
    reply.say(&Response::Path(group.path(group.epoch))).await;
    let key = served(&wire, group).await;
    (wire, key)
}

#[tokio::test]
async fn a_parked_member_goes_where_its_own_gateway_says_and_nobody_else() {
    let (gateway, group) = (Gateway::start(), Group::new());
    let (other, nowhere) = (gateway.another(), gateway.another());
    let client = parks_soon(&gateway);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let serve = async {
        let (wire, key) = joined(&gateway, &group).await;
        park(&wire, &key, &socket).await;
        (wire.0.remote_address(), key)
    };
    let (studio, (member, key)) = tokio::join!(client.join("studio", Role::Receiver), serve);
    let studio = studio.expect("it is granted");
    // Whoever obeyed the first would stay away for long.
    let strangers = ChannelKey::new(Key::generate());
    let forged = away(&strangers, 200_000, nowhere.address());
    let told = away(&key, 0, other.address());
    for datagram in [&forged, &told, &told] {
        tell(&socket, member, datagram);
    }
    let (wire, key) = back(&other, &group).await;
    let reply = wire.push(group.activate()).await;
    assert_eq!(reply, PushReply::ack(Epoch(group.epoch)));
    // On a connection it is told by stream; what is recorded and sent again is of another channel.
    tell(&socket, member, &told);
    tell(&socket, member, &away(&key, 0, nowhere.address()));
    let reply = wire.push(group.activate()).await;
    assert_eq!(reply, PushReply::ack(Epoch(group.epoch)));
    assert!(wire.0.close_reason().is_none());
    wire.0.close(0u32.into(), b"crashed");
    let (_wire, _) = back(&other, &group).await;
    assert_eq!(studio.counters().parkings, 1);
    assert!(agrees(&studio, &group));
}

#[tokio::test]
async fn whoever_may_not_park_while_a_rekey_is_under_way_asks_again_soon() {
    let (gateway, group) = (Gateway::start(), Group::new());
    let client = parks_soon(&gateway);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let serve = async {
        let (wire, key) = joined(&gateway, &group).await;
        let (asked, reply) = probed(&wire, &key, &socket).await;
        assert!(matches!(asked, Request::Park(_)), "{asked:?}");
        let refusal = Refusal::new(RefusalCode::NoChannel);
        reply.say(&Response::Refused(refusal)).await;
        park(&wire, &key, &socket).await;
    };
    let (studio, ()) = tokio::join!(client.join("studio", Role::Receiver), serve);
    assert_eq!(studio.expect("it is granted").counters().parkings, 1);
}
