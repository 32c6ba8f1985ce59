//! Which tokens have suite 2, and what is left in one that fails half-way.

use bytes::Bytes;

use super::super::tests::{session, session_objects, token};
use crate::crypto::MemberKey;
use crate::group::ids::Suite;
use crate::group::operations::{Batch, Operation};
use crate::hsm::check::PREFIX;
use crate::hsm::conformance::{batch_of, key, kryoptic, softhsm};
use crate::hsm::{ErrorClass, Token, TokenConfig, open, provision};

/// CKR_MECHANISM_INVALID.
const INVALID: &str = "rv=0x70";

fn test(name: &str) -> String {
    format!("hsm::pkcs11::suite2::tests::{name}")
}

/// A grant to a real member, one to a bad key, a wrap and a seal.
fn mixed() -> Batch {
    let grant = |member| Operation::Grant {
        leaf: key(0, 0, 1, 0),
        member,
        transcript: b"a transcript".to_vec(),
    };
    let wrap = Operation::Wrap {
        child: key(0, 0, 1, 0),
        parent: key(1, 0, 1, 1),
    };
    let seal = Operation::Seal {
        root: key(1, 0, 1, 1),
        prefix: PREFIX.to_vec(),
    };
    let member = MemberKey::generate(Suite::Two).public();
    let bad = Bytes::from_static(&[4; 65]);
    batch_of(Suite::Two, vec![grant(member), grant(bad), wrap, seal])
}

fn opened(config: &TokenConfig) -> Box<dyn Token> {
    open(config).and_then(|opener| opener()).expect("opens")
}

#[test]
fn a_token_without_the_mechanisms_says_which() {
    let test = test("a_token_without_the_mechanisms_says_which");
    softhsm::in_child(&test, 1, |config| {
        let made = provision(config).expect("provisions suite 1");
        assert_eq!(made.created.len(), 3);
        assert_eq!(made.issuers.two, None);
        let mut token = opened(config);
        assert_eq!(token.profile().issuers.two, None);
        let refused = token.execute_one(&mixed()).expect_err("cannot do it");
        assert_eq!(refused.class(), ErrorClass::Elsewhere);
        let text = refused.to_string();
        for mechanism in ["CKM_HKDF_DERIVE", "CKM_ML_KEM", "CKM_ML_DSA"] {
            assert!(text.contains(mechanism), "{text}");
        }
        assert!(!text.contains("CKM_ECDH1_DERIVE"), "{text}");
    });
}

#[test]
fn a_token_that_was_provisioned_before_suite_2_says_what_to_do() {
    let test = test("a_token_that_was_provisioned_before_suite_2_says_what_to_do");
    kryoptic::in_child_behind_shim(&test, |config, shim| {
        // A token that cannot wrap passes no self-test, so that it has keys of suite 1 alone.
        shim.set(&[&format!("C_WrapKey {INVALID}")]);
        provision(config).expect("provisions suite 1");
        shim.set(&[]);
        let refused = opened(config).execute_one(&mixed());
        let text = refused.expect_err("has no keys of it").to_string();
        assert!(text.contains("wardcast token provision"), "{text}");
    });
}

#[test]
fn what_is_listed_but_does_not_work_is_found_out() {
    let test = test("what_is_listed_but_does_not_work_is_found_out");
    kryoptic::in_child_behind_shim(&test, |config, shim| {
        let watcher = session(config, false);
        for function in ["C_EncapsulateKey", "C_DeriveKey", "C_WrapKey", "C_Sign"] {
            shim.set(&[&format!("{function} {INVALID}")]);
            let made = provision(config).expect("provisions suite 1");
            assert_eq!(made.issuers.two, None, "{function}");
            let second = made.created.iter().any(|label| label.contains("suite 2"));
            assert!(!second, "{:?}", made.created);
            assert_eq!(session_objects(&watcher), 0, "{function}");
        }
        shim.set(&[]);
        let made = provision(config).expect("provisions");
        assert_eq!(
            made.created,
            [
                "wardcast agreement suite 2",
                "wardcast signing suite 2",
                "wardcast master 1 suite 2"
            ]
        );
        assert_eq!(session_objects(&watcher), 0);
        let mut token = opened(config);
        assert_eq!(token.profile().issuers, made.issuers);
        assert_eq!(
            token.execute_one(&mixed()).map(|outputs| outputs.len()),
            Ok(4)
        );
    });
}

/// Whichever call fails, what a batch made is gone after it, but for what is held.
#[test]
fn no_session_object_is_left_behind() {
    let test = test("no_session_object_is_left_behind");
    kryoptic::in_child_behind_shim(&test, |config, shim| {
        provision(config).expect("provisions");
        let watcher = session(config, false);
        let calls = [
            // Seed, leaf, z1, both secrets joined, kek, node, its next step, wrapping key, confirmation key.
            ("C_DeriveKey", 9),
            ("C_CreateObject", 1),
            ("C_EncapsulateKey", 2),
            ("C_WrapKey", 2),
            ("C_SignInit", 2),
        ];
        for (function, times) in calls {
            for spared in 0..times {
                let mut token = token(config);
                let command = format!("{function} rv=0x30 after={spared} times=1");
                shim.set(&[&command]);
                let failed = token.execute_one(&mixed()).map(drop).expect_err(&command);
                assert_eq!(failed.class(), ErrorClass::Elsewhere, "{failed}");
                assert_eq!(session_objects(&watcher), token.held.len(), "{command}");
                for _ in 0..3 {
                    assert!(token.execute_one(&mixed()).is_ok(), "{command}");
                }
                assert_eq!(session_objects(&watcher), token.held.len(), "{command}");
            }
        }
    });
}
