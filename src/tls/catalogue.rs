//! Metrics of handshakes, of QUIC and HTTPS alike.

use super::exchanges::GROUPS;
use crate::meter::{Metric, Values};

/// Metrics of handshakes.
pub const METRICS: &[Metric] = &[
    Metric::counter("wardcast_key_exchanges_total", "Key exchanges of TLS handshakes on any listener of the gateway, by the group that was agreed on.")
        .by(&[("key_exchange", Values::Of(GROUPS))]),
    Metric::counter("wardcast_handshakes_resumed_total", "Handshakes of members that resumed a session."),
];
