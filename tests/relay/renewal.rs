//! The certificate that the store is shown is replaced while the trail goes there, and soon no other one is let in.

use std::fs;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use wardcast::kmip::client::Query;
use wardcast::pki::{Authority, Request};

use crate::support::{GROUP, Site};
use crate::upstream::{Upstream, audit, check_all, drained, shown, until};

const EXPIRY: &str = "wardcast_certificate_expiry_timestamp_seconds{section=\"upstream\"}";

/// Changes a policy over and over: each time is two records that go to the store.
fn traffic(site: &Site) -> tokio::task::JoinHandle<()> {
    let (http, url) = site.operator();
    let url = format!("{url}/v1/groups/{GROUP}/policy");
    tokio::spawn(async move {
        for change in 0.. {
            let policy = json!({ "quorum_percent": 1 + change % 100 });
            let answer = http.put(&url).json(&policy).send().await;
            let status = answer.expect("the gateway answers").status();
            assert!(status.is_success(), "{status}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
}

/// When the certificate for the store runs out, as the gateway shows.
async fn expiry(site: &Site) -> u64 {
    let (_, text) = site.metrics("text/plain").await;
    let value = text.lines().find_map(|line| line.strip_prefix(EXPIRY));
    let value = value.unwrap_or_else(|| panic!("no {EXPIRY} in {text}"));
    value.trim().parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn another_certificate_is_shown_to_the_store_without_a_restart_of_the_gateway() {
    let mut upstream = Upstream::start();
    let next = Authority::new("next").expect("an authority");
    upstream.store.trust(&[&upstream.authority, &next]);
    upstream.store.kill();
    upstream.store.restart();
    let mut site = upstream.site().await;
    site.create(GROUP, json!({})).await;
    drained(&site).await;
    let traffic = traffic(&site);
    let before = expiry(&site).await;

    // What cannot be used changes nothing, and all of the reload is refused for it.
    let certificate = upstream.path("own.pem");
    fs::write(&certificate, "no certificate").expect("written");
    site.configure("alive_ms = 500", "alive_ms = 500\npace_mbit_s = 500");
    let asked = site.try_root(Method::POST, "v1/reload", None).await;
    let (status, answer) = asked.expect("the gateway answers");
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    let why = answer["error"].as_str().expect("why");
    let names = certificate.display().to_string();
    assert!(why.contains("[upstream]") && why.contains(&names), "{why}");
    assert_eq!(site.counter("wardcast_configuration_refused").await, 1);
    assert_eq!(expiry(&site).await, before);
    let there = |view: &Value| audit(view)["sequence"].as_u64().expect("a number");
    let so_far = there(&shown(&site).await);
    until(&site, "it goes on", |view| there(view) > so_far).await;

    // What can be used is noticed by itself; what else was configured comes with a reload.
    let request = Request::client("gateway").days(5);
    let issued = next.issue(&request).expect("issued");
    issued.write(&upstream.path("next")).expect("written");
    for kind in ["key", "pem"] {
        let name = |stem: &str| upstream.path(&format!("{stem}.{kind}"));
        fs::rename(name("next"), name("own")).expect("renamed");
    }
    let keys = json!(["upstream.certificate", "upstream.key"]);
    let told = site.recorded("reloaded", |told| told["applied"] == keys);
    assert_eq!(told.await["needs_restart"], json!([]));
    let after = expiry(&site).await;
    assert!(after > 0 && after < before, "{after}: it lasts less long");
    assert_eq!(site.counter("wardcast_configuration_refused").await, 1);
    let told = site.order("v1/reload", None).await;
    let expected = json!({ "applied": ["listen.pace_mbit_s"], "needs_restart": [] });
    assert_eq!(told, expected);
    assert_eq!(site.counter("wardcast_configuration_refused").await, 0);

    // From now on the one from before is let in no more.
    upstream.store.trust(&[&next]);
    upstream.store.kill();
    upstream.store.restart();
    let refused = upstream.client().call(&Query).await;
    refused.expect_err("by the authority from before");
    let so_far = site.audit().len() as u64;
    until(&site, "it goes on", |view| there(view) > so_far).await;
    traffic.abort();
    drained(&site).await;
    assert!(site.terminate().await.success());
    // The test's own client is of the authority from before.
    upstream.store.trust(&[&upstream.authority, &next]);
    upstream.store.kill();
    upstream.store.restart();
    check_all(&upstream, &site).await;
}
