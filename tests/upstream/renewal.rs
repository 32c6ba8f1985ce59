//! Other credentials for a client while it is at work: who is seen by a stub, over HTTPS, and by PyKMIP.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use wardcast::kmip::client::{Client, Options, Query, Version};
use wardcast::kmip::codec::View;

use crate::pykmip::PyKmip;
use crate::store::{self, Store};
use crate::stub::{Reaction, Stub, success};
use crate::{Site, calm, endpoint, only, opaque};

const PATIENCE: Duration = Duration::from_secs(30);

async fn wait(what: &str, is: impl Fn() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn renew(client: &Client, site: &Site, name: &str) {
    let renewal = client.renewal(site.credentials(name), &site.trust());
    renewal.expect("it serves").take();
}

fn names(callers: &[String]) -> Vec<&str> {
    callers.iter().map(String::as_str).collect()
}

#[tokio::test]
async fn what_is_under_way_ends_as_it_began_and_all_else_shows_the_new_certificate() {
    let site = Site::new();
    let (asked, told) = (AtomicUsize::new(0), Arc::new(Notify::new()));
    let tell = told.clone();
    let stub = Stub::start(&site, move |request| {
        match asked.fetch_add(1, Ordering::Relaxed) {
            2 => Reaction::Told(told.clone(), success(request)),
            _ => Reaction::Answer(success(request)),
        }
    })
    .await;
    let client = site.client(&[&stub.url()], only(Version::V2_0));
    // Two at once, so that one connection is idle while the other is busy.
    let (one, other) = (opaque("one", b"1"), opaque("other", b"2"));
    let (one, other) = tokio::join!(client.call(&one), client.call(&other));
    assert!(one.is_ok() && other.is_ok());
    assert_eq!(stub.connections(), 2);
    let clone = client.clone();
    let busy = tokio::spawn(async move { clone.call(&opaque("third", b"3")).await });
    wait("it is under way", || stub.callers().len() == 3).await;
    renew(&client, &site, "successor");
    wait("the idle one is closed", || stub.connections() == 1).await;
    let fourth = client.call(&opaque("fourth", b"4")).await;
    fourth.expect("registered");
    tell.notify_one();
    busy.await.expect("no panic").expect("registered");
    wait("the busy one is closed", || stub.connections() == 1).await;
    let fifth = client.call(&opaque("fifth", b"5")).await;
    fifth.expect("registered");
    let (before, after) = ("cn:gateway", "cn:successor");
    let expected = [before, before, before, after, after];
    assert_eq!(names(&stub.callers()), expected);
    assert_eq!(stub.connections(), 1);
}

#[tokio::test]
async fn over_https_too() {
    let site = Site::new();
    let store = Arc::new(Store::default());
    let url = store::serve(&site, store.clone()).await;
    let endpoints = [endpoint(&url, View::Json)];
    let client = site.client_of("gateway", &endpoints, Options::default());
    client.call(&Query).await.expect("facts");
    client.call(&Query).await.expect("facts");
    renew(&client, &site, "successor");
    client.call(&Query).await.expect("facts");
    client.call(&Query).await.expect("facts");
    let callers = store.callers.lock().expect("no panic").clone();
    let callers: Vec<String> = callers.into_iter().map(|(name, _)| name).collect();
    // The first one asks for the version besides.
    let (before, after) = ("cn:gateway", "cn:successor");
    assert_eq!(names(&callers), [before, before, before, after, after]);
}

#[tokio::test]
async fn a_real_server_is_shown_the_new_certificate_by_whoever_calls_next() {
    let site = Site::new();
    let server = PyKmip::start(&site.authority);
    let client = site.client(&[&server.url()], calm());
    client.call(&Query).await.expect("facts");
    let seen = |name: &str| server.logged(&format!("Session client identity: {name}"));
    let before = seen("gateway");
    assert!(before > 0);
    renew(&client, &site, "successor");
    for _ in 0..3 {
        client.call(&Query).await.expect("facts");
    }
    // Its log is written by then: it writes before it answers.
    assert_eq!((seen("gateway"), seen("successor")), (before, 3));
}
