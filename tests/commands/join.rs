//! `wardcast join`.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::gateway::{Gateway, terminate};
use crate::place::{Place, Ran, wait};

const EXPORTS: [&str; 4] = ["--export", "srtp key:16", "--export", "mki:4"];

/// `wardcast join --json`, while it runs.
pub(crate) struct Joined {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

fn words<'a>(server: &'a str, name: &'a [String; 2], group: &'a str) -> Vec<&'a str> {
    let [cert, key] = name;
    vec![
        "join",
        "--server",
        server,
        "--ca",
        "pki/ca.pem",
        "--cert",
        cert,
        "--key",
        key,
        "--group",
        group,
    ]
}

fn certificate(name: &str) -> [String; 2] {
    [format!("{name}.pem"), format!("{name}.key")]
}

impl Joined {
    pub(crate) fn start(place: &Place, gateway: &Gateway, name: &str, more: &[&str]) -> Self {
        let server = format!("localhost:{}", gateway.quic.port());
        let name = certificate(name);
        let words = words(&server, &name, "studio").into_iter();
        let mut command = place.command(words.chain(["--role", "receiver", "--json"]));
        let mut child = command
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let output = child.stdout.take().expect("it is piped");
        Self {
            child,
            lines: BufReader::new(output).lines(),
        }
    }

    /// The next line with this event.
    pub(crate) fn until(&mut self, event: &str) -> Value {
        loop {
            let line = self
                .lines
                .next()
                .unwrap_or_else(|| panic!("it ends before {event}"));
            let line: Value = serde_json::from_str(&line.expect("text")).expect("JSON");
            assert_eq!(line["group"], "studio");
            if line["event"] == event {
                return line;
            }
        }
    }

    pub(crate) fn end(mut self) -> Option<i32> {
        for line in &mut self.lines {
            serde_json::from_str::<Value>(&line.expect("text")).expect("JSON");
        }
        wait("join", &mut self.child)
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tried(place: &Place, server: &str, name: &str, group: &str, more: &[&str]) -> Ran {
    let name = certificate(name);
    let words = words(server, &name, group)
        .into_iter()
        .chain(more.iter().copied());
    crate::place::ended("join", place.command(words))
}

#[test]
fn members_export_the_same_keys_and_leave_or_are_removed() {
    let place = Place::provisioned();
    place
        .run("pki issue --dir pki --name bert --spiffe spiffe://example.org/bert --out bert")
        .exits(0);
    let gateway = Gateway::start(&place);
    let admin = |line: &str| gateway.admin(&place, line).exits(0);
    admin("group create studio");

    let mut alice = Joined::start(&place, &gateway, "alice", &EXPORTS);
    let joined = alice.until("joined");
    assert_eq!(
        (&joined["role"], &joined["sender_ids"]),
        (&json!("receiver"), &json!([]))
    );
    alice.until("installed");
    let mut bert = Joined::start(&place, &gateway, "bert", &EXPORTS);
    let bert_number = bert.until("joined")["member"].clone();
    let seen = bert.until("installed");
    assert_eq!(seen["exports"]["srtp key"].as_str().map(str::len), Some(32));
    assert_eq!(seen["exports"]["mki"].as_str().map(str::len), Some(8));
    assert_eq!(alice.until("installed"), seen);

    let list = admin("--json member list studio").json();
    let list = list.as_array().expect("a list");
    assert_eq!(list.len(), 2);
    assert_eq!(list[1]["member"], bert_number);
    assert_eq!(list[1]["identity"], "spiffe://example.org/bert");
    assert!(
        admin("member list studio")
            .out
            .contains("spiffe://example.org/bert")
    );

    admin("group rotate studio");
    let rotated = alice.until("installed");
    assert_eq!(bert.until("installed"), rotated);
    assert_ne!(rotated["exports"], seen["exports"]);

    admin(&format!(
        "member evict studio {bert_number} --urgent --reason lost"
    ));
    let removed = bert.until("removed");
    assert!(
        removed["reason"]
            .as_str()
            .expect("text")
            .contains("evicted"),
        "{removed}"
    );
    assert_eq!(bert.end(), Some(3), "removed");
    let without = alice.until("installed");
    assert_ne!(without["exports"], rotated["exports"]);

    terminate(&alice.child);
    alice.until("left");
    assert_eq!(alice.end(), Some(0), "left");
    assert_eq!(admin("--json member list studio").json(), json!([]));

    let mut alice = Joined::start(&place, &gateway, "alice", &[]);
    assert_eq!(alice.until("installed")["exports"], json!({}));
    admin("group destroy studio");
    alice.until("removed");
    assert_eq!(alice.end(), Some(3), "the group was destroyed");
}

#[test]
fn exit_codes_are_those_of_the_help() {
    let place = Place::provisioned();
    let help = place.run("join --help").exits(0);
    for code in [
        "0  left",
        "1  trouble",
        "2  wrong",
        "3  removed",
        "4  refused",
    ] {
        assert!(help.out.contains(code), "{code}: {help:#?}");
    }
    let gateway = Gateway::start(&place);
    gateway.admin(&place, "group create studio").exits(0);
    let server = format!("localhost:{}", gateway.quic.port());
    let join = |name: &str, group: &str, more: &[&str]| tried(&place, &server, name, group, more);

    join("alice", "nowhere", &["--role", "receiver"]).fails(4, &["refused", "no such group"]);
    join("alice", "studio", &["--role", "both"]).fails(4, &["refused", "does not admit"]);
    join("operator", "studio", &["--role", "receiver"]).fails(4, &["refused", "does not admit"]);
    join("nobody", "studio", &[]).fails(2, &["nobody.pem", "PEM"]);
    join("alice", "studio", &["--export", "key"]).fails(2, &["LABEL:LENGTH"]);
    join("alice", "studio", &["--role", "king"]).fails(2, &["king", "receiver"]);
    let nowhere = tried(&place, "localhost", "alice", "studio", &[]);
    nowhere.fails(2, &["--server localhost", "HOST:PORT"]);
}

/// Keys reach the hook's standard input and nothing that others can read: neither arguments nor environment.
#[test]
fn the_hook_gets_each_event_and_keys_on_its_input_alone() {
    let place = Place::provisioned();
    let gateway = Gateway::start(&place);
    gateway.admin(&place, "group create studio").exits(0);
    let hook = "cat >> events; cat /proc/self/cmdline /proc/self/environ /proc/$$/cmdline /proc/$PPID/cmdline /proc/$PPID/environ >> public";
    let mut alice = Joined::start(
        &place,
        &gateway,
        "alice",
        &[&EXPORTS[..], &["--on-rekey", hook]].concat(),
    );
    let mut seen = vec![alice.until("joined"), alice.until("installed")];
    gateway.admin(&place, "group rotate studio").exits(0);
    seen.push(alice.until("installed"));
    terminate(&alice.child);
    seen.push(alice.until("left"));
    assert_eq!(alice.end(), Some(0));

    let events = String::from_utf8(place.read("events")).expect("text");
    let events: Vec<Value> = events
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let missing = seen.iter().find(|line| !events.contains(line));
    assert_eq!(missing, None, "the hook saw {events:#?}");
    let public = place.read("public");
    let public = String::from_utf8_lossy(&public);
    assert!(public.contains("--on-rekey"), "{public}");
    for line in seen.iter().filter(|line| line["event"] == "installed") {
        let key = line["exports"]["srtp key"].as_str().expect("a key");
        assert!(!public.contains(key), "{key} in {public}");
    }
}
