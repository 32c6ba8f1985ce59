//! How long it takes from a change until members hold the epoch that it made.

use super::GroupMachine;
use crate::group::ids::Time;

/// When changes came that epochs are made for, and who holds what they led to.
#[derive(Debug, Default)]
pub(super) struct Timing {
    /// When the first change came that is on record and not delivered.
    making: Option<Time>,
    /// When the first change came of those that were delivered last.
    cause: Option<Time>,
    /// Members that acknowledged that, and were asked about by nobody yet.
    pub(super) held: u32,
}

/// Members that hold the newest epoch by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// How many.
    pub members: u32,
    /// How long ago the change came that the epoch was made for, in milliseconds.
    pub after_ms: u64,
}

impl Timing {
    /// A change is on record whose batch was begun then: one that overtakes another answers for that as well.
    pub(super) fn makes(&mut self, since: Time) {
        self.making = Some(self.making.map_or(since, |first| first.min(since)));
    }

    /// What was on record is delivered.
    pub(super) fn delivers(&mut self) {
        (self.cause, self.held) = (self.making.take(), 0);
    }
}

impl GroupMachine {
    /// Members that were there as the newest epoch was delivered, and acknowledged it since this was asked last; none where
    /// nobody did.
    pub fn take_held(&mut self) -> Option<Held> {
        let members = std::mem::take(&mut self.sealing.timing.held);
        let cause = self.sealing.timing.cause.filter(|_| members > 0)?;
        Some(Held {
            members,
            after_ms: self.now.0.saturating_sub(cause.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overtakes_another_answers_for_both() {
        let mut timing = Timing::default();
        timing.makes(Time(5));
        timing.makes(Time(9));
        timing.delivers();
        assert_eq!(timing.cause, Some(Time(5)));
        timing.delivers();
        assert_eq!(
            timing.cause, None,
            "sealed again after a restart: nobody waited for it"
        );
    }
}
