//! What those are shown whom the audit trail goes to is replaced while it goes there, and soon nothing else is let in.

use std::fs;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use wardcast::pki::Authority;

use crate::collector::Collector;
use crate::rsyslog::{CLIENT, Rsyslog};
use crate::support::{Setup, Site};
use crate::{check_order, life, ocsf, splunk, syslog, until, wait};

const NEXT: &str = "gateway-next";

async fn site(more: &str) -> Site {
    let setup = Setup {
        more,
        environment: &[("WARDCAST_LISTEN__DRAIN_S", "60")],
        ..Setup::default()
    };
    Site::start(setup).await
}

/// That a reload is refused, and why.
async fn refused(site: &Site) -> String {
    let asked = site.try_root(Method::POST, "v1/reload", None).await;
    let (status, answer) = asked.expect("the gateway answers");
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    answer["error"].as_str().expect("why").to_owned()
}

/// Waits until the gateway has taken these by itself.
async fn applied(site: &Site, keys: Value) {
    let told = site.recorded("reloaded", |told| told["applied"] == keys);
    assert_eq!(told.await["needs_restart"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn rsyslog_is_shown_the_new_certificate_by_another_connection_and_each_record_comes_once() {
    let authority = Authority::new("logs'").expect("an authority");
    let mut server = Rsyslog::start(&authority, "localhost");
    server.permit(&[CLIENT, NEXT]);
    let mut site = site(&server.config("")).await;
    life(&site, "one").await;
    until(&site, "syslog", |view| view["lag_records"] == 0).await;
    let before = server.connected();
    assert_eq!(before.len(), 1, "{before:?}");

    fs::write(server.shown(), "no certificate").expect("written");
    let why = refused(&site).await;
    let names = server.shown().display().to_string();
    assert!(why.contains("[siem]") && why.contains(&names), "{why}");
    life(&site, "two").await;
    until(&site, "syslog", |view| view["lag_records"] == 0).await;
    assert_eq!(server.connected(), before, "nothing was changed");

    server.renew(&authority, NEXT);
    let keys = json!(["siem.syslog.certificate", "siem.syslog.key"]);
    applied(&site, keys).await;
    wait("it is another connection", || {
        let now = server.connected();
        now.len() == 1 && now.is_disjoint(&before)
    })
    .await;
    life(&site, "three").await;
    let told = until(&site, "syslog", |view| view["lag_records"] == 0).await;
    let last = told["sequence"].as_u64().expect("a number") as usize;
    wait("all is written", || server.records() >= last).await;
    assert_eq!(
        server.messages().len(),
        server.records(),
        "none of it twice"
    );

    server.permit(&[NEXT]);
    life(&site, "four").await;
    until(&site, "syslog", |view| view["lag_records"] == 0).await;
    assert!(site.terminate().await.success());
    let last = site.audit().len();
    wait("all is written", || server.records() == last).await;
    syslog::check_all(&server, &site);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_token_is_shown_as_soon_as_it_is_there_and_another_address_after_a_reload() {
    let (collector, other) = (Collector::start().await, Collector::start().await);
    let more = ocsf::config(&collector, "") + &splunk::config(&collector, "");
    let mut site = site(&more).await;
    let sinks = ["ocsf", "splunk"];
    life(&site, "one").await;
    for sink in sinks {
        until(&site, sink, |view| view["lag_records"] == 0).await;
    }
    let next = "0F5C7A0E-8E1C-4D0B-9D40-0F3F7F1E8B2A";
    collector.store().token = next.to_owned();
    life(&site, "two").await;
    for sink in sinks {
        let refused = |view: &Value| {
            view["error"]
                .as_str()
                .is_some_and(|why| why.contains("403"))
        };
        until(&site, sink, refused).await;
    }
    fs::write(collector.token(), "no token at all").expect("written");
    let why = refused(&site).await;
    assert!(why.contains("[siem]") && why.contains("token"), "{why}");
    let new = collector.token().with_extension("new");
    fs::write(&new, next).expect("written");
    fs::rename(new, collector.token()).expect("renamed");
    applied(
        &site,
        json!(["siem.ocsf.token_file", "siem.splunk.token_file"]),
    )
    .await;
    life(&site, "three").await;
    for sink in sinks {
        until(&site, sink, |view| view["lag_records"] == 0).await;
    }

    // Where events go is another place from the next batch on; a sink that goes takes a restart.
    other.store().token = next.to_owned();
    let [from, to] = [&collector, &other].map(|one| one.token().display().to_string());
    let moved = ocsf::config(&other, "").replace(&to, &from);
    site.configure(&ocsf::config(&collector, ""), &moved);
    let told = site.order("v1/reload", None).await;
    let keys = json!({ "applied": ["siem.ocsf.ca", "siem.ocsf.url"], "needs_restart": [] });
    assert_eq!(told, keys);
    site.configure(&splunk::config(&collector, ""), "");
    let told = site.order("v1/reload", None).await;
    assert_eq!(told["applied"], json!([]));
    let left = told["needs_restart"].as_array().expect("keys");
    assert!(left.contains(&json!("siem.splunk.url")), "{told}");
    life(&site, "four").await;
    for sink in sinks {
        until(&site, sink, |view| view["lag_records"] == 0).await;
    }
    assert!(site.terminate().await.success());
    let last = site.audit().len() as u64;
    let of_ocsf = |event: &Value| event["metadata"]["sequence"].is_u64();
    let events = collector.store().taken.clone();
    let (first, indexed): (Vec<Value>, Vec<Value>) = events.into_iter().partition(of_ocsf);
    let second = other.store().taken.clone();
    assert!(!first.is_empty() && !second.is_empty());
    let number = |value: &Value| value.as_u64().expect("a number");
    let both = first.iter().chain(&second);
    check_order(
        both.map(|event| number(&event["metadata"]["sequence"])),
        last,
    );
    check_order(
        indexed
            .iter()
            .map(|event| number(&event["event"]["sequence"])),
        last,
    );
}
