//! One message of every kind, with values that tell fields apart.

use bytes::Bytes;
use coset::CborSerializable;
use coset::cbor::Value;
use wardcast::group::ids::{Epoch, GroupId, KeyRef, MemberId, NodeId, Role, SenderId, Suite};
use wardcast::group::wire::*;

pub(crate) const GROUP: GroupId = GroupId([
    0x67, 0xaa, 0xc6, 0x04, 0x0a, 0x4e, 0xfe, 0x2b, 0x8d, 0xc4, 0xb4, 0xd4, 0xdd, 0x58, 0x44, 0x58,
]);
pub(crate) const KEY_ID: [u8; 8] = [0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7];
pub(crate) const TAG: [u8; 16] = [0xb0; 16];
pub(crate) const SIGNATURE: [u8; 64] = [0xc0; 64];

pub(crate) fn key(level: u8, index: u32, generation: u32, step: u16) -> KeyRef {
    KeyRef {
        node: NodeId { level, index },
        generation,
        step,
    }
}

fn point(fill: u8) -> [u8; 65] {
    let mut point = [fill; 65];
    point[0] = 4;
    point
}

/// What a member offers that has suite 1.
pub(crate) fn one() -> Offer {
    Offer::of(Suite::One, point(0xe0).to_vec())
}

/// What a member offers that has both suites.
fn both() -> Offer {
    one().with(Suite::Two, vec![0xe3; 1_216])
}

pub(crate) fn header() -> EpochHeader {
    EpochHeader {
        suite: Suite::One,
        group: GROUP,
        epoch: Epoch(300),
        root: key(3, 0, 17, 2),
        activation_delay_ms: 1000,
        retirement_delay_ms: 5000,
        sender_space: 1,
        members: 41,
        rollover: 0,
    }
}

/// Of suite 2, after two rollovers.
pub(crate) fn header_two() -> EpochHeader {
    EpochHeader {
        suite: Suite::Two,
        rollover: 2,
        ..header()
    }
}

pub(crate) const SIGNATURE_TWO: [u8; 3_309] = [0xc1; 3_309];

fn sealed() -> Bytes {
    header().assemble(KEY_ID, TAG, &SIGNATURE)
}

pub(crate) fn edges() -> Vec<Edge> {
    let edge = |child, parent, fill| Edge {
        child,
        parent,
        wrapped: [fill; 40],
    };
    vec![
        edge(key(0, 27, 1, 0), key(1, 6, 300, 0), 0xd0),
        edge(key(1, 6, 300, 0), key(2, 1, 9, 1), 0xd1),
        edge(key(2, 1, 9, 3), key(3, 0, 17, 0), 0xd2),
    ]
}

fn path() -> PathDelivery {
    PathDelivery {
        header: sealed(),
        edges: edges(),
        active: Epoch(299),
        sender_ids: vec![SenderId(7), SenderId(70_000)],
        sender_space: 1,
    }
}

pub(crate) fn requests() -> Vec<(&'static str, Request)> {
    let group = || "studio/éa".to_owned();
    let member = MemberId(70_001);
    let leave = Leave {
        group: group(),
        member,
    };
    let acknowledge = Acknowledge {
        group: group(),
        member,
        epoch: Epoch(300),
    };
    let open = |epoch| {
        Request::OpenChannel(OpenChannel {
            group: group(),
            member,
            epoch,
        })
    };
    let park = Park {
        group: group(),
        member,
    };
    vec![
        ("join", join(Role::Both, one())),
        ("join with a token", join_with_token()),
        ("join with both suites", join(Role::Receiver, both())),
        ("join with a channel", join_with_channel()),
        ("resume", resume(None)),
        ("resume with an offer", resume(Some(both()))),
        ("leave", Request::Leave(leave)),
        ("pull", pull(Epoch(0), None)),
        ("pull with an offer", pull(Epoch(299), Some(one()))),
        ("status", Request::Status(Status { group: group() })),
        ("acknowledge", Request::Acknowledge(acknowledge)),
        ("open channel", open(None)),
        ("open channel and acknowledge", open(Some(Epoch(300)))),
        ("park", Request::Park(park)),
    ]
}

