//! Bounds of connections, of waiting and of time.

use std::time::{Duration, Instant};

use wardcast::kmip::client::{ClientError, Locate, Options, SetupError, Version};

use crate::stub::{Reaction, Stub, success};
use crate::{Site, hasty, only};

const WHILE: Duration = Duration::from_millis(100);

fn slow(request: &wardcast::kmip::codec::Item) -> Reaction {
    Reaction::Later(WHILE, success(request))
}

#[tokio::test]
async fn no_more_connections_than_configured_are_open() {
    let site = Site::new();
    let stub = Stub::start(&site, slow).await;
    let options = Options {
        connections: 2,
        ..only(Version::V2_1)
    };
    let client = site.client(&[&stub.url()], options);
    let began = Instant::now();
    let calls = (0..6).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.call(&Locate::default()).await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.expect("no panic").expect("an answer");
    }
    assert!(began.elapsed() >= 3 * WHILE, "two at a time");
    assert_eq!(stub.most_connections(), 2);
    assert_eq!(stub.connections(), 2, "kept for others");
    drop(client);
    let began = Instant::now();
    while stub.connections() > 0 {
        assert!(began.elapsed() < Duration::from_secs(5), "still open");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn waiting_has_a_bound_and_an_end() {
    let site = Site::new();
    let stub = Stub::start(&site, |_| Reaction::Silence).await;
    let options = Options {
        versions: Version::V2_1..=Version::V2_1,
        connections: 1,
        waiting: 1,
        deadline: Duration::from_millis(400),
        attempt: Duration::from_millis(600),
        ..hasty()
    };
    let client = site.client(&[&stub.url()], options);
    let call = || {
        let client = client.clone();
        async move {
            tokio::spawn(async move { client.call(&Locate::default()).await })
                .await
                .expect("no panic")
        }
    };
    let first = call();
    let later = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        call().await
    };
    let last = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        call().await
    };
    let (first, later, last) = tokio::join!(first, later, last);
    assert!(
        matches!(first, Err(ClientError::Unreachable { .. })),
        "{first:?}"
    );
    // It got the connection when the first one's time was over, and had little left.
    assert!(
        matches!(
            later,
            Err(ClientError::Unreachable { .. } | ClientError::Queued { .. })
        ),
        "{later:?}"
    );
    assert_eq!(last, Err(ClientError::Busy { waiting: 1 }));
}

#[test]
fn a_client_without_an_address_is_none() {
    let site = Site::new();
    let made = wardcast::kmip::client::Client::new(
        &[],
        site.credentials("gateway"),
        &site.trust(),
        Options::default(),
    );
    assert!(matches!(made.err(), Some(SetupError::Addresses(0))));
}
