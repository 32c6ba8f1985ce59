//! `wardcast token provision`.

use std::os::unix::fs::PermissionsExt;

use crate::place::{PIN, Place, unchanged};

const PROVISION: &str = "token provision --config wardcast.toml";

#[test]
fn provisioning_twice_changes_nothing() {
    let place = Place::furnished();
    let first = place.run(&format!("{PROVISION} --json")).exits(0);
    assert_eq!(place.mode("token"), 0o600);
    let token = place.read("token");
    let created = first.json()["created"].clone();
    let created: Vec<&str> = created
        .as_array()
        .expect("a list")
        .iter()
        .flat_map(|one| one.as_str())
        .collect();
    assert_eq!(
        created,
        [
            "wardcast master 1",
            "wardcast agreement",
            "wardcast signing",
            "wardcast master 1 suite 2",
            "wardcast agreement suite 2",
            "wardcast signing suite 2"
        ]
    );
    let again = place.run(&format!("{PROVISION} --json")).exits(0);
    assert_eq!(again.json()["created"], serde_json::json!([]));
    assert_eq!(again.json()["issuer"], first.json()["issuer"]);
    unchanged(&token, &place.path("token"));
    let people = place.run(PROVISION).exits(0);
    assert!(people.out.contains("nothing to do"), "{people:#?}");
    for ran in [first, again, people] {
        ran.hides(PIN);
    }
}

#[test]
fn a_second_master_joins_the_ring() {
    let place = Place::provisioned();
    let more = [("WARDCAST_TOKEN__MASTER", "2")];
    let ran = place
        .run_with(&format!("{PROVISION} --json"), &more)
        .exits(0);
    assert_eq!(
        ran.json()["created"],
        serde_json::json!(["wardcast master 2", "wardcast master 2 suite 2"])
    );
}

#[test]
fn a_wrong_pin_is_refused_and_no_pin_is_ever_shown() {
    let place = Place::provisioned();
    let token = place.read("token");
    place.write("pin", "wrong-Otter-Basalt");
    let ran = place.run(PROVISION);
    let ran = ran.fails(
        1,
        &[
            "wardcast.toml: [token]",
            "refused the PIN",
            "correct the PIN",
        ],
    );
    ran.hides(PIN).hides("wrong-Otter-Basalt");
    unchanged(&token, &place.path("token"));
}

#[test]
fn the_pin_comes_from_a_variable_or_a_credential_too() {
    let place = Place::provisioned();
    let off = ("WARDCAST_TOKEN__PIN_FILE", "");
    let from = ("WARDCAST_TOKEN__PIN_ENV", "THE_PIN");
    let ran = place.run_with(PROVISION, &[off, from, ("THE_PIN", PIN)]);
    ran.exits(0).hides(PIN);
    let ran = place.run_with(PROVISION, &[off, from]);
    ran.fails(1, &["THE_PIN", "is not set", "[token]"]);
    let ran = place.run_with(PROVISION, &[off, from, ("THE_PIN", "wrong-Otter-Basalt")]);
    ran.fails(1, &["refused the PIN"])
        .hides("wrong-Otter-Basalt");

    std::fs::create_dir(place.path("credentials")).expect("a folder");
    place.write("credentials/wardcast-pin", PIN);
    let folder = place.path("credentials").display().to_string();
    let folder = ("CREDENTIALS_DIRECTORY", folder.as_str());
    place
        .run_with(PROVISION, &[off, folder])
        .exits(0)
        .hides(PIN);
    let ran = place.run_with(PROVISION, &[off]);
    ran.fails(1, &["wardcast-pin", "CREDENTIALS_DIRECTORY", "[token]"]);
}

#[test]
fn a_pin_that_is_missing_or_none_is_named_with_its_file() {
    let place = Place::furnished();
    place.write("pin", "");
    place
        .run(PROVISION)
        .fails(1, &["[token]", "pin", "is empty"]);
    std::fs::remove_file(place.path("pin")).expect("removed");
    let ran = place.run(PROVISION);
    ran.fails(
        1,
        &[
            "wardcast.toml: [token]",
            "PIN file pin",
            "No such file",
            "token.pin_file",
        ],
    );
    assert!(!place.path("token").exists());
}

#[test]
fn an_escrow_key_is_brought_in_from_a_file_or_made_in_the_token() {
    let place = Place::furnished();
    let digits = "5ec2e7".repeat(10) + "0000";
    place.write("escrow-key", &format!("{digits}\n"));
    let shared = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(place.path("escrow-key"), shared).expect("is ours");
    let bring = format!("{PROVISION} --escrow-file escrow-key --json");
    let label = [("WARDCAST_TOKEN__ESCROW_LABEL", "wardcast escrow")];
    let ran = place.run_with(&bring, &label);
    ran.fails(1, &["escrow-key", "others may read it"]);
    let own = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(place.path("escrow-key"), own).expect("is ours");
    let ran = place.run(&bring).fails(1, &["set token.escrow_label"]);
    ran.hides(&digits);
    let ran = place.run_with(&bring, &label).exits(0);
    assert_eq!(
        ran.json()["created"],
        serde_json::json!(["wardcast escrow"])
    );
    ran.hides(&digits).hides(PIN);
    let token = place.read("token");
    let again = place.run_with(&bring, &label);
    again.fails(1, &["has a key \"wardcast escrow\" already"]);
    unchanged(&token, &place.path("token"));
    // One that the token makes, under another label; and one that it need not make.
    let make = format!("{PROVISION} --escrow --json");
    let ran = place.run_with(&make, &label).exits(0);
    assert_eq!(ran.json()["created"], serde_json::json!([]));
    let other = [("WARDCAST_TOKEN__ESCROW_LABEL", "key store")];
    let ran = place.run_with(&make, &other).exits(0);
    assert_eq!(ran.json()["created"], serde_json::json!(["key store"]));
    // A label of the gateway's own keys is none for this.
    let master = [("WARDCAST_TOKEN__ESCROW_LABEL", "wardcast master 1")];
    let ran = place.run_with(&make, &master);
    ran.fails(1, &["token.escrow_label", "the gateway's own keys"]);
}
