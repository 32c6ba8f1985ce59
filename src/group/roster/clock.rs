//! When to look at whom: absences by the time they began, and marks for silence.

use std::collections::{BTreeMap, VecDeque};

use crate::group::ids::{Epoch, MemberId, Time};

/// Absences are looked at in steps of this share of the whole delay, so that a lost network is one entry.
const STEPS: u64 = 64;

/// Members that may be absent, by the time since when; whether they still are is checked when it is due.
#[derive(Clone, Debug, Default)]
pub(super) struct Absences {
    since: BTreeMap<Time, Vec<MemberId>>,
}

impl Absences {
    pub(super) fn push(&mut self, since: Time, id: MemberId) {
        self.since.entry(since).or_default().push(id);
    }

    /// The oldest is due after the delay, rounded up to a step: those that left meanwhile are taken along.
    pub(super) fn next(&self, delay: u64) -> Option<Time> {
        let (&oldest, _) = self.since.first_key_value()?;
        let step = (delay / STEPS).max(1);
        let due = oldest.0.saturating_add(delay);
        Some(Time(due.div_ceil(step).saturating_mul(step)))
    }

    pub(super) fn due(&mut self, now: Time, delay: u64) -> Vec<MemberId> {
        let mut due = Vec::new();
        if self.next(delay).is_none_or(|next| next > now) {
            return due;
        }
        while let Some(entry) = self.since.first_entry() {
            if entry.key().after(delay) > now {
                break;
            }
            due.extend(entry.remove());
        }
        due
    }
}

/// Marks: "this epoch was delivered at that time". Not every epoch gets one: marks are a share of the delay apart,
/// and a mark stands for all epochs before it, so there are never more than a few.
#[derive(Clone, Debug, Default)]
pub(super) struct Silences {
    marks: VecDeque<(Epoch, Time)>,
    newest: Epoch,
}

/// The least distance of two marks, as a share of the delay.
const MARKS: u64 = 8;

impl Silences {
    pub(super) fn mark(&mut self, epoch: Epoch, now: Time, delay: u64) {
        self.newest = epoch;
        let close = |&(_, last): &(Epoch, Time)| last.after(delay / MARKS) > now;
        if !self.marks.back().is_some_and(close) {
            self.marks.push_back((epoch, now));
        }
    }

    /// Somebody comes who lacks the newest epoch: without a mark nobody would look whether he ever acknowledges it.
    pub(super) fn resume(&mut self, now: Time) {
        if self.marks.is_empty() {
            self.marks.push_back((self.newest, now));
        }
    }

    pub(super) fn newest(&self) -> Epoch {
        self.newest
    }

    pub(super) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    pub(super) fn next(&self, delay: u64) -> Option<Time> {
        let (_, delivered) = self.marks.front()?;
        Some(delivered.after(delay))
    }

    pub(super) fn due(&mut self, now: Time, delay: u64) -> Option<(Epoch, Time)> {
        self.next(delay).filter(|&due| due <= now)?;
        self.marks.pop_front()
    }
}
