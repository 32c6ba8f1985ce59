//! Two tokens that hold the same keys by ceremony: one is enough, none is missed, and one that recovers is used again.

use std::time::{Duration, Instant};

use serde_json::json;
use wardcast::admin::api::{TokenState, TokenView};

use crate::rotation::token;
use crate::support::members::{Ledger, Member};
use crate::support::{GROUP, SOON, Setup, Site, Token};

/// Waits for the tokens to be in these states.
async fn are(site: &Site, wanted: [TokenState; 2]) -> TokenView {
    let began = Instant::now();
    loop {
        let view = token(site).await;
        let states: Vec<TokenState> = view.tokens.iter().map(|token| token.state).collect();
        if states == wanted {
            return view;
        }
        assert!(began.elapsed() < SOON, "wanted {wanted:?}: {view:#?}");
        // Trouble is noticed by whoever calls: something has to be asked for.
        site.rotate(GROUP).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_fails_is_not_missed_and_comes_back() {
    let site = Site::start(Setup {
        token: Token::Shim,
        replicas: "[{ path = \"second\", pin_file = \"pin\" }]",
        ..Setup::default()
    })
    .await;
    let shim = site.shim();
    site.ready(true).await;
    site.create(GROUP, json!({})).await;
    let ledger = Ledger::default();
    let anna = Member::join(&site, "anna", &ledger).await;
    let bert = Member::join(&site, "bert", &ledger).await;
    use TokenState::{Unusable, Usable};
    let view = are(&site, [Usable, Usable]).await;
    assert_eq!(view.tokens[0].masters, view.tokens[1].masters);

    for round in 0..3 {
        // CKR_DEVICE_REMOVED, whatever is asked of it.
        shim.set(&["* rv=0x32"]);
        are(&site, [Unusable, Usable]).await;
        let late = Member::join(&site, &format!("late-{round}"), &ledger).await;
        site.evict(GROUP, late.id()).await;
        site.rotate(GROUP).await;
        let epoch = site.group(GROUP).await.epoch;
        anna.holds(epoch).await;
        bert.holds(epoch).await;
        shim.set(&[]);
        are(&site, [Usable, Usable]).await;
    }
    site.rotate(GROUP).await;
    let epoch = site.group(GROUP).await.epoch;
    anna.holds(epoch).await;
    bert.holds(epoch).await;
    // Whichever of them made it, an epoch has one key.
    ledger.check();
}
