//! The store's metrics.

use crate::meter::{CALL, Metric};

/// The store's metrics.
pub const METRICS: &[Metric] = &[
    Metric::histogram(
        "wardcast_store_commit_seconds",
        CALL,
        "How long a commit took, with its sync to disk; changes of many groups share one.",
    ),
    Metric::counter(
        "wardcast_store_commit_failures_total",
        "Commits that failed: nobody is admitted for them, and what was to be stored is tried again.",
    ),
    Metric::counter(
        "wardcast_store_changes_total",
        "Records and snapshots that are stored, and groups that were removed.",
    ),
];
