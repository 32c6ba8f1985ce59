//! The audit trail at a stand-in of Splunk's HTTP Event Collector that acknowledges late, forgets, is busy, and dies.

use serde_json::Value;

use crate::collector::{Collector, Mood, TOKEN};
use crate::support::{Setup, Site};
use crate::{check_order, life, until, wait};

pub(crate) fn config(collector: &Collector, more: &str) -> String {
    let (url, ca, token) = (collector.url(), collector.ca(), collector.token());
    format!(
        "[siem.splunk]\nurl = {url:?}\nca = {ca:?}\ntoken_file = {token:?}\nindex = \"audit\"\nack_s = 3\n{more}\n"
    )
}

fn cursor(site: &Site) -> u64 {
    let file = site.folder().join("audit/relay-splunk.json");
    let text = std::fs::read_to_string(file).expect("a cursor");
    let cursor: Value = serde_json::from_str(&text).expect("JSON");
    cursor["sequence"].as_u64().expect("a number")
}

fn sequences(collector: &Collector) -> Vec<u64> {
    collector.sequences(|event| &event["event"]["sequence"])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cursor_moves_with_acknowledgements_alone_and_every_record_is_indexed() {
    let mut collector = Collector::start().await;
    // Another sink that is down holds this one up by nothing.
    let more = config(&collector, "") + "[siem.ocsf]\nurl = \"https://localhost:1/\"\n";
    let setup = Setup {
        more: &more,
        log: "debug",
        ..Setup::default()
    };
    let mut site = Site::start(setup).await;
    life(&site, "one").await;
    until(&site, "splunk", |view| view["lag_records"] == 0).await;
    check_order(sequences(&collector), site.audit().len() as u64);

    // It takes what comes and acknowledges none of it.
    collector.store().mood = Mood::Forgets;
    let before = cursor(&site);
    life(&site, "two").await;
    let requests = collector.store().requests;
    wait("it is posted again", || {
        collector.store().requests > requests + 2
    })
    .await;
    assert_eq!(cursor(&site), before, "nothing was acknowledged");
    let view = until(&site, "splunk", |view| view["failures"].as_u64() > Some(1)).await;
    assert!(
        view["error"]
            .as_str()
            .expect("why")
            .contains("acknowledged"),
        "{view}"
    );

    // It dies with what it has in memory.
    collector.kill().await;
    life(&site, "three").await;
    collector.store().mood = Mood::Refuses(503);
    collector.restart().await;
    let requests = collector.store().requests;
    wait("it is asked", || collector.store().requests > requests).await;
    site.kill();
    site.restart().await;
    collector.store().mood = Mood::Good;
    until(&site, "splunk", |view| view["lag_records"] == 0).await;
    assert!(until(&site, "ocsf", |_| true).await["lag_records"].as_u64() > Some(20));
    assert!(site.terminate().await.success());
    let last = site.audit().len() as u64;
    assert_eq!(cursor(&site), last);
    check_order(sequences(&collector), last);
    let store = collector.store();
    let event = &store.taken[0];
    assert_eq!(event["sourcetype"], "wardcast:audit");
    assert_eq!(event["index"], "audit");
    assert_eq!(event["event"]["event"], "started");
    assert_eq!(event["event"]["hash"].as_str().map(str::len), Some(64));
    assert!(event["time"].as_f64() > Some(1.0e9));
    assert!(!site.log_text().contains(TOKEN));
}
