//! Escrow keys that an operator brings into a token with its vendor's tool: found by label, and held to the rules.

use cryptoki::object::ObjectClass;

use super::*;
use crate::crypto::{self, Key};
use crate::group::operations::Output;
use crate::hsm::conformance::batch_of;

const LABEL: &str = "key store 2027";

fn test(name: &str) -> String {
    format!("hsm::pkcs11::tests::escrow::{name}")
}

/// As that tool would make it: all it takes, and then these.
fn template(value: &Key, others: &[Attribute]) -> Vec<Attribute> {
    let kind = |attribute: &Attribute| std::mem::discriminant(attribute);
    let mut template = vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Wrap(true),
        Attribute::Unwrap(false),
        Attribute::Encrypt(false),
        Attribute::Decrypt(false),
        Attribute::Label(LABEL.as_bytes().to_vec()),
        Attribute::Value(value.as_bytes().to_vec()),
    ];
    template.retain(|own| others.iter().all(|other| kind(own) != kind(other)));
    template.extend_from_slice(others);
    template
}

fn escrow(config: &TokenConfig, suite: Suite) -> Result<Output, TokenError> {
    let root = key(1, 0, 1, 0);
    let mut config = config.clone();
    config.escrow = Some(LABEL.to_owned());
    let mut token = open(&config).and_then(|opener| opener()).expect("opens");
    let outputs = token.execute_one(&batch_of(suite, vec![Operation::Escrow { root }]));
    outputs.map(|mut outputs| outputs.remove(0))
}

fn an_operators_key(config: &TokenConfig, suites: &[Suite]) {
    create(config).expect("provisions");
    let session = session(config, true);
    let value = Key::generate();
    let wrongs: [(&[Attribute], &str); 5] = [
        (&[Attribute::Extractable(true)], "CKA_EXTRACTABLE"),
        (&[Attribute::Unwrap(true)], "CKA_UNWRAP"),
        (&[Attribute::Decrypt(true)], "CKA_DECRYPT"),
        (
            &[Attribute::Wrap(false), Attribute::Derive(true)],
            "CKA_WRAP",
        ),
        (&[Attribute::Value(vec![7; 16])], "no AES key of 256 bits"),
    ];
    for (wrong, says) in wrongs {
        let made = session.create_object(&template(&value, wrong));
        let made = made.expect("the token takes it");
        let refused = escrow(config, Suite::One).expect_err("is refused");
        assert!(matches!(refused, TokenError::UnsafeKey { .. }), "{refused}");
        assert!(refused.to_string().contains(says), "{refused}");
        session.destroy_object(made).expect("destroys");
    }
    let missing = escrow(config, Suite::One).expect_err("is not there");
    assert!(
        matches!(missing, TokenError::MissingKey { .. }),
        "{missing}"
    );
    let made = session.create_object(&template(&value, &[]));
    made.expect("the token takes it");
    for suite in suites {
        let output = escrow(config, *suite).expect("escrows");
        let Output::Escrowed(wrapped) = &output else {
            panic!("{output:?} is no escrowed key");
        };
        assert!(crypto::key_unwrap(&value, wrapped).is_some());
    }
    // Of two with one label neither is taken for the right one.
    let second = session.create_object(&template(&Key::generate(), &[]));
    second.expect("the token takes it");
    let refused = escrow(config, Suite::One).expect_err("is ambiguous");
    assert!(
        matches!(refused, TokenError::AmbiguousKey { .. }),
        "{refused}"
    );
    assert_eq!(session_objects(&session), 0);
}

#[test]
fn softhsm_takes_an_operators_key() {
    in_child(&test("softhsm_takes_an_operators_key"), 1, |config| {
        an_operators_key(config, &[Suite::One]);
    });
}

#[test]
fn kryoptic_takes_an_operators_key() {
    kryoptic::in_child(&test("kryoptic_takes_an_operators_key"), |config| {
        an_operators_key(config, &Suite::ALL);
    });
}