fn join(role: Role, offer: Offer) -> Request {
    Request::Join(Join {
        group: "studio/éa".to_owned(),
        role,
        offer,
        token: None,
        channel: false,
    })
}

fn join_with_channel() -> Request {
    match join(Role::Receiver, one()) {
        Request::Join(join) => Request::Join(Join {
            channel: true,
            ..join
        }),
        other => other,
    }
}

fn join_with_token() -> Request {
    match join(Role::Receiver, one()) {
        Request::Join(join) => Request::Join(Join {
            token: Token::new("eyJhbGciOiJFUzI1NiJ9.e30.c2lnbmF0dXJl"),
            ..join
        }),
        other => other,
    }
}

fn resume(offer: Option<Offer>) -> Request {
    Request::Resume(Resume {
        group: "studio/éa".to_owned(),
        member: MemberId(70_001),
        leaf: key(0, 27, 1, 0),
        epoch: Epoch(298),
        offer,
    })
}

fn pull(epoch: Epoch, offer: Option<Offer>) -> Request {
    Request::Pull(Pull {
        group: "studio/éa".to_owned(),
        member: MemberId(70_001),
        epoch,
        leaf: offer.is_some().then_some(key(0, 27, 1, 0)),
        offer,
    })
}

fn key_set() -> KeySet {
    let state = |epoch, activates_in_ms, lifetime_s| KeyState {
        epoch: Epoch(epoch),
        spi: spi(&GROUP, Epoch(epoch)),
        suite: Suite::One,
        activates_in_ms,
        lifetime_s,
        active: activates_in_ms == 0,
    };
    KeySet {
        epochs: vec![state(299, 0, Some(3600)), state(300, 750, None)],
        path: path(),
    }
}

pub(crate) fn responses() -> Vec<(&'static str, Response)> {
    let grant = Grant {
        group: GROUP,
        suite: Suite::One,
        member: MemberId(70_001),
        role: Role::Both,
        leaf: key(0, 27, 1, 0),
        wrapped: [0xf0; 40],
        signing: Bytes::copy_from_slice(&point(0xe1)),
        agreement: Bytes::copy_from_slice(&point(0xe2)),
        path: path(),
        encapsulated: Bytes::new(),
        channel: None,
    };
    let with_channel = |channel| {
        let channel = Some(channel);
        Response::Granted(Box::new(Grant {
            channel,
            ..grant.clone()
        }))
    };
    let grant_two = Grant {
        suite: Suite::Two,
        leaf: key(0, 27, 2, 0),
        signing: Bytes::from(vec![0xe4; 1_952]),
        agreement: Bytes::from(vec![0xe5; 32]),
        path: PathDelivery {
            header: header_two().assemble(KEY_ID, TAG, &SIGNATURE_TWO),
            ..path()
        },
        encapsulated: Bytes::from(vec![0xe6; 1_088]),
        ..grant.clone()
    };
    let report = StatusReport {
        epoch: Epoch(300),
        active: Epoch(299),
        members: 41,
        acknowledged: 38,
    };
    let mut responses = vec![
        ("granted", Response::Granted(Box::new(grant.clone()))),
        ("granted in suite 2", Response::Granted(Box::new(grant_two))),
        ("granted with a channel", with_channel(unicast())),
        (
            "granted with a channel and a multicast",
            with_channel(multicast("239.1.2.3:7445")),
        ),
        ("path", Response::Path(path())),
        (
            "left",
            Response::Left(Left {
                member: MemberId(70_001),
            }),
        ),
        ("key set", Response::KeySet(key_set())),
        ("status report", Response::Status(report)),
        (
            "refused for good",
            Response::Refused(Refusal::new(RefusalCode::NotAdmitted)),
        ),
        (
            "refused for now",
            Response::Refused(Refusal::retry(RefusalCode::Busy, 250)),
        ),
        (
            "acknowledged",
            Response::Acknowledged(Ack { epoch: Epoch(300) }),
        ),
    ];
    responses.extend(of_channels());
    responses
}

