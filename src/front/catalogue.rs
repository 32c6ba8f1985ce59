//! Metrics of the front for programs.

use super::role::is_call;
use crate::kmip::codec::is_operation_name;
use crate::meter::{Metric, Values};

/// Metrics of the front.
pub const METRICS: &[Metric] = &[
    Metric::counter("wardcast_front_calls_total", "What programs asked for, by operation and by what became of it.")
        .by(&[
            ("operation", Values::When(is_operation)),
            ("outcome", Values::Of(&["denied", "done", "pending", "failed"])),
        ]),
    Metric::counter("wardcast_front_refused_total", "Requests that were not taken because of a bound: on those of one caller, on all, on their size.")
        .by(&[("bound", Values::Of(&["caller", "total", "size"]))]),
    Metric::gauge("wardcast_front_exchanges", "Requests that are answered later, and are kept."),
    Metric::counter("wardcast_front_exchanges_expired_total", "Requests that were forgotten because of their age."),
];

fn is_operation(value: &str) -> bool {
    value == super::observe::OTHER || is_call(value) || is_operation_name(value)
}
