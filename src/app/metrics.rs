//! Where the process's metrics are collected. Each part counts under names of its own; the admin interface shows them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::admin::Metrics;

/// The process's one recorder: parts count into whatever is installed when they count.
static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// How often samples are summed up: where nobody asks for them they would pile up.
const UPKEEP: Duration = Duration::from_secs(5);

/// Begins to collect, if nobody did yet, and returns what shows the collection.
pub(super) fn install() -> Metrics {
    let handle = RECORDER.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("metrics go to a recorder of somebody else's; /metrics stays empty");
        }
        keep(handle.clone());
        handle
    });
    let handle = handle.clone();
    Arc::new(move || handle.render())
}

/// Sums samples up now and again, as long as the process lives.
fn keep(recorder: PrometheusHandle) {
    let thread = std::thread::Builder::new().name("metrics".to_owned());
    let started = thread.spawn(move || {
        loop {
            std::thread::sleep(UPKEEP);
            recorder.run_upkeep();
        }
    });
    if let Err(error) = started {
        tracing::warn!(%error, "no thread for metrics: their samples pile up until /metrics is asked for");
    }
}
