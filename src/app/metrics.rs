//! Where the process's metrics are collected. Each part counts under names of its own, which its catalogue describes; the admin
//! interface shows them.

mod openmetrics;
mod process;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::admin::{Format, Metrics};
use crate::meter::{Kind, Metric};
use crate::{
    attributes, audit, engine, front, hsm, https, kmip, policy, quic, relay, siem, store, tls,
    trace,
};

pub(super) use process::{certificates, lists};

/// The process's one recorder: parts count into whatever is installed when they count.
static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// How often samples are summed up: where nobody asks for them they would pile up.
const UPKEEP: Duration = Duration::from_secs(5);

/// Every metric of a gateway, each part's after the other.
pub fn catalogue() -> impl Iterator<Item = &'static Metric> {
    let parts = [
        engine::METRICS,
        quic::METRICS,
        tls::METRICS,
        hsm::METRICS,
        store::METRICS,
        audit::METRICS,
        relay::METRICS,
        siem::METRICS,
        policy::METRICS,
        attributes::METRICS,
        https::METRICS,
        front::METRICS,
        trace::METRICS,
        process::METRICS,
    ];
    let clients = kmip::client::METRICS.iter().flatten();
    parts.into_iter().flatten().chain(clients)
}

/// Begins to collect, if nobody did yet, and returns what shows the collection.
pub(super) fn install() -> Metrics {
    let handle = RECORDER.get_or_init(|| {
        let recorder = builder().build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("metrics go to a recorder of somebody else's; /metrics stays empty");
        }
        catalogue().for_each(Metric::describe);
        process::begin();
        keep(handle.clone());
        handle
    });
    let handle = handle.clone();
    let runtime = tokio::runtime::Handle::current();
    Arc::new(move |format| {
        process::look(&runtime);
        let text = handle.render();
        match format {
            Format::Text => text,
            Format::OpenMetrics => openmetrics::of(&text),
        }
    })
}

/// Every histogram has the bounds that its catalogue says.
fn builder() -> PrometheusBuilder {
    catalogue().fold(PrometheusBuilder::new(), |builder, metric| {
        let Kind::Histogram(bounds) = metric.kind else {
            return builder;
        };
        let own = Matcher::Full(metric.name.to_owned());
        builder
            .set_buckets_for_metric(own, bounds)
            .expect("a catalogue's bounds are not empty")
    })
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::meter::Values;

    #[test]
    fn catalogues_keep_the_rules_for_names_help_labels_and_bounds() {
        let mut names = HashSet::new();
        for metric in catalogue() {
            let Metric {
                name,
                kind,
                help,
                labels,
            } = metric;
            assert!(names.insert(name), "{name} is described twice");
            let own = name.starts_with("wardcast_") || name.starts_with("process_");
            let letters = |letter: char| {
                letter.is_ascii_lowercase() || letter == '_' || letter.is_ascii_digit()
            };
            assert!(own && name.chars().all(letters), "{name}");
            let total = name.ends_with("_total");
            assert_eq!(
                matches!(kind, Kind::Counter),
                total,
                "{name}: counters alone end in _total"
            );
            assert!(
                help.ends_with('.') && !help.contains(['"', '\\', '\n']),
                "{name}: {help}"
            );
            if let Kind::Histogram(bounds) = kind {
                assert!(
                    name.ends_with("_seconds") || name.ends_with("_bytes"),
                    "{name}"
                );
                assert!(bounds.is_sorted_by(|one, next| one < next), "{name}");
            }
            for (label, values) in *labels {
                assert!(
                    !["group", "member", "key", "le", "quantile"].contains(label),
                    "{name}: {label}"
                );
                if let Values::Of(values) = values {
                    assert!(!values.is_empty() && values.len() <= 32, "{name}: {label}");
                }
            }
        }
        assert!(names.len() > 100, "{}", names.len());
    }
}
