//! Suite 1 from the member's side, against what a token computes.

use super::*;
use crate::crypto::{AgreementKey, SigningKey, confirmation_tag, ratchet, wrap};
use crate::group::ids::{Epoch, KeyRef, MemberId, NodeId, Role, Suite};
use crate::group::wire::PathDelivery;

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
    }
}

fn sealed(header: &EpochHeader, root: &Key, signing: &SigningKey) -> Vec<u8> {
    let kid = key_id(&signing.public());
    let mut signed = header.prefix(kid);
    let tag = confirmation_tag(root, &signed);
    signed.extend_from_slice(&tag);
    header.assemble(kid, tag, signing.sign(&signed)).to_vec()
}

#[test]
fn the_session_computes_what_the_token_does() {
    let (child, parent) = (Key::generate(), Key::generate());
    let wrapped = wrap(&child, &parent);
    assert_eq!(SuiteOne.unwrap(&child, &wrapped), Some(parent.clone()));
    assert_eq!(SuiteOne.unwrap(&parent, &wrapped), None);
    assert_eq!(SuiteOne.ratchet(&child), ratchet(&child));
}

#[test]
fn only_the_root_confirms() {
    let (root, signing) = (Key::generate(), signing());
    let bytes = sealed(&header(), &root, &signing);
    let parsed = verified(&bytes, GROUP, &signing.public()).expect("it is signed");
    assert!(SuiteOne.confirms(&root, &parsed));
    assert!(!SuiteOne.confirms(&ratchet(&root), &parsed));
}

#[test]
fn headers_of_others_are_refused() {
    let (root, ours, other) = (Key::generate(), signing(), signing());
    let bytes = sealed(&header(), &root, &ours);
    let refused = |bytes: &[u8], group, signing: &SigningKey| {
        verified(bytes, group, &signing.public()).expect_err("it is not ours")
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
    let forged = header().assemble(kid, [0; 16], other.sign(&signed));
    assert_eq!(refused(&forged, GROUP, &ours), Unusable::Signature);
}

#[test]
fn a_grant_opens_for_its_join_alone() {
    let (member, token, leaf) = (
        EphemeralKey::generate(),
        AgreementKey::generate(),
        Key::generate(),
    );
    let transcript = grant_transcript(
        Suite::One,
        &GROUP,
        MemberId(5),
        &key_ref(0),
        &member.public(),
        &token.public(),
    );
    let kek = token.kek(&member.public(), &transcript).expect("a point");
    let mut grant = Grant {
        group: GROUP,
        suite: Suite::One,
        member: MemberId(5),
        role: Role::Both,
        leaf: key_ref(0),
        wrapped: wrap(&kek, &leaf),
        signing: signing().public(),
        agreement: token.public(),
        path: PathDelivery {
            header: Default::default(),
            edges: vec![],
            active: Epoch(3),
            sender_ids: vec![],
            sender_space: 0,
        },
    };
    assert_eq!(open(&grant, &member), Ok(leaf));
    assert_eq!(open(&grant, &EphemeralKey::generate()), Err(Unusable::Leaf));
    grant.member = MemberId(6);
    assert_eq!(open(&grant, &member), Err(Unusable::Leaf));
}

#[test]
fn a_pin_is_written_in_hexadecimal() {
    let issuer = Issuer {
        signing: signing().public(),
        agreement: AgreementKey::generate().public(),
    };
    let found = Fingerprint::of(&issuer.signing);
    assert_eq!(found.to_string().parse(), Ok(found));
    assert_eq!(found.to_string().to_uppercase().parse(), Ok(found));
    assert_eq!("ab".parse::<Fingerprint>(), Err(NoFingerprint));
    assert_eq!("+f".repeat(32).parse::<Fingerprint>(), Err(NoFingerprint));
    assert_eq!(pinned(None, &issuer), Ok(()));
    assert_eq!(pinned(Some(found), &issuer), Ok(()));
    let pin = Fingerprint([0; 32]);
    let refused = Unusable::OtherIssuer { pinned: pin, found };
    assert_eq!(pinned(Some(pin), &issuer), Err(refused));
}
