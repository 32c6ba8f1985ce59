//! While the store is away: who is admitted is up to the policy's `outage_s`; nobody loses anything.

use std::time::Instant;

use serde_json::json;
use wardcast::audit::{Event, verify};
use wardcast::group::ids::Epoch;
use wardcast::group::wire::{RefusalCode, Request, Response};

use crate::support::members::{Ledger, Member};
use crate::support::{GROUP, Site, raw};
use crate::upstream::{PATIENCE, Upstream, check_all, drained, until};

/// Asks to join until that is answered as wanted.
async fn until_join(site: &Site, name: &str, granted: bool) -> Response {
    let began = Instant::now();
    loop {
        let connection = raw::connect(site, name).await.expect("a connection");
        let answer = raw::ask(&connection, &Request::Join(raw::join(GROUP))).await;
        if matches!(answer, Response::Granted(_)) == granted {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "still {answer:?}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

fn is_refused(answer: &Response) {
    let Response::Refused(refusal) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(refusal.code, RefusalCode::Outage);
    assert!(refusal.retry_after_ms.is_some(), "{refusal:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_are_refused_after_a_time_and_members_keep_all() {
    let mut upstream = Upstream::start();
    let mut site = upstream.site().await;
    until(&site, "it is up", |view| view["state"] == "up").await;
    site.create(GROUP, json!({ "outage_s": 2 })).await;
    site.create("lasting", json!({})).await;
    let ledger = Ledger::default();
    let anna = Member::join(&site, "anna", &ledger).await;
    let bert = Member::join(&site, "bert", &ledger).await;
    anna.holds(Epoch(1)).await;
    upstream.store.kill();
    is_refused(&until_join(&site, "carl", false).await);
    // A group whose policy is more patient goes on, and so is the gateway ready.
    let ready = site.ready(true).await;
    assert!(ready["upstream"].is_string(), "{ready}");
    let dora = raw::connect(&site, "dora").await.expect("a connection");
    let join = Request::Join(raw::join("lasting"));
    assert!(matches!(raw::ask(&dora, &join).await, Response::Granted(_)));
    // Whoever is in comes back, is rekeyed, and can be evicted.
    let anna = anna.resume(&site, &ledger).await;
    site.rotate(GROUP).await;
    let newest = site.group(GROUP).await.epoch;
    anna.holds(newest).await;
    site.evict(GROUP, bert.id()).await;
    bert.until("is told", |record| record.ended.is_some()).await;
    // An outage is as long after a restart.
    site.kill();
    site.restart().await;
    let connection = raw::connect(&site, "carl").await.expect("a connection");
    let answer = raw::ask(&connection, &Request::Join(raw::join(GROUP))).await;
    is_refused(&answer);
    anna.holds(site.group(GROUP).await.epoch).await;
    upstream.store.restart();
    until_join(&site, "carl", true).await;
    drained(&site).await;
    assert!(site.terminate().await.success());
    ledger.check();
    let rule = "the key store upstream has been out of reach for longer than outage_s = 2";
    let mut refused = 0;
    let whole = verify(&site.folder().join("audit"), |record, _| {
        if let Event::Refused { why, .. } = &record.entry.event {
            assert_eq!(why, rule);
            refused += 1;
        }
    });
    whole.expect("is whole");
    assert!(refused >= 2, "once in each life");
    check_all(&upstream, &site).await;
}
