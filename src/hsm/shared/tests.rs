//! One ceremony for several tokens: they answer alike, and nothing is ever overwritten.

use std::path::Path;

use bytes::Bytes;

use super::*;
use crate::crypto::{EphemeralKey, MemberKey};
use crate::hsm::check::PREFIX;
use crate::hsm::conformance::kryoptic;
use crate::hsm::conformance::softhsm::{self, in_child};
use crate::hsm::conformance::{self, batch, key};
use crate::hsm::{ErrorClass, provision};

fn test(name: &str) -> String {
    format!("hsm::shared::tests::{name}")
}

/// Two tokens of SoftHSM and a soft one.
fn three(config: &TokenConfig) -> Vec<TokenConfig> {
    let directory = softhsm::directory();
    let second = softhsm::another(config, "wardcast second");
    vec![config.clone(), second, conformance::soft_config(&directory)]
}

/// Wraps, a ratchet, a grant, one to a point off the curve, a push key, and a seal last.
fn mixed() -> Batch {
    let edge = |leaf: u32, parent| Operation::Wrap {
        child: key(0, leaf, 1, 0),
        parent: key(1, leaf / 4, parent, 1),
    };
    let grant = |member| Operation::Grant {
        leaf: key(0, 0, 1, 0),
        member,
        transcript: b"a transcript".to_vec(),
    };
    batch(vec![
        edge(0, 1),
        edge(1, 1),
        edge(5, 2),
        grant(Bytes::copy_from_slice(&EphemeralKey::generate().public())),
        grant(Bytes::from_static(&[4; 65])),
        Operation::PushKey {
            root: key(1, 0, 1, 1),
        },
        Operation::Seal {
            root: key(1, 0, 1, 1),
            prefix: PREFIX.to_vec(),
        },
    ])
}

#[test]
fn tokens_of_one_ceremony_answer_alike() {
    in_child(&test("tokens_of_one_ceremony_answer_alike"), 1, |config| {
        let configs = three(config);
        let made = provision_shared(&configs).expect("provisions");
        assert_eq!(made.len(), 3);
        for token in &made {
            assert_eq!(token.created.len(), 3);
            assert_eq!(token.issuers, made[0].issuers);
        }
        let mut tokens: Vec<_> = configs
            .iter()
            .map(|config| open(config).and_then(|opener| opener()).expect("opens"))
            .collect();
        for _ in 0..20 {
            let mut batch = mixed();
            batch.group = GroupId(random());
            batch.nonce = GroupNonce(random());
            let mut answers = tokens.iter_mut().map(|token| {
                let executed = token.execute(std::slice::from_ref(&batch));
                let usage = executed.usage;
                let results = executed.into_results();
                let [Ok(outputs)] = &results[..] else {
                    panic!("{results:?}");
                };
                let [edges @ .., Output::Sealed { tag, .. }] = &outputs[..] else {
                    panic!("the last operation seals");
                };
                (edges.to_vec(), *tag, usage)
            });
            let first = answers.next().expect("there are three");
            for answer in answers {
                assert_eq!(answer, first);
            }
        }
        drop(tokens);
        let again = provision_shared(&configs).expect("finds them alike");
        assert!(again.iter().all(|found| found.created.is_empty()));
        assert_eq!(again[0].issuers, made[0].issuers);
    });
}

#[test]
fn tokens_with_other_keys_or_some_of_them_are_refused_and_left_as_they_are() {
    in_child(
        &test("tokens_with_other_keys_or_some_of_them_are_refused_and_left_as_they_are"),
        1,
        |config| {
            let configs = three(config);
            provision(&configs[1]).expect("provisions");
            let refused = provision_shared(&configs).expect_err("one has keys");
            assert!(matches!(refused, TokenError::KeysApart { .. }), "{refused}");
            assert_eq!(refused.class(), ErrorClass::Fatal);
            assert!(refused.to_string().contains("vendor's tool"), "{refused}");
            let soft = match &configs[2].kind {
                TokenKind::Soft { path } => path,
                _ => panic!("the third is soft"),
            };
            assert!(!Path::new(soft).exists(), "nothing was made");
            for config in [&configs[0], &configs[2]] {
                provision(config).expect("provisions");
            }
            let refused = provision_shared(&configs).expect_err("they differ");
            assert!(matches!(refused, TokenError::KeysApart { .. }), "{refused}");
        },
    );
}

/// What a token of hardware wraps, a soft one unwraps, in both suites: they hold the same keys.
#[test]
fn kryoptic_and_soft_answer_alike_in_both_suites() {
    let test = test("kryoptic_and_soft_answer_alike_in_both_suites");
    kryoptic::in_child(&test, |config| {
        let configs = [
            config.clone(),
            conformance::soft_config(&kryoptic::directory()),
        ];
        let made = provision_shared(&configs).expect("provisions");
        for token in &made {
            assert_eq!(token.created.len(), 6);
            assert_eq!(token.issuers, made[0].issuers);
        }
        let mut tokens = configs.map(|config| {
            let opener = open(&config).expect("opens");
            opener().expect("opens")
        });
        for suite in Suite::ALL {
            let issuer = made[0].issuers.of(suite).expect("both have it");
            for _ in 0..20 {
                let member = MemberKey::generate(suite);
                let mut batch = mixed();
                (batch.suite, batch.group, batch.nonce) =
                    (suite, GroupId(random()), GroupNonce(random()));
                if let Operation::Grant { member: public, .. } = &mut batch.operations[3] {
                    *public = member.public();
                }
                let answers = tokens.each_mut().map(|token| {
                    let outputs = token.execute_one(&batch).expect("executes");
                    let [
                        edges @ ..,
                        granted,
                        bad,
                        push_key,
                        Output::Sealed { tag, .. },
                    ] = &outputs[..]
                    else {
                        panic!("the last operation seals");
                    };
                    let Output::Granted {
                        wrapped,
                        encapsulated,
                    } = granted
                    else {
                        panic!("the grant is given");
                    };
                    // An encapsulation is random, what it carries is not.
                    let leaf = member.open_grant(
                        &issuer.agreement,
                        b"a transcript",
                        wrapped,
                        encapsulated,
                    );
                    let leaf = leaf.expect("the grant opens");
                    (edges.to_vec(), leaf, bad.clone(), push_key.clone(), *tag)
                });
                assert_eq!(answers[0], answers[1]);
            }
        }
        drop(tokens);
        let configs = [
            config.clone(),
            conformance::soft_config(&kryoptic::directory()),
        ];
        let again = provision_shared(&configs).expect("finds them alike");
        assert!(again.iter().all(|found| found.created.is_empty()));
        assert_eq!(again[0].issuers, made[0].issuers);
    });
}
