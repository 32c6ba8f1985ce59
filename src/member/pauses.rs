//! How long to wait before something is tried again, so that many who lost a gateway together do not come back together.

use std::time::Duration;

use quinn::{ConnectionError, TransportErrorCode};

use crate::crypto::fraction;

/// The first pause before connecting again; it doubles, up to the longest, and is spread at random.
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(10);
/// The first and the longest pause after the gateway had no room for a connection: it is there, and works off what it has.
const REFUSED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));

/// The pauses between the tries of somebody to connect.
#[derive(Clone, Copy, Debug)]
pub struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Pauses(FIRST)
    }
}

impl Pauses {
    /// The pause after a connection was lost, or a try to make one failed.
    pub fn failed(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST);
        around(pause)
    }

    /// The pause after the gateway refused a connection.
    pub fn refused(&mut self) -> Duration {
        self.0 = self.0.clamp(REFUSED.0, REFUSED.1);
        self.failed()
    }
}

/// Whether this is how QUIC says that no new connection is accepted now (RFC 9000 section 20.1).
pub fn is_refused(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::ConnectionClosed(close) => {
            close.error_code == TransportErrorCode::CONNECTION_REFUSED
        }
        _ => false,
    }
}

/// Half to one and a half times the pause.
pub(super) fn around(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + fraction())
}

/// The pause that was asked for, or up to half as much more.
pub(super) fn at_least(pause: Duration) -> Duration {
    pause.mul_f64(1.0 + fraction() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_spread_and_never_shorter_than_asked_for() {
        let second = Duration::from_secs(1);
        for _ in 0..1_000 {
            assert!((second / 2..=second * 3 / 2).contains(&around(second)));
            assert!((second..=second * 3 / 2).contains(&at_least(second)));
        }
    }

    #[test]
    fn pauses_grow_and_a_gateway_without_room_is_given_time() {
        let mut pauses = Pauses::default();
        let within = |pause: Duration, ms: u64| {
            let middle = Duration::from_millis(ms);
            assert!((middle / 2..=middle * 3 / 2).contains(&pause), "{pause:?}");
        };
        for ms in [50, 100, 200] {
            within(pauses.failed(), ms);
        }
        for ms in [1_000, 2_000, 4_000, 4_000] {
            within(pauses.refused(), ms);
        }
        for ms in [8_000, 10_000, 10_000] {
            within(pauses.failed(), ms);
        }
        within(pauses.refused(), 4_000);
    }
}
