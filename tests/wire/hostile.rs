//! Hostile bytes: each is refused with an error that says what and where, and at a bounded cost.

use std::time::{Duration, Instant};

use minicbor::Encoder;
use wardcast::group::ids::{Epoch, Suite};
use wardcast::group::limits::*;
use wardcast::group::wire::*;

use crate::samples;

fn fault<M: Message>(bytes: &[u8]) -> (usize, Fault) {
    match M::from_bytes(bytes) {
        Ok(_) => panic!("accepted: {}", samples::diagnostic(bytes)),
        Err(error) => {
            assert_eq!(error.what, M::WHAT);
            assert!(error.offset <= bytes.len());
            (error.offset, error.fault)
        }
    }
}

/// `[5, {0: "g"}]`, a request for the status of group g: the frame that most cases here damage.
const STATUS: [u8; 6] = [0x82, 0x05, 0xa1, 0x00, 0x61, b'g'];

#[test]
fn the_frame_that_is_damaged_is_sound() {
    let status = Request::Status(Status { group: "g".into() });
    assert_eq!(Request::from_bytes(&STATUS), Ok(status.clone()));
    assert_eq!(status.to_bytes()[..], STATUS);
}

#[test]
fn a_second_encoding_of_the_same_value_is_refused() {
    let cases: [(&[u8], usize, Fault); 12] = [
        (
            &[0x9f, 0x05, 0xa1, 0x00, 0x61, b'g', 0xff],
            0,
            Fault::NotDeterministic,
        ),
        (
            &[0x82, 0x18, 0x05, 0xa1, 0x00, 0x61, b'g'],
            1,
            Fault::NotDeterministic,
        ),
        (
            &[0x82, 0x05, 0xb8, 0x01, 0x00, 0x61, b'g'],
            2,
            Fault::NotDeterministic,
        ),
        (
            &[0x82, 0x05, 0xbf, 0x00, 0x61, b'g', 0xff],
            2,
            Fault::NotDeterministic,
        ),
        (
            &[0x82, 0x05, 0xa1, 0x18, 0x00, 0x61, b'g'],
            3,
            Fault::NotDeterministic,
        ),
        (
            &[0x82, 0x05, 0xa1, 0x00, 0x78, 0x01, b'g'],
            4,
            Fault::NotDeterministic,
        ),
        (
            &[0x82, 0x05, 0xa1, 0x00, 0x7f, 0x61, b'g', 0xff],
            4,
            Fault::NotDeterministic,
        ),
        (
            &[0x82, 0x1b, 0, 0, 0, 0, 0, 0, 0, 5, 0xa1, 0, 0x61, b'g'],
            1,
            Fault::NotDeterministic,
        ),
        (
            &[0x82, 0x05, 0xa2, 0x00, 0x61, b'g', 0x00, 0x61, b'g'],
            6,
            Fault::DuplicateKey(0),
        ),
        (
            &[0x82, 0x05, 0xa2, 0x07, 0x01, 0x00, 0x61, b'g'],
            5,
            Fault::KeyOrder,
        ),
        (
            &[0xd8, 0x18, 0x82, 0x05, 0xa1, 0x00, 0x61, b'g'],
            0,
            Fault::Forbidden,
        ),
        (
            &[0x82, 0x05, 0xa1, 0x00, 0x61, b'g', 0x00],
            6,
            Fault::Trailing,
        ),
    ];
    for (bytes, offset, expected) in cases {
        assert_eq!(fault::<Request>(bytes), (offset, expected), "{bytes:02x?}");
    }
}

