//! Known answers of suite 2, from an implementation that shares no code with ours.

use serde::Deserialize;

use super::*;
use crate::group::ids::GroupNonce;

const SUITE: Suite = Suite::Two;

#[derive(Deserialize)]
struct Vectors {
    derivations: Derivations,
    wraps: Vec<Wrapping>,
    confirmations: Vec<Confirmation>,
    exports: Vec<Export>,
    grants: Vec<Grant>,
    signatures: Vec<Signature>,
    bad_keys: Vec<BadKey>,
}

#[derive(Deserialize)]
struct Derivations {
    master: Hex<32>,
    nonce: Hex<32>,
    group: Hex<16>,
    seed: Hex<32>,
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    level: u8,
    index: u32,
    generation: u32,
    step: u16,
    key: Hex<32>,
}

#[derive(Deserialize)]
struct Wrapping {
    child: Hex<32>,
    key: Hex<32>,
    wrapped: Hex<40>,
}

#[derive(Deserialize)]
struct Confirmation {
    root: Hex<32>,
    prefix: HexString,
    tag: Hex<16>,
}

#[derive(Deserialize)]
struct Export {
    root: Hex<32>,
    group: Hex<16>,
    epoch: String,
    label: String,
    context: HexString,
    length: usize,
    value: HexString,
}

#[derive(Deserialize)]
struct Grant {
    issuer_private: Hex<32>,
    issuer_public: Hex<32>,
    member_x25519: Hex<32>,
    member_kem: Hex<2400>,
    member_public: Hex<1216>,
    transcript: HexString,
    encapsulated: Hex<1088>,
    leaf: Hex<32>,
    wrapped: Hex<40>,
}

impl Grant {
    fn member(&self) -> HybridKey {
        HybridKey::from_private(&self.member_x25519.0, &self.member_kem.0).expect("a key")
    }
}

#[derive(Deserialize)]
struct Signature {
    seed: Hex<32>,
    public: Hex<1952>,
    key_id: Hex<8>,
    message: HexString,
    signature: Hex<3309>,
}

#[derive(Deserialize)]
struct BadKey {
    why: String,
    at: usize,
    bytes: HexString,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../tests/vectors/suite2.json")).expect("vectors parse")
}

#[test]
fn derivations() {
    let given = vectors().derivations;
    let seed = seed(SUITE, &given.master.key(), &GroupNonce(given.nonce.0));
    same(&seed, &given.seed);
    assert_eq!(given.nodes.len(), 5);
    for node in given.nodes {
        let key = KeyRef {
            node: NodeId {
                level: node.level,
                index: node.index,
            },
            generation: node.generation,
            step: node.step,
        };
        same(
            &node_key(SUITE, &seed, &GroupId(given.group.0), &key),
            &node.key,
        );
    }
}

#[test]
fn wraps() {
    for case in vectors().wraps {
        assert_eq!(
            wrap(SUITE, &case.child.key(), &case.key.key()),
            case.wrapped.0
        );
        let opened = unwrap(SUITE, &case.child.key(), &case.wrapped.0).expect("opens");
        same(&opened, &case.key);
        assert!(unwrap(SUITE, &case.key.key(), &case.wrapped.0).is_none());
        for byte in 0..40 {
            let mut changed = case.wrapped.0;
            changed[byte] ^= 1;
            assert!(
                unwrap(SUITE, &case.child.key(), &changed).is_none(),
                "byte {byte}"
            );
        }
    }
}

#[test]
fn confirmations() {
    for case in vectors().confirmations {
        let tag = confirmation_tag(SUITE, &case.root.key(), &case.prefix.0);
        assert_eq!(tag, case.tag.0);
    }
}

#[test]
fn exports() {
    for case in vectors().exports {
        let epoch = Epoch(case.epoch.parse().expect("a number"));
        let secret = EpochSecret::of(SUITE, &case.root.key(), GroupId(case.group.0), epoch);
        let value = secret.export(&case.label, &case.context.0, case.length);
        assert_eq!(*value.expect("exports"), case.value.0);
    }
}

