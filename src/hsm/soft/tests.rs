//! The sealed file: what opens it, what does not, and what is left of it on the disk.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::*;

const MASTER: MasterId = MasterId(1);

fn provisioned() -> (TempDir, PathBuf, Pin) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("token");
    let pin = Pin::new("sesame");
    let made = provision(&path, &pin, MASTER).expect("provisions");
    assert_eq!(made.created.len(), 3);
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
    assert_eq!(made.created, ["wardcast master 7"]);
    let after = file::read(&path, &pin).expect("opens").expect("exists");
    assert_eq!(after.masters[0], before.masters[0]);
    assert_eq!(after.masters[1].0, MasterId(7));
    assert_eq!(after.signing, before.signing);
    let absent = opener(&path, &pin, MasterId(2)).err().expect("is missing");
    assert!(matches!(absent, TokenError::MissingKey { .. }), "{absent}");
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
    let refused = opener(&path, &Pin::new("Sesame"), MASTER).err();
    let refused = refused.expect("the wrong PIN");
    assert!(refused.refuses_pin(), "{refused}");

    let whole = std::fs::read(&path).expect("reads");
    for at in (0..whole.len()).step_by(7) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        std::fs::write(&path, &changed).expect("writes");
        let refused = opener(&path, &pin, MASTER).err().expect("is damaged");
        let damaged = matches!(refused, TokenError::File { .. });
        assert!(damaged, "byte {at}: {refused}");
    }
    for length in [0, 1, 50, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).expect("writes");
        let refused = opener(&path, &pin, MASTER).err().expect("is cut short");
        assert!(matches!(refused, TokenError::File { .. }), "{refused}");
    }
}

#[test]
fn a_change_with_a_right_checksum_is_refused_too() {
    let (_directory, path, pin) = provisioned();
    let whole = std::fs::read(&path).expect("reads");
    let body = whole.len() - 32;
    // In turn: memory cost, salt, nonce, a key, the tag; and a cost that would take hours.
    let salt = b"wardcast software token 1: not an HSM\n".len() + 12;
    for at in [salt - 10, salt, salt + 16, salt + 40, body - 1, salt - 12] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        if at == salt - 12 {
            changed[at] = 0xff;
        }
        let digest = Sha256::digest(&changed[..body]);
        changed[body..].copy_from_slice(&digest);
        std::fs::write(&path, &changed).expect("writes");
        assert!(opener(&path, &pin, MASTER).is_err(), "byte {at}");
    }
}

#[test]
fn a_missing_file_says_how_to_create_it() {
    let missing = opener("/nonexistent/token".as_ref(), &Pin::new("x"), MASTER);
    let message = missing.err().expect("is missing").to_string();
    assert!(message.contains("provision"), "{message}");
}
