//! `wardcast check-config`.

use serde_json::json;

use crate::place::{Place, SMALLEST};

const CHECK: &str = "check-config wardcast.toml";

/// Says about a configuration what it must, once for people and once for programs.
#[track_caller]
fn refuses(more: &str, variables: &[(&str, &str)], key: &str, says: &[&str]) {
    let place = Place::furnished();
    place.write("wardcast.toml", &with(more));
    let origin = variables.first().map_or("wardcast.toml", |(name, _)| name);
    let ran = place.run_with(CHECK, variables);
    let ran = ran.fails(1, &[&[origin, key], says].concat());
    let found = ran.err.lines().find(|line| line.contains(key));
    let line = found.expect("a line").to_owned();
    assert!(
        [&[origin], says]
            .concat()
            .iter()
            .all(|part| line.contains(part)),
        "where, what and why stand in one line: {ran:#?}"
    );

    let ran = place
        .run_with(&format!("{CHECK} --json"), variables)
        .exits(1)
        .json();
    assert_eq!(ran["ok"], false);
    let problems = ran["problems"].as_array().expect("a list");
    let problem = problems.iter().find(|problem| problem["key"] == key);
    let problem = problem.unwrap_or_else(|| panic!("{key}: {ran:#}"));
    let why = problem["why"].as_str().expect("text");
    assert!(says.iter().all(|part| why.contains(part)), "{problem:#}");
    match variables.first() {
        Some((name, _)) => assert_eq!(problem["origin"]["environment"], *name),
        None => assert_eq!(problem["origin"]["file"], "wardcast.toml"),
    }
}

/// The smallest configuration with lines put in: `section.key = value` each, and whole tables after an empty line.
fn with(more: &str) -> String {
    let mut text = SMALLEST.to_owned();
    for line in more.lines().filter(|line| !line.is_empty()) {
        let (key, value) = line.split_once(" = ").expect("an assignment");
        let (section, name) = key.rsplit_once('.').expect("a section");
        let head = format!("[{section}]\n");
        match text.find(&head) {
            Some(at) => text.insert_str(at + head.len(), &format!("{name} = {value}\n")),
            None => text = format!("{head}{name} = {value}\n\n{text}"),
        }
    }
    text
}

#[test]
fn the_smallest_configuration_is_good() {
    let place = Place::furnished();
    let ran = place.run(CHECK).exits(0);
    for part in ["wardcast.toml: good", "token.path", "tls.client_ca", "file"] {
        assert!(ran.out.contains(part), "{part}: {ran:#?}");
    }
    let ran = place
        .run("check-config --json wardcast.toml")
        .exits(0)
        .json();
    assert_eq!(ran["ok"], true);
    assert_eq!(ran["file"], "wardcast.toml");
    assert_eq!(ran["problems"], json!([]));
    let settings = ran["settings"].as_array().expect("a list");
    let address = settings.iter().find(|one| one["key"] == "admin.address");
    let address = address.expect("is set");
    assert_eq!(address["value"], "127.0.0.1:7444");
    assert_eq!(address["default"], "");
    assert_eq!(address["origin"]["file"], "wardcast.toml");
}

#[test]
fn the_environment_comes_before_the_file() {
    let place = Place::furnished();
    let variables = [
        ("WARDCAST_ADMIN__ADDRESS", "127.0.0.1:9"),
        ("WARDCAST_POLICY__DEFAULT__QUORUM_PERCENT", "80"),
        // Not a key: it is the operator's command that reads it.
        ("WARDCAST_ADMIN_SERVER", "elsewhere:1"),
    ];
    let ran = place.run_with(CHECK, &variables).exits(0);
    assert!(ran.out.contains("127.0.0.1:9"), "{ran:#?}");
    assert!(!ran.out.contains("127.0.0.1:7444"), "{ran:#?}");
    let ran = place.run_with(&format!("{CHECK} --json"), &variables);
    let settings = ran.exits(0).json()["settings"].clone();
    let settings = settings.as_array().expect("a list");
    for (key, variable) in [
        ("admin.address", variables[0].0),
        ("policy.default.quorum_percent", variables[1].0),
    ] {
        let found = settings.iter().find(|one| one["key"] == key);
        let origin = &found.expect("is set")["origin"];
        assert_eq!(origin["environment"], variable);
    }
}

