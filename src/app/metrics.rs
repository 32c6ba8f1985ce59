//! Where the process's metrics are collected. Each part counts under names of its own; the admin interface shows them.

use std::sync::{Arc, OnceLock};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::admin::Metrics;

/// The process's one recorder: parts count into whatever is installed when they count.
static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Begins to collect, if nobody did yet, and returns what shows the collection.
pub(super) fn install() -> Metrics {
    let handle = RECORDER.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("metrics go to a recorder of somebody else's; /metrics stays empty");
        }
        handle
    });
    let handle = handle.clone();
    Arc::new(move || handle.render())
}
