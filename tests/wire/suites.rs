//! What differs by suite: offers, grants and headers are as long as their suite says, and otherwise refused.

use minicbor::Encoder;
use wardcast::group::ids::Suite;
use wardcast::group::limits::MAX_HEADER;
use wardcast::group::wire::*;

use crate::samples;

/// A join whose fields are given in diagnostic order, keys and suites as they come.
fn join_of(one: Option<usize>, suites: &[u32], two: Option<usize>) -> Result<Request, Fault> {
    let mut e = Encoder::new(Vec::new());
    let entries = 3 + u64::from(one.is_some()) + u64::from(two.is_some());
    e.array(2).unwrap().u8(1).unwrap().map(entries).unwrap();
    e.u8(0)
        .unwrap()
        .str("g")
        .unwrap()
        .u8(1)
        .unwrap()
        .u8(0)
        .unwrap();
    if let Some(length) = one {
        e.u8(2).unwrap().bytes(&vec![4; length]).unwrap();
    }
    e.u8(3).unwrap().encode(suites).unwrap();
    if let Some(length) = two {
        e.u8(4).unwrap().bytes(&vec![6; length]).unwrap();
    }
    Request::from_bytes(&e.into_writer()).map_err(|e| e.fault)
}

#[test]
fn an_offer_agrees_with_the_suites_that_a_join_names() {
    assert!(join_of(Some(65), &[1], None).is_ok());
    assert!(join_of(None, &[2], Some(1_216)).is_ok());
    assert!(join_of(Some(65), &[1, 2], Some(1_216)).is_ok());
    assert!(
        join_of(Some(65), &[900, 1], None).is_ok(),
        "of a later version"
    );
    let refused = [
        join_of(None, &[], None),
        join_of(None, &[900], None),
        join_of(Some(65), &[1, 2], None),
        join_of(Some(65), &[2], None),
        join_of(Some(65), &[], None),
        join_of(Some(65), &[1], Some(1_216)),
        join_of(Some(64), &[1], None),
        join_of(Some(66), &[1], None),
        join_of(Some(0), &[1], None),
        join_of(None, &[2], Some(1_215)),
        join_of(None, &[2], Some(65)),
    ];
    for (case, refused) in refused.into_iter().enumerate() {
        assert!(
            matches!(refused, Err(Fault::Value(_))),
            "{case}: {refused:?}"
        );
    }
}

#[test]
fn a_grant_is_as_long_as_its_suite_says() {
    let grants = samples::responses()
        .into_iter()
        .filter_map(|(_, response)| match response {
            Response::Granted(grant) => Some(*grant),
            _ => None,
        });
    let mut seen = Vec::new();
    for grant in grants {
        seen.push(grant.suite);
        let refused = |change: &dyn Fn(&mut Grant)| {
            let mut grant = grant.clone();
            change(&mut grant);
            let bytes = Response::Granted(Box::new(grant)).to_bytes();
            let fault = Response::from_bytes(&bytes).map_err(|e| e.fault);
            assert!(matches!(fault, Err(Fault::Value(_))), "{fault:?}");
        };
        refused(&|grant| grant.signing.truncate(grant.signing.len() - 1));
        refused(&|grant| grant.agreement = vec![1; 33].into());
        refused(&|grant| grant.encapsulated = vec![1; 1].into());
        refused(&|grant| {
            grant.suite = match grant.suite {
                Suite::One => Suite::Two,
                Suite::Two => Suite::One,
            }
        });
    }
    assert!(Suite::ALL.iter().all(|suite| seen.contains(suite)));
}

#[test]
fn a_header_is_signed_as_its_suite_says() {
    let two = samples::header_two();
    let bytes = two.assemble(samples::KEY_ID, samples::TAG, &samples::SIGNATURE_TWO);
    let parsed = EpochHeader::parse(&bytes).unwrap();
    assert_eq!((parsed.header, parsed.signature.len()), (two, 3_309));
    assert!(bytes.len() <= MAX_HEADER);
    let short = two.assemble(samples::KEY_ID, samples::TAG, &samples::SIGNATURE);
    assert!(
        EpochHeader::parse(&short).is_err(),
        "a signature of suite 1"
    );
    let long = samples::header().assemble(samples::KEY_ID, samples::TAG, &samples::SIGNATURE_TWO);
    assert!(EpochHeader::parse(&long).is_err(), "a signature of suite 2");
    // The algorithm of the other suite: -7 is 26, -49 is 38 30.
    let one = samples::header().assemble(samples::KEY_ID, samples::TAG, &samples::SIGNATURE);
    let at = one
        .windows(2)
        .position(|pair| pair == [0x01, 0x26])
        .unwrap();
    let mut other = one.to_vec();
    other.splice(at + 1..at + 2, [0x38, 0x30]);
    other[2] += 1; // the protected header is a byte longer
    assert!(EpochHeader::parse(&other).is_err());
}

#[test]
fn a_header_that_does_not_count_its_rollovers_is_refused() {
    let plain = samples::header().assemble(samples::KEY_ID, samples::TAG, &samples::SIGNATURE);
    let mut d = minicbor::Decoder::new(&plain[2..]);
    let protected = d.bytes().unwrap();
    d.map().unwrap();
    let payload = d.bytes().unwrap();
    let (entries, tag) = payload.split_at(payload.len() - 18);
    let (without, rollover) = entries.split_at(entries.len() - 2);
    assert_eq!(rollover, [0x08, 0x00]);
    let mut older = [without, tag].concat();
    older[0] -= 1;
    let mut e = Encoder::new(vec![0xd2, 0x84]);
    e.bytes(protected).unwrap().map(0).unwrap();
    e.bytes(&older).unwrap().bytes(&samples::SIGNATURE).unwrap();
    let refused = EpochHeader::parse(&e.into_writer()).unwrap_err();
    assert_eq!(refused.fault, Fault::Missing);
}
