//! Round trips, hostile input and the forms that are written as shared buffers.

use bytes::Bytes;

use super::*;
use crate::group::ids::{Epoch, GroupId, KeyRef, MemberId, NodeId, Role, SenderId, Suite};

fn key(level: u8, index: u32, generation: u32, step: u16) -> KeyRef {
    KeyRef {
        node: NodeId { level, index },
        generation,
        step,
    }
}

fn header() -> EpochHeader {
    EpochHeader {
        suite: Suite::One,
        group: GroupId([7; 16]),
        epoch: Epoch(9),
        root: key(2, 0, 4, 1),
        activation_delay_ms: 1000,
        retirement_delay_ms: 5000,
        sender_space: 0,
        members: 5,
        rollover: 0,
    }
}

fn edges() -> Vec<Edge> {
    let edge = |child, parent| Edge {
        child,
        parent,
        wrapped: [5; 40],
    };
    vec![
        edge(key(0, 6, 1, 0), key(1, 1, 2, 0)),
        edge(key(1, 1, 2, 0), key(2, 0, 4, 1)),
    ]
}

fn path() -> PathDelivery {
    PathDelivery {
        header: header().assemble([1; 8], [2; 16], &[3; 64]),
        edges: edges(),
        active: Epoch(8),
        sender_ids: vec![SenderId(3)],
        sender_space: 0,
    }
}

fn round_trip<M: Message + PartialEq + std::fmt::Debug>(message: M) {
    let bytes = message.to_bytes();
    assert_eq!(M::from_bytes(&bytes).as_ref(), Ok(&message), "{bytes:02x?}");
    for end in 0..bytes.len() {
        let error = M::from_bytes(&bytes[..end]).expect_err("a prefix is no message");
        assert_eq!((error.offset, error.fault), (end, Fault::Truncated));
    }
    let trailing = M::from_bytes(&[&bytes[..], &[0]].concat()).map_err(|e| e.fault);
    assert_eq!(trailing, Err(Fault::Trailing));
}

#[test]
fn messages_survive_the_round_trip() {
    round_trip(Request::Join(Join {
        group: "studio".into(),
        role: Role::Both,
        offer: Offer::of(Suite::One, vec![4; 65]),
        token: Token::new("a.b.c"),
        channel: true,
    }));
    round_trip(Response::Granted(Box::new(Grant {
        group: GroupId([7; 16]),
        suite: Suite::One,
        member: MemberId(3),
        role: Role::Sender,
        leaf: key(0, 6, 1, 0),
        wrapped: [9; 40],
        signing: Bytes::from_static(&[4; 65]),
        agreement: Bytes::from_static(&[5; 65]),
        path: path(),
        encapsulated: Bytes::new(),
        channel: Some(ChannelOpened {
            channel: 7,
            multicast: None,
        }),
    })));
    round_trip(Response::Path(path()));
    round_trip(Response::Refused(Refusal::retry(RefusalCode::Busy, 250)));
    round_trip(Push::GoAway(GoAway {
        retry_after_ms: 9,
        to: None,
    }));
    round_trip(Push::GoAway(GoAway {
        retry_after_ms: 9,
        to: Some(vec!["gateway.example.org:7443".into(), "[::1]:1".into()]),
    }));
    round_trip(PushReply::nack(NackCode::NeedPath, Epoch(4)));
}

#[test]
fn a_rekey_in_two_buffers_is_one_message() {
    let group = GroupId([7; 16]);
    let header = header().assemble([1; 8], [2; 16], &[3; 64]);
    let chunk = minicbor::to_vec(edges()).expect("edges encode");
    let message = Push::Rekey(RekeyDelivery {
        group,
        header: header.clone(),
        active: Epoch(7),
        edges: edges(),
    });
    let joined = [&rekey_head(group, &header, Epoch(7))[..], &chunk[..]].concat();
    assert_eq!(Bytes::from(joined), message.to_bytes());
}

#[test]
fn a_header_says_what_was_signed() {
    let (key_id, tag, signature) = ([1; 8], [2; 16], [3; 64]);
    let bytes = header().assemble(key_id, tag, &signature);
    let parsed = EpochHeader::parse(&bytes).expect("our own header parses");
    assert_eq!(parsed.header, header());
    assert_eq!((parsed.tag, &parsed.signature[..]), (tag, &signature[..]));
    assert_eq!(parsed.key_id, key_id);
    assert_eq!(parsed.prefix(), header().prefix(key_id));
    assert_eq!(parsed.signed, [parsed.prefix(), &tag[..]].concat());
}

#[test]
fn neighbouring_epochs_have_different_indices_above_255() {
    for group in [[0; 16], [0xff; 16], [0x7f; 16]] {
        let group = GroupId(group);
        for epoch in (0..600)
            .chain((1 << 31) - 9..(1 << 31) + 9)
            .chain((1 << 32) - 9..(1 << 32) + 9)
        {
            let here = spi(&group, Epoch(epoch));
            assert!(here >= 256);
            assert_ne!(here, spi(&group, Epoch(epoch + 1)));
        }
    }
}
