//! The ring of masters: listed, added to, destroyed, and every session of the token sees it.

use super::*;

const SECOND: MasterId = MasterId(2);

fn under(suite: Suite, master: MasterId) -> Batch {
    let mut batch = batch_of(suite, vec![edge(key(0, 0, 1, 0), key(1, 0, 1, 0))]);
    batch.master = master;
    batch
}

fn missing(suite: Suite, master: MasterId) -> TokenError {
    TokenError::MissingKey {
        label: suite_label(suite, &master_label(master)),
    }
}

pub(super) fn the_ring_is_listed_and_changed(config: &TokenConfig, suite: Suite) {
    let mut token = session(config);
    assert_eq!(token.profile().masters, [MASTER]);
    assert_eq!(token.ring(RingChange::List), Ok(vec![MASTER]));
    let eleven = MasterId(11);
    for created in [eleven, SECOND, SECOND] {
        let ring = token.ring(RingChange::Create(created)).expect("creates");
        assert!(ring.contains(&created));
    }
    assert_eq!(
        token.ring(RingChange::List),
        Ok(vec![MASTER, SECOND, eleven])
    );
    assert!(token.execute_one(&under(suite, eleven)).is_ok());
    for _ in 0..2 {
        let ring = token.ring(RingChange::Destroy(eleven));
        assert_eq!(ring, Ok(vec![MASTER, SECOND]));
    }
    // What was changed stays changed.
    drop(token);
    let mut token = session(config);
    assert_eq!(token.profile().masters, [MASTER, SECOND]);
    assert_eq!(
        token.execute_one(&under(suite, eleven)),
        Err(missing(suite, eleven))
    );
    assert!(token.execute_one(&under(suite, SECOND)).is_ok());
}

/// The old derivation fails in the session that destroyed it, in one that held keys of it, and in new ones; and a master that
/// is created under the same number later does not bring it back.
pub(super) fn a_destroyed_master_is_gone_for_every_session(config: &TokenConfig, suite: Suite) {
    let mut second = config.clone();
    second.master = SECOND;
    provision(&second).expect("provisions");
    let opener = open(config).expect("opens");
    let mut destroyer = opener().expect("opens");
    let mut holder = opener().expect("opens");
    let mut stranger = session(config);
    let before = destroyer
        .execute_one(&under(suite, MASTER))
        .expect("executes");
    for token in [&mut holder, &mut stranger] {
        assert_eq!(token.execute_one(&under(suite, MASTER)), Ok(before.clone()));
        assert!(token.execute_one(&under(suite, SECOND)).is_ok());
    }
    let ring = destroyer.ring(RingChange::Destroy(MASTER));
    assert_eq!(ring, Ok(vec![SECOND]));
    for token in [&mut destroyer, &mut holder, &mut stranger] {
        for _ in 0..2 {
            assert_eq!(
                token.execute_one(&under(suite, MASTER)),
                Err(missing(suite, MASTER))
            );
        }
        assert!(token.execute_one(&under(suite, SECOND)).is_ok());
        assert_eq!(token.ring(RingChange::List), Ok(vec![SECOND]));
    }
    let opened = session(config).execute_one(&under(suite, MASTER));
    assert_eq!(opened, Err(missing(suite, MASTER)));
    let ring = destroyer.ring(RingChange::Create(MASTER));
    assert_eq!(ring, Ok(vec![MASTER, SECOND]));
    let after = holder.execute_one(&under(suite, MASTER)).expect("executes");
    assert_ne!(after, before);
    assert_eq!(
        session(config).execute_one(&under(suite, MASTER)),
        Ok(after)
    );
}

pub(super) fn a_new_master_is_seen_by_every_session(config: &TokenConfig, suite: Suite) {
    let mut creator = session(config);
    let mut other = session(config);
    assert_eq!(
        other.execute_one(&under(suite, SECOND)),
        Err(missing(suite, SECOND))
    );
    creator.ring(RingChange::Create(SECOND)).expect("creates");
    let outputs = creator
        .execute_one(&under(suite, SECOND))
        .expect("executes");
    assert_eq!(other.execute_one(&under(suite, SECOND)), Ok(outputs));
    assert_eq!(other.ring(RingChange::List), Ok(vec![MASTER, SECOND]));
}
