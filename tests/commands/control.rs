//! `wardcast admin health`, `reload`, `drain` and `log`, as the operator types them.

use serde_json::json;

use crate::gateway::Gateway;
use crate::place::Place;

#[test]
fn the_gateway_as_a_whole_is_operated_from_the_command_line() {
    let place = Place::provisioned();
    let gateway = Gateway::start(&place);
    let admin = |line: &str| gateway.admin(&place, line);
    let began = std::time::Instant::now();
    while admin("--json health").exits(0).json()["ready"] != true {
        assert!(began.elapsed() < crate::place::SOON, "it is not ready");
    }
    let nothing = json!({ "applied": [], "needs_restart": [] });
    assert_eq!(admin("--json reload").exits(0).json(), nothing);
    let shown = admin("--json log").exits(0).json();
    assert_eq!(shown, json!({ "level": "info", "configured": "info" }));
    let set = admin("--json log debug --for 10m").exits(0).json();
    assert_eq!(set["level"], "debug");
    assert!(
        set["for_s"].as_u64().is_some_and(|left| left <= 600),
        "{set}"
    );
    let table = admin("log configured").exits(0).out;
    assert!(
        table.contains("configured") && !table.contains("debug"),
        "{table}"
    );
    admin("log inof").fails(4, &["inof"]);
    admin("log info --for 5").fails(2, &["10m"]);
    admin("drain --to nowhere").fails(2, &["HOST:PORT"]);

    let text = String::from_utf8(place.read("wardcast.toml")).expect("text");
    place.write("wardcast.toml", &format!("{text}\n[admin]\n"));
    admin("reload").fails(4, &["wardcast.toml", "is not TOML"]);
    let worse = text.replace("operators", "oprators");
    assert_ne!(worse, text);
    place.write("wardcast.toml", &worse);
    admin("reload").fails(4, &["did you mean admin.operators"]);
    place.write("wardcast.toml", &text);

    let alice = gateway.admin_as(&place, "alice", "reload");
    alice.fails(4, &["alice", "admin.operators"]);
    let told = admin("--json drain --to localhost:7443 --within 5")
        .exits(0)
        .json();
    assert_eq!(told, json!({ "to": ["localhost:7443"], "within_s": 5 }));
    assert_eq!(gateway.ended(), Some(0));
}