#[test]
fn unknown_keys_are_refused_with_what_was_meant() {
    let suggests = "did you mean";
    refuses(
        "policy.default.quorum_percnt = 90",
        &[],
        "policy.default.quorum_percnt",
        &[suggests, "policy.default.quorum_percent"],
    );
    refuses("tokn.master = 2", &[], "tokn.master", &["token.master"]);
    refuses(
        "",
        &[("WARDCAST_LISTN__DRAIN_S", "3")],
        "listn.drain_s",
        &[suggests, "listen.drain_s"],
    );
}

#[test]
fn bad_values_are_refused_with_what_would_be_right() {
    refuses(
        "token.pool.workers = 0",
        &[],
        "token.pool.workers",
        &["1 to 64"],
    );
    refuses(
        "token.pool.workers = \"two\"",
        &[],
        "token.pool.workers",
        &["two"],
    );
    refuses("log.level = \"loud\"", &[], "log.level", &["loud", "info"]);
    refuses("log.format = \"xml\"", &[], "log.format", &["text", "json"]);
    refuses("trace.ratio = 2.0", &[], "trace.ratio", &["from 0 to 1"]);
    refuses(
        "listen.address = \"here\"",
        &[],
        "listen.address",
        &["address"],
    );
    refuses(
        "policy.default.quorum_percent = 101",
        &[],
        "policy.default.quorum_percent",
        &["100"],
    );
    refuses(
        "",
        &[("WARDCAST_TOKEN__POOL__WORKERS", "many")],
        "token.pool.workers",
        &["many"],
    );
}

#[test]
fn impossible_combinations_are_refused() {
    let one = "the PIN has one source";
    refuses(
        "token.pin_env = \"PIN\"",
        &[],
        "token.pin_env",
        &[one, "pin_file"],
    );
    refuses("token.module = \"x.so\"", &[], "token.module", &["pkcs11"]);
    refuses(
        "",
        &[("WARDCAST_ADMIN__OPERATORS", "[]")],
        "admin.operators",
        &["nobody", "spiffe://"],
    );
    refuses(
        "token.kind = \"pkcs11\"",
        &[],
        "token.module",
        &["vendor's library"],
    );
    refuses(
        "policy.default.activation_delay_ms = 9000",
        &[],
        "policy.default.activation_delay_ms",
        &["retirement_delay_ms"],
    );
}

#[test]
fn files_that_are_named_must_be_there() {
    let place = Place::furnished();
    std::fs::remove_file(place.path("gateway.key")).expect("removed");
    std::fs::remove_file(place.path("pki/crl.pem")).expect("removed");
    place
        .run(CHECK)
        .fails(1, &["tls.key", "gateway.key", "tls.crl[0]", "pki/crl.pem"]);
    place.run(&format!("{CHECK} --no-files")).exits(0);
}

#[test]
fn what_is_no_configuration_is_refused() {
    let place = Place::empty();
    place
        .run(CHECK)
        .fails(1, &["wardcast.toml", "cannot be read"]);
    place.write("wardcast.toml", "[token\npath = ");
    place
        .run(CHECK)
        .fails(1, &["wardcast.toml", "is not TOML", "line 1"]);
    place.run("check-config").fails(2, &["<FILE>"]);
    for command in ["serve", "token provision"] {
        let ran = place.run(&format!("{command} --config wardcast.toml"));
        ran.fails(1, &["wardcast.toml", "is not TOML"]);
    }
}
