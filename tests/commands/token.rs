//! `wardcast token provision`.

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