#[test]
fn what_is_malformed_is_refused_where_it_goes_wrong() {
    let cases: [(&[u8], usize, Fault); 14] = [
        (&[], 0, Fault::Truncated),
        (&[0x82, 0x05, 0xa1, 0x00, 0x62, b'g'], 6, Fault::Truncated),
        (
            &[0x82, 0x05, 0xa1, 0x00, 0x62, 0xc3, 0x28],
            4,
            Fault::NotText,
        ),
        (&[0x82, 0x05, 0xa1, 0x20, 0x61, b'g'], 3, Fault::Key),
        (&[0x82, 0x05, 0xa1, 0x61, b'a', 0x00], 3, Fault::Key),
        (&[0x82, 0x05, 0xa1, 0x80, 0x00], 3, Fault::Key),
        (
            &[0x82, 0x05, 0xa1, 0x00, 0xf9, 0x3c, 0x00],
            4,
            Fault::Forbidden,
        ),
        (&[0x82, 0x05, 0xa1, 0x00, 0xf7], 4, Fault::Forbidden),
        (&[0x82, 0x05, 0xa1, 0x00, 0xff], 4, Fault::Forbidden),
        (&[0x82, 0x05, 0xa1, 0x00, 0x1c], 4, Fault::NotDeterministic),
        (&[0x82, 0x05, 0xa0], 2, Fault::Missing),
        (&[0x82, 0x05, 0xa1, 0x00, 0x41, b'g'], 4, Fault::Type),
        (
            &[0x82, 0x17, 0xa1, 0x00, 0x61, b'g'],
            1,
            Fault::UnknownVariant,
        ),
        (
            &[0x82, 0x05, 0xa1, 0x00, 0x60],
            4,
            Fault::Value("a group's name is not empty"),
        ),
    ];
    for (bytes, offset, expected) in cases {
        assert_eq!(fault::<Request>(bytes), (offset, expected), "{bytes:02x?}");
    }
}

#[test]
fn fields_of_a_later_version_are_passed_over() {
    let bytes = [
        &[0x82, 0x05, 0xa2][..],
        &STATUS[3..],
        &[0x18, 0x63, 0x82, 0xf6, 0xa1, 0x00, 0x20],
    ]
    .concat();
    assert_eq!(
        Request::from_bytes(&bytes),
        Ok(Request::Status(Status { group: "g".into() }))
    );
    let longer = [&[0x83][..], &STATUS[1..], &[0x80]].concat();
    assert!(
        Request::from_bytes(&longer).is_ok(),
        "a third element of a message"
    );
}

#[test]
fn a_name_is_bounded() {
    let named = |length| {
        Request::Status(Status {
            group: "x".repeat(length),
        })
        .to_bytes()
    };
    assert!(Request::from_bytes(&named(MAX_GROUP_NAME)).is_ok());
    let (_, too_long) = fault::<Request>(&named(MAX_GROUP_NAME + 1));
    assert!(matches!(too_long, Fault::Value(_)));
}

#[test]
fn every_cut_of_every_message_is_truncated() {
    fn cut<M: Message>(samples: &[(&str, M)]) {
        for (name, message) in samples {
            let bytes = message.to_bytes();
            for end in 0..bytes.len() {
                assert_eq!(fault::<M>(&bytes[..end]), (end, Fault::Truncated), "{name}");
            }
        }
    }
    cut(&samples::requests());
    cut(&samples::responses());
    cut(&samples::pushes());
    cut(&samples::push_replies());
}

#[test]
fn nesting_is_bounded() {
    for opening in [&[0x81][..], &[0xa1, 0x00]] {
        let nested = |depth: usize| {
            let mut bytes = opening.repeat(depth);
            bytes.push(0x00);
            [&[0x82, 0x05, 0xa2][..], &STATUS[3..], &[0x01], &bytes].concat()
        };
        assert!(Request::from_bytes(&nested(MAX_DEPTH - 2)).is_ok());
        assert_eq!(fault::<Request>(&nested(MAX_DEPTH - 1)).1, Fault::TooDeep);
        let (offset, fault) = fault::<Request>(&nested(1900));
        assert_eq!(fault, Fault::TooDeep);
        assert!(offset < 30, "found at once");
    }
}

#[test]
fn a_claimed_length_costs_nothing() {
    for head in [0x5b, 0x7b, 0x9b, 0xbb] {
        for claim in [u64::MAX, u64::MAX / 2 + 1, 1 << 62, 1 << 32] {
            let claim = [&[head][..], &claim.to_be_bytes()].concat();
            let bytes = [&[0x82, 0x05, 0xa1, 0x00][..], &claim].concat();
            assert_eq!(fault::<Request>(&bytes), (bytes.len(), Fault::Truncated));
        }
    }
}

