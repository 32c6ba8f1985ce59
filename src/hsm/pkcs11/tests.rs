//! What only a PKCS#11 token can get wrong: objects left behind, lost logins, keys that are not safe.

mod escrow;

use std::thread;

use bytes::Bytes;
use cryptoki::object::{Attribute, AttributeType, KeyType};
use cryptoki::session::Session;

use super::objects::Purpose;
use super::*;
use crate::crypto::{Derivation, EphemeralKey};
use crate::group::ids::GroupNonce;
use crate::group::operations::{Operation, Priority};
use crate::hsm::check::PREFIX;
use crate::hsm::conformance::kryoptic;
use crate::hsm::conformance::softhsm::{self, in_child};
use crate::hsm::conformance::{self, MASTER, PIN, batch, key};
use crate::hsm::{
    Lane, Pool, PoolError, PoolOptions, TokenConfig, TokenKind, open, provision as create,
};

fn test(name: &str) -> String {
    format!("hsm::pkcs11::tests::{name}")
}

fn library_and_label(config: &TokenConfig) -> (&Path, &str) {
    match &config.kind {
        TokenKind::Pkcs11 {
            module,
            token_label,
        } => (module, token_label),
        _ => panic!("this test is for PKCS#11"),
    }
}

fn opened(config: &TokenConfig, write: bool) -> Opened {
    let (library, label) = library_and_label(config);
    library::open(library, label, &Pin::new(PIN), write).expect("opens")
}

pub(super) fn session(config: &TokenConfig, write: bool) -> Session {
    opened(config, write).session
}

pub(super) fn token(config: &TokenConfig) -> Pkcs11Token {
    let (_, label) = library_and_label(config);
    let escrow = config.escrow.clone();
    Pkcs11Token::new(opened(config, false), label, MASTER, escrow).expect("opens")
}

pub(super) fn session_objects(session: &Session) -> usize {
    let template = [Attribute::Token(false)];
    session.find_objects(&template).expect("looks").len()
}

/// Wraps, a grant to a real member, one to a bad point, and a seal last.
fn mixed() -> Batch {
    let edge = |leaf, parent| Operation::Wrap {
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
        Operation::Seal {
            root: key(1, 0, 1, 1),
            prefix: PREFIX.to_vec(),
        },
    ])
}

#[test]
fn a_thousand_batches_leave_no_session_object_but_those_that_are_held() {
    in_child(
        &test("a_thousand_batches_leave_no_session_object_but_those_that_are_held"),
        1,
        |config| {
            create(config).expect("provisions");
            let watcher = session(config, false);
            let mut token = token(config);
            assert_eq!(session_objects(&watcher), 0);
            token.execute_one(&mixed()).expect("executes");
            assert_eq!(session_objects(&watcher), 0, "nobody knows the group yet");
            for _ in 0..1000 {
                assert_eq!(token.execute_one(&mixed()).expect("executes").len(), 6);
                assert_eq!(session_objects(&watcher), 3, "a seed and two nodes");
            }
            // The last operation fails when all the others have left their keys: one node was done with.
            let signing = std::mem::replace(&mut token.desk.signing, token.desk.agreement);
            for _ in 0..10 {
                let failed = token.execute_one(&mixed()).expect_err("cannot sign");
                assert!(matches!(failed, TokenError::Call { .. }), "{failed}");
                assert_eq!(session_objects(&watcher), 1);
            }
            token.desk.signing = signing;
            assert!(token.execute_one(&mixed()).is_ok());
            assert_eq!(session_objects(&watcher), 3);
            drop(token);
            assert_eq!(session_objects(&watcher), 0);
        },
    );
}

#[test]
fn handles_that_the_token_lost_are_let_go_and_the_session_with_them() {
    in_child(
        &test("handles_that_the_token_lost_are_let_go_and_the_session_with_them"),
        1,
        |config| {
            create(config).expect("provisions");
            let watcher = session(config, false);
            let mut token = token(config);
            // Its keys are held from the second time on.
            for _ in 0..2 {
                token.execute_one(&mixed()).expect("executes");
            }
            for object in watcher
                .find_objects(&[Attribute::Token(false)])
                .expect("looks")
            {
                watcher.destroy_object(object).expect("destroys");
            }
            let failed = token.execute_one(&mixed()).expect_err("has lost its keys");
            assert_eq!(failed.class(), ErrorClass::LoginNeeded, "{failed}");
            assert!(failed.return_value().is_some(), "{failed}");
            assert_eq!(token.held.len(), 0);
            // Destroying what was lost failed too, so the session does not go on.
            let worn = token.execute_one(&mixed()).expect_err("is worn");
            assert_eq!(worn.class(), ErrorClass::LoginNeeded, "{worn}");
            drop(token);
            assert_eq!(session_objects(&watcher), 0);
        },
    );
}

