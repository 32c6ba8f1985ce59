//! Pauses after failures of the token or the store.

use crate::group::ids::Time;
use crate::group::limits::{BACKOFF_FIRST_MS, BACKOFF_MOST_MS};

/// Pauses that double with every failure in a row, up to a bound.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    until: Time,
}

impl Backoff {
    /// Notes a failure; returns the pause in milliseconds.
    pub(super) fn fail(&mut self, now: Time) -> u64 {
        self.fail_for(now, 0)
    }

    /// The same where whoever failed asked for a pause: it is no shorter than that, within the bound. Several failures
    /// during one pause do not shorten it.
    pub(super) fn fail_for(&mut self, now: Time, least_ms: u64) -> u64 {
        let pause = (BACKOFF_FIRST_MS << self.failures.min(16))
            .max(least_ms)
            .min(BACKOFF_MOST_MS);
        self.failures = self.failures.saturating_add(1);
        self.until = self.until.max(now.after(pause));
        pause
    }

    pub(super) fn succeed(&mut self) {
        *self = Backoff::default();
    }

    pub(super) fn is_over(&self, now: Time) -> bool {
        self.until <= now
    }

    /// When the pause ends; the past when there is none.
    pub(super) fn until(&self) -> Time {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_bound_and_end_with_a_success() {
        let mut backoff = Backoff::default();
        assert!(backoff.is_over(Time(0)));
        let pauses: Vec<u64> = (0..8).map(|_| backoff.fail(Time(100))).collect();
        assert_eq!(
            pauses,
            [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]
        );
        assert!(!backoff.is_over(Time(10_099)));
        assert!(backoff.is_over(Time(10_100)));
        backoff.succeed();
        assert!(backoff.is_over(Time(0)));
    }

    #[test]
    fn a_pause_that_was_asked_for_is_made_within_the_bound() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.fail_for(Time(0), 3_000), 3_000);
        assert_eq!(backoff.fail_for(Time(10), 0), 500);
        assert_eq!(backoff.until(), Time(3_000), "not shortened");
        assert_eq!(backoff.fail_for(Time(3_000), u64::MAX), BACKOFF_MOST_MS);
    }
}
