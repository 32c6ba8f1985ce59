//! Who may ask what, and what balancers are told without a certificate.

use std::fs;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::control::plain;
use crate::support::{SOON, Setup, Site};

const ROLES: &str = r#"
viewers = ["cn:vera"]
monitors = ["cn:prometheus"]
health_address = "127.0.0.1:0"
"#;

#[tokio::test]
async fn roles_are_told_apart_and_denials_are_on_record() {
    let site = Site::start(Setup {
        admin: ROLES,
        ..Setup::default()
    })
    .await;
    for (who, method, path, status) in [
        ("prometheus", Method::GET, "metrics", StatusCode::OK),
        ("prometheus", Method::GET, "livez", StatusCode::OK),
        (
            "prometheus",
            Method::GET,
            "v1/groups",
            StatusCode::FORBIDDEN,
        ),
        ("vera", Method::GET, "v1/groups", StatusCode::OK),
        ("vera", Method::GET, "v1/log", StatusCode::OK),
        ("vera", Method::POST, "v1/reload", StatusCode::FORBIDDEN),
        ("vera", Method::POST, "v1/drain", StatusCode::FORBIDDEN),
        ("mallory", Method::GET, "livez", StatusCode::FORBIDDEN),
        ("operator", Method::POST, "v1/reload", StatusCode::OK),
    ] {
        let (found, answer) = site.ask_as(who, method.clone(), path, None).await;
        assert_eq!(found, status, "{who}: {method} {path}: {answer}");
    }
    let denied = site
        .recorded("denied", |record| record["identity"] == "cn:vera")
        .await;
    assert!(
        denied["call"].as_str().expect("a call").contains("/v1/"),
        "{denied}"
    );
    let done = site.recorded("reloaded", |_| true).await;
    assert_eq!(done["actor"]["name"], "cn:operator");
}

#[tokio::test]
async fn balancers_need_no_certificate_and_see_no_details() {
    let site = Site::start(Setup {
        admin: ROLES,
        ..Setup::default()
    })
    .await;
    let health = site.health.expect("it listens");
    site.ready(true).await;
    assert_eq!(
        plain(health, "livez").await,
        (StatusCode::OK, json!({ "live": true }))
    );
    let ready = json!({ "ready": true, "parts": [] });
    assert_eq!(plain(health, "readyz").await, (StatusCode::OK, ready));
    for path in ["metrics", "v1/groups", "v1/log", ""] {
        assert_eq!(plain(health, path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_gateway_without_a_token_lives_and_is_not_ready_and_says_why() {
    let mut site = Site::start(Setup {
        admin: ROLES,
        ..Setup::default()
    })
    .await;
    site.terminate().await;
    fs::write(site.folder().join("pin"), "wrong").expect("written");
    site.restart().await;
    let health = site.health.expect("it listens");
    let began = Instant::now();
    loop {
        let (status, answer) = plain(health, "readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer, json!({ "ready": false, "parts": ["token"] }));
        let told = site.ready(false).await;
        if told["why"].as_str().is_some_and(|why| why.contains("PIN")) {
            assert_eq!(told["reasons"][0]["part"], "token");
            break;
        }
        assert!(began.elapsed() < SOON, "still: {told}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // It must not be restarted for that: members that it has are served.
    assert_eq!(plain(health, "livez").await.0, StatusCode::OK);
}
