//! Where records go, as metrics and logs tell of it.

/// Who takes records, as metrics and logs tell of it. Each metric has the label `sink`, that of failures `kind` besides.
#[derive(Debug)]
pub struct Destination {
    /// What it is called in messages.
    pub peer: &'static str,
    /// The counter of batches that were taken.
    pub batches: &'static str,
    /// The counter of batches that were not.
    pub failures: &'static str,
    /// The counter of places where the trail on disk did not go on.
    pub gaps: &'static str,
    /// The gauge of records that were not taken yet.
    pub lag_records: &'static str,
    /// The gauge of the age of the oldest of them, in seconds.
    pub lag_seconds: &'static str,
}

/// The key store upstream.
pub const KEY_STORE: Destination = Destination {
    peer: "the key store upstream",
    batches: "wardcast_relay_batches_total",
    failures: "wardcast_relay_failures_total",
    gaps: "wardcast_relay_gaps_total",
    lag_records: "wardcast_relay_lag_records",
    lag_seconds: "wardcast_relay_lag_seconds",
};
