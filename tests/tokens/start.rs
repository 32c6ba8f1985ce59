//! A gateway starts without its token, says that it is not ready, and is once the token answers.

use std::time::{Duration, Instant};

use serde_json::json;
use wardcast::admin::api::TokenState;
use wardcast::member::JoinError;

use crate::rotation::token;
use crate::support::members::{Ledger, Member};
use crate::support::{GROUP, SOON, Setup, Site, Token};

/// Waits until no token is.
async fn unusable(site: &Site) {
    let began = Instant::now();
    while token(site).await.state != TokenState::Unusable {
        assert!(began.elapsed() < SOON, "the token is not missed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_starts_without_its_token_and_serves_once_it_is_there() {
    for token in [Token::Soft, Token::SoftHsm] {
        let mut site = Site::start(Setup {
            token,
            ..Setup::default()
        })
        .await;
        site.ready(true).await;
        site.create(GROUP, json!({})).await;
        let ledger = Ledger::default();
        let anna = Member::join(&site, "anna", &ledger).await;
        anna.holds(site.group(GROUP).await.epoch).await;
        assert!(site.terminate().await.success());

        // The PIN is gone: whoever holds keys keeps them, and nobody is admitted.
        let pin = site.folder().join("pin");
        let away = site.folder().join("away");
        std::fs::rename(&pin, &away).expect("moved");
        site.restart().await;
        unusable(&site).await;
        let why = site.ready(false).await;
        let why = why["why"].as_str().expect("a reason");
        assert!(why.contains("pin"), "{why}");
        assert_eq!(site.group(GROUP).await.members, 1);
        let mut options = site.options("bert");
        options.patience = Duration::from_millis(300);
        let client = wardcast::member::Client::new(options).expect("a client");
        let joined = Member::try_join(client, "bert", &ledger).await;
        assert!(
            !matches!(joined, Err(JoinError::Refused(ref refusal)) if !refusal.code.passes()),
            "trouble that passes is told as such"
        );
        assert!(joined.is_err(), "nobody is admitted");

        std::fs::rename(&away, &pin).expect("moved back");
        site.ready(true).await;
        let cleo = Member::join(&site, "cleo", &ledger).await;
        cleo.holds(site.group(GROUP).await.epoch).await;
        site.rotate(GROUP).await;
        let epoch = site.group(GROUP).await.epoch;
        anna.holds(epoch).await;
        cleo.holds(epoch).await;
        ledger.check();
    }
}
