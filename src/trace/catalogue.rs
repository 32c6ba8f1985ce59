//! Metrics of traces.

use crate::meter::Metric;

/// Metrics of traces.
pub const METRICS: &[Metric] = &[Metric::counter(
    "wardcast_trace_lost_total",
    "Spans that the collector of traces did not take, or that came faster than it took them.",
)];
