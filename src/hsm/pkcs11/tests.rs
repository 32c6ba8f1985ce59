//! What only a PKCS#11 token can get wrong: objects left behind, lost logins, keys that are not safe.

use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass};

use super::*;
use crate::crypto::{AgreementKey, EphemeralKey, Key, SigningKey};
use crate::group::operations::Priority;
use crate::hsm::conformance::softhsm::{self, in_child};
use crate::hsm::conformance::{self, MASTER, PIN, batch, key};
use crate::hsm::{Pool, PoolOptions, TokenConfig, TokenKind, open, provision as create, soft};

fn test(name: &str) -> String {
    format!("hsm::pkcs11::tests::{name}")
}

fn library_and_label(config: &TokenConfig) -> (&Path, &str) {
    match &config.kind {
        TokenKind::Pkcs11 {
            module,
            token_label,
        } => (module, token_label),
        TokenKind::Soft { .. } => panic!("this test is for PKCS#11"),
    }
}

fn session(config: &TokenConfig, write: bool) -> Session {
    let (library, label) = library_and_label(config);
    library::session(library, label, &Pin::new(PIN), write).expect("opens")
}

fn token(config: &TokenConfig) -> Pkcs11Token {
    Pkcs11Token::new(session(config, false), MASTER).expect("opens")
}

fn session_objects(session: &Session) -> usize {
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
        grant(EphemeralKey::generate().public()),
        grant([4; 65]),
        Operation::Seal {
            root: key(1, 0, 1, 1),
            prefix: b"prefix".to_vec(),
        },
    ])
}

#[test]
fn a_thousand_batches_leave_no_session_object() {
    in_child(
        &test("a_thousand_batches_leave_no_session_object"),
        1,
        |config| {
            create(config).expect("provisions");
            let watcher = session(config, false);
            let mut token = token(config);
            assert_eq!(session_objects(&watcher), 0);
            let desk = Desk {
                session: &token.session,
                worn: &token.worn,
            };
            let master = objects::master(&token.session, MASTER).expect("is there");
            let seed = desk.derive("count", master, &[0; 32], Purpose::Seed);
            assert_eq!(session_objects(&watcher), 1, "the count counts");
            drop(seed);

            for _ in 0..1000 {
                assert_eq!(token.execute(&mixed()).expect("executes").len(), 6);
            }
            assert_eq!(session_objects(&watcher), 0);
            // The last operation fails when all the others have left their keys.
            let signing = std::mem::replace(&mut token.signing, token.agreement);
            for _ in 0..10 {
                let failed = token.execute(&mixed()).expect_err("cannot sign");
                assert!(matches!(failed, TokenError::Call { .. }), "{failed}");
            }
            assert_eq!(session_objects(&watcher), 0);
            token.signing = signing;
            assert!(token.execute(&mixed()).is_ok());
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
            let desk = Desk {
                session: &token.session,
                worn: &token.worn,
            };
            let master = objects::master(&token.session, MASTER).expect("is there");
            let held = desk.derive("lose a key", master, &[0; 32], Purpose::Seed);
            let held = held.expect("derives");
            let gone = token.session.destroy_object(held.handle());
            gone.expect("destroys");
            drop(held);
            let refused = token.execute(&mixed()).expect_err("is worn");
            assert_eq!(refused.class(), ErrorClass::LoginNeeded);
        },
    );
}

