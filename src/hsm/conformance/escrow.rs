//! Roots under the escrow key: what whoever holds that key outside gets, and what nobody gets.

use super::*;
use crate::crypto::EpochSecret;
use crate::group::ids::Epoch;

const LABEL: &str = "wardcast escrow";

/// The token, with an escrow key that is known outside.
fn with_key(config: &TokenConfig, label: &str) -> (TokenConfig, Key) {
    let key = Key::generate();
    let mut config = config.clone();
    config.escrow = Some(label.to_owned());
    let made = provision_escrow(std::slice::from_ref(&config), Some(&key));
    assert!(made.expect("takes the key"));
    (config, key)
}

fn escrow(root: KeyRef) -> Operation {
    Operation::Escrow { root }
}

fn escrowed(output: &Output) -> &WrappedKey {
    match output {
        Output::Escrowed(wrapped) => wrapped,
        other => panic!("{other:?} is no escrowed key"),
    }
}

fn exported(suite: Suite, root: &Key) -> Vec<u8> {
    let secret = EpochSecret::of(suite, root, GroupId([0x33; 16]), Epoch(7));
    let exported = secret.export("media", b"", 32);
    exported.expect("is no longer than may be").to_vec()
}

pub(super) fn an_escrowed_root_opens_later_steps_of_its_generation_outside(
    config: &TokenConfig,
    suite: Suite,
) {
    let (config, store) = with_key(config, LABEL);
    let mut token = session(&config);
    let leaf = key(0, 1, 1, 0);
    let (begun, later) = (key(1, 0, 4, 2), key(1, 0, 4, 9));
    // A member's way to the root, at a later step and in the next generation.
    let roots = [later, key(1, 0, 5, 0), key(1, 0, 4, 1)];
    let members = keys_above(token.as_mut(), suite, MASTER, leaf, &roots);
    let batch = batch_of(suite, vec![escrow(begun), escrow(later), escrow(begun)]);
    let executed = token.execute(std::slice::from_ref(&batch));
    assert_eq!(executed.usage.wraps, 3);
    let outputs = executed.into_results().remove(0).expect("executes");
    assert_eq!(outputs[0], outputs[2]);
    // What the store does: it opens the key, and goes on from there.
    let open = |output| crypto::key_unwrap(&store, escrowed(output)).expect("opens");
    let (begun, later) = (open(&outputs[0]), open(&outputs[1]));
    let ratcheted = (2..9).fold(begun.clone(), |key, _| crypto::ratchet(suite, &key));
    assert_eq!(ratcheted, later);
    assert_eq!(later, members[0]);
    assert_eq!(exported(suite, &ratcheted), exported(suite, &members[0]));
    // Neither the next generation nor an earlier step is to be had from it.
    let reached = std::iter::successors(Some(begun), |key| Some(crypto::ratchet(suite, key)));
    let reached: Vec<Key> = reached.take(130).collect();
    assert!(!reached.contains(&members[1]) && !reached.contains(&members[2]));
    // Nor does a member open it with what he holds.
    let wrapped = escrowed(&outputs[0]);
    assert!(
        members
            .iter()
            .all(|key| crypto::key_unwrap(key, wrapped).is_none())
    );
}

pub(super) fn only_roots_are_escrowed_and_only_under_the_configured_key(
    config: &TokenConfig,
    suite: Suite,
) {
    let (with, _) = with_key(config, LABEL);
    let mut token = session(&with);
    let root = key(2, 0, 1, 0);
    for other in [
        key(0, 0, 1, 0),
        key(1, 3, 1, 0),
        key(2, 1, 1, 0),
        key(1, 0, 0, 0),
        key(1, 0, 1, 129),
        key(16, 0, 1, 0),
    ] {
        let refused = token.execute_one(&batch_of(suite, vec![escrow(other)]));
        let error = refused.expect_err("is no root's");
        assert_eq!(error.class(), ErrorClass::OurBug, "{other:?}");
    }
    let of_no_group = Batch::of_no_group(suite, vec![escrow(root)]);
    let refused = token.execute_one(&of_no_group).expect_err("names no group");
    assert_eq!(refused.class(), ErrorClass::OurBug);
    let right = batch_of(suite, vec![escrow(root)]);
    assert!(token.execute_one(&right).is_ok());
    // Without a label nothing is escrowed, and with one that no key has neither; whatever else there is goes on.
    let edge = batch_of(suite, vec![edge(key(0, 0, 1, 0), key(1, 0, 1, 0))]);
    let mut without = session(config);
    assert_eq!(without.execute_one(&right), Err(TokenError::NoEscrow));
    assert!(without.execute_one(&edge).is_ok());
    let mut elsewhere = config.clone();
    let label = "another escrow key".to_owned();
    elsewhere.escrow = Some(label.clone());
    let mut elsewhere = session(&elsewhere);
    let missing = elsewhere.execute_one(&right);
    assert_eq!(missing, Err(TokenError::MissingKey { label }));
    assert!(elsewhere.execute_one(&edge).is_ok());
}

pub(super) fn an_escrow_key_is_made_once_and_never_overwritten(config: &TokenConfig, suite: Suite) {
    let (first, key_of_first) = with_key(config, LABEL);
    let again = provision_escrow(std::slice::from_ref(&first), Some(&Key::generate()));
    let exists = TokenError::KeyExists {
        label: LABEL.to_owned(),
    };
    assert_eq!(again, Err(exists));
    let fresh = provision_escrow(std::slice::from_ref(&first), None);
    assert_eq!(fresh, Ok(false), "there is one");
    // Another label is another key: one that the token makes by itself, and nobody else has.
    let mut second = config.clone();
    second.escrow = Some("escrow 2027".to_owned());
    let slice = std::slice::from_ref(&second);
    assert_eq!(provision_escrow(slice, None), Ok(true));
    assert_eq!(provision_escrow(slice, None), Ok(false));
    assert_eq!(
        provision_escrow(std::slice::from_ref(config), None),
        Err(TokenError::NoEscrow)
    );
    let two = [first.clone(), second.clone()];
    let apart = provision_escrow(&two, None);
    assert!(
        matches!(apart, Err(TokenError::KeysApart { .. })),
        "{apart:?}"
    );
    let batch = batch_of(suite, vec![escrow(key(1, 0, 1, 0))]);
    let output = |config| {
        session(config)
            .execute_one(&batch)
            .expect("executes")
            .remove(0)
    };
    let (under_first, under_second) = (output(&first), output(&second));
    assert!(crypto::key_unwrap(&key_of_first, escrowed(&under_first)).is_some());
    assert!(crypto::key_unwrap(&key_of_first, escrowed(&under_second)).is_none());
    // The rest of the token is as it was.
    assert!(provision(config).expect("provisions").created.is_empty());
    members_ratchet_to_what_the_token_holds(&second, suite);
}
