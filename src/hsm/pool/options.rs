//! How a pool is made: its lanes, its size, and every bound that it keeps.

use std::time::Duration;

use crate::hsm::Opener;

/// Lanes of one pool.
pub(super) const MAX_LANES: usize = 32;
/// Operations in one call into a token: what an urgent batch may have to wait for. A larger batch takes several calls,
/// and anything more urgent goes between them.
pub(super) const OPERATIONS_PER_CALL: usize = 128;
/// A fast token gets more in a call when much waits, as many as it executes in this time: each call costs the worker a wake-up
/// of those who asked, and a token host a message each way.
pub(super) const CALL_TIME: Duration = Duration::from_millis(20);
/// But no more than this, however fast it is.
pub(super) const MOST_OPERATIONS_PER_CALL: usize = 1_024;
/// Batches that ride together in one call.
pub(super) const BATCHES_PER_CALL: usize = 64;
/// Of this many calls that pass somebody less urgent over, the next one goes to whom was passed over most.
pub(super) const CALLS_PER_TURN: u32 = 8;
/// Waiting batches that a worker looks at for one that its lane may execute; the lane of those before them is busy then.
pub(super) const LOOK_AHEAD: usize = 64;
/// Failures of one batch, on sessions that should have been able to, before it is given up.
pub(super) const MAX_FAILURES: u32 = 3;
/// A lane takes work only when no worker of a lane this many times faster is idle.
pub(super) const SLOW_FACTOR: f64 = 3.0;
/// A slow lane that was passed over by this many calls takes one all the same, so that its recovery is noticed.
pub(super) const CALLS_PER_MEASUREMENT: u32 = 64;
/// The shortest and the longest time that a refusal asks to wait.
pub(super) const RETRY_AFTER: (Duration, Duration) =
    (Duration::from_millis(50), Duration::from_secs(30));
/// What a refusal asks to wait while nothing was measured yet.
pub(super) const RETRY_UNMEASURED: Duration = Duration::from_secs(1);
/// The pause before a session that said "in a moment" is asked again.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(25);
/// The longest time between two looks for calls that do not come back and batches that waited too long.
pub(super) const LONGEST_TICK: Duration = Duration::from_secs(1);

/// One token, or one way to a token. All lanes of a pool hold the same masters and issuer keys.
#[derive(Clone)]
pub struct Lane {
    /// What operators call it: in errors, logs and metrics.
    pub name: String,
    /// Opens a session with it. Called on the lane's own threads alone, so it may take its time.
    pub opener: Opener,
}

/// How large a pool is, and how patient.
#[derive(Clone, Copy, Debug)]
pub struct PoolOptions {
    /// Threads of each lane, each with a session of its own.
    pub workers: usize,
    /// Operations that may wait, at a priority and the ones above it; what does not fit is refused as busy. So what is
    /// less urgent never takes the room of what is more.
    pub queue: usize,
    /// Within this a call into a token comes back; the worker is lost otherwise.
    pub deadline: Duration,
    /// Within this a batch is executed, failures included; it has expired otherwise.
    pub patience: Duration,
    /// Threads of one lane that may be stuck in a call and are replaced; the next one is not.
    pub lost: usize,
    /// Pauses between attempts to open a session.
    pub pauses: Pauses,
}

/// Pauses that double from the first to the longest, each with some jitter.
#[derive(Clone, Copy, Debug)]
pub struct Pauses {
    /// After the first failure in a row.
    pub first: Duration,
    /// After many, or after one that only an operator can mend.
    pub longest: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Pauses {
            first: Duration::from_millis(50),
            longest: Duration::from_secs(5),
        }
    }
}

impl Default for PoolOptions {
    fn default() -> Self {
        PoolOptions {
            workers: 2,
            queue: 100_000,
            deadline: Duration::from_secs(5),
            patience: Duration::from_secs(30),
            lost: 8,
            pauses: Pauses::default(),
        }
    }
}

impl PoolOptions {
    /// How often the watchdog looks: a call is noticed at a quarter past its deadline, at the latest.
    pub(super) fn tick(&self) -> Duration {
        (self.deadline.min(self.patience) / 4).clamp(Duration::from_millis(1), LONGEST_TICK)
    }
}
