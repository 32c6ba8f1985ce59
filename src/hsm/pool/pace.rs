//! Measured speeds and pauses: how fast a pool drains, how slow a lane is, how long to rest after a failure.

use std::time::{Duration, Instant};

use super::options::{
    CALL_TIME, MOST_OPERATIONS_PER_CALL, OPERATIONS_PER_CALL, Pauses, RETRY_AFTER, RETRY_UNMEASURED,
};
use crate::crypto;

/// The weight of the newest sample in a moving average.
const NEWEST: f64 = 0.2;
/// A sample of the drain rate is taken over at least this.
const WINDOW: Duration = Duration::from_millis(100);

fn average(before: Option<f64>, sample: f64) -> f64 {
    before.map_or(sample, |before| before + NEWEST * (sample - before))
}

/// How many operations a second the pool executes while operations wait.
#[derive(Debug, Default)]
pub(super) struct Drain {
    rate: Option<f64>,
    /// Since when there was always something to do, or since the last sample; and what was done since.
    window: Option<(Instant, usize)>,
}

impl Drain {
    /// There is something to do from now on.
    pub(super) fn busy(&mut self, now: Instant) {
        self.window.get_or_insert((now, 0));
    }

    /// Operations were executed; `idle` when nothing is left to do.
    pub(super) fn done(&mut self, now: Instant, operations: usize, idle: bool) {
        let Some((since, count)) = &mut self.window else {
            return;
        };
        *count += operations;
        let elapsed = now.saturating_duration_since(*since);
        // A short burst is a poor sample, but better than none.
        if elapsed >= WINDOW || idle && self.rate.is_none() {
            let sample = *count as f64 / elapsed.as_secs_f64().max(f64::EPSILON);
            self.rate = Some(average(self.rate, sample));
            self.window = Some((now, 0));
        }
        if idle {
            self.window = None;
        }
    }

    /// Operations a second; lower than the average when nothing has been done for long.
    pub(super) fn rate(&self, now: Instant) -> Option<f64> {
        let stalled = self.window.and_then(|(since, count)| {
            let elapsed = now.saturating_duration_since(since);
            // A call may be about to end.
            let count = count + OPERATIONS_PER_CALL;
            (elapsed > WINDOW).then(|| count as f64 / elapsed.as_secs_f64())
        });
        match (self.rate, stalled) {
            (Some(rate), Some(stalled)) => Some(rate.min(stalled)),
            (rate, _) => rate,
        }
    }

    /// When so many operations will have been executed.
    pub(super) fn retry_after(&self, now: Instant, operations: usize) -> Duration {
        let Some(rate) = self.rate(now) else {
            return RETRY_UNMEASURED;
        };
        let seconds = operations as f64 / rate.max(f64::MIN_POSITIVE);
        Duration::from_secs_f64(seconds.min(RETRY_AFTER.1.as_secs_f64())).max(RETRY_AFTER.0)
    }
}

/// How long an operation takes on a lane.
#[derive(Debug, Default)]
pub(super) struct Latency(Option<f64>);

impl Latency {
    pub(super) fn note(&mut self, took: Duration, operations: usize) {
        let sample = took.as_secs_f64() / operations.max(1) as f64;
        self.0 = Some(average(self.0, sample));
    }

    /// The most operations that a call is to have.
    pub(super) fn operations_per_call(&self) -> usize {
        let within = self
            .0
            .map_or(0.0, |seconds| CALL_TIME.as_secs_f64() / seconds);
        (within.round() as usize).clamp(OPERATIONS_PER_CALL, MOST_OPERATIONS_PER_CALL)
    }

    /// Seconds an operation; unknown before the first call.
    pub(super) fn seconds(&self) -> Option<f64> {
        self.0
    }
}

/// Pauses that double with every failure in a row, with jitter so that gateways do not come back all at once.
#[derive(Debug)]
pub(super) struct Backoff {
    pauses: Pauses,
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    pub(super) fn new(pauses: Pauses) -> Self {
        Backoff {
            pauses,
            failures: 0,
            until: None,
        }
    }

