//! When to ask for the path, or for a new leaf key: at once, or some time within a delay where everybody asks; then after
//! growing pauses that differ from member to member.

use crate::group::ids::{Epoch, Time};
use crate::group::limits::{BACKOFF_FIRST_MS, BACKOFF_MOST_MS};

/// Whether the path is needed, and when it is asked for next.
#[derive(Debug)]
pub(super) struct Repair {
    /// An epoch that is known to exist and could not be opened.
    wanted: Epoch,
    /// Somebody says that there is an epoch that only a new leaf key opens; it cannot be verified without.
    hinted: bool,
    attempts: u32,
    next: Option<Time>,
    jitter: u64,
}

impl Repair {
    pub(super) fn new(seed: u64) -> Self {
        Repair {
            wanted: Epoch(0),
            hinted: false,
            attempts: 0,
            next: None,
            // The generator below stays at zero if it begins there.
            jitter: seed | 1,
        }
    }

    /// There is such an epoch.
    pub(super) fn want(&mut self, epoch: Epoch) {
        self.wanted = self.wanted.max(epoch);
    }

    /// There is an epoch that every member asks a new leaf key for: it does so at a time of its own within the delay.
    pub(super) fn want_within(&mut self, epoch: Epoch, now: Time, delay_ms: u64) {
        self.want(epoch);
        self.spread(now, 0, delay_ms);
    }

    /// There may be such an epoch: what is asked for next shows whether that is so.
    pub(super) fn hint(&mut self, now: Time, after_ms: u64, within_ms: u64) {
        self.hinted = true;
        self.spread(now, after_ms, within_ms);
    }

    /// A delivery was taken: what a hint told of is there, or is not so.
    pub(super) fn answered(&mut self) {
        self.hinted = false;
    }

    /// Does not wait any longer for its own time: others begin to send with what is lacking here.
    pub(super) fn hurry(&mut self) {
        if self.attempts == 0 {
            self.next = None;
        }
    }

    fn spread(&mut self, now: Time, after_ms: u64, within_ms: u64) {
        if self.next.is_none() && within_ms > after_ms {
            let jitter = self.random() % (within_ms - after_ms);
            self.next = Some(now.after(after_ms + jitter));
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Repair::new(self.jitter);
    }

    /// Whether to ask now. Ends by itself when what was wanted is held and nothing else is lacking.
    pub(super) fn is_due(&mut self, now: Time, held: Epoch, lacking: bool) -> bool {
        if held >= self.wanted && !lacking && !self.hinted {
            self.attempts = 0;
            self.next = None;
            return false;
        }
        if self.next.is_some_and(|next| next > now) {
            return false;
        }
        let pause = (BACKOFF_FIRST_MS << self.attempts.min(16)).min(BACKOFF_MOST_MS);
        self.attempts += 1;
        self.next = Some(now.after(pause + self.random() % pause));
        true
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.next
    }

    /// Marsaglia's xorshift: spread is all that is asked of it.
    fn random(&mut self) -> u64 {
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        self.jitter
    }
}
