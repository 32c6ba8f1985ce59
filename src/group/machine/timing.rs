//! How long it takes from a change until members hold the epoch that it made.

use super::GroupMachine;
use super::why::Why;
use crate::group::ids::Time;

/// When changes came that the newest epoch was made for, and who holds it.
#[derive(Debug, Default)]
pub(super) struct Timing {
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
    /// An epoch is delivered.
    pub(super) fn delivers(&mut self, why: Why) {
        (self.cause, self.held) = (Some(why.since), 0);
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
