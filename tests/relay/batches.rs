//! Batches in the store: read back and verified; and whatever somebody does to them there is named.

use std::time::{Duration, Instant};

use serde_json::json;
use wardcast::group::ids::Epoch;
use wardcast::kmip::client::{
    Attribute, Client, Destroy, Get, Locate, Object, OpaqueObject, Register,
};

use crate::support::members::{Ledger, Member};
use crate::support::{GROUP, Site};
use crate::upstream::{PATIENCE, Upstream, audit, check_all, drained, fetch, shown};

/// Makes up some batches; their names, in order, with the identifiers of their objects.
async fn batches(site: &Site, upstream: &Upstream) -> Vec<(String, String)> {
    let ledger = Ledger::default();
    site.create(GROUP, json!({})).await;
    for name in ["anna", "bert", "carl"] {
        let member = Member::join(site, name, &ledger).await;
        member.holds(Epoch(1)).await;
        drained(site).await;
    }
    let client = upstream.client();
    let mut named = Vec::new();
    for unique_identifier in upstream.batches().await {
        let asked = wardcast::kmip::client::GetAttributes {
            unique_identifier: unique_identifier.clone(),
            names: Vec::new(),
        };
        let attributes = client.call(&asked).await.expect("attributes");
        let mut texts = attributes.iter().filter_map(Attribute::text);
        let name = texts.find(|text| text.starts_with("gw.audit."));
        named.push((name.expect("a name").to_owned(), unique_identifier));
    }
    named.sort();
    named
}

async fn content(client: &Client, unique_identifier: &str) -> Vec<u8> {
    let unique_identifier = unique_identifier.to_owned();
    let got = client.call(&Get { unique_identifier }).await.expect("got");
    match got.object {
        Object::Opaque(object) => object.value.as_bytes().to_vec(),
        other => panic!("{other:?}"),
    }
}

async fn register(client: &Client, name: &str, content: &[u8]) -> String {
    let register = Register {
        object: Object::Opaque(OpaqueObject {
            kind: 0x8000_0000,
            value: content.into(),
        }),
        attributes: vec![Attribute::name(name), Attribute::object_group("gw.audit")],
    };
    client.call(&register).await.expect("registered")
}

async fn destroy(client: &Client, unique_identifier: &str) {
    let unique_identifier = unique_identifier.to_owned();
    let destroyed = client.call(&Destroy { unique_identifier }).await;
    destroyed.expect("destroyed");
}

/// What `audit fetch` complains of.
async fn complaint(site: &Site) -> String {
    let output = fetch(site, &[]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_read_back_and_what_was_done_to_them_is_named() {
    let upstream = Upstream::start();
    let mut site = upstream.site().await;
    let named = batches(&site, &upstream).await;
    assert!(named.len() >= 3, "{named:?}");
    let view = shown(&site).await;
    assert_eq!(
        (&view["state"], &view["version"]),
        (&json!("up"), &json!("2.0"))
    );
    assert!(audit(&view)["batches"].as_u64().expect("a number") >= 3);
    assert_eq!(site.counter("wardcast_upstream_up").await, 1);
    let began = Instant::now();
    while site.counter("wardcast_relay_lag_records").await != 0 {
        assert!(began.elapsed() < PATIENCE, "it is shown once a second");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(site.counter("wardcast_relay_batches_total").await >= 3);
    assert!(site.terminate().await.success());
    let (records, count) = check_all(&upstream, &site).await;
    assert!(count > named.len(), "what was there at the stop as well");
    println!("{records} records in {count} batches");
    // Somebody does things to one in the midst of them.
    let client = upstream.client();
    let (name, identifier) = &named[1];
    let good = content(&client, identifier).await;
    let twice = register(&client, name, &good).await;
    let says = complaint(&site).await;
    assert!(
        says.contains("repeats records") && says.contains(name),
        "{says}"
    );
    destroy(&client, &twice).await;
    destroy(&client, identifier).await;
    let says = complaint(&site).await;
    assert!(says.contains("are missing"), "{says}");
    let mut changed = good.clone();
    let time = b"\"time\":\"2";
    let at = changed.windows(time.len()).rposition(|bytes| bytes == time);
    changed[at.expect("a record") + time.len() - 1] = b'3';
    let forged = register(&client, name, &changed).await;
    let says = complaint(&site).await;
    assert!(says.contains(name.as_str()), "{says}");
    destroy(&client, &forged).await;
    // Under another batch's name.
    let other = content(&client, &named[0].1).await;
    let moved = register(&client, name, &other).await;
    let says = complaint(&site).await;
    assert!(says.contains("is not the one that its name"), "{says}");
    destroy(&client, &moved).await;
    register(&client, name, &good).await;
    check_all(&upstream, &site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_of_a_batch_is_loud_and_never_skipped() {
    let upstream = Upstream::start();
    let mut site = upstream.site().await;
    site.create(GROUP, json!({})).await;
    drained(&site).await;
    site.kill();
    // The trail goes on, and its next batch was begun as far as the gateway knows; something else has its name.
    let path = site.folder().join("audit/relay-audit.json");
    let text = std::fs::read_to_string(&path).expect("a cursor");
    let mut cursor: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let next = cursor["sequence"].as_u64().expect("a number") + 1;
    cursor["begun"] = json!({ "first": next, "last": next });
    std::fs::write(&path, cursor.to_string()).expect("written");
    let client = upstream.client();
    let name = format!("gw.audit.{next:020}-{next:020}");
    let stranger = register(&client, &name, b"not a batch").await;
    site.restart().await;
    let view = crate::upstream::until(&site, "it is refused", |view| {
        audit(view)["failures"]
            .as_u64()
            .is_some_and(|failures| failures > 1)
    })
    .await;
    let error = audit(&view)["error"].as_str().expect("an error").to_owned();
    assert!(error.contains("something else under the name"), "{error}");
    let ready = site.ready(true).await;
    let says = ready["upstream"].as_str().expect("says so");
    assert!(says.contains(&error), "{says}");
    assert!(site.counter("wardcast_relay_failures_total").await > 1);
    destroy(&client, &stranger).await;
    drained(&site).await;
    let located = Locate {
        attributes: vec![Attribute::name(&name)],
        ..Locate::default()
    };
    let located = client.call(&located).await.expect("located");
    assert_eq!(located.unique_identifiers.len(), 1, "as it was begun");
    assert!(site.terminate().await.success());
    check_all(&upstream, &site).await;
}
