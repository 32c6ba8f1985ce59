//! Metrics of decisions about who is admitted.

use crate::meter::{Metric, Values};

/// Metrics of decisions.
pub const METRICS: &[Metric] = &[Metric::counter(
    "wardcast_decisions_total",
    "Decisions about who may join by rules, and whether the rules had to be evaluated for it.",
)
.by(&[("how", Values::Of(&["cached", "evaluated"]))])];
