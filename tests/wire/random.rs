//! Random messages survive the round trip; random damage gives an error or another message, never a panic.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use wardcast::group::ids::{Epoch, GroupId, KeyRef, MemberId, NodeId, Role, SenderId, Suite};
use wardcast::group::limits::{DEGREE, MAX_GROUP_NAME, MAX_LEVELS, MAX_RATCHET_STEPS};
use wardcast::group::wire::*;

fn group_name() -> impl Strategy<Value = String> {
    "\\PC{1,40}".prop_filter("within the bound", |name| name.len() <= MAX_GROUP_NAME)
}

fn epoch() -> impl Strategy<Value = Epoch> {
    any::<u64>().prop_map(Epoch)
}

fn member() -> impl Strategy<Value = MemberId> {
    any::<u64>().prop_map(MemberId)
}

fn group_id() -> impl Strategy<Value = GroupId> {
    any::<[u8; 16]>().prop_map(GroupId)
}

fn role() -> impl Strategy<Value = Role> {
    prop::sample::select(&[Role::Receiver, Role::Sender, Role::Both][..])
}

fn suite() -> impl Strategy<Value = Suite> {
    prop::sample::select(&Suite::ALL[..])
}

/// So many bytes.
fn octets(length: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), length).prop_map(Bytes::from)
}

/// Of one suite or both.
fn offer() -> impl Strategy<Value = Offer> {
    let key = |suite: Suite| octets(suite.sizes().member);
    let keys = (key(Suite::One), key(Suite::Two), 0..3);
    keys.prop_map(|(one, two, which)| match which {
        0 => Offer::of(Suite::One, one),
        1 => Offer::of(Suite::Two, two),
        _ => Offer::of(Suite::Two, two).with(Suite::One, one),
    })
}

fn key() -> impl Strategy<Value = KeyRef> {
    (0..16u8, any::<u32>(), any::<u32>(), any::<u16>()).prop_map(
        |(level, index, generation, step)| KeyRef {
            node: NodeId { level, index },
            generation,
            step,
        },
    )
}

fn edge() -> impl Strategy<Value = Edge> {
    let child = (0..MAX_LEVELS - 1, any::<u32>());
    let key = (1..=u32::MAX, 0..=MAX_RATCHET_STEPS);
    let parts = (child, [key.clone(), key], any::<[u8; 40]>());
    parts.prop_map(|((level, index), [child, parent], wrapped)| {
        let key = |level: u8, index, (generation, step)| KeyRef {
            node: NodeId { level, index },
            generation,
            step: if level == 0 { 0 } else { step },
        };
        let index = index % DEGREE.pow(u32::from(MAX_LEVELS - 1 - level));
        Edge {
            child: key(level, index, child),
            parent: key(level + 1, index / DEGREE, parent),
            wrapped,
        }
    })
}

fn header() -> impl Strategy<Value = EpochHeader> {
    let delays = any::<[u32; 3]>();
    let counts = any::<[u64; 2]>();
    (suite(), group_id(), epoch(), key(), delays, counts).prop_map(
        |(suite, group, epoch, root, [activation, retirement, space], [members, rollover])| {
            EpochHeader {
                suite,
                group,
                epoch,
                root,
                activation_delay_ms: activation,
                retirement_delay_ms: retirement,
                sender_space: space,
                members,
                rollover,
            }
        },
    )
}

fn path() -> impl Strategy<Value = PathDelivery> {
    let ids = vec(any::<u32>().prop_map(SenderId), 0..4);
    let header = vec(any::<u8>(), 0..300).prop_map(Bytes::from);
    (header, vec(edge(), 0..16), epoch(), ids, any::<u32>()).prop_map(
        |(header, edges, active, sender_ids, sender_space)| PathDelivery {
            header,
            edges,
            active,
            sender_ids,
            sender_space,
        },
    )
}

