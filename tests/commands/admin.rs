//! `wardcast admin`.

use serde_json::json;

use crate::gateway::Gateway;
use crate::place::Place;

#[test]
fn groups_are_made_shown_rotated_and_destroyed() {
    let place = Place::provisioned();
    let gateway = Gateway::start(&place);
    let admin = |line: &str| gateway.admin(&place, line);
    assert_eq!(admin("--json group list").exits(0).json(), json!([]));

    let made = admin("--json group create studio").exits(0).json();
    assert_eq!(made["name"], "studio");
    assert_eq!(made["id"].as_str().map(str::len), Some(32));
    assert_eq!(made["policy"]["quorum_percent"], 95);
    let table = admin("group show studio").exits(0);
    for part in [
        "studio",
        "epoch",
        "acknowledged",
        "policy.quorum_percent",
        "95",
    ] {
        assert!(table.out.contains(part), "{part}: {table:#?}");
    }
    let before = admin("group show studio --json").exits(0).json();
    assert_eq!(before["members"], 0);

    // Only what differs from the default; a default of the configuration stays.
    place.write("policy.toml", "quorum_percent = 80\nrekey_period_s = 60\n");
    admin("group create stage --policy policy.toml").exits(0);
    let stage = admin("--json group show stage").exits(0).json();
    assert_eq!(stage["policy"]["quorum_percent"], 80);
    assert_eq!(
        stage["policy"]["admit"][0]["identity"],
        "spiffe://example.org/**"
    );

    let list = admin("group list").exits(0);
    assert!(
        list.out.contains("studio") && list.out.contains("stage"),
        "{list:#?}"
    );
    let names: Vec<_> = {
        let list = admin("group list --json").exits(0).json();
        list.as_array()
            .expect("a list")
            .iter()
            .map(|group| group["name"].clone())
            .collect()
    };
    assert_eq!(names, ["stage", "studio"]);
    let members = admin("--json member list studio").exits(0).json();
    assert_eq!(members, json!([]));

    assert_eq!(
        admin("--json group rotate stage").exits(0).json(),
        json!({ "ok": true })
    );
    admin("group destroy stage").exits(0);
    admin("group show stage").fails(5, &["no such group"]);
    let names = admin("--json group list").exits(0).json();
    assert_eq!(names.as_array().map(Vec::len), Some(1));
}

#[test]
fn exit_codes_are_those_of_the_help() {
    let place = Place::provisioned();
    let help = place.run("admin --help").exits(0);
    for code in [
        "0  done",
        "1  the gateway",
        "2  wrong",
        "4  refused",
        "5  no such",
    ] {
        assert!(help.out.contains(code), "{code}: {help:#?}");
    }
    let gateway = Gateway::start(&place);
    let admin = |line: &str| gateway.admin(&place, line);
    admin("group create studio").exits(0);

    admin("group create studio").fails(4, &["studio"]);
    let alice = gateway.admin_as(&place, "alice", "group list");
    alice.fails(4, &["spiffe://example.org/alice", "admin.viewers"]);
    for line in [
        "group show nowhere",
        "group rotate nowhere",
        "group destroy nowhere",
        "member list nowhere",
        "member evict nowhere 1",
        "member evict studio 77",
    ] {
        admin(line).fails(5, &["wardcast: "]);
    }
    admin("group create").fails(2, &["<NAME>"]);
    admin("member evict studio one").fails(2, &["one"]);
    admin("member evict studio").fails(2, &["<MEMBER>"]);

    place.write("unknown.toml", "quorum_percnt = 80");
    admin("group create a --policy unknown.toml").fails(4, &["quorum_percnt"]);
    place.write("bad.toml", "quorum_percent = 101");
    admin("group create a --policy bad.toml").fails(4, &["quorum_percent", "100"]);
    place.write("broken.toml", "quorum_percent = ");
    admin("group create a --policy broken.toml").fails(2, &["broken.toml"]);
    admin("group create a --policy none.toml").fails(2, &["none.toml"]);
    let long = "x".repeat(129);
    admin(&format!("group create {long}")).fails(4, &["128"]);

    gateway
        .admin_as(&place, "nobody", "group list")
        .fails(2, &["nobody.pem", "PEM"]);
    place.run("pki init --dir other").exits(0);
    let cross = "--ca other/ca.pem group list";
    admin(cross).fails(1, &["localhost:", "--ca"]);
    let stranger = "pki issue --dir other --name operator --client --out stranger";
    place.run(stranger).exits(0);
    gateway
        .admin_as(&place, "stranger", "group list")
        .fails(1, &["localhost:"]);
    let port = gateway.admin.port();
    assert_eq!(gateway.stop(), Some(0));
    let line = format!("admin --server localhost:{port} --ca pki/ca.pem group list");
    place
        .run(&line)
        .fails(1, &["localhost:", "is the gateway running"]);
}
