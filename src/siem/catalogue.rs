//! Metrics of what goes to a SIEM.

use crate::meter::{Metric, Values};

const SINK: &[(&str, Values)] = &[("sink", Values::Of(&["syslog", "ocsf", "splunk"]))];

/// Metrics of the sinks.
pub const METRICS: &[Metric] = &[
    Metric::gauge(
        "wardcast_siem_lag_records",
        "Records of the audit trail that a sink has not taken yet.",
    )
    .by(SINK),
    Metric::gauge(
        "wardcast_siem_lag_seconds",
        "How old the oldest record is that a sink has not taken yet.",
    )
    .by(SINK),
    Metric::counter(
        "wardcast_siem_batches_total",
        "Batches of records that a sink took.",
    )
    .by(SINK),
    Metric::counter(
        "wardcast_siem_failures_total",
        "Batches of records that a sink did not take; each is tried again.",
    )
    .by(SINK),
    Metric::counter(
        "wardcast_siem_gaps_total",
        "Times that the trail on disk did not go on where a sink had come to.",
    )
    .by(SINK),
];
