//! What the client counts.

use metrics_exporter_prometheus::PrometheusBuilder;
use wardcast::kmip::client::{Locate, Options, Version};
use wardcast::kmip::codec::{Item, values};

use crate::stub::{Reaction, Stub, operations, success};
use crate::{Site, hasty, opaque};

#[tokio::test]
async fn requests_failures_and_rests_are_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    // All of this test is on one thread.
    let _guard = metrics::set_default_local_recorder(&recorder);
    let site = Site::new();
    let stub = Stub::start(&site, |request: &Item| match operations(request)[..] {
        [values::Operation::Register] => Reaction::Close,
        _ => Reaction::Answer(success(request)),
    });
    let stub = stub.await;
    let options = Options {
        versions: Version::V2_1..=Version::V2_1,
        failures: 2,
        ..hasty()
    };
    let client = site.client(&[&stub.url()], options);
    client.call(&Locate::default()).await.expect("located");
    let shown = handle.render();
    assert!(shown.contains("wardcast_upstream_connections 1"), "{shown}");
    for _ in 0..2 {
        client.call(&opaque("a", b"x")).await.expect_err("lost");
    }
    client.call(&opaque("a", b"x")).await.expect_err("it rests");
    let shown = handle.render();
    let address = stub.url();
    for line in [
        "wardcast_upstream_requests_total 4",
        "wardcast_upstream_failures_total{kind=\"unknown\"} 2",
        "wardcast_upstream_failures_total{kind=\"resting\"} 1",
        "wardcast_upstream_connections 0",
        "wardcast_upstream_seconds_count 4",
        &format!("wardcast_upstream_resting{{address=\"{address}\"}} 1"),
    ] {
        assert!(
            shown.lines().any(|shown| shown == line),
            "no {line} in\n{shown}"
        );
    }
}