#[test]
fn grants() {
    for case in vectors().grants {
        let issuer = X25519Key::from_private(&case.issuer_private.0);
        assert_eq!(issuer.public(), case.issuer_public.0);
        let member = case.member();
        assert_eq!(member.public(), case.member_public.0[..]);

        let transcript = &case.transcript.0;
        let open = |issuer: &[u8], transcript: &[u8], encapsulated: &[u8]| {
            member.open_grant(issuer, transcript, &case.wrapped.0, encapsulated)
        };
        let (public, ciphertext) = (&case.issuer_public.0, &case.encapsulated.0);
        same(
            &open(public, transcript, ciphertext).expect("opens"),
            &case.leaf,
        );

        let mut other = transcript.clone();
        other[20] ^= 1;
        assert!(
            open(public, &other, ciphertext).is_none(),
            "bound to its transcript"
        );
        let mut other = *ciphertext;
        other[1087] ^= 1;
        assert!(
            open(public, transcript, &other).is_none(),
            "bound to its ciphertext"
        );
        let other = X25519Key::from_private(&[7; 32]).public();
        assert!(
            open(&other, transcript, ciphertext).is_none(),
            "bound to its issuer"
        );
        let opened =
            HybridKey::generate().open_grant(public, transcript, &case.wrapped.0, ciphertext);
        assert!(opened.is_none(), "a grant is for one member");
    }
}

/// Each secret alone is not enough: whoever has one half of a member's key opens nothing.
#[test]
fn a_grant_takes_both_halves_of_a_key() {
    let [first, second] = &vectors().grants[..] else {
        panic!("there are two grants")
    };
    let mixed = |x25519: &Grant, kem: &Grant| {
        HybridKey::from_private(&x25519.member_x25519.0, &kem.member_kem.0).expect("a key")
    };
    let open = |key: HybridKey| {
        key.open_grant(
            &first.issuer_public.0,
            &first.transcript.0,
            &first.wrapped.0,
            &first.encapsulated.0,
        )
    };
    assert!(open(mixed(first, first)).is_some());
    assert!(open(mixed(first, second)).is_none());
    assert!(open(mixed(second, first)).is_none());
}

#[test]
fn signatures() {
    for case in vectors().signatures {
        let key = MlDsaKey::from_seed(&case.seed.0);
        assert_eq!(key.public(), case.public.0[..]);
        assert_eq!(key_id(&key.public()), case.key_id.0);
        let verify =
            |signature: &[u8]| verify_signature(SUITE, &case.public.0, &case.message.0, signature);
        assert!(verify(&case.signature.0));
        let own = key.sign(&case.message.0);
        assert!(verify(&own));
        assert_ne!(own, key.sign(&case.message.0), "signatures are hedged");
        let mut changed = case.signature.0;
        changed[0] ^= 1;
        assert!(!verify(&changed));
        assert!(!verify(&case.signature.0[1..]));
    }
}

#[test]
fn bad_keys_are_refused() {
    let Vectors {
        grants, bad_keys, ..
    } = vectors();
    let issuer = X25519Key::from_private(&grants[0].issuer_private.0);
    let good = grants[0].member_public.0;
    let leaf = Key::generate();
    assert!(is_hybrid_key(&good));
    assert_eq!(bad_keys.len(), 8);
    for case in bad_keys {
        let mut bad = good;
        bad[case.at..case.at + case.bytes.0.len()].copy_from_slice(&case.bytes.0);
        assert!(!is_hybrid_key(&bad), "{}", case.why);
        let refused = issuer.grant(&bad, b"transcript", &leaf);
        assert_eq!(refused.err(), Some(InvalidKey), "{}", case.why);
    }
    for length in [0, 32, 65, 1215] {
        assert!(!is_hybrid_key(&good[..length]));
        let refused = issuer.grant(&good[..length], b"transcript", &leaf);
        assert_eq!(refused.err(), Some(InvalidKey));
    }
    assert!(!is_hybrid_key(&[&good[..], &[0]].concat()));
}
