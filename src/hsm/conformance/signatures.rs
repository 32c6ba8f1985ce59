//! What the signing key signs: heads of audit trails, epoch headers, and neither in the other's place.

use super::*;
use crate::group::wire::{EpochHeader, TrailHead};

const HEAD: TrailHead = TrailHead {
    sequence: 4_711,
    digest: [0x5a; 32],
};

fn sign(head: TrailHead) -> Operation {
    Operation::SignHead { head }
}

fn seal(prefix: Vec<u8>) -> Operation {
    let root = key(1, 0, 1, 0);
    Operation::Seal { root, prefix }
}

pub(super) fn the_head_of_a_trail_is_signed_and_is_no_epochs(config: &TokenConfig, suite: Suite) {
    let mut token = session(config);
    let signing = issuer(token.as_ref(), suite).signing;
    let later = TrailHead {
        sequence: HEAD.sequence + 1,
        ..HEAD
    };
    let batch = Batch::of_no_group(suite, vec![sign(HEAD), sign(later)]);
    let executed = token.execute(std::slice::from_ref(&batch));
    let cost = Usage {
        signatures: 2,
        ..Usage::default()
    };
    assert_eq!(executed.usage, cost);
    let outputs = executed.into_results().remove(0).expect("executes");
    let [Output::HeadSigned(first), Output::HeadSigned(second)] = &outputs[..] else {
        panic!("{outputs:?} are no signatures");
    };
    let verifies =
        |message: &[u8], signature| crypto::verify_signature(suite, &signing, message, signature);
    assert!(verifies(&HEAD.signed(suite), first));
    assert!(verifies(&later.signed(suite), second));
    assert!(!verifies(&HEAD.signed(suite), second));
    // Nor is it one over what an epoch's header would be, were it made of the same parts.
    let header = HEAD.signed(suite);
    let place = header
        .windows(21)
        .position(|part| part == b"wardcast/1 audit head");
    let place = place.expect("the context is there");
    let as_header = [
        &header[..place - 1],
        b"\x50wardcast/1 epoch",
        &header[place + 21..],
    ]
    .concat();
    assert!(!verifies(&as_header, first));
    // In a group's batch there is no place for it, and none for a group's operation in its.
    let leaf = edge(key(0, 0, 1, 0), key(1, 0, 1, 0));
    for refused in [
        batch_of(suite, vec![sign(HEAD)]),
        batch_of(suite, vec![leaf.clone(), sign(HEAD)]),
        Batch::of_no_group(suite, vec![leaf]),
    ] {
        let error = token.execute_one(&refused).expect_err("makes no sense");
        assert_eq!(error.class(), ErrorClass::OurBug);
    }
    assert!(token.execute_one(&batch).is_ok());
}

pub(super) fn no_seal_signs_anything_but_headers(config: &TokenConfig, suite: Suite) {
    let mut token = session(config);
    let header = EpochHeader {
        suite,
        group: GroupId([0x33; 16]),
        epoch: crate::group::ids::Epoch(3),
        root: key(1, 0, 1, 0),
        activation_delay_ms: 1_000,
        retirement_delay_ms: 5_000,
        sender_space: 0,
        members: 4,
        rollover: 0,
    };
    let prefix = header.prefix([1; 8]);
    let outputs = token.execute_one(&batch_of(suite, vec![seal(prefix.clone())]));
    assert!(matches!(
        outputs.expect("executes")[..],
        [Output::Sealed { .. }]
    ));
    // All of a trail's head but the last bytes of its digest, in whose place the tag would stand.
    let head = HEAD.signed(suite);
    for prefix in [
        head[..head.len() - 16].to_vec(),
        b"a contract".to_vec(),
        vec![],
        prefix[..12].to_vec(),
    ] {
        let refused = token.execute_one(&batch_of(suite, vec![seal(prefix)]));
        let error = refused.expect_err("is no header");
        assert_eq!(error.class(), ErrorClass::OurBug, "{error}");
    }
}