fn of_channels() -> Vec<(&'static str, Response)> {
    vec![
        ("channel opened", Response::ChannelOpened(unicast())),
        (
            "channel opened with a multicast of version 4",
            Response::ChannelOpened(multicast("239.1.2.3:7445")),
        ),
        (
            "channel opened with a multicast of version 6",
            Response::ChannelOpened(multicast("[ff15::7]:7445")),
        ),
        (
            "parked",
            Response::Parked(Parked {
                alive_ms: 20_000,
                spread_ms: 10_000,
            }),
        ),
    ]
}

pub(crate) fn pushes() -> Vec<(&'static str, Push)> {
    let rekey = |edges| {
        Push::Rekey(RekeyDelivery {
            group: GROUP,
            header: sealed(),
            active: Epoch(69_999),
            edges,
        })
    };
    vec![
        ("rekey", rekey(edges())),
        ("rekey by ratchet alone", rekey(Vec::new())),
        (
            "activate",
            Push::Activate(Activate {
                group: GROUP,
                epoch: Epoch(300),
            }),
        ),
        (
            "removed",
            Push::Removed(Removed {
                group: GROUP,
                member: MemberId(70_001),
                reason: RemovalReason::Evicted,
            }),
        ),
        (
            "go away",
            Push::GoAway(GoAway {
                retry_after_ms: 2000,
                to: None,
            }),
        ),
        (
            "packet",
            Push::Packet(RekeyPacket {
                group: GROUP,
                header: sealed(),
                active: Epoch(69_999),
                edges: edges(),
                first_leaf: 16,
                last_leaf: u32::MAX,
            }),
        ),
        (
            "heartbeat",
            Push::Heartbeat(Heartbeat {
                group: GROUP,
                epoch: Epoch(300),
            }),
        ),
        (
            "go away, elsewhere",
            Push::GoAway(GoAway {
                retry_after_ms: 2000,
                to: Some(vec![
                    "b.example.org:7443".into(),
                    "[2001:db8::7]:7443".into(),
                ]),
            }),
        ),
    ]
}

fn unicast() -> ChannelOpened {
    ChannelOpened {
        channel: 70_001,
        multicast: None,
    }
}

fn multicast(address: &str) -> ChannelOpened {
    ChannelOpened {
        channel: 70_001,
        multicast: Some(MulticastOffer {
            address: address.parse().expect("is multicast"),
            heartbeat_ms: 1_000,
            report_ms: 30_000,
            settle_ms: 350,
        }),
    }
}

pub(crate) fn push_replies() -> Vec<(&'static str, PushReply)> {
    vec![
        ("ack", PushReply::ack(Epoch(300))),
        ("nack", PushReply::nack(NackCode::NeedPath, Epoch(298))),
        (
            "nack after a rollover",
            PushReply::nack(NackCode::NeedGrant, Epoch(298)),
        ),
    ]
}

/// CBOR in diagnostic notation (RFC 8949 section 8), for people.
pub(crate) fn diagnostic(bytes: &[u8]) -> String {
    fn join<'v>(items: impl Iterator<Item = String> + 'v) -> String {
        items.collect::<Vec<_>>().join(", ")
    }
    fn show(value: &Value) -> String {
        match value {
            Value::Integer(number) => i128::from(*number).to_string(),
            Value::Bytes(bytes) => {
                let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("h'{digits}'")
            }
            Value::Text(text) => format!("{text:?}"),
            Value::Array(items) => format!("[{}]", join(items.iter().map(show))),
            Value::Map(entries) => {
                let entry =
                    |(key, value): &(Value, Value)| format!("{}: {}", show(key), show(value));
                format!("{{{}}}", join(entries.iter().map(entry)))
            }
            Value::Tag(tag, value) => format!("{tag}({})", show(value)),
            Value::Bool(value) => value.to_string(),
            Value::Null => "null".to_owned(),
            other => format!("{other:?}"),
        }
    }
    Value::from_slice(bytes).map_or_else(|e| e.to_string(), |value| show(&value))
}
