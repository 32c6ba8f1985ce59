//! A group moves to suite 2 and back and its members with it, on a token of PKCS#11 3.2 and on the software token; where the
//! token does not have it, it stays.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::rotation::token;
use crate::support::members::{Ledger, Member};
use crate::support::{GROUP, Setup, Site, Token};

async fn roll_over(site: &Site, suite: u32) -> StatusCode {
    let path = format!("/{GROUP}/rollover");
    let asked = site
        .try_admin(Method::POST, &path, Some(json!({ "suite": suite })))
        .await;
    asked.expect("the gateway answers").0
}

async fn a_group_moves_to_suite_2_and_back(kind: Token) {
    let site = Site::start(Setup {
        token: kind,
        ..Setup::default()
    })
    .await;
    site.ready(true).await;
    assert_eq!(token(&site).await.tokens[0].suites, [1, 2]);
    site.create(GROUP, json!({})).await;
    let ledger = Ledger::default();
    let anna = Member::join(&site, "anna", &ledger).await;
    let bert = Member::join(&site, "bert", &ledger).await;
    for suite in [2, 1, 2] {
        let before = site.group(GROUP).await.epoch;
        assert_eq!(roll_over(&site, suite).await, StatusCode::OK);
        assert_eq!(site.group(GROUP).await.keys.suite, suite);
        let late = Member::join(&site, &format!("late-{suite}"), &ledger).await;
        site.evict(GROUP, late.id()).await;
        site.rotate(GROUP).await;
        let epoch = site.group(GROUP).await.epoch;
        assert!(epoch > before);
        anna.holds(epoch).await;
        bert.holds(epoch).await;
        assert!(late.record().newest < epoch, "who was evicted is out");
    }
    ledger.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_changes_suites_on_the_soft_token() {
    a_group_moves_to_suite_2_and_back(Token::Soft).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_changes_suites_on_kryoptic() {
    a_group_moves_to_suite_2_and_back(Token::Kryoptic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_suite_2_says_so() {
    let site = Site::start(Setup {
        token: Token::SoftHsm,
        ..Setup::default()
    })
    .await;
    site.ready(true).await;
    assert_eq!(token(&site).await.tokens[0].suites, [1]);
    site.create(GROUP, json!({})).await;
    assert_eq!(roll_over(&site, 2).await, StatusCode::CONFLICT);
    assert_eq!(site.group(GROUP).await.keys.suite, 1);
}
