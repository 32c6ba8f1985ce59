//! Known answers, suite by suite, and what holds for both.

mod suite1;
mod suite2;

use serde::Deserialize;
use serde::de::{self, Deserializer};

use super::*;
use crate::group::ids::{Epoch, GroupId, KeyRef, NodeId, Suite};

struct HexString(Vec<u8>);

impl<'de> Deserialize<'de> for HexString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits: Option<Vec<u8>> = (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
            .collect();
        digits
            .map(HexString)
            .ok_or_else(|| de::Error::custom("not hexadecimal"))
    }
}

struct Hex<const N: usize>([u8; N]);

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let HexString(bytes) = HexString::deserialize(deserializer)?;
        bytes
            .try_into()
            .map(Hex)
            .map_err(|_| de::Error::custom(format!("not {N} bytes")))
    }
}

impl Hex<32> {
    fn key(&self) -> Key {
        Key::from_bytes(self.0)
    }
}

/// `Key` shows nothing of itself, so a failing comparison prints the bytes: these are no secrets.
#[track_caller]
fn same(key: &Key, expected: &Hex<32>) {
    assert_eq!(key.as_bytes(), &expected.0);
}

/// A batch's worth by suite: what a software token grants, wraps and signs, a member opens and verifies.
#[test]
fn both_suites_have_all_operations() {
    for suite in Suite::ALL {
        let issuer = IssuerKeys::new(suite, &IssuerSecrets::generate(suite)).expect("fresh ones");
        let public = issuer.public();
        let sizes = suite.sizes();
        assert_eq!(public.agreement.len(), sizes.agreement);
        assert_eq!(public.signing.len(), sizes.signing);
        let member = MemberKey::generate(suite);
        assert_eq!(member.public().len(), sizes.member);
        assert!(is_member_key(suite, &member.public()));

        let leaf = Key::generate();
        let granted = issuer.grant(&member.public(), b"transcript", &leaf);
        let (wrapped, encapsulated) = granted.expect("a member's key");
        assert_eq!(encapsulated.len(), sizes.encapsulated);
        let open = |transcript: &[u8], encapsulated: &[u8]| {
            member.open_grant(&public.agreement, transcript, &wrapped, encapsulated)
        };
        assert_eq!(open(b"transcript", &encapsulated), Some(leaf));
        assert_eq!(open(b"Transcript", &encapsulated), None);
        let longer = [&encapsulated[..], b"."].concat();
        assert_eq!(open(b"transcript", &longer), None);

        let signature = issuer.sign(b"message");
        assert_eq!(signature.len(), sizes.signature);
        assert!(verify_signature(
            suite,
            &public.signing,
            b"message",
            &signature
        ));
        assert!(!verify_signature(
            suite,
            &public.signing,
            b"massage",
            &signature
        ));
        let other = match suite {
            Suite::One => Suite::Two,
            Suite::Two => Suite::One,
        };
        assert!(!verify_signature(
            other,
            &public.signing,
            b"message",
            &signature
        ));
        assert!(!is_member_key(other, &member.public()));
    }
}

/// The same bytes under the same names give unrelated keys in another suite.
#[test]
fn suites_are_separate() {
    let key = Key::generate();
    let [one, two] = Suite::ALL;
    assert_ne!(ratchet(one, &key), ratchet(two, &key));
    assert_ne!(wrap(one, &key, &key), wrap(two, &key, &key));
    assert_ne!(
        confirmation_tag(one, &key, b""),
        confirmation_tag(two, &key, b"")
    );
}

#[test]
fn a_ratchet_is_the_next_step() {
    for suite in Suite::ALL {
        let seed = Key::generate();
        let group = GroupId(random());
        let at = |step| KeyRef {
            node: NodeId { level: 1, index: 2 },
            generation: 3,
            step,
        };
        let forward = ratchet(suite, &node_key(suite, &seed, &group, &at(4)));
        assert_eq!(forward, node_key(suite, &seed, &group, &at(5)));
    }
}

#[test]
fn nothing_secret_is_shown() {
    let key = Key::from_bytes([0xab; 32]);
    let secret = EpochSecret::of(Suite::One, &key, GroupId([0; 16]), Epoch(1));
    assert_eq!(format!("{key:?}"), "Key(..)");
    assert_eq!(format!("{secret:?}"), "EpochSecret(..)");
    let pairs = Suite::ALL.map(|suite| {
        let secrets = IssuerSecrets::generate(suite);
        assert_eq!(format!("{secrets:?}"), "IssuerSecrets(..)");
        format!(
            "{:?}",
            IssuerKeys::new(suite, &secrets).expect("fresh ones")
        )
    });
    assert_eq!(
        pairs,
        [
            "IssuerKeys(One(AgreementKey(..), SigningKey(..)))",
            "IssuerKeys(Two((X25519Key(..), MlDsaKey(..))))"
        ]
    );
    let members = Suite::ALL.map(|suite| format!("{:?}", MemberKey::generate(suite)));
    assert_eq!(members, ["MemberKey(One, ..)", "MemberKey(Two, ..)"]);
    let ephemeral = EphemeralKey::generate();
    assert_eq!(format!("{ephemeral:?}"), "EphemeralKey(..)");
    let hybrid = HybridKey::generate();
    assert_eq!(format!("{hybrid:?}"), "HybridKey(..)");
}
