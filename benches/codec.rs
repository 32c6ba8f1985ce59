//! Encoding and decoding of the messages that there are many of: joins, acknowledgements, rekeys, paths.

use bytes::Bytes;
use divan::{Bencher, black_box, counter::BytesCount};
use wardcast::group::ids::{Epoch, GroupId, KeyRef, NodeId, Role, Suite};
use wardcast::group::wire::*;

fn main() {
    divan::main();
}

const GROUP: GroupId = GroupId([7; 16]);
const KEY_ID: [u8; 8] = [1; 8];

fn key(level: u8, generation: u32) -> KeyRef {
    let node = NodeId {
        level,
        index: 100_000 >> (2 * level),
    };
    KeyRef {
        node,
        generation,
        step: 0,
    }
}

fn header() -> EpochHeader {
    EpochHeader {
        suite: Suite::One,
        group: GROUP,
        epoch: Epoch(70_000),
        root: key(10, 70_000),
        activation_delay_ms: 1000,
        retirement_delay_ms: 5000,
        sender_space: 0,
        members: 1_000_000,
        rollover: 0,
    }
}

fn sealed() -> Bytes {
    header().assemble(KEY_ID, [2; 16], &[3; 64])
}

/// A path in a group of a million members: ten edges.
fn edges() -> Vec<Edge> {
    let edge = |level| Edge {
        child: key(level, 5),
        parent: key(level + 1, 6),
        wrapped: [4; 40],
    };
    (0..10).map(edge).collect()
}

fn join() -> Request {
    Request::Join(Join {
        group: "studio/a".into(),
        role: Role::Both,
        offer: Offer::of(Suite::One, vec![4; 65]),
        token: None,
        channel: false,
    })
}

fn rekey() -> Push {
    Push::Rekey(RekeyDelivery {
        group: GROUP,
        header: sealed(),
        active: Epoch(69_999),
        edges: edges(),
    })
}

fn path() -> Response {
    Response::Path(PathDelivery {
        header: sealed(),
        edges: edges(),
        active: Epoch(70_000),
        sender_ids: vec![],
        sender_space: 0,
    })
}

fn encode<M: Message>(bencher: Bencher<'_, '_>, message: &M) {
    bencher
        .counter(BytesCount::from(message.to_bytes().len()))
        .bench_local(|| black_box(message).to_bytes());
}

fn decode<M: Message>(bencher: Bencher<'_, '_>, message: &M) {
    let bytes = message.to_bytes();
    bencher
        .counter(BytesCount::from(bytes.len()))
        .bench_local(|| M::from_bytes(black_box(&bytes)));
}

#[divan::bench]
fn join_encode(bencher: Bencher<'_, '_>) {
    encode(bencher, &join());
}

#[divan::bench]
fn join_decode(bencher: Bencher<'_, '_>) {
    decode(bencher, &join());
}

#[divan::bench]
fn ack_encode(bencher: Bencher<'_, '_>) {
    encode(bencher, &PushReply::ack(Epoch(70_000)));
}

#[divan::bench]
fn ack_decode(bencher: Bencher<'_, '_>) {
    decode(bencher, &PushReply::ack(Epoch(70_000)));
}

#[divan::bench]
fn rekey_encode(bencher: Bencher<'_, '_>) {
    encode(bencher, &rekey());
}

/// What the gateway does for each rekey, whatever the number of members: the chunks are encoded once besides.
#[divan::bench]
fn rekey_head_encode(bencher: Bencher<'_, '_>) {
    let header = sealed();
    bencher.bench_local(|| rekey_head(black_box(GROUP), black_box(&header), Epoch(69_999)));
}

#[divan::bench]
fn rekey_decode(bencher: Bencher<'_, '_>) {
    decode(bencher, &rekey());
}

#[divan::bench]
fn path_encode(bencher: Bencher<'_, '_>) {
    encode(bencher, &path());
}

#[divan::bench]
fn path_decode(bencher: Bencher<'_, '_>) {
    decode(bencher, &path());
}

#[divan::bench]
fn header_prefix(bencher: Bencher<'_, '_>) {
    let header = header();
    bencher.bench_local(|| black_box(&header).prefix(KEY_ID));
}

#[divan::bench]
fn header_parse(bencher: Bencher<'_, '_>) {
    let bytes = sealed();
    bencher
        .counter(BytesCount::from(bytes.len()))
        .bench_local(|| EpochHeader::parse(black_box(&bytes)));
}

/// The greatest message that a member reads: a mebibyte of edges.
#[divan::bench]
fn greatest_decode(bencher: Bencher<'_, '_>) {
    let edges: Vec<Edge> = edges().into_iter().cycle().take(17_000).collect();
    let message = Push::Rekey(RekeyDelivery {
        group: GROUP,
        header: sealed(),
        active: Epoch(69_999),
        edges,
    });
    decode(bencher, &message);
}
