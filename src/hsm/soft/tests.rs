//! The sealed file: what opens it, what does not, and what is left of it on the disk.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::*;
use crate::group::ids::{GroupId, GroupNonce};
use crate::group::request::Requests;
use crate::hsm::ErrorClass;

const MASTER: MasterId = MasterId(1);

fn provisioned() -> (TempDir, PathBuf, Pin) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("token");
    let pin = Pin::new("sesame");
    let made = provision(&path, &pin, MASTER).expect("provisions");
    assert_eq!(made.created.len(), 6);
    (directory, path, pin)
}

#[test]
fn provisioning_twice_changes_nothing() {
    let (directory, path, pin) = provisioned();
    let before = std::fs::read(&path).expect("reads");
    let again = provision(&path, &pin, MASTER).expect("provisions");
    assert!(again.created.is_empty());
    assert_eq!(std::fs::read(&path).expect("reads"), before);
    let mode = std::fs::metadata(&path).expect("exists").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let names = std::fs::read_dir(directory.path()).expect("lists");
    assert_eq!(names.count(), 1, "nothing is left beside the file");
}

#[test]
fn a_master_is_added_and_the_older_ones_stay() {
    let (_directory, path, pin) = provisioned();
    let before = file::read(&path, &pin).expect("opens").expect("exists");
    let made = provision(&path, &pin, MasterId(7)).expect("provisions");
    assert_eq!(
        made.created,
        ["wardcast master 7", "wardcast master 7 suite 2"]
    );
    let after = file::read(&path, &pin).expect("opens").expect("exists");
    let two = |contents: &Contents| contents.two.as_ref().map(|two| two.masters.clone());
    let [before_2, after_2] = [&before, &after].map(|contents| two(contents).expect("is there"));
    for (before, after) in [
        (&before.one.masters, &after.one.masters),
        (&before_2, &after_2),
    ] {
        assert_eq!(after[0], before[0]);
        assert_eq!(after[1].0, MasterId(7));
    }
    assert_eq!(after.one.issuer, before.one.issuer);
}

#[test]
fn a_file_is_never_created_over_another() {
    let (_directory, path, pin) = provisioned();
    let contents = file::read(&path, &pin).expect("opens").expect("exists");
    let refused = file::create(&path, &contents, &pin);
    assert!(matches!(refused, Err(TokenError::File { .. })));
}

#[test]
fn the_wrong_pin_is_told_from_a_damaged_file() {
    let (_directory, path, pin) = provisioned();
    let refused = opener(&path, &Pin::new("Sesame"), MASTER, None).err();
    let refused = refused.expect("the wrong PIN");
    assert!(refused.refuses_pin(), "{refused}");

    let whole = std::fs::read(&path).expect("reads");
    for at in (0..whole.len()).step_by(7) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        std::fs::write(&path, &changed).expect("writes");
        let refused = opener(&path, &pin, MASTER, None).err().expect("is damaged");
        let damaged = matches!(refused, TokenError::File { .. });
        assert!(damaged, "byte {at}: {refused}");
    }
    for length in [0, 1, 50, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).expect("writes");
        let refused = opener(&path, &pin, MASTER, None)
            .err()
            .expect("is cut short");
        assert!(matches!(refused, TokenError::File { .. }), "{refused}");
    }
}

#[test]
fn a_change_with_a_right_checksum_is_refused_too() {
    let (_directory, path, pin) = provisioned();
    let whole = std::fs::read(&path).expect("reads");
    let body = whole.len() - 32;
    // In turn: memory cost, salt, nonce, a key, the tag; and a cost that would take hours.
    let salt = b"wardcast software token 2: not an HSM\n".len() + 12;
    for at in [salt - 10, salt, salt + 16, salt + 40, body - 1, salt - 12] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        if at == salt - 12 {
            changed[at] = 0xff;
        }
        let digest = Sha256::digest(&changed[..body]);
        changed[body..].copy_from_slice(&digest);
        std::fs::write(&path, &changed).expect("writes");
        assert!(opener(&path, &pin, MASTER, None).is_err(), "byte {at}");
    }
}

#[test]
fn a_missing_file_says_how_to_create_it() {
    let missing = opener("/nonexistent/token".as_ref(), &Pin::new("x"), MASTER, None);
    let message = missing.err().expect("is missing").to_string();
    assert!(message.contains("provision"), "{message}");
}

