//! What the client shows of itself: metrics, and log lines where an address' state changes.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::breaker::Change;
use super::error::{ClientError, TransportError};
use super::exchange::{Answer, Answers};

/// The metrics of a client. Their handles are looked up once.
pub(super) struct Observer {
    prefix: &'static str,
    requests: Counter,
    retries: Counter,
    seconds: Histogram,
    connections: Gauge,
}

impl Observer {
    /// Metrics whose names begin with this.
    pub(super) fn new(prefix: &'static str) -> Self {
        Self {
            prefix,
            requests: counter!(format!("{prefix}_requests_total")),
            retries: counter!(format!("{prefix}_retries_total")),
            seconds: histogram!(format!("{prefix}_seconds")),
            connections: gauge!(format!("{prefix}_connections")),
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
        let name = format!("{}_failures_total", self.prefix);
        counter!(name, "kind" => kind).increment(1);
    }

    /// An address is there, and does not rest.
    pub(super) fn begins(&self, address: &str) {
        self.resting(address).set(0.0);
    }

    fn resting(&self, address: &str) -> Gauge {
        let name = format!("{}_resting", self.prefix);
        gauge!(name, "address" => address.to_owned())
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
        self.resting(address).set(resting);
    }
}
