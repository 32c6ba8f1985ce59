//! A gateway that ends in good order: rekeys end, members come back where they are told to, nobody new is taken on.

use std::net::{SocketAddr, UdpSocket};
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use quinn::ConnectionError;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use wardcast::group::wire::{RefusalCode, Request};
use wardcast::member::Event;

use crate::support::control::plain;
use crate::support::members::{Ledger, Member};
use crate::support::{GROUP, SOON, Setup, Site, raw};

/// An address that nobody has.
fn free() -> SocketAddr {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a port");
    socket.local_addr().expect("an address")
}

/// Waits until a member has connected again so often.
async fn back(member: &Member, times: usize) {
    let again = |event: &&Event| matches!(event, Event::Resumed { .. });
    let count = |events: &[Event]| events.iter().filter(again).count();
    member
        .until("comes back", |record| count(&record.events) >= times)
        .await;
}

/// A gateway with a rekey that does not come to its end by itself: a member takes no part in it, and nobody goes on without him.
async fn busy(drain_s: &str) -> (Site, quinn::Connection) {
    let site = Site::start(Setup {
        admin: "health_address = \"127.0.0.1:0\"",
        ..Setup::default()
    })
    .await;
    site.configure("drain_s = 5", drain_s);
    site.order("v1/reload", None).await;
    let patient = json!({ "quorum_percent": 100, "activation_delay_ms": 600_000, "silence_s": 900, "retirement_delay_ms": 600_000 });
    site.create(GROUP, patient).await;
    let connection = raw::connect(&site, "idle").await.expect("is let in");
    raw::joined(&connection).await;
    let asked = site
        .admin(Method::POST, &format!("/{GROUP}/rotate"), None)
        .await;
    assert_eq!(asked, Value::Null);
    (site, connection)
}

#[tokio::test]
async fn members_go_where_they_are_told_and_lose_nothing() {
    let mut site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let ledger = Ledger::default();
    let anna = Member::join(&site, "anna", &ledger).await;
    let bert = Member::join(&site, "bert", &ledger).await;
    let there = free();
    let to = format!("localhost:{}", there.port());
    // A rekey is under way as it is told to end.
    site.admin(Method::POST, &format!("/{GROUP}/rotate"), None)
        .await;
    let told = site
        .order("v1/drain", Some(json!({ "to": [to], "within_s": 7 })))
        .await;
    assert_eq!(told, json!({ "to": [to], "within_s": 7 }));
    assert!(site.ended().await.success());
    let record = site.recorded("draining", |_| true).await;
    assert_eq!(
        (&record["actor"]["name"], &record["to"]),
        (&json!("cn:operator"), &json!([to]))
    );
    site.recorded("stopped", |_| true).await;
    let newest = ledger.newest();
    for member in [&anna, &bert] {
        assert_eq!(member.record().newest, newest, "{} has it", member.name);
    }
    site.quic = there;
    site.restart().await;
    back(&anna, 1).await;
    back(&bert, 1).await;
    site.rotate(GROUP).await;
    let epoch = site.group(GROUP).await.epoch;
    anna.holds(epoch).await;
    bert.holds(epoch).await;
    assert_eq!(site.group(GROUP).await.members, 2, "nobody joined afresh");
    // There they are at home: after an end without a word they come back to it.
    site.kill();
    site.restart().await;
    site.rotate(GROUP).await;
    anna.holds(site.group(GROUP).await.epoch).await;
    ledger.check();
}

/// Nothing but a datagram can tell these where the other gateway is.
#[tokio::test]
async fn parked_members_go_where_they_are_told_and_miss_no_rekey() {
    const NAMES: [&str; 5] = ["anna", "bert", "cleo", "dora", "emil"];
    let mut site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let ledger = Ledger::default();
    let mut members = Vec::new();
    for name in NAMES {
        members.push(Member::join_to_park(&site, name, &ledger).await);
    }
    let began = Instant::now();
    while site.counter("wardcast_parkings_total").await < NAMES.len() as u64 {
        assert!(began.elapsed() < SOON, "they are parked");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let there = free();
    let to = format!("localhost:{}", there.port());
    // A rekey is under way as it is told to end.
    site.admin(Method::POST, &format!("/{GROUP}/rotate"), None)
        .await;
    site.order("v1/drain", Some(json!({ "to": [to], "within_s": 7 })))
        .await;
    assert!(site.ended().await.success());
    let log = site.log_text();
    assert!(
        log.contains("parked members are told to come back"),
        "{log}"
    );
    let newest = ledger.newest();
    for member in &members {
        // Nobody is there to give it out any more: it came before.
        member.holds(newest).await;
    }
    site.quic = there;
    site.restart().await;
    for member in &members {
        back(member, 1).await;
    }
    site.rotate(GROUP).await;
    let view = site.group(GROUP).await;
    for member in &members {
        member.holds(view.epoch).await;
    }
    assert_eq!(view.members as usize, NAMES.len(), "nobody joined afresh");
    ledger.check();
}

#[tokio::test]
async fn members_come_back_here_where_nobody_serves_them_there() {
    let mut site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let nowhere = format!("localhost:{}", free().port());
    site.configure(
        "drain_s = 5",
        &format!("drain_s = 5\n            drain_to = [\"{nowhere}\"]"),
    );
    let done = site.order("v1/reload", None).await;
    assert_eq!(done["applied"], json!(["listen.drain_to"]));
    let ledger = Ledger::default();
    let anna = Member::join(&site, "anna", &ledger).await;
    assert!(site.terminate().await.success());
    site.restart().await;
    back(&anna, 1).await;
    site.rotate(GROUP).await;
    anna.holds(site.group(GROUP).await.epoch).await;
    ledger.check();
}

#[tokio::test]
async fn a_draining_gateway_says_so_and_takes_nobody_on() {
    let (mut site, idle) = busy("drain_s = 20").await;
    let health = site.health.expect("it listens");
    site.order("v1/drain", None).await;
    let began = Instant::now();
    loop {
        let (status, told) = plain(health, "readyz").await;
        if told["parts"] == json!(["draining"]) {
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
            break;
        }
        assert!(began.elapsed() < SOON, "still: {told}");
    }
    assert_eq!(
        plain(health, "livez").await.0,
        StatusCode::OK,
        "it is alive"
    );
    // The rekey has its time, and who is connected is served; but nobody comes in.
    let refusal = raw::refused(&idle, &Request::Join(raw::join(GROUP))).await;
    assert_eq!(refusal.code, RefusalCode::Draining);
    let refused = raw::connect(&site, "late").await.expect_err("it goes");
    let ConnectionError::ConnectionClosed(close) = refused else {
        panic!("{refused}");
    };
    assert_eq!(
        close.error_code,
        quinn::TransportErrorCode::CONNECTION_REFUSED
    );
    // It ends all the same, within its time, though the member never answers.
    assert!(site.ended().await.success());
    assert!(site.log_text().contains("rekeys are under way still"));
}

#[tokio::test]
async fn the_second_signal_ends_it_at_once() {
    let (mut site, _idle) = busy("drain_s = 80000").await;
    site.signal("TERM");
    let began = Instant::now();
    while !site.log_text().contains("draining: nobody is taken on") {
        assert!(began.elapsed() < SOON, "it is told to end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    site.signal("TERM");
    let status = site.ended().await;
    assert_eq!(status.code(), Some(128 + 15), "{:?}", status.signal());
}
