//! The log level while the gateway runs.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{SOON, Setup, Site};

/// What is logged of a refused handshake, and only at the level of debugging.
const DEBUG: &str = " DEBUG ";

/// Waits until the log level is another.
async fn becomes(site: &Site, level: &str) {
    let began = Instant::now();
    loop {
        let asked = site.try_root(Method::GET, "v1/log", None).await;
        let (_, log) = asked.expect("the gateway answers");
        if log["level"] == level {
            return;
        }
        assert!(began.elapsed() < SOON, "still: {log}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn more_is_logged_for_a_time_and_then_what_is_configured() {
    let site = Site::start(Setup::default()).await;
    site.create(crate::support::GROUP, json!({})).await;
    assert!(!site.log_text().contains(DEBUG));
    let wanted = json!({ "level": "info,wardcast=debug", "for_s": 3 });
    let set = site.order("v1/log", Some(wanted)).await;
    assert_eq!(set["level"], "info,wardcast=debug");
    assert_eq!(set["configured"], "info");
    let began = Instant::now();
    while !site.log_text().contains(DEBUG) {
        let connection = site.client("anna");
        let _ = connection
            .join("no such group", wardcast::group::ids::Role::Both)
            .await;
        connection.close().await;
        assert!(began.elapsed() < SOON, "nothing more is logged");
    }
    becomes(&site, "info").await;
    let told = |level: &'static str| move |record: &serde_json::Value| record["level"] == level;
    let first = site
        .recorded("log_level", told("info,wardcast=debug"))
        .await;
    assert_eq!(first["actor"]["name"], "cn:operator");
    let last = site.recorded("log_level", told("info")).await;
    assert_eq!(last["actor"]["kind"], "gateway");
}

#[tokio::test]
async fn what_is_no_level_is_refused_and_a_reload_brings_another() {
    let site = Site::start(Setup::default()).await;
    for (body, says) in [
        (json!({ "level": "inof" }), "no level"),
        (json!({ "level": "info", "for_s": 0 }), "for_s"),
        (json!({ "levle": "info" }), "levle"),
    ] {
        let asked = site.try_root(Method::POST, "v1/log", Some(body)).await;
        let (status, answer) = asked.expect("the gateway answers");
        assert_eq!(status, StatusCode::BAD_REQUEST);
        let error = answer["error"].as_str().expect("why");
        assert!(error.contains(says), "{error}");
    }
    site.order("v1/log", Some(json!({ "level": "warn" }))).await;
    // The same level as before is configured: what an operator asked for stays.
    site.order("v1/reload", None).await;
    becomes(&site, "warn").await;
    site.configure("level = \"info\"", "level = \"error\"");
    let done = site.order("v1/reload", None).await;
    assert_eq!(done["applied"], json!(["log.level"]));
    becomes(&site, "error").await;
    site.order("v1/log", Some(json!({ "level": "off" }))).await;
    site.order("v1/log", Some(json!({}))).await;
    becomes(&site, "error").await;
}
