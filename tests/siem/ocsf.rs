//! The audit trail as OCSF events at a stand-in of a collector, held against the schema itself.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use wardcast::audit::{Audit, Entry, Options as AuditOptions};
use wardcast::relay::{Pauses, Relay};
use wardcast::siem::identifiers::Identifiers;
use wardcast::siem::ocsf::{OcsfSink, Options};
use wardcast::siem::secret::Token;
use wardcast::tls::{self, Trust};

use crate::collector::{Collector, Mood};
use crate::support::{Setup, Site};
use crate::{check_order, life, sink, until, venv};

pub(crate) fn config(collector: &Collector, more: &str) -> String {
    let url = format!("{}/ocsf", collector.url());
    let (ca, token) = (collector.ca(), collector.token());
    format!("[siem.ocsf]\nurl = {url:?}\nca = {ca:?}\ntoken_file = {token:?}\n{more}\n")
}

async fn site(collector: &Collector) -> Site {
    let setup = Setup {
        more: &config(collector, ""),
        environment: &[("WARDCAST_LISTEN__DRAIN_S", "60")],
        ..Setup::default()
    };
    Site::start(setup).await
}

/// What the checker of the schema says of this array of events.
fn checked(events: &Value) -> Output {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/ocsf.py");
    let mut checker = Command::new(venv::python())
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = checker.stdin.take().expect("is piped");
    let text = events.to_string();
    input.write_all(text.as_bytes()).expect("is read");
    drop(input);
    checker.wait_with_output().expect("it ends")
}

/// Fails if the schema does not allow one of the events; what was checked.
fn check_schema(events: &[Value]) -> Value {
    let output = checked(&Value::from(events.to_vec()));
    let says = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{says}");
    serde_json::from_str(&says).expect("JSON")
}

