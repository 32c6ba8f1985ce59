//! When to ask for the path: at once, then after growing pauses that differ from member to member.

use crate::group::ids::{Epoch, Time};
use crate::group::limits::{BACKOFF_FIRST_MS, BACKOFF_MOST_MS};

/// Whether the path is needed, and when it is asked for next.
#[derive(Debug)]
pub(super) struct Repair {
    /// An epoch that is known to exist and could not be opened.
    wanted: Epoch,
    attempts: u32,
    next: Option<Time>,
    jitter: u64,
}

impl Repair {
    pub(super) fn new(seed: u64) -> Self {
        Repair {
            wanted: Epoch(0),
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

    pub(super) fn clear(&mut self) {
        *self = Repair::new(self.jitter);
    }

    /// Whether to ask now. Ends by itself when what was wanted is held and nothing else is lacking.
    pub(super) fn is_due(&mut self, now: Time, held: Epoch, lacking: bool) -> bool {
        if held >= self.wanted && !lacking {
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