fn request() -> impl Strategy<Value = Request> {
    let token =
        prop::option::of("[!-~]{1,64}").prop_map(|text| text.and_then(|text| Token::new(&text)));
    let join = (group_name(), role(), offer(), token, any::<bool>());
    let join = join.prop_map(|(group, role, offer, token, channel)| {
        Request::Join(Join {
            group,
            role,
            offer,
            token,
            channel,
        })
    });
    let offer = prop::option::of(offer());
    let others = (group_name(), member(), key(), epoch(), offer, 0..5).prop_map(
        |(group, member, leaf, epoch, offer, kind)| match kind {
            0 => Request::Resume(Resume {
                group,
                member,
                leaf,
                epoch,
                offer,
            }),
            1 => Request::Leave(Leave { group, member }),
            2 => Request::Pull(Pull {
                group,
                member,
                epoch,
                leaf: offer.is_some().then_some(leaf),
                offer,
            }),
            3 => Request::Status(Status { group }),
            _ => Request::Acknowledge(Acknowledge {
                group,
                member,
                epoch,
            }),
        },
    );
    prop_oneof![join, others]
}

fn grant() -> impl Strategy<Value = Response> {
    let publics = suite().prop_flat_map(|suite| {
        let sizes = suite.sizes();
        let publics = [sizes.signing, sizes.agreement, sizes.encapsulated];
        (Just(suite), publics.map(octets))
    });
    let names = (group_id(), member(), role(), key());
    let channel = prop::option::of(channel_opened());
    (names, any::<[u8; 40]>(), publics, path(), channel).prop_map(
        |((group, member, role, leaf), wrapped, (suite, publics), path, channel)| {
            let [signing, agreement, encapsulated] = publics;
            Response::Granted(Box::new(Grant {
                group,
                suite,
                member,
                role,
                leaf,
                wrapped,
                signing,
                agreement,
                path,
                encapsulated,
                channel,
            }))
        },
    )
}

fn key_set() -> impl Strategy<Value = Response> {
    let numbers = (
        epoch(),
        any::<u32>(),
        any::<u64>(),
        any::<Option<u64>>(),
        any::<bool>(),
    );
    let state = numbers.prop_map(
        |(epoch, spi, activates_in_ms, lifetime_s, active)| KeyState {
            epoch,
            spi,
            suite: Suite::One,
            activates_in_ms,
            lifetime_s,
            active,
        },
    );
    (vec(state, 0..3), path()).prop_map(|(epochs, path)| Response::KeySet(KeySet { epochs, path }))
}

fn response() -> impl Strategy<Value = Response> {
    let refusal = (any::<u16>(), "\\PC{0,60}", any::<Option<u64>>()).prop_map(
        |(code, message, retry_after_ms)| {
            Response::Refused(Refusal {
                code: RefusalCode::from_number(code),
                message,
                retry_after_ms,
            })
        },
    );
    let report = (epoch(), epoch(), any::<[u64; 2]>()).prop_map(
        |(epoch, active, [members, acknowledged])| {
            Response::Status(StatusReport {
                epoch,
                active,
                members,
                acknowledged,
            })
        },
    );
    prop_oneof![
        grant(),
        channel_opened().prop_map(Response::ChannelOpened),
        path().prop_map(Response::Path),
        member().prop_map(|member| Response::Left(Left { member })),
        key_set(),
        report,
        refusal,
        epoch().prop_map(|epoch| Response::Acknowledged(Ack { epoch })),
    ]
}

fn push() -> impl Strategy<Value = Push> {
    let header = vec(any::<u8>(), 0..300);
    let rekey = (group_id(), header, any::<u64>(), vec(edge(), 0..16)).prop_map(
        |(group, header, active, edges)| {
            Push::Rekey(RekeyDelivery {
                group,
                header: Bytes::from(header),
                active: Epoch(active),
                edges,
            })
        },
    );
    let removed = (group_id(), member(), any::<u16>()).prop_map(|(group, member, reason)| {
        Push::Removed(Removed {
            group,
            member,
            reason: RemovalReason::from_number(reason),
        })
    });
    prop_oneof![
        rekey,
        (group_id(), epoch()).prop_map(|(group, epoch)| Push::Activate(Activate { group, epoch })),
        removed,
        (
            any::<u64>(),
            prop::option::of(vec("[a-z]{1,20}:[0-9]{1,5}", 0..4))
        )
            .prop_map(|(retry_after_ms, to)| Push::GoAway(GoAway { retry_after_ms, to })),
        packet(),
        (group_id(), epoch())
            .prop_map(|(group, epoch)| Push::Heartbeat(Heartbeat { group, epoch })),
    ]
}

