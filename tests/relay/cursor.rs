//! A cursor that was lost, and another trail under the same name: nothing is sent twice with other ends, and nothing is mixed.

use reqwest::Method;
use serde_json::json;

use crate::support::{GROUP, Site};
use crate::upstream::{Upstream, audit, check_all, drained, until};

async fn rotated(site: &Site) {
    let rotate = format!("/{GROUP}/rotate");
    site.admin(Method::POST, &rotate, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_cursor_the_relay_goes_on_after_what_is_upstream() {
    let upstream = Upstream::start();
    let mut site = upstream.site().await;
    site.create(GROUP, json!({})).await;
    for _ in 0..3 {
        rotated(&site).await;
        drained(&site).await;
    }
    let batches = upstream.batches().await.len();
    assert!(batches >= 3, "{batches}");
    site.kill();
    let cursor = site.folder().join("audit/relay-audit.json");
    std::fs::remove_file(&cursor).expect("a cursor");
    site.restart().await;
    rotated(&site).await;
    drained(&site).await;
    assert!(site.terminate().await.success());
    let (records, after) = check_all(&upstream, &site).await;
    assert!(after > batches, "what is new was sent");
    println!("{records} records in {after} batches");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_trail_under_the_same_name_is_refused_and_says_what_to_do() {
    let upstream = Upstream::start();
    let mut first = upstream.site().await;
    first.create(GROUP, json!({})).await;
    drained(&first).await;
    assert!(first.terminate().await.success());
    let (_, batches) = check_all(&upstream, &first).await;
    let mut second = upstream.site().await;
    let view = until(&second, "it is refused", |view| {
        audit(view)["error"].is_string()
    })
    .await;
    let error = audit(&view)["error"].as_str().expect("an error");
    assert!(
        error.contains("another trail") && error.contains("set upstream.name"),
        "{error}"
    );
    let ready = second.ready(true).await;
    assert!(
        ready["upstream"].to_string().contains("set upstream.name"),
        "{ready}"
    );
    second.kill();
    let (_, after) = check_all(&upstream, &first).await;
    assert_eq!(after, batches, "the first one's is whole");
}
