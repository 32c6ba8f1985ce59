//! Metrics of the process as a whole: what it is, what it takes, how long its certificates last. They are looked at when somebody
//! asks for them.

use std::sync::LazyLock;
use std::time::Duration;

use metrics_process::Collector;
use tokio::runtime::Handle;

use crate::app::shown::Shown;
use crate::meter::{Metric, Values};
use crate::tls::{Credentials, Trust};

/// The process's own metrics. Those of every process have the names that Prometheus' own libraries give them.
pub(super) const METRICS: &[Metric] = &[
    Metric::counter(
        "wardcast_reloads_total",
        "Times that the configuration, or certificates, were read anew.",
    )
    .by(&[("outcome", Values::Of(&["applied", "unchanged", "refused"]))]),
    Metric::gauge(
        "wardcast_configuration_refused",
        "1 while what was read anew last could not be used, and what was in use stays; else 0.",
    ),
    Metric::gauge(
        "wardcast_build_info",
        "Always 1; its label says which version this is.",
    )
    .by(&[("version", Values::Of(&[env!("CARGO_PKG_VERSION")]))]),
    Metric::gauge(
        "wardcast_certificate_expiry_timestamp_seconds",
        "When the gateway's certificate, or one of its chain, runs out, in seconds since 1970; by the section that names it, 0 if it names none.",
    )
    .by(&[(
        "section",
        Values::Of(&["tls", "upstream", "siem.syslog", "siem.ocsf"]),
    )]),
    Metric::gauge(
        "wardcast_crl_next_update_timestamp_seconds",
        "When the first of the revocation lists in use is to be replaced, in seconds since 1970; 0 if none is.",
    ),
    Metric::gauge(
        "wardcast_runtime_workers",
        "Threads that run the gateway's tasks.",
    ),
    Metric::gauge("wardcast_runtime_tasks", "Tasks that are alive."),
    Metric::gauge(
        "wardcast_runtime_queue_tasks",
        "Tasks that wait for any thread.",
    ),
    Metric::counter(
        "wardcast_runtime_parks_total",
        "Times that a thread had nothing to do.",
    ),
    Metric::gauge(
        "wardcast_runtime_busy_seconds",
        "How long threads were busy since the start, all together; it only grows.",
    ),
    Metric::counter(
        "process_cpu_seconds_total",
        "Processor time used, by the user's half and the system's.",
    ),
    Metric::gauge("process_open_fds", "Open file descriptors."),
    Metric::gauge("process_max_fds", "File descriptors that may be open."),
    Metric::gauge("process_virtual_memory_bytes", "Virtual memory."),
    Metric::gauge(
        "process_virtual_memory_max_bytes",
        "Virtual memory that there may be.",
    ),
    Metric::gauge("process_resident_memory_bytes", "Memory in use."),
    Metric::gauge(
        "process_start_time_seconds",
        "When the process was started, in seconds since 1970.",
    ),
    Metric::gauge("process_threads", "Threads of the process."),
];

static COLLECTOR: LazyLock<Collector> = LazyLock::new(Collector::default);

/// What does not change.
pub(super) fn begin() {
    metrics::gauge!("wardcast_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    metrics::gauge!("wardcast_configuration_refused").set(0.0);
}

/// How long what the gateway shows lasts; 0 where nothing runs out, for there may have been something before.
pub(in crate::app) fn certificates(shown: &Shown) {
    for (section, credentials) in shown.all() {
        let expiry = credentials
            .and_then(Credentials::expiry)
            .unwrap_or_default();
        metrics::gauge!("wardcast_certificate_expiry_timestamp_seconds", "section" => section)
            .set(expiry as f64);
    }
}

/// The same of the lists that its listeners check with.
pub(in crate::app) fn lists(trust: &Trust) {
    let due = trust.lists_due().unwrap_or_default();
    metrics::gauge!("wardcast_crl_next_update_timestamp_seconds").set(due as f64);
}

/// What is only known by looking.
pub(super) fn look(runtime: &Handle) {
    COLLECTOR.collect();
    let now = runtime.metrics();
    let workers = 0..now.num_workers();
    let busy: Duration = workers
        .clone()
        .map(|at| now.worker_total_busy_duration(at))
        .sum();
    let parks: u64 = workers.map(|at| now.worker_park_count(at)).sum();
    metrics::gauge!("wardcast_runtime_workers").set(now.num_workers() as f64);
    metrics::gauge!("wardcast_runtime_tasks").set(now.num_alive_tasks() as f64);
    metrics::gauge!("wardcast_runtime_queue_tasks").set(now.global_queue_depth() as f64);
    metrics::gauge!("wardcast_runtime_busy_seconds").set(busy.as_secs_f64());
    metrics::counter!("wardcast_runtime_parks_total").absolute(parks);
}
