//! The store is killed while 200 members join, leave and are evicted: nothing is lost, and nothing is there twice.
//!
//! `WARDCAST_TEST_OUTAGE_S` says for how long it is away.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;
use wardcast::audit::{Event, verify};
use wardcast::member::JoinError;

use crate::support::members::{Ledger, Member};
use crate::support::{GROUP, Site};
use crate::upstream::{PATIENCE, Upstream, audit, check_all, drained, until};

/// How long the store is away unless told otherwise, in seconds.
const OUTAGE_S: u64 = 20;
const MEMBERS: usize = 200;
/// Joins that are under way at a time.
const AT_ONCE: usize = 8;

/// Members of these numbers, who join a few at a time.
async fn join(site: &Site, ledger: &Ledger, numbers: std::ops::Range<usize>) -> Vec<Member> {
    let mut joined = Vec::new();
    let mut joining: JoinSet<Result<Member, JoinError>> = JoinSet::new();
    let mut numbers = numbers;
    loop {
        while joining.len() < AT_ONCE
            && let Some(number) = numbers.next()
        {
            let name = format!("member-{number}");
            let (client, ledger) = (site.client(&name), ledger.clone());
            joining.spawn(async move { Member::try_join(client, &name, &ledger).await });
        }
        match joining.join_next().await {
            Some(member) => joined.push(member.expect("no panic").expect("it joins")),
            None => return joined,
        }
    }
}

/// Some leave and some are evicted.
async fn part(site: &Site, members: &mut Vec<Member>, leave: usize, evict: usize) {
    for member in members.drain(..leave) {
        member.leave().await.expect("it may leave");
    }
    for member in members.drain(..evict) {
        site.evict(GROUP, member.id()).await;
        member
            .until("is told", |record| record.ended.is_some())
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_for_a_time_is_told_all_in_order_and_nothing_twice() {
    let set = std::env::var("WARDCAST_TEST_OUTAGE_S").ok();
    let outage = set.map_or(OUTAGE_S, |text| text.parse().expect("a number"));
    let outage = Duration::from_secs(outage);
    let mut upstream = Upstream::start();
    let mut site = upstream.site().await;
    site.create(GROUP, json!({})).await;
    let ledger = Ledger::default();
    let mut members = join(&site, &ledger, 0..MEMBERS / 4).await;
    drained(&site).await;
    upstream.store.kill();
    let began = Instant::now();
    let down = until(&site, "it is lost", |view| view["state"] == "down").await;
    assert!(
        down["why"].as_str().is_some_and(|why| !why.is_empty()),
        "{down}"
    );
    let ready = site.ready(true).await;
    let says = ready["upstream"].as_str().expect("readyz tells it");
    assert!(says.contains("has been out of reach for"), "{says}");
    // The rest joins while it is away, and half of all go.
    members.extend(join(&site, &ledger, MEMBERS / 4..MEMBERS * 3 / 4).await);
    part(&site, &mut members, 30, 20).await;
    members.extend(join(&site, &ledger, MEMBERS * 3 / 4..MEMBERS).await);
    part(&site, &mut members, 30, 20).await;
    while began.elapsed() < outage {
        site.admin(Method::POST, &format!("/{GROUP}/rotate"), None)
            .await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let behind = until(&site, "it is behind", |view| {
        let sink = audit(view);
        let number = |key: &str| sink[key].as_u64().unwrap_or_default();
        view["state"] == "down" && number("lag_records") > 400 && number("lag_seconds") > 2
    })
    .await;
    let shown = Instant::now();
    while site.counter("wardcast_relay_lag_records").await <= 400 {
        assert!(shown.elapsed() < PATIENCE, "it is shown once a second");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(site.counter("wardcast_upstream_up").await, 0);
    let away = began.elapsed();
    upstream.store.restart();
    let back = Instant::now();
    drained(&site).await;
    let drained_after = back.elapsed();
    site.rotate(GROUP).await;
    let newest = site.group(GROUP).await.epoch;
    for member in &members {
        member.holds(newest).await;
    }
    ledger.check();
    assert!(site.terminate().await.success());
    let (records, batches) = check_all(&upstream, &site).await;
    let (mut lost, mut outages) = (0, Vec::new());
    let folder = site.folder().join("audit");
    let whole = verify(&folder, |record, _| match &record.entry.event {
        Event::UpstreamLost { .. } => lost += 1,
        Event::UpstreamBack { down_s } => outages.push(*down_s),
        _ => {}
    });
    whole.expect("is whole");
    // A store that is slow on a busy machine may be missed once more.
    assert_eq!(lost, outages.len());
    let longest = outages.into_iter().max().unwrap_or_default();
    assert!(longest + 2 >= away.as_secs(), "{longest} s of {away:?}");
    println!(
        "away for {away:?}: {} records behind; all there {drained_after:?} after it was back: {records} records in {batches} batches",
        audit(&behind)["lag_records"]
    );
}
