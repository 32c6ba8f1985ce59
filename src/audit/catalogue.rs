//! The audit trail's metrics.

use crate::meter::{CALL, Metric};

/// The audit trail's metrics.
pub const METRICS: &[Metric] = &[
    Metric::gauge("wardcast_audit_bytes", "Bytes of the audit trail on disk."),
    Metric::gauge(
        "wardcast_audit_max_bytes",
        "Bytes from which on nobody is admitted: audit.max_mb.",
    ),
    Metric::gauge(
        "wardcast_audit_writable",
        "1 if the disk took what was written last, else 0: nobody is admitted then.",
    ),
    Metric::gauge(
        "wardcast_audit_backlog_records",
        "Records that wait in memory for the disk.",
    ),
    Metric::gauge(
        "wardcast_audit_unsigned_records",
        "Records that no signature of the token covers yet.",
    ),
    Metric::counter("wardcast_audit_records_total", "Records written."),
    Metric::counter(
        "wardcast_audit_lost_total",
        "Records that memory had no room for while the disk took none.",
    ),
    Metric::histogram(
        "wardcast_audit_sync_seconds",
        CALL,
        "How long it took to write records and sync them; many share one sync.",
    ),
];
