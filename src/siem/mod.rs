//! What follows the audit trail to those who watch over many systems: a log server, a collector of events, Splunk.
//!
//! Each is a [`Sink`](crate::relay::Sink) of a [`Relay`](crate::relay::Relay) of its own, which follows the trail on disk from a
//! cursor of its own: the trail is the only queue. One that is down, slow, or refuses what it is given holds up nothing but itself, and
//! nothing of the gateway waits for any. The key store upstream has no part in it.
//!
//! | sink | taken once | seen as |
//! | --- | --- | --- |
//! | [`syslog`] | the connection has survived it for `settle_s`, or ended in good order | RFC 5424 over TLS |
//! | [`ocsf`] | it is answered with 2xx | arrays of OCSF events |
//! | [`splunk`] | an indexer has acknowledged it | events of the trail's records |
//!
//! All are **at least once, in order**: what comes again has the same `sequence` and `hash`. Segments of the trail that are moved
//! elsewhere before they were sent are said, counted and passed over. A new sink begins with all of the trail that is on disk.
//!
//! The trail keeps identifiers in clear. What leaves may have them as hashes instead: [`identifiers`].

mod catalogue;
mod collector;
pub mod identifiers;
pub mod ocsf;
pub mod secret;
mod sentence;
pub mod splunk;
pub mod syslog;
mod told;

pub use catalogue::METRICS;

use crate::relay::Destination;

/// A key for identifiers has so many bytes at least.
pub const KEY_BYTES: usize = 32;

/// Whoever takes the records, in metrics and logs.
pub const DESTINATION: Destination = Destination {
    peer: "the SIEM",
    batches: "wardcast_siem_batches_total",
    failures: "wardcast_siem_failures_total",
    gaps: "wardcast_siem_gaps_total",
    lag_records: "wardcast_siem_lag_records",
    lag_seconds: "wardcast_siem_lag_seconds",
};

/// Why a sink cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The address of a log server.
    #[error("{0:?} is no address; it must be like logs.example.org:6514")]
    Address(String),
    /// The HTTPS client.
    #[error("the HTTPS client cannot be made: {0}")]
    Client(#[from] reqwest::Error),
    /// What is sent with every request.
    #[error("a header cannot be sent: {0}")]
    Header(#[from] reqwest::header::InvalidHeaderValue),
}

/// What the system calls this machine; empty if it does not say.
pub fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}
