//! `kill -9` of the gateway while much waits to be relayed, again and again, of the store too, and a store that stands still: all of it
//! arrives, and nothing twice.
//!
//! `WARDCAST_TEST_RELAY_KILLS` says how often, `WARDCAST_TEST_SEED` which times are drawn.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use wardcast::audit::{Audit, Entry, Event, Options};

use crate::support::GROUP;
use crate::upstream::{Upstream, audit, drained, end_and_check_all, until};

const KILLS: u64 = 20;
/// After so many kills of the gateway the store is killed as well.
const STORE_EVERY: u64 = 5;
/// How often it stands still, and for how long: longer than anybody waits for an answer.
const FREEZES: u64 = 4;
/// And more often, up to this, until a request was under way once as it did.
const MOST_FREEZES: u64 = 20;
const FROZEN: Duration = Duration::from_secs(6);
/// Records that are added to the trail before each life: several batches.
const RECORDS: usize = 1_500;
/// A life of the gateway is at most so long, in milliseconds, from the moment that it listens.
const LIFE_MS: u64 = 3_000;

fn number(variable: &str, default: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.map_or(default, |text| text.parse().expect("a number"))
}

/// xorshift64*.
fn below(state: &mut u64, bound: u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
}

/// Adds records to the trail of a gateway that does not run.
async fn fill(folder: &Path, life: u64) {
    let options = Options::new(folder.join("audit"), 1 << 30);
    let audit = Audit::open(&options).expect("nobody else has it open");
    let entry = |number: usize| {
        Entry::of_gateway(Event::TokenLost {
            why: format!("number {number} before life {life}"),
        })
    };
    audit.note((0..RECORDS).map(entry).collect()).await;
    drop(audit);
    // The thread that writes ends a moment later, and gives the folder free.
    let lock = std::fs::File::options()
        .write(true)
        .open(folder.join("audit/lock"));
    let lock = lock.expect("a lock");
    tokio::task::spawn_blocking(move || lock.lock().expect("is free"))
        .await
        .expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_again_and_again_relays_all_and_nothing_twice() {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
    let now = now.expect("a clock after 1970").as_nanos() as u64;
    let mut random = number("WARDCAST_TEST_SEED", now).max(1);
    println!("WARDCAST_TEST_SEED={random}");
    let mut upstream = Upstream::start();
    let mut site = upstream.site().await;
    site.create(GROUP, json!({})).await;
    let kills = number("WARDCAST_TEST_RELAY_KILLS", KILLS);
    let mut begun = 0;
    for life in 1..=kills {
        site.kill();
        let cursor = site.folder().join("audit/relay-audit.json");
        let cursor = std::fs::read_to_string(cursor).unwrap_or_default();
        begun += u64::from(cursor.contains("begun"));
        fill(site.folder(), life).await;
        site.restart().await;
        let rotate = format!("/{GROUP}/rotate");
        // Killed before it answers: it may have happened or not.
        let _ = site.try_admin(Method::POST, &rotate, None).await;
        let rest = Duration::from_millis(below(&mut random, LIFE_MS));
        tokio::time::sleep(rest).await;
        if life.is_multiple_of(STORE_EVERY) {
            upstream.store.kill();
            upstream.store.restart();
        }
    }
    let (records, batches) = end_and_check_all(&upstream, &mut site).await;
    assert!(records > kills * RECORDS as u64);
    println!(
        "{kills} kills, {begun} of them while a batch was under way: {records} records in {batches} batches"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_stands_still_does_late_what_it_was_asked_and_has_nothing_twice() {
    let upstream = Upstream::start();
    let mut site = upstream.site().await;
    site.create(GROUP, json!({})).await;
    let (mut unanswered, mut round) = (0, 0);
    while round < FREEZES || unanswered == 0 {
        round += 1;
        assert!(round <= MOST_FREEZES, "none was ever under way");
        assert!(site.terminate().await.success());
        fill(site.folder(), round).await;
        site.restart().await;
        let first = |view: &serde_json::Value| audit(view)["batches"].as_u64() > Some(0);
        until(&site, "it takes the first", first).await;
        // A request is on its way most of the time; it is answered too late, and done all the same.
        upstream.store.freeze(true);
        tokio::time::sleep(FROZEN).await;
        upstream.store.freeze(false);
        let view = drained(&site).await;
        unanswered += audit(&view)["failures"].as_u64().unwrap_or_default();
    }
    let (records, batches) = end_and_check_all(&upstream, &mut site).await;
    println!(
        "{round} times still, {unanswered} batches unanswered: {records} records in {batches} batches"
    );
}