    /// Notes a failure and begins a pause; the longest at once when only an operator can mend it. What fails while there is
    /// a pause already is of the same trouble.
    pub(super) fn fail(&mut self, now: Instant, for_long: bool) -> Duration {
        let left = self.left(now);
        if !left.is_zero() && !for_long {
            return left;
        }
        let doubled = self.pauses.first * (1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let pause = if for_long {
            self.pauses.longest
        } else {
            doubled.min(self.pauses.longest)
        };
        let pause = jitter(pause);
        self.until = Some(now + pause);
        pause
    }

    pub(super) fn succeed(&mut self) {
        self.failures = 0;
        self.until = None;
    }

    /// What is left of the pause.
    pub(super) fn left(&self, now: Instant) -> Duration {
        self.until
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }
}

/// Between three quarters of a pause and all of it.
fn jitter(pause: Duration) -> Duration {
    let [random] = crypto::random::<1>();
    pause.mul_f64(1.0 - f64::from(random) / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn pauses_double_up_to_the_longest_and_end_with_a_success() {
        let mut now = Instant::now();
        let mut backoff = Backoff::new(Pauses {
            first: 100 * MS,
            longest: 1_000 * MS,
        });
        for expected in [100, 200, 400, 800, 1_000, 1_000] {
            let pause = backoff.fail(now, false);
            assert!(
                pause <= expected * MS && pause >= expected * 3 / 4 * MS,
                "{pause:?}"
            );
            assert_eq!(backoff.left(now), pause);
            assert_eq!(backoff.fail(now, false), pause, "the same trouble");
            now += pause;
            assert_eq!(backoff.left(now), Duration::ZERO);
        }
        backoff.fail(now, false);
        backoff.succeed();
        assert_eq!(backoff.left(now), Duration::ZERO);
        assert!(backoff.fail(now, false) <= 100 * MS);
        assert!(
            backoff.fail(now, true) >= 750 * MS,
            "an operator has to act"
        );
    }

    #[test]
    fn pauses_differ() {
        let now = Instant::now();
        let pauses = Pauses::default();
        let some: std::collections::HashSet<_> = (0..64)
            .map(|_| Backoff::new(pauses).fail(now, true))
            .collect();
        assert!(some.len() > 8, "64 pauses, {} different", some.len());
    }

    #[test]
    fn retry_after_follows_the_measured_rate() {
        let start = Instant::now();
        let mut drain = Drain::default();
        assert_eq!(drain.retry_after(start, 10), RETRY_UNMEASURED);
        drain.busy(start);
        drain.done(start + 1_000 * MS, 1_000, false);
        let now = start + 1_000 * MS;
        assert_eq!(drain.retry_after(now, 2_000), Duration::from_secs(2));
        assert_eq!(drain.retry_after(now, 4_000), Duration::from_secs(4));
        assert_eq!(drain.retry_after(now, 1), RETRY_AFTER.0);
        assert_eq!(drain.retry_after(now, 1_000_000), RETRY_AFTER.1);
        // Ten times as fast from now on: it asks for less, step by step.
        let mut before = Duration::from_secs(4);
        for second in 2..6 {
            let now = start + second * 1_000 * MS;
            drain.done(now, 10_000, false);
            let after = drain.retry_after(now, 4_000);
            assert!(after < before, "{after:?}");
            before = after;
        }
    }

    #[test]
    fn a_token_that_stalls_asks_for_more_time() {
        let start = Instant::now();
        let mut drain = Drain::default();
        drain.busy(start);
        let now = start + 1_000 * MS;
        drain.done(now, 1_000, false);
        let at_once = drain.retry_after(now, 100);
        let later = drain.retry_after(now + 2_000 * MS, 100);
        let much_later = drain.retry_after(now + 60_000 * MS, 100);
        assert!(
            at_once < later && later < much_later + MS,
            "{at_once:?} {later:?}"
        );
        assert_eq!(much_later, RETRY_AFTER.1);
    }

    #[test]
    fn idle_time_is_not_a_slow_token() {
        let start = Instant::now();
        let mut drain = Drain::default();
        drain.busy(start);
        drain.done(start + 1_000 * MS, 1_000, true);
        let later = start + 3_600_000 * MS;
        drain.busy(later);
        assert_eq!(drain.retry_after(later, 2_000), Duration::from_secs(2));
    }

    #[test]
    fn latency_is_an_average_for_each_operation() {
        let mut latency = Latency::default();
        assert_eq!(latency.seconds(), None);
        latency.note(100 * MS, 100);
        assert_eq!(latency.seconds(), Some(0.001));
        latency.note(100 * MS, 10);
        let seconds = latency.seconds().expect("measured");
        assert!(seconds > 0.001 && seconds < 0.01, "{seconds}");
    }

    #[test]
    fn only_a_fast_token_gets_many_operations_in_a_call() {
        let after = |took: Duration| {
            let mut latency = Latency::default();
            latency.note(took, 100);
            latency.operations_per_call()
        };
        assert_eq!(
            Latency::default().operations_per_call(),
            OPERATIONS_PER_CALL
        );
        assert_eq!(after(3_000 * MS), OPERATIONS_PER_CALL);
        assert_eq!(after(4 * MS), 500);
        assert_eq!(after(Duration::ZERO), MOST_OPERATIONS_PER_CALL);
    }
}