#[test]
fn size_is_bounded_before_anything_is_read() {
    fn oversized<M: Message>() {
        let bytes = vec![0x80; M::LIMIT + 1];
        assert_eq!(fault::<M>(&bytes), (M::LIMIT, Fault::TooLarge(M::LIMIT)));
        assert!(!matches!(fault::<M>(&bytes[1..]).1, Fault::TooLarge(_)));
    }
    oversized::<Request>();
    oversized::<Response>();
    oversized::<Push>();
    oversized::<PushReply>();
    let header = EpochHeader::parse(&[0xd2; MAX_HEADER + 1]).map_err(|e| e.fault);
    assert_eq!(header, Err(Fault::TooLarge(MAX_HEADER)));
}

/// The dearest messages of the greatest size: decoding takes milliseconds, not seconds, and memory in proportion.
#[test]
fn the_worst_message_of_full_size_is_cheap() {
    let fill = |tail: &dyn Fn(&mut Encoder<Vec<u8>>)| {
        let mut e = Encoder::new(Vec::new());
        e.array(2).unwrap().u8(32).unwrap().map(5).unwrap();
        e.u8(0).unwrap().bytes(&samples::GROUP.0).unwrap();
        e.u8(1).unwrap().bytes(&[]).unwrap();
        e.u8(2).unwrap().u8(1).unwrap();
        e.u8(3).unwrap().array(0).unwrap();
        e.u8(4).unwrap();
        tail(&mut e);
        e.into_writer()
    };
    let flat = fill(&|e| {
        e.array(1_000_000).unwrap();
        for _ in 0..1_000_000 {
            e.null().unwrap();
        }
    });
    let nested = fill(&|e| {
        e.array(250_000).unwrap();
        for _ in 0..250_000 {
            e.array(1).unwrap().array(1).unwrap().map(0).unwrap();
        }
    });
    let edges = Push::Rekey(RekeyDelivery {
        group: samples::GROUP,
        header: vec![].into(),
        active: Epoch(1),
        edges: samples::edges().into_iter().cycle().take(19_000).collect(),
    });
    for bytes in [flat, nested, edges.to_bytes().to_vec()] {
        assert!(
            (700_000..=MAX_MESSAGE).contains(&bytes.len()),
            "{}",
            bytes.len()
        );
        let began = Instant::now();
        assert!(Push::from_bytes(&bytes).is_ok());
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "{:?}",
            began.elapsed()
        );
    }
}

#[test]
fn edges_that_no_tree_has_are_refused() {
    let rekey = |edge: Edge| {
        let (group, header, edges) = (samples::GROUP, vec![].into(), vec![edge]);
        let bytes = Push::Rekey(RekeyDelivery {
            group,
            header,
            active: Epoch(1),
            edges,
        })
        .to_bytes();
        Push::from_bytes(&bytes).map_err(|e| e.fault)
    };
    let sound = samples::edges()[1];
    assert!(rekey(sound).is_ok());
    let with = |change: &dyn Fn(&mut Edge)| {
        let mut edge = sound;
        change(&mut edge);
        rekey(edge)
    };
    let edge = |fault| matches!(fault, Err(Fault::Edge(_)));
    assert!(edge(with(&|e| e.child.node.level = MAX_LEVELS - 1)));
    assert!(edge(with(&|e| e.child.node.level = 255)));
    assert!(edge(with(&|e| e.child.node.index = u32::MAX)));
    assert!(edge(with(&|e| e.child.generation = 0)));
    assert!(edge(with(&|e| e.parent.generation = 0)));
    assert!(edge(with(&|e| e.parent.step = MAX_RATCHET_STEPS + 1)));
}

/// A header with one part replaced, signed or not: what a lenient parser would let through.
fn forged(protected: &[u8], unprotected: &[u8], payload: &[u8], signature: &[u8]) -> Fault {
    let mut e = Encoder::new(vec![0xd2, 0x84]);
    e.bytes(protected).unwrap();
    e.writer_mut().extend_from_slice(unprotected);
    e.bytes(payload).unwrap().bytes(signature).unwrap();
    let bytes = e.into_writer();
    EpochHeader::parse(&bytes).expect_err("forged").fault
}

