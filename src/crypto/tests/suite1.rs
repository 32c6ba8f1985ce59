//! Known answers of suite 1, from an implementation that shares no code with ours.

use serde::Deserialize;

use super::*;
use crate::group::ids::GroupNonce;

const SUITE: Suite = Suite::One;

#[derive(Deserialize)]
struct Vectors {
    derivations: Derivations,
    wraps: Vec<Wrapping>,
    confirmations: Vec<Confirmation>,
    exports: Vec<Export>,
    grants: Vec<Grant>,
    signatures: Vec<Signature>,
    bad_points: Vec<BadPoint>,
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
    kek: Hex<32>,
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
    value: Option<HexString>,
    value_sha256: Option<HexString>,
}

#[derive(Deserialize)]
struct Grant {
    issuer_scalar: Hex<32>,
    issuer_public: Hex<65>,
    member_scalar: Hex<32>,
    member_public: Hex<65>,
    transcript: HexString,
    kek: Hex<32>,
    leaf: Hex<32>,
    wrapped: Hex<40>,
}

#[derive(Deserialize)]
struct Signature {
    scalar: Hex<32>,
    public: Hex<65>,
    key_id: Hex<8>,
    message: HexString,
    signature: Hex<64>,
}

#[derive(Deserialize)]
struct BadPoint {
    why: String,
    public: Hex<65>,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../tests/vectors/suite1.json")).expect("vectors parse")
}

#[test]
fn derivations() {
    let Derivations {
        master,
        nonce,
        group,
        seed: expected,
        nodes,
    } = vectors().derivations;
    let seed = seed(SUITE, &master.key(), &GroupNonce(nonce.0));
    same(&seed, &expected);
    assert_eq!(nodes.len(), 5);
    for node in nodes {
        let id = NodeId {
            level: node.level,
            index: node.index,
        };
        let key = KeyRef {
            node: id,
            generation: node.generation,
            step: node.step,
        };
        same(&node_key(SUITE, &seed, &GroupId(group.0), &key), &node.key);
    }
}

#[test]
fn wraps() {
    for case in vectors().wraps {
        assert_eq!(
            wrap(SUITE, &case.kek.key(), &case.key.key()),
            case.wrapped.0
        );
        let opened = unwrap(SUITE, &case.kek.key(), &case.wrapped.0).expect("opens");
        same(&opened, &case.key);
        assert!(unwrap(SUITE, &case.key.key(), &case.wrapped.0).is_none());
        for byte in 0..40 {
            let mut changed = case.wrapped.0;
            changed[byte] ^= 1;
            assert!(
                unwrap(SUITE, &case.kek.key(), &changed).is_none(),
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
        let value = secret
            .export(&case.label, &case.context.0, case.length)
            .expect("exports");
        match (case.value, case.value_sha256) {
            (Some(expected), None) => assert_eq!(*value, expected.0),
            (None, Some(expected)) => {
                use sha2::Digest;
                assert_eq!(sha2::Sha256::digest(&*value).as_slice(), expected.0);
            }
            _ => panic!("a vector has either a value or a digest"),
        }
    }
}

#[test]
fn exports_have_bounds() {
    let secret = EpochSecret::of(SUITE, &Key::generate(), GroupId([1; 16]), Epoch(1));
    for length in [0, MAX_EXPORT + 1, usize::MAX] {
        let refused = secret.export("label", b"", length);
        assert_eq!(refused, Err(ExportError::Length(length)));
    }
}

#[test]
fn grants() {
    for case in vectors().grants {
        let issuer = AgreementKey::from_scalar(&case.issuer_scalar.0).expect("a scalar");
        let member = EphemeralKey::from_scalar(&case.member_scalar.0).expect("a scalar");
        assert_eq!(issuer.public(), case.issuer_public.0);
        assert_eq!(member.public(), case.member_public.0);
        assert_eq!(*issuer.scalar(), case.issuer_scalar.0);

        let kek = issuer
            .kek(&member.public(), &case.transcript.0)
            .expect("agrees");
        same(&kek, &case.kek);
        assert_eq!(key_wrap(&kek, &case.leaf.key()), case.wrapped.0);

        let open = |transcript: &[u8]| {
            member.open_grant(&case.issuer_public.0, transcript, &case.wrapped.0)
        };
        same(&open(&case.transcript.0).expect("opens"), &case.leaf);
        let mut other = case.transcript.0.clone();
        other[20] ^= 1;
        assert!(open(&other).is_none(), "a grant is bound to its transcript");
        let stranger = EphemeralKey::generate();
        let opened = stranger.open_grant(&issuer.public(), &case.transcript.0, &case.wrapped.0);
        assert!(opened.is_none(), "a grant is for one member");
    }
}

#[test]
fn signatures() {
    for case in vectors().signatures {
        let key = SigningKey::from_scalar(&case.scalar.0).expect("a scalar");
        assert_eq!(key.public(), case.public.0);
        assert_eq!(key_id(&key.public()), case.key_id.0);
        let verify = |signature: &[u8; 64]| {
            verify_signature(SUITE, &case.public.0, &case.message.0, signature)
        };
        assert!(verify(&case.signature.0));
        assert!(verify(&key.sign(&case.message.0)));
        let mut changed = case.signature.0;
        changed[63] ^= 1;
        assert!(!verify(&changed));
    }
}

#[test]
fn bad_points_are_refused() {
    let key = AgreementKey::generate();
    for case in vectors().bad_points {
        assert!(!is_point(&case.public.0), "{}", case.why);
        let kek = key.kek(&case.public.0, b"transcript").err();
        assert_eq!(kek, Some(InvalidKey), "{}", case.why);
        assert!(!verify_signature(
            SUITE,
            &case.public.0,
            b"message",
            &[1; 64]
        ));
    }
    assert!(is_point(&key.public()));
}

#[test]
fn scalars_out_of_range_are_refused() {
    for scalar in [[0; 32], [0xff; 32]] {
        assert!(AgreementKey::from_scalar(&scalar).is_err());
        assert!(SigningKey::from_scalar(&scalar).is_err());
    }
}
