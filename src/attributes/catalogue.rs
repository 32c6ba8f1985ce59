//! Metrics of what is found out about who asks.

use crate::meter::{Metric, Values};

/// Why bearer tokens are not believed: what [`Refused::word`](super::jwt::Refused::word) says.
const REASONS: &[&str] = &[
    "malformed",
    "algorithm",
    "unknown_key",
    "bad_signature",
    "expired",
    "not_yet_valid",
    "wrong_issuer",
    "wrong_audience",
    "missing_claim",
    "issuer_unreachable",
];

/// Metrics of sources of attributes.
pub const METRICS: &[Metric] = &[
    Metric::counter(
        "wardcast_bearer_tokens_refused_total",
        "Bearer tokens that were not believed, by reason.",
    )
    .by(&[("reason", Values::Of(REASONS))]),
    Metric::counter(
        "wardcast_jwks_fetches_total",
        "Attempts to fetch the keys of the tokens' issuer.",
    )
    .by(&[("outcome", Values::Of(&["ok", "failed"]))]),
    Metric::counter(
        "wardcast_directory_lookups_total",
        "Questions to the directory; stale is one that failed where an older answer did.",
    )
    .by(&[("outcome", Values::Of(&["answered", "failed", "stale"]))]),
];