#[test]
fn a_header_has_one_form_only() {
    let header = samples::header();
    let bytes = header.assemble(samples::KEY_ID, samples::TAG, &samples::SIGNATURE);
    let parts: (u8, &[u8]) = (bytes[0], &bytes[2..]);
    assert_eq!(parts.0, 0xd2);
    let mut d = minicbor::Decoder::new(parts.1);
    let protected = d.bytes().unwrap().to_vec();
    d.map().unwrap();
    let payload = d.bytes().unwrap().to_vec();
    let signature = d.bytes().unwrap().to_vec();
    assert!(EpochHeader::parse(&bytes).is_ok());
    let refused = |protected: &[u8], unprotected: &[u8], payload: &[u8], signature: &[u8]| {
        let fault = forged(protected, unprotected, payload, signature);
        assert!(
            !matches!(fault, Fault::Trailing),
            "the case itself is sound"
        );
    };
    // Another algorithm, no key identifier, a critical extension, an empty protected header.
    refused(
        &[&[0xa2, 0x01, 0x27, 0x04][..], &protected[4..]].concat(),
        &[0xa0],
        &payload,
        &signature,
    );
    refused(&[0xa1, 0x01, 0x26], &[0xa0], &payload, &signature);
    refused(
        &[&[0xa3][..], &protected[1..], &[0x05, 0x40]].concat(),
        &[0xa0],
        &payload,
        &signature,
    );
    refused(&[], &[0xa0], &payload, &signature);
    // The same protected header in a longer encoding.
    refused(
        &[&[0xb8, 0x02][..], &protected[1..]].concat(),
        &[0xa0],
        &payload,
        &signature,
    );
    // Something that is not signed.
    refused(&protected, &[0xa1, 0x04, 0x41, 0x00], &payload, &signature);
    // A tag that is not last, none at all, a payload cut short, a payload that is no map.
    let mut later = payload.clone();
    later[0] += 1;
    refused(
        &protected,
        &[0xa0],
        &[&later[..], &[0x18, 0x18, 0x00]].concat(),
        &signature,
    );
    let mut untagged = payload[..payload.len() - 18].to_vec();
    untagged[0] -= 1;
    refused(&protected, &[0xa0], &untagged, &signature);
    refused(&protected, &[0xa0], &payload[..40], &signature);
    refused(&protected, &[0xa0], &[0x80], &signature);
    // A signature of another length.
    refused(&protected, &[0xa0], &payload, &signature[1..]);
    // Untagged, another tag, another array.
    for (at, value) in [(0, 0xd3), (0, 0x84), (1, 0x83), (1, 0x85)] {
        let mut other = bytes.to_vec();
        other[at] = value;
        assert!(EpochHeader::parse(&other).is_err());
    }
    let trailing = EpochHeader::parse(&[&bytes[..], &[0]].concat()).map_err(|e| e.fault);
    assert_eq!(trailing, Err(Fault::Trailing));
}

#[test]
fn a_header_entry_of_a_later_version_is_signed_and_passed_over() {
    let header = samples::header();
    let plain = header.assemble(samples::KEY_ID, samples::TAG, &samples::SIGNATURE);
    let parsed = EpochHeader::parse(&plain).unwrap();
    let mut d = minicbor::Decoder::new(&plain[2..]);
    let protected = d.bytes().unwrap();
    d.map().unwrap();
    let payload = d.bytes().unwrap();
    let (entries, tag) = payload.split_at(payload.len() - 18);
    let mut extended = [entries, &[0x09, 0x19, 0x12, 0x34], tag].concat();
    extended[0] += 1;
    let mut e = Encoder::new(vec![0xd2, 0x84]);
    e.bytes(protected).unwrap().map(0).unwrap();
    e.bytes(&extended)
        .unwrap()
        .bytes(&parsed.signature)
        .unwrap();
    let later = EpochHeader::parse(&e.into_writer()).unwrap();
    assert_eq!(later.header, parsed.header);
    assert_eq!(later.header.suite, Suite::One);
    assert_eq!(later.header.epoch, Epoch(300));
    assert_ne!(later.signed, parsed.signed);
}
