//! Metrics of clients of key stores.

use crate::meter::{CALL, Metric, Values};

/// Why requests fail: what `ClientError::kind` says.
const KINDS: &[&str] = &[
    "refused",
    "unreachable",
    "unknown",
    "resting",
    "busy",
    "queued",
    "version",
    "answer",
    "request",
];

/// The metrics of a client whose metrics begin so.
macro_rules! client {
    ($prefix:literal, $whose:literal) => {
        [
            Metric::counter(
                concat!($prefix, "_requests_total"),
                concat!("Requests ", $whose, "."),
            ),
            Metric::counter(
                concat!($prefix, "_failures_total"),
                concat!(
                    "Requests ",
                    $whose,
                    " that were not done: refused by the store, or not answered, by kind."
                ),
            )
            .by(&[("kind", Values::Of(KINDS))]),
            Metric::counter(
                concat!($prefix, "_retries_total"),
                concat!("Attempts that were repeated, of requests ", $whose, "."),
            ),
            Metric::histogram(
                concat!($prefix, "_seconds"),
                CALL,
                concat!(
                    "How long requests took ",
                    $whose,
                    ", with waiting and repeating."
                ),
            ),
            Metric::gauge(
                concat!($prefix, "_connections"),
                concat!("Open connections for requests ", $whose, "."),
            ),
            Metric::gauge(
                concat!($prefix, "_resting"),
                concat!(
                    "1 while an address of the store rests after failures, for requests ",
                    $whose,
                    "."
                ),
            )
            .by(&[("address", Values::Configured)]),
        ]
    };
}

/// The metrics of the gateway's own client, and of its callers'.
pub const METRICS: [[Metric; 6]; 2] = [
    client!("wardcast_upstream", "to the key store upstream"),
    client!(
        "wardcast_front_upstream",
        "to the key store upstream for callers of the front"
    ),
];
