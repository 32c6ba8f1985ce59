//! What a pool tells Prometheus.

use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;

use super::script::{Script, batch_of, call, eventually, lock, options, pool};
use crate::group::operations::Priority;
use crate::hsm::{ErrorClass, PoolOptions, PoolState};

#[tokio::test]
async fn counters_and_gauges_say_what_happened() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let rendered = recorder.handle();
    let scripts = [Script::new([]), Script::new([])];
    *lock(&scripts[1].opening_rule) = Some(call(ErrorClass::Elsewhere));
    // A short patience makes the watchdog look often.
    let options = PoolOptions {
        patience: Duration::from_secs(1),
        ..options(2)
    };
    let pool = metrics::with_local_recorder(&recorder, || {
        pool([scripts[0].lane("main"), scripts[1].lane("spare")], options)
    });
    let lanes = || pool.status().lanes;
    eventually("both lanes were probed", || {
        lanes().iter().all(|lane| lane.state != PoolState::Probing)
    })
    .await;
    assert!(pool.execute(Priority::Grant, batch_of(1, 7)).await.is_ok());
    let says = |line: &str| rendered.render().lines().any(|other| other == line);
    for line in [
        "wardcast_token_batches_total 1",
        "wardcast_token_wraps_total 7",
        "wardcast_token_calls_total 1",
        "wardcast_token_key_wraps_total 7",
        r#"wardcast_token_call_seconds_count{operation="rekey"} 1"#,
    ] {
        assert!(says(line), "{line} is not in\n{}", rendered.render());
    }
    for line in [
        r#"wardcast_token_lane_state{lane="main",state="usable"} 1"#,
        r#"wardcast_token_lane_state{lane="main",state="unusable"} 0"#,
        r#"wardcast_token_lane_state{lane="spare",state="unusable"} 1"#,
        r#"wardcast_token_lane_sessions{lane="main"} 2"#,
        r#"wardcast_token_queue_batches{priority="urgent"} 0"#,
    ] {
        eventually(line, || says(line)).await;
    }
    assert!(pool.counts().trouble.refusals > 0);
}
