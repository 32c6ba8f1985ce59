//! Why there is an epoch, and since when somebody waits for it: what its times are measured from.

use super::GroupMachine;
use crate::group::ids::Time;
use crate::group::record::Departed;
use crate::group::wire::RemovalReason;

/// What a group gets a new epoch for; of several reasons that share one the weightiest, which is the last here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Somebody joined.
    Join,
    /// The root was due for an independent key, or an operator asked for one.
    Rotation,
    /// All keys were replaced.
    Rollover,
    /// Somebody left, or was away or silent for too long.
    Departure,
    /// Somebody was evicted.
    Eviction,
}

impl Cause {
    /// Every cause, as [`word`](Self::word) calls them.
    pub const WORDS: &[&str] = &["join", "rotation", "rollover", "departure", "eviction"];

    /// In a word.
    pub fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }

    /// Of a change that these left with, besides whoever joined.
    pub(super) fn of(left: &[Departed], rollover: bool, rotate: bool) -> Self {
        let evicted = |departed: &Departed| departed.reason == RemovalReason::Evicted;
        if left.iter().any(evicted) {
            Cause::Eviction
        } else if !left.is_empty() {
            Cause::Departure
        } else if rollover {
            Cause::Rollover
        } else if rotate {
            Cause::Rotation
        } else {
            Cause::Join
        }
    }
}

/// Why there is an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Why {
    /// For what.
    pub cause: Cause,
    /// When it was first asked for, of all that came together.
    pub since: Time,
}

impl Why {
    /// Of an epoch that overtook another, which was not delivered: it is for both.
    pub fn and(self, overtaken: Option<Why>) -> Self {
        overtaken.map_or(self, |other| Why {
            cause: self.cause.max(other.cause),
            since: self.since.min(other.since),
        })
    }

    fn removes(self) -> bool {
        self.cause >= Cause::Departure
    }
}

impl GroupMachine {
    /// Since when somebody is to be out who can still read what is sent: until the epoch without him is delivered.
    pub fn removing_since(&self) -> Option<Time> {
        let waiting = self.waiting.first.filter(|_| self.waiting.departures() > 0);
        let staged = self.log.staged.as_ref().and_then(|staged| staged.why());
        let known = [staged, self.sealing.why()].into_iter().flatten();
        let under_way = known.filter(|why| why.removes()).map(|why| why.since);
        under_way.chain(waiting).min()
    }
}
