//! What the client shows of itself: metrics, and log lines where an address' state changes.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::breaker::Change;
use super::error::{ClientError, TransportError};
use super::exchange::{Answer, Answers};

/// The metrics of a client. Their handles are looked up once.
pub(super) struct Observer {
    requests: Counter,
    retries: Counter,
    seconds: Histogram,
    connections: Gauge,
}

impl Observer {
    pub(super) fn new() -> Self {
        Self {
            requests: counter!("wardcast_upstream_requests_total"),
            retries: counter!("wardcast_upstream_retries_total"),
            seconds: histogram!("wardcast_upstream_seconds"),
            connections: gauge!("wardcast_upstream_connections"),
        }
    }

    /// A request came to its end.
    pub(super) fn ended(&self, took: Duration, result: &Result<Answers, ClientError>) {
        self.requests.increment(1);
        self.seconds.record(took.as_secs_f64());
        let failed = |answer: &Answer| matches!(answer, Answer::Failed(..));
        let kind = match result {
            Ok(answers) if !answers.items.iter().any(failed) => return,
            Ok(_) => "refused",
            Err(error) => error.kind(),
        };
        counter!("wardcast_upstream_failures_total", "kind" => kind).increment(1);
    }

    /// An address is there, and does not rest.
    pub(super) fn begins(&self, address: &str) {
        gauge!("wardcast_upstream_resting", "address" => address.to_owned()).set(0.0);
    }

    pub(super) fn retried(&self) {
        self.retries.increment(1);
    }

    pub(super) fn connections(&self, open: usize) {
        self.connections.set(open as f64);
    }

    /// What an attempt did to an address; says so where there is a change.
    pub(super) fn changed(&self, address: &str, change: Change, error: Option<&TransportError>) {
        let resting = match change {
            Change::None => return,
            Change::Rests(pause) => {
                let error = error.map(ToString::to_string).unwrap_or_default();
                let milliseconds = pause.as_millis();
                tracing::info!(%address, %error, milliseconds, "a key store rests after failures");
                1.0
            }
            Change::Returns => {
                tracing::info!(%address, "a key store is back");
                0.0
            }
        };
        let address = address.to_owned();
        gauge!("wardcast_upstream_resting", "address" => address).set(resting);
    }
}
