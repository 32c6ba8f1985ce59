//! Every bound that the client keeps: what may be configured, and what may not.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Version;
use crate::kmip::codec::limits::MAX_MESSAGE;

/// Addresses of one upstream.
pub const MAX_ADDRESSES: usize = 8;
/// Connections to one upstream, whatever is configured.
pub const MAX_CONNECTIONS: usize = 256;
/// Items of one batch.
pub const MAX_BATCH: usize = 256;
/// What is kept of a server's message about an error, in characters.
pub const MAX_SHOWN: usize = 512;
/// The pause before an address is tried again that has just failed; it doubles with each further one.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// Pauses of an address double this often at most.
pub(super) const MAX_DOUBLINGS: u32 = 16;
/// How often idle connections are looked through, as a part of the time that they may be idle.
pub(super) const SWEEPS: u32 = 8;

/// How patient the client is, and how much it takes.
#[derive(Clone, Debug)]
pub struct Options {
    /// The versions that may be spoken: the greatest that the server speaks too is chosen. A range of one version is spoken
    /// without asking.
    pub versions: RangeInclusive<Version>,
    /// Connections that are open at a time, to all addresses together: 1 to [`MAX_CONNECTIONS`].
    pub connections: usize,
    /// Requests that may wait for a connection; what comes beyond is refused as busy.
    pub waiting: usize,
    /// Within this a request is answered: queueing, connecting and all attempts together.
    pub deadline: Duration,
    /// Within this one attempt comes to its end, connecting included.
    pub attempt: Duration,
    /// Attempts for one request, at one address or several; at least 1.
    pub attempts: u32,
    /// A connection that was idle for this long is closed. Servers close theirs after 30 s or less.
    pub idle: Duration,
    /// The longest answer in its binary form, in bytes; at most [`MAX_MESSAGE`]. The server is told.
    pub max_response: usize,
    /// Failures in a row after which an address rests; at least 1.
    pub failures: u32,
    /// How long it rests: first, and at most. The rest doubles while its probes fail, with jitter.
    pub rest: (Duration, Duration),
    /// What the names of its metrics begin with.
    pub metrics: &'static str,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            versions: Version::V1_4..=Version::V2_1,
            connections: 8,
            waiting: 1_024,
            deadline: Duration::from_secs(10),
            attempt: Duration::from_secs(4),
            attempts: 3,
            idle: Duration::from_secs(20),
            max_response: MAX_MESSAGE,
            failures: 3,
            rest: (Duration::from_millis(500), Duration::from_secs(30)),
            metrics: "wardcast_upstream",
        }
    }
}
