//! Identifiers leave as hashes where that is configured, and can be looked up; the trail keeps them in clear.

use std::process::Command;

use serde_json::Value;

use crate::collector::Collector;
use crate::rsyslog::Rsyslog;
use crate::support::{Setup, Site};
use crate::{life, ocsf, splunk, until, wait};
use wardcast::pki::Authority;

/// Names that stand in nothing else.
const GROUP: &str = "zanzibar";
const NAMES: [&str; 4] = [GROUP, "alice", "mallory", "cn:operator"];

fn hash(key: &std::path::Path, identifier: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_wardcast"))
        .args(["audit", "hash", "--key-file"])
        .arg(key)
        .arg(identifier)
        .output()
        .expect("it runs");
    let says = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{says}");
    let text = String::from_utf8(output.stdout).expect("text");
    text.trim_end().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_leaves_and_each_can_be_looked_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key");
    std::fs::write(&key, [7; 32]).expect("written");
    let (events, splunks) = (Collector::start().await, Collector::start().await);
    let authority = Authority::new("logs'").expect("an authority");
    let server = Rsyslog::start(&authority, "localhost");
    let hashed = "hash_identifiers = true";
    let more = format!("[siem]\nidentifier_key_file = {key:?}\n")
        + &ocsf::config(&events, hashed)
        + &splunk::config(&splunks, hashed)
        + &server.config(hashed);
    let setup = Setup {
        more: &more,
        environment: &[("WARDCAST_LISTEN__DRAIN_S", "60")],
        ..Setup::default()
    };
    let mut site = Site::start(setup).await;
    life(&site, GROUP).await;
    for sink in ["ocsf", "splunk", "syslog"] {
        until(&site, sink, |view| view["lag_records"] == 0).await;
    }
    assert!(site.terminate().await.success());
    let trail = site.audit();
    wait("all is written", || server.records() == trail.len()).await;

    let told = [
        Value::from(events.store().taken.clone()).to_string(),
        Value::from(splunks.store().taken.clone()).to_string(),
        format!("{:?}", server.messages()),
    ];
    let clear = Value::from(trail).to_string();
    for name in NAMES {
        assert!(clear.contains(name), "the trail has {name} in clear");
        for told in &told {
            assert!(!told.contains(name), "{name} left: {told}");
        }
    }
    for name in ["cn:alice", "cn:mallory", "cn:operator", GROUP] {
        let hash = hash(&key, name);
        assert!(hash.starts_with("h:") && hash.len() == 34, "{hash}");
        for told in &told {
            assert!(told.contains(&hash), "{name}, {hash}: {told}");
        }
    }
}
