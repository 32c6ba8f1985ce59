//! Headers and grants from the member's side, against what a token computes.

use super::*;
use crate::crypto::{
    AgreementKey, Key, NoFingerprint, SigningKey, confirmation_tag, ratchet, wrap,
};
use crate::group::ids::{Epoch, KeyRef, MemberId, NodeId, Role, Suite, Suites};
use crate::group::session::KeyOperations;
use crate::group::wire::{Grant, PathDelivery, grant_transcript};
use crate::member::suite::Ephemeral;
use bytes::Bytes;

const GROUP: GroupId = GroupId([9; 16]);

fn key_ref(level: u8) -> KeyRef {
    KeyRef {
        node: NodeId { level, index: 0 },
        generation: 1,
        step: 0,
    }
}

fn signing() -> SigningKey {
    SigningKey::from_scalar(&SigningKey::generate_scalar()).expect("a fresh scalar is one")
}

fn header() -> EpochHeader {
    EpochHeader {
        suite: Suite::One,
        group: GROUP,
        epoch: Epoch(3),
        root: key_ref(1),
        activation_delay_ms: 1_000,
        retirement_delay_ms: 5_000,
        sender_space: 0,
        members: 2,
        rollover: 0,
    }
}

fn sealed(header: &EpochHeader, root: &Key, signing: &SigningKey) -> Vec<u8> {
    let kid = key_id(&signing.public());
    let mut signed = header.prefix(kid);
    let tag = confirmation_tag(Suite::One, root, &signed);
    signed.extend_from_slice(&tag);
    header.assemble(kid, tag, &signing.sign(&signed)).to_vec()
}

#[test]
fn the_session_computes_what_the_token_does() {
    let (child, parent) = (Key::generate(), Key::generate());
    let wrapped = wrap(Suite::One, &child, &parent);
    assert_eq!(
        SuiteKeys::One.unwrap(&child, &wrapped),
        Some(parent.clone())
    );
    assert_eq!(SuiteKeys::One.unwrap(&parent, &wrapped), None);
    assert_eq!(SuiteKeys::One.ratchet(&child), ratchet(Suite::One, &child));
}

#[test]
fn only_the_root_confirms() {
    let (root, signing) = (Key::generate(), signing());
    let bytes = sealed(&header(), &root, &signing);
    let parsed =
        verified(&bytes, GROUP, (SuiteKeys::One, &signing.public())).expect("it is signed");
    assert!(SuiteKeys::One.confirms(&root, &parsed));
    assert!(!SuiteKeys::One.confirms(&ratchet(Suite::One, &root), &parsed));
}

#[test]
fn headers_of_others_are_refused() {
    let (root, ours, other) = (Key::generate(), signing(), signing());
    let bytes = sealed(&header(), &root, &ours);
    let refused = |bytes: &[u8], group, signing: &SigningKey| {
        verified(bytes, group, (SuiteKeys::One, &signing.public())).expect_err("it is not ours")
    };
    let elsewhere = GroupId([8; 16]);
    assert_eq!(
        refused(&bytes, elsewhere, &ours),
        Unusable::OtherGroup(GROUP)
    );
    assert_eq!(refused(&bytes, GROUP, &other), Unusable::OtherKey);
    let mut changed = bytes.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    assert_eq!(refused(&changed, GROUP, &ours), Unusable::Signature);
    assert!(matches!(
        refused(&bytes[..last], GROUP, &ours),
        Unusable::Header(_)
    ));
    // Whoever names our key but cannot sign with it.
    let kid = key_id(&ours.public());
    let signed = [header().prefix(kid), vec![0; 16]].concat();
    let forged = header().assemble(kid, [0; 16], &other.sign(&signed));
    assert_eq!(refused(&forged, GROUP, &ours), Unusable::Signature);
}

#[test]
fn a_grant_opens_for_its_join_alone() {
    let suites = Suites::of(Suite::One);
    let (member, token, leaf) = (
        Ephemeral::generate(suites),
        AgreementKey::generate(),
        Key::generate(),
    );
    let offer = member.offer().expect("a suite is offered");
    let point = offer.key(Suite::One).expect("a point");
    let transcript = grant_transcript(
        Suite::One,
        &GROUP,
        MemberId(5),
        &key_ref(0),
        point,
        &token.public(),
    );
    let point = point[..].try_into().expect("65 bytes");
    let kek = token.kek(point, &transcript).expect("a point");
    let mut grant = Grant {
        group: GROUP,
        suite: Suite::One,
        member: MemberId(5),
        role: Role::Both,
        leaf: key_ref(0),
        wrapped: crate::crypto::key_wrap(&kek, &leaf),
        signing: Bytes::copy_from_slice(&signing().public()),
        agreement: Bytes::copy_from_slice(&token.public()),
        path: PathDelivery {
            header: Default::default(),
            edges: vec![],
            active: Epoch(3),
            sender_ids: vec![],
            sender_space: 0,
        },
        encapsulated: Bytes::new(),
        channel: None,
    };
    assert_eq!(member.open(&grant), Some((SuiteKeys::One, leaf)));
    assert_eq!(Ephemeral::generate(suites).open(&grant), None);
    grant.member = MemberId(6);
    assert_eq!(member.open(&grant), None);
    grant.member = MemberId(5);
    grant.suite = Suite::Two;
    assert_eq!(
        member.open(&grant),
        None,
        "nothing of that suite was offered"
    );
}

#[test]
fn a_pin_is_written_in_hexadecimal() {
    let issuer = Issuer {
        signing: Bytes::copy_from_slice(&signing().public()),
        agreement: Bytes::copy_from_slice(&AgreementKey::generate().public()),
    };
    let found = Fingerprint::of(&issuer.signing);
    assert_eq!(found.to_string().parse(), Ok(found));
    assert_eq!(found.to_string().to_uppercase().parse(), Ok(found));
    assert_eq!("ab".parse::<Fingerprint>(), Err(NoFingerprint));
    assert_eq!("+f".repeat(32).parse::<Fingerprint>(), Err(NoFingerprint));
    assert_eq!(pinned(&[], &issuer), Ok(()));
    assert_eq!(pinned(&[Fingerprint([1; 32]), found], &issuer), Ok(()));
    let pin = Fingerprint([0; 32]);
    let refused = Unusable::OtherIssuer { pinned: pin, found };
    assert_eq!(pinned(&[pin], &issuer), Err(refused));
}
