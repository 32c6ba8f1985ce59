//! `wardcast serve` where it cannot start, or not be ready: each cause names the file and what to do.

use std::net::{TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use crate::gateway::Gateway;
use crate::place::{ANY_PORTS, PIN, Place, SOON};

/// Serving this place fails for a cause that is told so.
#[track_caller]
fn refuses(place: &Place, variables: &[(&str, &str)], says: &[&str]) {
    let variables = [&ANY_PORTS, variables].concat();
    let ran = place.run_with("serve --config wardcast.toml", &variables);
    let ran = ran.fails(1, &[&["wardcast: wardcast.toml: ["], says].concat());
    let last = ran.err.lines().last().expect("a line");
    assert!(
        says.iter().all(|part| last.contains(part)),
        "the last line says it all: {ran:#?}"
    );
    ran.hides(PIN);
}

#[test]
fn certificates_that_do_not_serve() {
    let place = Place::provisioned();
    let remedy = "PEM";
    for (file, variable) in [
        ("gateway.pem", "WARDCAST_TLS__CERTIFICATE"),
        ("gateway.key", "WARDCAST_TLS__KEY"),
        ("pki/ca.pem", "WARDCAST_TLS__CLIENT_CA"),
    ] {
        refuses(
            &place,
            &[(variable, "none.pem")],
            &["[tls]", "none.pem", "No such file", remedy],
        );
        place.write("garbage.pem", "-----BEGIN nothing");
        refuses(
            &place,
            &[(variable, "garbage.pem")],
            &["[tls]", "garbage.pem", remedy],
        );
        assert!(place.path(file).exists());
    }
    refuses(
        &place,
        &[("WARDCAST_TLS__CRL", "[\"gone.pem\"]")],
        &["[tls]", "gone.pem", remedy],
    );
    // A key that belongs to another certificate.
    let other = [("WARDCAST_TLS__KEY", "operator.key")];
    refuses(&place, &other, &["[tls]", "gateway.pem", "operator.key"]);
    let other = [("WARDCAST_TLS__CRL", "[\"gateway.pem\"]")];
    refuses(&place, &other, &["[tls]", "gateway.pem", remedy]);
}

/// Serving this place goes on without a token, and the operator is told why.
#[track_caller]
fn is_not_ready(place: &Place, variables: &[(&str, &str)], says: &[&str]) {
    let gateway = Gateway::start_with(place, variables);
    let began = Instant::now();
    let shown = loop {
        let shown = gateway.admin(place, "token show --json").exits(0);
        if shown.json()["state"] == "unusable" {
            break shown;
        }
        assert!(began.elapsed() < SOON, "still: {shown:?}");
        std::thread::sleep(Duration::from_millis(20));
    };
    let why = shown.json()["error"].as_str().expect("why").to_owned();
    let unsaid = says.iter().find(|part| !why.contains(**part));
    assert_eq!(unsaid, None, "is not said: {why}");
    shown.hides(PIN);
    assert_eq!(gateway.stop(), Some(0));
    let log = String::from_utf8(place.read("log")).expect("text");
    let unsaid = says.iter().find(|part| !log.contains(**part));
    assert_eq!(unsaid, None, "is not logged: {log}");
    assert!(!log.contains(PIN), "{log}");
}

#[test]
fn tokens_that_do_not_open() {
    let place = Place::furnished();
    is_not_ready(&place, &[], &["token", "wardcast token provision"]);
    place.run("token provision --config wardcast.toml").exits(0);
    place.write("wrong", "wrong-Otter-Basalt");
    let wrong = [("WARDCAST_TOKEN__PIN_FILE", "wrong")];
    is_not_ready(
        &place,
        &wrong,
        &["refused the PIN", "correct the PIN and restart"],
    );
    let gone = [("WARDCAST_TOKEN__PIN_FILE", "gone")];
    is_not_ready(
        &place,
        &gone,
        &["PIN file gone", "No such file", "token.pin_file"],
    );
    place.write("damaged", "wardcast software token 1: not an HSM\n");
    let damaged = [("WARDCAST_TOKEN__PATH", "damaged")];
    is_not_ready(&place, &damaged, &["damaged", "restore it from a backup"]);
    let none = [
        ("WARDCAST_TOKEN__KIND", "pkcs11"),
        ("WARDCAST_TOKEN__MODULE", "none.so"),
        ("WARDCAST_TOKEN__TOKEN_LABEL", "x"),
        ("WARDCAST_TOKEN__PATH", "/var/lib/wardcast/token"),
    ];
    let ran = place.run_with("serve --config wardcast.toml", &none);
    ran.fails(1, &["token.path", "only the software token has a file"]);
}

#[test]
fn stores_that_cannot_be_used() {
    let place = Place::provisioned();
    let store = |path| [("WARDCAST_STORE__PATH", path)];
    refuses(
        &place,
        &store("none/state.db"),
        &["[store]", "none/state.db", "folder must exist"],
    );
    place.write("letter", &"Dear Sir or Madam, ".repeat(100));
    refuses(
        &place,
        &store("letter"),
        &["[store]", "letter", "file is not a database"],
    );
    let foreign = rusqlite::Connection::open(place.path("foreign.db")).expect("a database");
    foreign
        .execute_batch("CREATE TABLE recipes (name TEXT);")
        .expect("a table");
    drop(foreign);
    refuses(
        &place,
        &store("foreign.db"),
        &["[store]", "foreign.db", "store.path"],
    );
}

#[test]
fn a_store_and_ports_that_another_gateway_has() {
    let place = Place::provisioned();
    let gateway = Gateway::start(&place);
    refuses(
        &place,
        &[],
        &["[store]", "state.db", "in use", "stop the other gateway"],
    );
    let store = ("WARDCAST_STORE__PATH", "other.db");
    refuses(
        &place,
        &[store],
        &["[audit]", "audit", "another process", "audit.directory"],
    );
    let trail = ("WARDCAST_AUDIT__DIRECTORY", "other");
    let quic = gateway.quic.to_string();
    let taken = [store, trail, ("WARDCAST_LISTEN__ADDRESS", &quic)];
    refuses(
        &place,
        &taken,
        &["[listen]", &quic, "in use", "listen.address"],
    );
    let admin = gateway.admin.to_string();
    let taken = [store, trail, ("WARDCAST_ADMIN__ADDRESS", &admin)];
    refuses(
        &place,
        &taken,
        &["[admin]", &admin, "in use", "admin.address"],
    );
    // It did not suffer.
    gateway.admin(&place, "group list").exits(0);
    assert_eq!(gateway.stop(), Some(0));
    // What it had is free again.
    let [udp, tcp] = [quic, admin];
    UdpSocket::bind(udp).expect("free");
    TcpListener::bind(tcp).expect("free");
    let again = Gateway::start(&place);
    assert_eq!(again.stop(), Some(0));
}

#[test]
fn usage() {
    let place = Place::empty();
    place.run("serve").fails(2, &["--config"]);
    place.run("serv --config x").fails(2, &["serve"]);
    let ran = place.run("serve --config none.toml");
    ran.fails(1, &["none.toml", "cannot be read"]);
}
