//! Which epoch is delivered, active, retiring, and what decides that.

use std::collections::VecDeque;

use crate::group::ids::{Epoch, Suite, Time};
use crate::group::limits::MAX_RETIRING;

/// The clocks of a group's epochs.
#[derive(Clone, Debug)]
pub(super) struct Epochs {
    delivered: Epoch,
    delivered_at: Time,
    active: Epoch,
    /// The suites of these two.
    delivered_suite: Suite,
    active_suite: Suite,
    pending: Option<Pending>,
    retiring: VecDeque<(Epoch, Time)>,
    /// When the root last got an independent key, as far as this life knows.
    independent: Time,
}

/// The delivered epoch while it is not active.
#[derive(Clone, Copy, Debug)]
struct Pending {
    /// When the first epoch after the active one was delivered.
    first: Time,
    deadline: Time,
}

impl Epochs {
    /// A life begins: whatever was in flight is over, and the newest epoch counts as active.
    pub(super) fn begin(newest: Epoch, suite: Suite, now: Time) -> Self {
        Epochs {
            delivered: newest,
            delivered_at: now,
            active: newest,
            delivered_suite: suite,
            active_suite: suite,
            pending: None,
            retiring: VecDeque::new(),
            independent: now,
        }
    }

    pub(super) fn delivered_suite(&self) -> Suite {
        self.delivered_suite
    }

    pub(super) fn active_suite(&self) -> Suite {
        self.active_suite
    }

    pub(super) fn delivered(&self) -> Epoch {
        self.delivered
    }

    /// When that was.
    pub(super) fn delivered_at(&self) -> Time {
        self.delivered_at
    }

    pub(super) fn active(&self) -> Epoch {
        self.active
    }

    pub(super) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// When the delivered epoch becomes active without a quorum.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.pending.map(|pending| pending.deadline)
    }

    pub(super) fn retiring(&self) -> impl Iterator<Item = (Epoch, Time)> {
        self.retiring.iter().copied()
    }

    /// An epoch was delivered: it waits for its activation, together with any before it. Epochs that follow each
    /// other fast cannot put it off for long: an eviction must take effect though more of them keep coming. So it is
    /// activated one delay after its delivery, and at most two after that of the first that waits.
    pub(super) fn deliver(&mut self, epoch: Epoch, suite: Suite, now: Time, delay_ms: u64) {
        let first = self.pending.map_or(now, |pending| pending.first);
        let deadline = now.after(delay_ms).min(first.after(2 * delay_ms));
        (self.delivered, self.delivered_at) = (epoch, now);
        self.delivered_suite = suite;
        self.pending = Some(Pending { first, deadline });
    }

    /// The delivered epoch becomes active, and everything before it retires.
    pub(super) fn activate(&mut self, now: Time, retirement_ms: u64) -> Epoch {
        let old = self.active;
        self.pending = None;
        self.active = self.delivered;
        self.active_suite = self.delivered_suite;
        if old != Epoch(0) && old != self.active {
            self.retiring.push_back((old, now.after(retirement_ms)));
        }
        if self.retiring.len() > MAX_RETIRING {
            self.retiring.pop_front();
        }
        self.active
    }

    /// Forgets epochs that nobody holds any more.
    pub(super) fn retire(&mut self, now: Time) {
        self.retiring.retain(|&(_, until)| until > now);
    }

    /// When the next epoch is forgotten.
    pub(super) fn next_retirement(&self) -> Option<Time> {
        self.retiring.iter().map(|&(_, until)| until).min()
    }

    /// The root has an independent key.
    pub(super) fn renewed(&mut self, now: Time) {
        self.independent = now;
    }

    /// When the root is to get an independent key though nobody leaves.
    pub(super) fn rotates(&self, period_s: u32) -> Option<Time> {
        let period = u64::from(period_s) * 1_000;
        (period > 0).then(|| self.independent.after(period))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_that_keep_coming_do_not_put_activation_off() {
        let mut epochs = Epochs::begin(Epoch(1), Suite::One, Time(0));
        for at in 0..20 {
            epochs.deliver(Epoch(2 + at), Suite::One, Time(at * 100), 1_000);
        }
        assert_eq!(epochs.deadline(), Some(Time(2_000)));
        assert_eq!(epochs.activate(Time(2_000), 5_000), Epoch(21));
        assert_eq!(
            epochs.retiring().collect::<Vec<_>>(),
            [(Epoch(1), Time(7_000))]
        );
        epochs.retire(Time(7_000));
        assert_eq!(epochs.retiring().count(), 0);
    }

    #[test]
    fn retiring_epochs_are_bounded() {
        let mut epochs = Epochs::begin(Epoch(0), Suite::One, Time(0));
        for epoch in 1..100 {
            epochs.deliver(Epoch(epoch), Suite::One, Time(0), 0);
            epochs.activate(Time(0), 1_000);
        }
        assert_eq!(epochs.retiring().count(), MAX_RETIRING);
    }
}
