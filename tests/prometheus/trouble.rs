//! A token that hangs while somebody is evicted: what the alert looks at says so, until the eviction is delivered.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::members::{Ledger, Member};
use crate::support::{GROUP, SOON, Setup, Site};

const PENDING: &str = "wardcast_removal_oldest_pending_timestamp_seconds";

/// The token host of a gateway: its one child.
fn token_host(site: &Site) -> String {
    let tasks = fs::read_dir(format!("/proc/{}/task", site.pid())).expect("it runs");
    let children = tasks.map(|task| {
        let children = task.expect("a thread").path().join("children");
        fs::read_to_string(children).unwrap_or_default()
    });
    let children: String = children.collect();
    children.trim().to_owned()
}

fn signal(signal: &str, pid: &str) {
    let told = Command::new("kill").args([signal, pid]).status();
    assert!(told.expect("kill runs").success(), "kill {signal} {pid}");
}

/// Waits until the largest value of series that begin so is so.
pub(crate) async fn until(site: &Site, name: &str, is: impl Fn(f64) -> bool) {
    let began = Instant::now();
    loop {
        let (_, text) = site.metrics("text/plain").await;
        let own = text.lines().filter(|line| line.starts_with(name));
        let values = own.filter_map(|line| line.rsplit(' ').next()?.parse().ok());
        let most = values.fold(0.0, f64::max);
        if is(most) {
            return;
        }
        assert!(began.elapsed() < SOON, "{name} is still {most}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eviction_that_waits_for_the_token_is_shown_until_it_is_delivered() {
    let site = Site::start(Setup::default()).await;
    site.ready(true).await;
    site.create(GROUP, json!({})).await;
    let ledger = Ledger::default();
    let stays = Member::join(&site, "stays", &ledger).await;
    let evicted = Member::join(&site, "evicted", &ledger).await;
    until(&site, PENDING, |since| since == 0.0).await;
    let host = token_host(&site);
    signal("-STOP", &host);
    // It is on record without the token.
    site.evict(GROUP, evicted.id()).await;
    let newest = stays.record().newest;
    until(&site, PENDING, |since| since > 1e9).await;
    signal("-CONT", &host);
    until(&site, PENDING, |since| since == 0.0).await;
    stays
        .until("has new keys", |record| record.newest > newest)
        .await;
}