#[test]
fn a_library_that_somebody_else_finalised_is_initialised_again() {
    in_child(
        &test("a_library_that_somebody_else_finalised_is_initialised_again"),
        1,
        |config| {
            create(config).expect("provisions");
            let opener = open(config).expect("opens");
            let mut token = opener().expect("opens");
            let before = token.execute_one(&mixed()).expect("executes");
            let library = opened(config, false).library.pkcs11;
            library.finalize().expect("finalises");
            let lost = token.execute_one(&mixed()).expect_err("is finalised");
            assert_eq!(lost.class(), ErrorClass::LoginNeeded, "{lost}");
            assert_eq!(lost.return_value(), Some(0x190), "{lost}");
            drop(token);
            let mut token = opener().expect("opens");
            let after = token.execute_one(&mixed()).expect("executes");
            assert_eq!(after[..3], before[..3]);
        },
    );
}

#[test]
fn a_ring_is_not_changed_by_a_session_that_lost_its_login() {
    in_child(
        &test("a_ring_is_not_changed_by_a_session_that_lost_its_login"),
        1,
        |config| {
            create(config).expect("provisions");
            let mut token = token(config);
            session(config, false).logout().expect("logs out");
            for change in [
                RingChange::List,
                RingChange::Create(MasterId(2)),
                RingChange::Destroy(MASTER),
            ] {
                let refused = token.ring(change).expect_err("sees no key");
                assert_eq!(refused.class(), ErrorClass::LoginNeeded, "{refused}");
            }
            let mut token = self::token(config);
            assert_eq!(token.ring(RingChange::List), Ok(vec![MASTER]));
        },
    );
}

#[test]
fn a_master_that_somebody_else_destroyed_is_missed_before_long() {
    in_child(
        &test("a_master_that_somebody_else_destroyed_is_missed_before_long"),
        1,
        |config| {
            create(config).expect("provisions");
            let mut token = token(config);
            let warm = batch(vec![Operation::Seal {
                root: key(1, 0, 1, 0),
                prefix: PREFIX.to_vec(),
            }]);
            token.execute_one(&warm).expect("executes");
            let stranger = session(config, true);
            let master = objects::master(&stranger, Suite::One, MASTER).expect("is there");
            stranger.destroy_object(master).expect("destroys");
            let missed = (0..BATCHES_BETWEEN_LOOKS).find_map(|_| token.execute_one(&warm).err());
            let missing = TokenError::MissingKey {
                label: "wardcast master 1".to_owned(),
            };
            assert_eq!(missed, Some(missing));
            assert_eq!(token.held.len(), 0);
            assert_eq!(session_objects(&stranger), 0);
        },
    );
}

#[test]
fn a_key_that_cannot_be_destroyed_ends_the_session() {
    in_child(
        &test("a_key_that_cannot_be_destroyed_ends_the_session"),
        1,
        |config| {
            create(config).expect("provisions");
            let mut token = token(config);
            let master = token.desk.master(Suite::One, MASTER).expect("is there");
            let purpose = (Suite::One, Purpose::Seed, MASTER);
            let seed = Derivation::Seed(&GroupNonce([0; 32]));
            let key = token.desk.derive("lose a key", master, seed, purpose);
            let key = key.expect("derives");
            token.desk.session.destroy_object(key).expect("destroys");
            token.desk.destroy(key);
            let refused = token.execute_one(&mixed()).expect_err("is worn");
            assert_eq!(refused.class(), ErrorClass::LoginNeeded);
        },
    );
}

#[test]
fn derived_keys_stay_inside() {
    in_child(&test("derived_keys_stay_inside"), 1, |config| {
        derived_keys_stay_inside_of(config, Suite::One);
    });
}

#[test]
fn derived_keys_of_suite_2_stay_inside() {
    let test = test("derived_keys_of_suite_2_stay_inside");
    kryoptic::in_child(&test, |config| {
        derived_keys_stay_inside_of(config, Suite::Two)
    });
}

fn derived_keys_stay_inside_of(config: &TokenConfig, suite: Suite) {
    {
        create(config).expect("provisions");
        let mut token = token(config);
        let master = token.desk.master(suite, MASTER).expect("is there");
        for purpose in [
            Purpose::Seed,
            Purpose::Node,
            Purpose::Confirm,
            Purpose::Agreed,
            Purpose::Kek,
        ] {
            let desk = &mut token.desk;
            let seed = Derivation::Seed(&GroupNonce([0; 32]));
            let key = desk.derive("look at a key", master, seed, (suite, purpose, MASTER));
            let key = key.expect("derives");
            let wanted = [
                AttributeType::Value,
                AttributeType::Sensitive,
                AttributeType::Extractable,
                AttributeType::Token,
            ];
            let seen = desk.session.get_attributes(key, &wanted);
            // No Value among them: the token does not give it.
            assert_eq!(
                seen.expect("answers"),
                [
                    Attribute::Sensitive(true),
                    Attribute::Extractable(purpose == Purpose::Node),
                    Attribute::Token(false),
                ]
            );
        }
    }
}