/// A file that a gateway of before suite 2 wrote opens as before, and gets the keys of suite 2 from `provision`.
#[test]
fn a_file_without_suite_2_is_read_and_completed() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("token");
    let pin = Pin::new("sesame");
    let old = Contents {
        one: SuiteKeys {
            issuer: IssuerSecrets::generate(Suite::One),
            masters: vec![(MASTER, Key::generate()), (MasterId(2), Key::generate())],
        },
        two: None,
        escrow: Vec::new(),
    };
    file::create(&path, &old, &pin).expect("creates");
    let bytes = std::fs::read(&path).expect("reads");
    assert!(bytes.starts_with(b"wardcast software token 1: not an HSM\n"));
    // As long as it was: agreement, signing, masters and no count.
    assert_eq!(bytes.len(), 38 + 12 + 16 + 12 + 64 + 2 * 36 + 16 + 32);
    assert!(file::read(&path, &pin).expect("opens") == Some(old));

    let open = || {
        opener(&path, &pin, MASTER, None)
            .and_then(|opener| opener())
            .expect("opens")
    };
    let mut token = open();
    let one = token.profile().issuers.one.clone();
    assert_eq!(token.profile().issuers.two, None);
    let batch = |suite| Batch {
        suite,
        group: GroupId([1; 16]),
        master: MasterId(2),
        nonce: GroupNonce([2; 32]),
        requests: Requests::default(),
        operations: vec![],
    };
    assert_eq!(token.execute_one(&batch(Suite::One)), Ok(vec![]));
    let refused = token
        .execute_one(&batch(Suite::Two))
        .expect_err("has no keys of it");
    assert_eq!(refused.class(), ErrorClass::Elsewhere);
    assert!(refused.to_string().contains("suite 2"), "{refused}");

    let made = provision(&path, &pin, MASTER).expect("provisions");
    assert_eq!(
        made.created,
        [
            "wardcast agreement suite 2",
            "wardcast signing suite 2",
            "wardcast master 1 suite 2",
            "wardcast master 2 suite 2"
        ]
    );
    assert_eq!(made.issuers.one, one);
    let mut token = open();
    assert_eq!(token.profile().issuers, made.issuers);
    assert_eq!(token.execute_one(&batch(Suite::Two)), Ok(vec![]));
}

/// The file names its version by what is in it: one that holds no escrow key opens in builds from before there were any.
#[test]
fn escrow_keys_are_kept_in_a_file_of_another_version() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("token");
    let pin = Pin::new("sesame");
    provision(&path, &pin, MASTER).expect("provisions");
    let begins = |version| {
        let bytes = std::fs::read(&path).expect("reads");
        let magic = format!("wardcast software token {version}: not an HSM\n");
        assert!(bytes.starts_with(magic.as_bytes()), "version {version}");
    };
    begins(2);
    let before = file::read(&path, &pin).expect("opens").expect("is there");
    let (first, second) = (Key::generate(), Key::generate());
    let long = "x".repeat(crate::group::limits::MAX_ESCROW_LABEL);
    assert_eq!(
        provision_escrow(&path, &pin, "first", Some(&first)),
        Ok(true)
    );
    assert_eq!(
        provision_escrow(&path, &pin, &long, Some(&second)),
        Ok(true)
    );
    begins(3);
    let after = file::read(&path, &pin).expect("opens").expect("is there");
    assert!(after.one == before.one && after.two == before.two);
    assert!(after.escrow == [("first".to_owned(), first), (long, second)]);
    // A change of the ring leaves them as they are.
    let opener = opener(&path, &pin, MASTER, None).expect("opens");
    let mut token = opener().expect("opens");
    token
        .ring(RingChange::Create(MasterId(2)))
        .expect("creates");
    begins(3);
    let changed = file::read(&path, &pin).expect("opens").expect("is there");
    assert!(changed.escrow == after.escrow && changed.one != after.one);
    // There is an end to them.
    let more = (0..20)
        .find_map(|number| provision_escrow(&path, &pin, &format!("more {number}"), None).err());
    let full = more.expect("it is full").to_string();
    assert!(full.contains("no room for another escrow key"), "{full}");
}

/// Whoever adds to the file at the same time, in this process or another, none of them undoes what the others did.
#[test]
fn changes_of_the_file_at_the_same_time_are_all_kept() {
    let (directory, path, pin) = provisioned();
    let opener = opener(&path, &pin, MASTER, None).expect("opens");
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut token = opener().expect("opens");
            for id in 2..4 {
                let ring = token.ring(RingChange::Create(MasterId(id)));
                ring.expect("creates");
            }
        });
        threads.spawn(|| {
            for id in 12..14 {
                provision(&path, &pin, MasterId(id)).expect("provisions");
            }
        });
        threads.spawn(|| {
            for label in ["a", "b"] {
                assert_eq!(provision_escrow(&path, &pin, label, None), Ok(true));
            }
        });
    });
    let mut kept = file::read(&path, &pin).expect("opens").expect("is there");
    let expected = [1, 2, 3, 12, 13].map(MasterId);
    let mut ring = kept.ring();
    ring.sort_unstable();
    assert_eq!(ring, expected);
    let labels: Vec<&str> = kept.escrow.iter().map(|(label, _)| &**label).collect();
    assert_eq!(labels, ["a", "b"]);
    for (suite, keys) in kept.suites() {
        assert_eq!(keys.masters.len(), expected.len(), "{suite:?}");
    }
    let names = std::fs::read_dir(directory.path()).expect("lists");
    assert_eq!(names.count(), 1, "nothing is left beside the file");
}

#[test]
fn who_finds_the_file_being_changed_says_so_after_a_while() {
    let (_directory, path, pin) = provisioned();
    let before = std::fs::read(&path).expect("reads");
    let held = file::lock(&path, std::time::Duration::ZERO).expect("nobody changes it");
    let refused = file::lock(&path, std::time::Duration::from_millis(50));
    let why = refused.expect_err("it is held").to_string();
    assert!(why.contains("another process changes it"), "{why}");
    assert_eq!(std::fs::read(&path).expect("reads"), before);
    drop(held);
    assert_eq!(provision_escrow(&path, &pin, "a", None), Ok(true));
}