fn packet() -> impl Strategy<Value = Push> {
    let leaves = (any::<u32>(), any::<u32>());
    let bytes = vec(any::<u8>(), 0..300);
    (group_id(), bytes, epoch(), vec(edge(), 0..4), leaves).prop_map(
        |(group, header, active, edges, (first_leaf, last_leaf))| {
            Push::Packet(RekeyPacket {
                group,
                header: header.into(),
                active,
                edges,
                first_leaf,
                last_leaf,
            })
        },
    )
}

fn channel_opened() -> impl Strategy<Value = ChannelOpened> {
    let four = (224..240u8, any::<[u8; 3]>())
        .prop_map(|(first, [a, b, c])| std::net::IpAddr::from([first, a, b, c]));
    let six = any::<[u8; 15]>().prop_map(|rest| {
        let mut octets = [0xff; 16];
        octets[1..].copy_from_slice(&rest);
        std::net::IpAddr::from(octets)
    });
    let address = (prop_oneof![four, six], 1..=u16::MAX);
    let offer =
        (address, any::<[u32; 3]>()).prop_map(|(address, [heartbeat_ms, report_ms, settle_ms])| {
            MulticastOffer {
                address: std::net::SocketAddr::from(address)
                    .try_into()
                    .expect("is multicast"),
                heartbeat_ms,
                report_ms,
                settle_ms,
            }
        });
    (any::<u32>(), proptest::option::of(offer))
        .prop_map(|(channel, multicast)| ChannelOpened { channel, multicast })
}

fn push_reply() -> impl Strategy<Value = PushReply> {
    prop_oneof![
        epoch().prop_map(PushReply::ack),
        (any::<u16>(), epoch())
            .prop_map(|(code, held)| PushReply::nack(NackCode::from_number(code), held)),
    ]
}

/// Where to damage an encoding, and how.
fn damage() -> impl Strategy<Value = (prop::sample::Index, u8)> {
    (any::<prop::sample::Index>(), 1..=255u8)
}

fn survives<M: Message + PartialEq + std::fmt::Debug>(
    message: &M,
    (at, flip): (prop::sample::Index, u8),
) -> Result<(), TestCaseError> {
    let bytes = message.to_bytes();
    prop_assert!(bytes.len() <= M::LIMIT);
    let decoded = M::from_bytes(&bytes);
    prop_assert_eq!(decoded.as_ref(), Ok(message));
    let mut damaged = bytes.to_vec();
    damaged[at.index(bytes.len())] ^= flip;
    if let Ok(other) = M::from_bytes(&damaged) {
        // Bytes that decode are the value's encoding, but for fields that this version does not know.
        prop_assert_eq!(M::from_bytes(&other.to_bytes()), Ok(other));
    }
    Ok(())
}

proptest! {
    #[test]
    fn requests_survive(message in request(), damage in damage()) {
        survives(&message, damage)?;
    }

    #[test]
    fn responses_survive(message in response(), damage in damage()) {
        survives(&message, damage)?;
    }

    #[test]
    fn pushes_survive(message in push(), damage in damage()) {
        survives(&message, damage)?;
    }

    #[test]
    fn push_replies_survive(message in push_reply(), damage in damage()) {
        survives(&message, damage)?;
    }

    #[test]
    fn headers_survive(
        header in header(),
        key_id in any::<[u8; 8]>(),
        tag in any::<[u8; 16]>(),
        fill in any::<u8>(),
        (at, flip) in damage(),
    ) {
        let signature = vec![fill; header.suite.sizes().signature];
        let bytes = header.assemble(key_id, tag, &signature);
        let parsed = EpochHeader::parse(&bytes).unwrap();
        prop_assert_eq!(parsed.header, header);
        prop_assert_eq!(parsed.prefix(), header.prefix(key_id));
        prop_assert_eq!((parsed.tag, &parsed.signature[..], parsed.key_id), (tag, &signature[..], key_id));
        let mut damaged = bytes.to_vec();
        damaged[at.index(bytes.len())] ^= flip;
        if let Ok(other) = EpochHeader::parse(&damaged) {
            // Every byte of a header is signed or is the signature.
            prop_assert!(other.signed != parsed.signed || other.signature != parsed.signature);
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = Request::from_bytes(&bytes);
        let _ = Response::from_bytes(&bytes);
        let _ = Push::from_bytes(&bytes);
        let _ = PushReply::from_bytes(&bytes);
        let _ = EpochHeader::parse(&bytes);
    }
}
