//! Master rotation with members at work: they get new keys, and what was derived from the old master is gone for good.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use wardcast::admin::api::TokenView;
use wardcast::audit::verify;

use crate::support::members::{Ledger, Member};
use crate::support::{GROUP, SOON, Setup, Site, Token};

pub(crate) async fn token(site: &Site) -> TokenView {
    let asked = site.try_root(Method::GET, "v1/token", None).await;
    let (status, answer) = asked.expect("the gateway answers");
    assert!(status.is_success(), "{status}: {answer}");
    serde_json::from_value(answer).expect("the tokens")
}

/// Rotates and waits for its end.
async fn rotate_master(site: &Site) -> TokenView {
    let body = json!({ "members_per_second": 1000 });
    let asked = site.try_root(Method::POST, "v1/token/rotate-master", Some(body));
    let (status, answer) = asked.await.expect("the gateway answers");
    assert!(status.is_success(), "{status}: {answer}");
    let began = Instant::now();
    loop {
        let view = token(site).await;
        let rotation = view.rotation.clone().expect("it began");
        if rotation.is_over() {
            assert_eq!(rotation.error, None);
            return view;
        }
        assert!(began.elapsed() < SOON, "still: {view:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_group_rolls_and_the_old_master_is_gone() {
    for kind in [Token::Soft, Token::SoftHsm] {
        let mut site = Site::start(Setup {
            token: kind,
            ..Setup::default()
        })
        .await;
        let names = ["first", GROUP, "third"];
        for name in names {
            site.create(name, json!({})).await;
        }
        let ledger = Ledger::default();
        let anna = Member::join(&site, "anna", &ledger).await;
        let bert = Member::join(&site, "bert", &ledger).await;
        let cleo = Member::join(&site, "cleo", &ledger).await;
        let before = site.group(GROUP).await.epoch;
        // Nobody is there for cleo while her leaf key is replaced.
        let away = cleo.go_away().await;

        let view = rotate_master(&site).await;
        assert_eq!(view.master, Some(2));
        assert_eq!(view.tokens[0].masters, [2]);
        let rotation = view.rotation.expect("it was");
        assert_eq!((rotation.groups, rotation.rolled), (3, 3));
        assert_eq!(rotation.destroyed, [1]);

        // Everybody has the new keys, without joining afresh.
        let rolled = site.group(GROUP).await.epoch;
        assert!(rolled > before);
        anna.holds(rolled).await;
        bert.holds(rolled).await;
        let cleo = away.come_back(&site, &ledger).await;
        cleo.holds(rolled).await;
        site.evict(GROUP, bert.id()).await;
        site.rotate(GROUP).await;
        let after = site.group(GROUP).await.epoch;
        anna.holds(after).await;
        cleo.holds(after).await;
        assert_eq!(site.group(GROUP).await.members, 2);

        // A restart finds the ring as it is now.
        assert!(site.terminate().await.success());
        site.restart().await;
        site.ready(true).await;
        site.rotate(GROUP).await;
        let restarted = site.group(GROUP).await.epoch;
        anna.holds(restarted).await;
        cleo.holds(restarted).await;
        assert_eq!(token(&site).await.tokens[0].masters, [2]);
        ledger.check();
        // The key that signs the trail is none of the ring's.
        assert!(site.terminate().await.success());
        let trail = verify(&site.folder().join("audit"), |_, _| {}).expect("is whole");
        assert_eq!(trail.signatures.issuers.len(), 1);
        assert_eq!(trail.signatures.up_to, Some(trail.last - 1));
    }
}
