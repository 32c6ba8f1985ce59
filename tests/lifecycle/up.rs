//! Up: what becomes of a group is upstream, once each.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use wardcast::group::ids::Epoch;

use super::Upstream;
use crate::support::members::{Ledger, Member};
use crate::support::{GROUP, SOON, Site};

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_while_the_store_is_down_is_there_once_it_is_back() {
    let mut upstream = Upstream::start();
    let mut site = upstream.site().await;
    site.create(GROUP, json!({})).await;
    let ledger = Ledger::default();
    let anna = Member::join(&site, "anna", &ledger).await;
    let id = site.group(GROUP).await.id;
    let group = format!("test.group.{id}");
    let key = |generation: u32| format!("test.key.{id}.1.1-{generation}");
    upstream.active(&[&group, &key(1)]).await;
    upstream.server.kill();
    for _ in 0..3 {
        site.rotate(GROUP).await;
    }
    anna.holds(Epoch(4)).await;
    site.kill();
    site.restart().await;
    site.rotate(GROUP).await;
    upstream.server.restart();
    upstream.active(&[&group, &key(5)]).await;
    assert_eq!(upstream.server.logged("Registered a SecretData"), 1 + 5);
    assert!(site.terminate().await.success());
}

/// The newest record that the life cycle has taken, as far as its cursor knows.
fn taken(site: &Site) -> Option<u64> {
    let cursor = site.folder().join("audit/relay-lifecycle.json");
    let cursor = std::fs::read_to_string(cursor).ok()?;
    let cursor: serde_json::Value = serde_json::from_str(&cursor).ok()?;
    cursor["sequence"].as_u64()
}

/// Rotations in the test with kills, at least.
const ROTATIONS: u32 = 24;

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_upstream_from_its_creation_to_its_end() {
    let upstream = Upstream::start();
    let mut site = upstream.site().await;
    site.create(GROUP, json!({})).await;
    let id = site.group(GROUP).await.id;
    let group = format!("test.group.{id}");
    let key = |which: &str| format!("test.key.{id}.1.{which}");
    upstream.active(&[&group]).await;
    let ledger = Ledger::default();
    let anna = Member::join(&site, "anna", &ledger).await;
    let first = key("1-1");
    let before = upstream.active(&[&group, &first]).await;
    // He comes with a step of the ratchet, and goes with a new generation.
    let bert = Member::join(&site, "bert", &ledger).await;
    site.evict(GROUP, bert.id()).await;
    anna.holds(Epoch(3)).await;
    let second = key("1-2");
    let after = upstream.active(&[&group, &second]).await;
    assert_eq!(before[&group], after[&group]);
    site.admin(Method::DELETE, &format!("/{GROUP}"), None).await;
    upstream.active(&[]).await;
    assert_eq!(upstream.server.logged("Registered a SecretData"), 3);
    assert!(site.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_the_gateway_lose_nothing_and_repeat_nothing() {
    let upstream = Upstream::start();
    let mut site = upstream.site().await;
    site.create(
        GROUP,
        json!({ "batch_interval_ms": 0, "activation_delay_ms": 0 }),
    )
    .await;
    let ledger = Ledger::default();
    let anna = Member::join(&site, "anna", &ledger).await;
    let mut rotations = ROTATIONS;
    for rotation in 0..ROTATIONS {
        site.rotate(GROUP).await;
        if rotation % 4 == 3 {
            // After a kill it is waited for what may be on its way: every other life goes on until that is over, and something
            // was taken.
            if rotation % 8 == 3 {
                let before = taken(&site);
                let began = Instant::now();
                while taken(&site) <= before.max(Some(0)) {
                    assert!(began.elapsed() < SOON * 2, "nothing is taken");
                    site.rotate(GROUP).await;
                    rotations += 1;
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
            }
            // Somewhere between two answers of the store.
            tokio::time::sleep(Duration::from_millis(u64::from(rotation) * 17)).await;
            site.kill();
            site.restart().await;
        }
    }
    let id = site.group(GROUP).await.id;
    let group = format!("test.group.{id}");
    let last = format!("test.key.{id}.1.1-{}", rotations + 1);
    upstream.active(&[&group, &last]).await;
    let registered = upstream.server.logged("Registered a SecretData");
    assert_eq!(registered, 1 + 1 + rotations as usize, "each once");
    anna.holds(Epoch(u64::from(rotations) + 1)).await;
    assert!(site.terminate().await.success());
}