#[test]
fn a_restart_finds_the_same_keys() {
    in_child(&test("a_restart_finds_the_same_keys"), 2, |config| {
        create(config).expect("provisions");
        conformance::restarted(config, &softhsm::directory());
    });
}

#[test]
fn a_refused_pin_is_not_tried_again_even_when_it_has_become_right() {
    in_child(
        &test("a_refused_pin_is_not_tried_again_even_when_it_has_become_right"),
        1,
        |config| {
            create(config).expect("provisions");
            let (library, label) = library_and_label(config);
            let opener = opener(library, label, Pin::new("654321"), (MASTER, None));
            let refused = opener().err().expect("is refused");
            let code = "C_Login: CKR_PIN_INCORRECT".to_owned();
            assert_eq!(refused, TokenError::PinRefused { code });
            let change = session(config, true);
            let pin = |pin: &str| cryptoki::types::AuthPin::new(pin.into());
            change
                .set_pin(&pin(PIN), &pin("654321"))
                .expect("changes the PIN");
            drop(change);
            assert_eq!(opener().err(), Some(refused), "the token was not asked");
            let fresh = super::opener(library, label, Pin::new("654321"), (MASTER, None));
            assert!(fresh().is_ok(), "the PIN is right by now");
        },
    );
}

#[test]
fn a_pool_logs_in_again_when_the_login_is_lost() {
    in_child(
        &test("a_pool_logs_in_again_when_the_login_is_lost"),
        1,
        |config| {
            create(config).expect("provisions");
            let options = PoolOptions {
                workers: 2,
                queue: 8,
                ..PoolOptions::default()
            };
            let lane = Lane {
                name: "token".to_owned(),
                opener: open(config).expect("opens"),
            };
            let pool = Pool::start(vec![lane], options).expect("starts");
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .expect("a runtime");
            // A logout may meet a session that is just being opened: the pool then says when to ask again.
            let patiently = || {
                for _ in 0..20 {
                    match runtime.block_on(pool.execute(Priority::Urgent, mixed())) {
                        Err(PoolError::Unusable { retry_after, .. }) => thread::sleep(retry_after),
                        outputs => return outputs.expect("executes"),
                    }
                }
                panic!("the pool does not become usable again");
            };
            for _ in 0..5 {
                assert_eq!(patiently().len(), 6);
                // Logging out is the whole process's, and makes every handle of a private object invalid.
                session(config, false).logout().expect("logs out");
            }
            assert!(pool.counts().sessions > 2);
            assert_eq!(pool.counts().failures, 0);
            pool.shutdown();
        },
    );
}

#[test]
fn keys_that_are_not_safe_or_not_unique_are_refused() {
    in_child(
        &test("keys_that_are_not_safe_or_not_unique_are_refused"),
        1,
        |config| {
            let session = session(config, true);
            let master = import_master(&session, true);
            let refused = create(config).err();
            assert!(
                matches!(refused, Some(TokenError::UnsafeKey { .. })),
                "{refused:?}"
            );
            session.destroy_object(master).expect("destroys");
            create(config).expect("provisions");
            import_master(&session, false);
            let refused = open(config).and_then(|opener| opener()).err();
            let twice = TokenError::AmbiguousKey {
                label: "wardcast master 1".to_owned(),
                count: 2,
            };
            assert_eq!(refused, Some(twice));
        },
    );
}

#[test]
fn what_cannot_be_opened_says_why() {
    in_child(&test("what_cannot_be_opened_says_why"), 1, |config| {
        let (library, label) = library_and_label(config);
        let opened = |library: &Path, label: &str| {
            let opener = opener(library, label, Pin::new(PIN), (MASTER, None));
            opener().err().expect("is refused")
        };
        let missing = opened(library, label);
        assert!(matches!(missing, TokenError::MissingKey { .. }));
        let nowhere = opened(library, "another");
        assert_eq!(
            nowhere,
            TokenError::NoToken {
                label: "another".to_owned(),
                found: label.to_owned(),
            }
        );
        for path in ["/nonexistent/library.so", "/etc/passwd"] {
            let unusable = opened(path.as_ref(), label);
            assert!(matches!(unusable, TokenError::Library { .. }), "{unusable}");
        }
    });
}

/// A master key that this test knows.
fn import_master(session: &Session, extractable: bool) -> ObjectHandle {
    let mut template = objects::secret_key(KeyType::AES, true, false, false);
    template.retain(|attribute| !matches!(attribute, Attribute::ValueLen(_)));
    template.extend([
        Attribute::Token(true),
        Attribute::Extractable(extractable),
        Attribute::Label(b"wardcast master 1".to_vec()),
        Attribute::Value(vec![7; 32]),
    ]);
    session.create_object(&template).expect("imports")
}