/// That failures of either kind are counted, each as what it is.
async fn check_failures(site: &Site) {
    let (_, shown) = site.metrics("text/plain").await;
    for kind in ["unreachable", "refused"] {
        let series = format!("wardcast_siem_failures_total{{sink=\"ocsf\",kind=\"{kind}\"}} ");
        let times = shown.lines().find_map(|line| line.strip_prefix(&series));
        let times: u32 = times.expect("is shown").parse().expect("a number");
        assert!(times > 0, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_what_the_schema_allows_and_come_in_order_whatever_the_collector_answers() {
    let collector = Collector::start().await;
    collector.store().mood = Mood::Refuses(503);
    let mut site = site(&collector).await;
    life(&site, "studio").await;
    let view = until(&site, "ocsf", |view| view["failures"].as_u64() > Some(1)).await;
    assert!(
        view["error"].as_str().expect("why").contains("503"),
        "{view}"
    );
    // For good, as far as it is concerned: somebody has to see to it.
    collector.store().mood = Mood::Refuses(403);
    until(&site, "ocsf", |view| {
        view["error"]
            .as_str()
            .is_some_and(|why| why.contains("403"))
    })
    .await;
    let (began, before) = (std::time::Instant::now(), collector.store().requests);
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let requests = (collector.store().requests - before) as f64;
    // It was paused for a second at least after two failures, and longer after each.
    assert!(
        requests <= 2.0 + began.elapsed().as_secs_f64(),
        "{requests}"
    );
    assert!(site.log_text().contains("the SIEM does not take records"));
    assert_eq!(sink(&site, "ocsf").await["sequence"], 0);
    check_failures(&site).await;
    collector.store().mood = Mood::Good;
    until(&site, "ocsf", |view| view["lag_records"] == 0).await;
    assert!(site.terminate().await.success());
    let trail = site.audit();
    let sequences = collector.sequences(|event| &event["metadata"]["sequence"]);
    assert_eq!(sequences.len(), trail.len(), "each once");
    check_order(sequences, trail.len() as u64);

    let events = std::mem::take(&mut collector.store().taken);
    let checked = check_schema(&events);
    assert_eq!(checked["events"], events.len());
    let of = |kind: &str| {
        let mut own = events.iter();
        own.find(|event| event["metadata"]["event_code"] == kind)
            .unwrap_or_else(|| panic!("no {kind}"))
    };
    let shown = |kind: &str| {
        let event = of(kind);
        [
            &event["type_uid"],
            &event["status_id"],
            &event["severity_id"],
        ]
        .map(Value::clone)
    };
    let is = |numbers: [u32; 3]| numbers.map(Value::from);
    assert_eq!(shown("started"), is([600_203, 1, 1]));
    assert_eq!(shown("group_created"), is([300_606, 1, 1]));
    assert_eq!(shown("joined"), is([300_603, 1, 1]));
    assert_eq!(shown("refused"), is([300_603, 2, 3]));
    assert_eq!(shown("granted"), is([300_601, 1, 1]));
    assert_eq!(shown("departed"), is([300_604, 1, 1]));
    assert_eq!(shown("policy_changed"), is([300_403, 1, 1]));
    assert_eq!(shown("frozen"), is([300_412, 1, 1]));
    assert_eq!(shown("administered"), is([600_301, 1, 1]));
    assert_eq!(shown("group_destroyed"), is([300_605, 1, 1]));
    assert_eq!(of("joined")["user"]["name"], "cn:alice");
    assert_eq!(of("joined")["group"]["name"], "studio");
    assert_eq!(of("frozen")["actor"]["user"]["name"], "cn:operator");
    let failed = events
        .iter()
        .find(|event| event["api"]["response"]["code"] == 422);
    assert_eq!(failed.expect("a call that failed")["status_id"], 2);
}

/// A record of each kind, and of each outcome that makes a difference.
fn kinds() -> Vec<Entry> {
    let (digest, id) = ("1a".repeat(32), "0b".repeat(16));
    let of = json!({ "kind": "operator", "name": "cn:ops" });
    let entry = |event: Value, group: bool| {
        let mut entry = event;
        entry["actor"] = of.clone();
        if group {
            entry["group"] = json!({ "id": id, "name": "studio" });
        }
        serde_json::from_value::<Entry>(entry).expect("a record")
    };
    let policy = json!({ "admit": [{ "identity": "**", "roles": ["both"] }] });
    let groups = [
        json!({ "event": "group_created", "suite": "1", "master": 1, "policy": policy }),
        json!({ "event": "policy_changed", "policy": policy }),
        json!({ "event": "frozen", "why": "a drill" }),
        json!({ "event": "thawed" }),
        json!({ "event": "group_destroyed" }),
        json!({ "event": "joined", "epoch": 1, "member": 1, "identity": "cn:a", "role": "both" }),
        json!({ "event": "departed", "epoch": 2, "member": 1, "reason": "it left" }),
        json!({ "event": "rekeyed", "epoch": 2, "joined": 0, "departed": 1, "keys": 3 }),
        json!({ "event": "granted", "epoch": 1, "member": 1, "identity": "cn:a" }),
        json!({ "event": "refused", "identity": "cn:b", "role": "sender", "why": "no", "times": 2 }),
        json!({ "event": "upstream_ended", "object": "key", "state": "revoked", "action": "roll", "why": "x" }),
        json!({ "event": "upstream_ended", "object": "key", "state": "destroyed", "action": "roll", "why": "x" }),
    ];
    let others = [
        json!({ "event": "started", "version": "1" }),
        json!({ "event": "stopped" }),
        json!({ "event": "reloaded", "applied": ["tls.certificate"], "needs_restart": [] }),
        json!({ "event": "reloaded", "applied": [], "needs_restart": [], "refused": "no such file" }),
        json!({ "event": "log_level", "level": "debug", "for_s": 60 }),
        json!({ "event": "draining", "to": ["gw2.example.org:7443"], "within_s": 10 }),
        json!({ "event": "unauthenticated", "address": "192.0.2.1:7", "why": "expired", "times": 1 }),
        json!({ "event": "document", "about": "group studio", "object": "7", "digest": "aa" }),
        json!({ "event": "document", "about": "default", "object": "7", "refused": "bad" }),
        json!({ "event": "administered", "call": "DELETE /v1/groups/studio", "status": 204 }),
        json!({ "event": "relayed", "operation": "Locate", "outcome": "done" }),
        json!({ "event": "relayed", "operation": "Destroy", "object": "7", "outcome": "begun" }),
        json!({ "event": "relayed", "operation": "Other", "object": "7", "outcome": "ItemNotFound" }),
        json!({ "event": "relayed", "operation": "several", "outcome": "several", "times": 9 }),
        json!({ "event": "denied", "identity": "cn:c", "call": "GET /v1/groups", "times": 3 }),
        json!({ "event": "interrupted", "since": "2026-11-27T00:00:00Z", "lost": 0 }),
        json!({ "event": "token_lost", "why": "it is gone" }),
        json!({ "event": "token_back" }),
        json!({ "event": "signed", "up_to": 3, "head": digest, "suite": "1", "issuer": "aa", "signature": "bb" }),
        json!({ "event": "upstream_lost", "why": "no route" }),
        json!({ "event": "upstream_back", "down_s": 5 }),
    ];
    let groups = groups.into_iter().map(|event| entry(event, true));
    let others = others.into_iter().map(|event| entry(event, false));
    groups.chain(others).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_record_has_a_class_and_is_what_the_schema_allows() {
    let collector = Collector::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let audit = Audit::open(&AuditOptions::new(folder.path(), 1 << 30)).expect("a trail");
    let kinds = kinds();
    let count = kinds.len();
    audit.note(kinds).await;
    let trust = Trust::load(&collector.ca(), &[]).expect("an authority");
    let options = Options {
        url: format!("{}/ocsf", collector.url()),
        token: Some(Token::read(&collector.token()).expect("a token")),
        host: "gw1".to_owned(),
        identifiers: Identifiers::Clear,
    };
    let tls = tls::anonymous_client_config(&trust, &[]).expect("a TLS configuration");
    let mut relay = Relay::new(audit, Pauses::default());
    relay
        .feed(OcsfSink::new(options, tls).expect("a sink"))
        .expect("has no cursor");
    relay.stop(crate::PATIENCE).await;
    let events = std::mem::take(&mut collector.store().taken);
    assert_eq!(events.len(), count);
    assert_eq!(check_schema(&events)["events"], count);
    for event in &events {
        assert_ne!(event["class_uid"], 0, "{event}");
    }
    let status = |of: usize| &events[of]["status"];
    // Of the calls: done, begun, failed, and many that did not all end alike.
    assert_eq!(
        [22, 23, 24, 25].map(status),
        ["Success", "Open", "Failure", "Several"]
    );
    assert_eq!(events[25]["severity"], "Unknown");
}

#[test]
fn the_check_finds_what_the_schema_does_not_allow() {
    let bad = json!([{ "class_uid": 3_006, "category_uid": 3, "activity_id": 77 }]);
    let output = checked(&bad);
    let says = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{says}");
    assert!(
        says.contains("activity_id") && says.contains("metadata"),
        "{says}"
    );
}
