//! Metrics of what goes to a SIEM.

use crate::meter::{Metric, Values};
use crate::relay::SinkError;

const SINKS: Values = Values::Of(&["syslog", "ocsf", "splunk"]);
const SINK: &[(&str, Values)] = &[("sink", SINKS)];
const FAILURE: &[(&str, Values)] = &[("sink", SINKS), ("kind", Values::Of(&SinkError::KINDS))];

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
        "Batches of records that a sink did not take, because it is out of reach or refuses one; each is tried again.",
    )
    .by(FAILURE),
    Metric::counter(
        "wardcast_siem_gaps_total",
        "Times that the trail on disk did not go on where a sink had come to.",
    )
    .by(SINK),
];
