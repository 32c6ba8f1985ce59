//! The audit trail goes to a real rsyslog, and to stand-ins of an OCSF collector and of Splunk: all of it, in order, whatever is
//! killed meanwhile.

#[path = "../support/collector.rs"]
mod collector;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/venv.rs"]
mod venv;

mod hashes;
mod ocsf;
mod renewal;
mod rsyslog;
mod splunk;
mod syslog;

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use support::Site;

/// What waits for a sink waits for pauses as well, on a machine where much runs beside it.
const PATIENCE: Duration = Duration::from_secs(180);

/// How a sink is, as the gateway shows it.
async fn sink(site: &Site, name: &str) -> Value {
    let answer = site.try_root(Method::GET, "v1/siem", None).await;
    let (status, view) = answer.expect("the gateway answers");
    assert!(status.is_success(), "{status}: {view}");
    let mut sinks = view.as_array().expect("sinks").iter();
    let own = sinks.find(|sink| sink["name"] == name);
    own.unwrap_or_else(|| panic!("no {name}: {view}")).clone()
}

/// Waits until a sink is so.
async fn until(site: &Site, name: &str, is: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let view = sink(site, name).await;
        if is(&view) {
            return view;
        }
        assert!(began.elapsed() < PATIENCE, "still {view}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits for anything.
async fn wait(what: &str, is: impl Fn() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Puts something of every kind on record that a quiet gateway can be made to: a group's life, its member's, calls and refusals.
async fn life(site: &Site, group: &str) {
    site.create(group, json!({})).await;
    let refused = json!({ "quorum_percent": 101 });
    let path = format!("/{group}/policy");
    let answer = site.try_admin(Method::PUT, &path, Some(refused)).await;
    assert!(answer.expect("is answered").0.is_client_error());
    site.policy(
        group,
        json!({ "quorum_percent": 50, "admit": [{ "identity": "cn:alice", "roles": ["both"] }] }),
    )
    .await;
    let freeze = json!({ "reason": "a \"drill\" [1]\\" });
    site.admin(Method::POST, &format!("/{group}/freeze"), Some(freeze))
        .await;
    site.admin(Method::POST, &format!("/{group}/thaw"), None)
        .await;
    let client = site.client("alice");
    let joined = client.join(group, wardcast::group::ids::Role::Both).await;
    let joined = joined.expect("is admitted");
    let stranger = site.client("mallory");
    let refused = stranger.join(group, wardcast::group::ids::Role::Both).await;
    assert!(refused.is_err(), "is not admitted");
    site.rotate(group).await;
    drop(joined);
    let members = site
        .admin(Method::GET, &format!("/{group}/members"), None)
        .await;
    let member = members[0]["member"].as_u64().expect("a number");
    site.evict(group, wardcast::group::ids::MemberId(member))
        .await;
    site.admin(Method::DELETE, &format!("/{group}"), None).await;
}

/// That these are the numbers of all records up to the last, the first copies in order.
fn check_order(sequences: impl IntoIterator<Item = u64>, last: u64) {
    let mut next = 1;
    for sequence in sequences {
        assert!(
            sequence <= next,
            "record {next} is missing before {sequence}"
        );
        next = next.max(sequence + 1);
    }
    assert_eq!(next, last + 1, "up to the last");
}
