//! Whether an address is asked at all: after failures in a row it rests, longer each time, and then one request probes it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::options::{MAX_DOUBLINGS, Options};

/// The breaker of one address.
#[derive(Debug)]
pub(super) struct Breaker {
    failures: u32,
    rest: (Duration, Duration),
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Failures in a row.
    failed: u32,
    /// Rests in a row.
    rests: u32,
    /// Until when it rests; some as long as no probe has succeeded.
    until: Option<Instant>,
    probing: bool,
}

/// What became of an address by an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// It rests from now on, or again.
    Rests(Duration),
    /// It is back.
    Returns,
}

/// Leave for one attempt. Dropped without a result, it counts as nothing, and the next request may probe.
#[derive(Debug)]
pub(super) struct Leave<'b> {
    breaker: &'b Breaker,
    probe: bool,
}

impl Breaker {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            failures: options.failures.max(1),
            rest: options.rest,
            state: Mutex::default(),
        }
    }

    /// Leave for an attempt, or how long there will be none. While a probe is out, that is the shortest rest.
    pub(super) fn ask(&self, now: Instant) -> Result<Leave<'_>, Duration> {
        let mut state = self.state();
        let probe = match state.until {
            None => false,
            Some(_) if state.probing => return Err(self.rest.0),
            Some(until) if until > now => return Err(until - now),
            Some(_) => true,
        };
        state.probing = probe;
        Ok(Leave {
            breaker: self,
            probe,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leave<'_> {
    /// The server answered, whatever it said.
    pub(super) fn succeed(self) -> Change {
        let mut state = self.breaker.state();
        let rested = state.until.is_some();
        *state = State::default();
        match rested {
            true => Change::Returns,
            false => Change::None,
        }
    }

    /// It did not.
    pub(super) fn fail(self, now: Instant) -> Change {
        let mut state = self.breaker.state();
        state.failed = state.failed.saturating_add(1);
        // An attempt from before the rest says nothing new.
        let late = state.until.is_some() && !self.probe;
        if late || state.failed < self.breaker.failures {
            return Change::None;
        }
        let (first, longest) = self.breaker.rest;
        let doubled = first.saturating_mul(1 << state.rests.min(MAX_DOUBLINGS));
        let pause = jitter(doubled.min(longest));
        state.rests = state.rests.saturating_add(1);
        state.until = Some(now + pause);
        Change::Rests(pause)
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.breaker.state().probing = false;
        }
    }
}

/// Between three quarters of a pause and all of it, so that gateways do not come back all at once.
fn jitter(pause: Duration) -> Duration {
    let mut random = [0; 1];
    // Without randomness the pause is whole.
    let _ = aws_lc_rs::rand::fill(&mut random);
    pause.mul_f64(1.0 - f64::from(random[0]) / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker() -> Breaker {
        Breaker::new(&Options {
            failures: 2,
            rest: (SECOND, 4 * SECOND),
            ..Options::default()
        })
    }

    #[test]
    fn rests_double_until_a_probe_succeeds() {
        let (breaker, mut now) = (breaker(), Instant::now());
        let fail = |now| breaker.ask(now).expect("leave").fail(now);
        assert_eq!(fail(now), Change::None, "one failure is no rest");
        for seconds in [1, 2, 4, 4] {
            let Change::Rests(pause) = fail(now) else {
                panic!("no rest");
            };
            let longest = seconds * SECOND;
            assert!(pause <= longest && pause >= longest * 3 / 4, "{pause:?}");
            assert_eq!(breaker.ask(now).expect_err("it rests"), pause);
            now += pause;
        }
        let probe = breaker.ask(now).expect("a probe");
        assert!(breaker.ask(now).is_err(), "one probe at a time");
        assert_eq!(probe.succeed(), Change::Returns);
        assert_eq!(fail(now), Change::None, "it begins anew");
        assert_eq!(breaker.ask(now).expect("leave").succeed(), Change::None);
        assert_eq!(fail(now), Change::None, "failures in a row count");
    }

    #[test]
    fn a_probe_that_is_given_up_makes_room_for_another() {
        let (breaker, now) = (breaker(), Instant::now());
        let late = breaker.ask(now).expect("leave");
        for _ in 0..2 {
            breaker.ask(now).expect("leave").fail(now);
        }
        assert_eq!(late.fail(now), Change::None, "it was from before");
        let later = now + SECOND;
        drop(breaker.ask(later).expect("a probe"));
        assert!(breaker.ask(later).is_ok(), "another probe");
    }
}