#[test]
fn derived_keys_stay_inside() {
    in_child(&test("derived_keys_stay_inside"), 1, |config| {
        create(config).expect("provisions");
        let token = token(config);
        let desk = Desk {
            session: &token.session,
            worn: &token.worn,
        };
        let master = objects::master(&token.session, MASTER).expect("is there");
        for purpose in [
            Purpose::Seed,
            Purpose::Node,
            Purpose::Confirm,
            Purpose::Agreed,
            Purpose::Kek,
        ] {
            let held = desk.derive("look at a key", master, &[0; 32], purpose);
            let held = held.expect("derives");
            let wanted = [
                AttributeType::Value,
                AttributeType::Sensitive,
                AttributeType::Extractable,
                AttributeType::Token,
            ];
            let seen = token.session.get_attributes(held.handle(), &wanted);
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
    });
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
            let opener = opener(library, label, Pin::new("654321"), MASTER);
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
            let fresh = super::opener(library, label, Pin::new("654321"), MASTER);
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
            };
            let pool = Pool::start(open(config).expect("opens"), options).expect("starts");
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .expect("a runtime");
            for _ in 0..5 {
                let outputs = runtime.block_on(pool.execute(Priority::Urgent, mixed()));
                assert_eq!(outputs.expect("executes").len(), 6);
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
            let master = import_master(&session, &Key::generate(), true);
            let refused = create(config).err();
            assert!(
                matches!(refused, Some(TokenError::UnsafeKey { .. })),
                "{refused:?}"
            );
            session.destroy_object(master).expect("destroys");
            create(config).expect("provisions");
            import_master(&session, &Key::generate(), false);
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
            let opener = opener(library, label, Pin::new(PIN), MASTER);
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

#[test]
fn both_kinds_answer_byte_for_byte_alike() {
    in_child(
        &test("both_kinds_answer_byte_for_byte_alike"),
        1,
        |config| {
            let master = Key::generate();
            let agreement = AgreementKey::generate().scalar();
            let signing = SigningKey::generate_scalar();

            let session = session(config, true);
            import_master(&session, &master, false);
            import_pair(&session, AGREEMENT, &agreement);
            import_pair(&session, SIGNING, &signing);
            assert!(create(config).expect("is complete").created.is_empty());
            let mut hard = token(config);

            let directory = softhsm::directory();
            let soft_config = conformance::soft_config(&directory);
            let path = directory.join("soft");
            soft::create_with(&path, &Pin::new(PIN), (MASTER, master), agreement, signing);
            let mut soft = open(&soft_config)
                .and_then(|opener| opener())
                .expect("opens");

            assert_eq!(hard.issuer(), soft.issuer());
            for _ in 0..20 {
                let mut batch = mixed();
                batch.group = GroupId(crypto::random());
                batch.nonce.0 = crypto::random();
                let hard = hard.execute(&batch).expect("executes");
                let soft = soft.execute(&batch).expect("executes");
                assert_eq!(hard[..5], soft[..5]);
                let (Output::Sealed { tag, .. }, Output::Sealed { tag: other, .. }) =
                    (&hard[5], &soft[5])
                else {
                    panic!("the last operation seals");
                };
                assert_eq!(tag, other);
            }
        },
    );
}

fn import_master(session: &Session, master: &Key, extractable: bool) -> ObjectHandle {
    let mut template = objects::secret_key(true, false, false);
    template.retain(|attribute| !matches!(attribute, Attribute::ValueLen(_)));
    template.extend([
        Attribute::Token(true),
        Attribute::Extractable(extractable),
        Attribute::Label(b"wardcast master 1".to_vec()),
        Attribute::Value(master.as_bytes().to_vec()),
    ]);
    session.create_object(&template).expect("imports")
}

fn import_pair(session: &Session, label: &str, scalar: &[u8; 32]) {
    let public = AgreementKey::from_scalar(scalar)
        .expect("a scalar")
        .public();
    let common = |class| {
        vec![
            Attribute::Class(class),
            Attribute::KeyType(KeyType::EC),
            Attribute::EcParams(provision::P256.to_vec()),
            Attribute::Token(true),
            Attribute::Label(label.as_bytes().to_vec()),
        ]
    };
    let mut private = common(ObjectClass::PRIVATE_KEY);
    private.extend([
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(label == SIGNING),
        Attribute::Derive(label == AGREEMENT),
        Attribute::Value(scalar.to_vec()),
    ]);
    session.create_object(&private).expect("imports");
    let mut point = vec![0x04, 65];
    point.extend_from_slice(&public);
    let mut public = common(ObjectClass::PUBLIC_KEY);
    public.extend([Attribute::Private(false), Attribute::EcPoint(point)]);
    session.create_object(&public).expect("imports");
}
