//! Metrics of the HTTPS listeners.

use crate::meter::{Metric, Values};

/// Metrics of the listeners.
pub const METRICS: &[Metric] = &[Metric::counter(
    "wardcast_https_crowded_total",
    "Connections that were closed because their address has as many as it may.",
)
.by(&[("listener", Values::Of(&["admin", "front", "health"]))])];
