//! Why handshakes come to nothing, as it is counted.

use quinn_proto::ConnectionError;

use super::listener::TLS_ALERTS;

/// Alerts about a certificate: bad, unsupported, revoked, expired, unknown, of an unknown authority, required (RFC 8446 section 6).
const CERTIFICATE_ALERTS: [u64; 7] = [42, 43, 44, 45, 46, 48, 116];

/// A handshake came to nothing, for one of the reasons that the catalogue lists.
pub(super) fn count(reason: &'static str) {
    metrics::counter!("wardcast_handshakes_failed_total", "reason" => reason).increment(1);
}

/// The reason in a word.
pub(super) fn kind(error: &ConnectionError) -> &'static str {
    let code = match error {
        ConnectionError::TransportError(error) => u64::from(error.code),
        ConnectionError::ConnectionClosed(close) => u64::from(close.error_code),
        ConnectionError::TimedOut => return "timeout",
        ConnectionError::VersionMismatch | ConnectionError::CidsExhausted => return "transport",
        ConnectionError::ApplicationClosed(_)
        | ConnectionError::Reset
        | ConnectionError::LocallyClosed => return "closed",
    };
    match code.checked_sub(TLS_ALERTS) {
        Some(alert) if CERTIFICATE_ALERTS.contains(&alert) => "certificate",
        Some(0..=0xff) => "tls",
        _ => "transport",
    }
}
