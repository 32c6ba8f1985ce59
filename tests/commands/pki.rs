//! `wardcast pki`.

use std::collections::HashSet;

use crate::place::{Place, unchanged};

#[test]
fn an_authority_is_made_once_and_never_overwritten() {
    let place = Place::empty();
    let made = place.run("pki init --dir deep/down --name Ours --days 30 --json");
    let made = made.exits(0).json();
    assert_eq!(made["certificate"], "deep/down/ca.pem");
    assert_eq!(made["key"], "deep/down/ca.key");
    assert_eq!(made["crl"], "deep/down/crl.pem");
    assert_eq!(place.mode("deep/down/ca.key"), 0o600);
    assert_eq!(place.mode("deep/down"), 0o700);
    let key = place.read("deep/down/ca.key");
    let again = place.run("pki init --dir deep/down");
    again.fails(1, &["deep/down/ca.pem", "exists already", "Choose"]);
    unchanged(&key, &place.path("deep/down/ca.key"));
}

#[test]
fn certificates_are_issued_each_with_a_key_and_a_serial_of_its_own() {
    let place = Place::empty();
    place.run("pki init --dir pki").exits(0);
    let issue = |what: &str| place.run(&format!("pki issue --dir pki {what}"));
    let mut serials = HashSet::new();
    for what in [
        "--name gateway --server --dns localhost --dns 127.0.0.1 --dns ::1 --out gateway --json",
        "--name anna --client --spiffe spiffe://example.org/anna --out anna --json",
        "--name both --server --client --dns localhost --out both --json",
        "--name short --days 1 --out short --json",
    ] {
        let issued = issue(what).exits(0).json();
        serials.insert(issued["serial"].as_str().expect("a serial").to_owned());
        let key = issued["key"].as_str().expect("a path");
        assert_eq!(place.mode(key), 0o600, "{what}");
        assert!(place.read(key).starts_with(b"-----BEGIN PRIVATE KEY"));
        let certificate = issued["certificate"].as_str().expect("a path");
        assert!(
            place
                .read(certificate)
                .starts_with(b"-----BEGIN CERTIFICATE")
        );
    }
    assert_eq!(serials.len(), 4);
    let said = issue("--name people --out people").exits(0);
    assert!(said.out.contains("people.pem") && said.out.contains("people.key"));
    said.hides("PRIVATE");
}

#[test]
fn what_cannot_be_issued_leaves_nothing_behind() {
    let place = Place::empty();
    let none = place.run("pki issue --dir pki --name anna --out anna");
    none.fails(1, &["pki/", "wardcast pki init"]);
    place.run("pki init --dir pki").exits(0);
    let issue = |what: &str| place.run(&format!("pki issue --dir pki {what}"));
    issue("--name anna --out anna").exits(0);
    let (certificate, key) = (place.read("anna.pem"), place.read("anna.key"));
    issue("--name anna --out anna").fails(1, &["anna.", "exists already"]);
    unchanged(&certificate, &place.path("anna.pem"));
    unchanged(&key, &place.path("anna.key"));

    issue("--name b --spiffe https://example.org/b --out b").fails(1, &["spiffe"]);
    issue("--name b --days 0 --out b").fails(1, &["days"]);
    issue("--name b --out none/b").fails(1, &["none/b"]);
    issue("--name b").fails(2, &["--out"]);
    place.run("pki").exits(2);
    assert!(!place.path("b.key").exists() && !place.path("b.pem").exists());
}

#[test]
fn revoked_certificates_are_listed_once() {
    let place = Place::empty();
    for line in [
        "pki init --dir pki",
        "pki init --dir other",
        "pki issue --dir pki --name anna --out anna",
        "pki issue --dir pki --name bert --out bert",
        "pki issue --dir other --name stranger --out stranger",
    ] {
        place.run(line).exits(0);
    }
    let revoke = |what: &str| place.run(&format!("pki revoke --dir pki {what}"));
    let empty = place.read("pki/crl.pem");
    for (what, count) in [
        ("--json anna.pem", 1),
        ("--json anna.pem bert.pem", 2),
        ("--json", 2),
    ] {
        let revoked = revoke(what).exits(0).json();
        assert_eq!(revoked["revoked"], count, "{what}");
        assert_eq!(revoked["crl"], "pki/crl.pem");
    }
    let before = place.read("pki/crl.pem");
    assert_ne!(before, empty);
    revoke("stranger.pem").fails(1, &["stranger.pem", "not issued by this authority"]);
    revoke("nobody.pem").fails(1, &["nobody.pem"]);
    revoke("anna.key").fails(1, &["anna.key"]);
    unchanged(&before, &place.path("pki/crl.pem"));
}
