//! How a group's newest epoch gets on, from what it is for to the last member that holds it.

use crate::engine::count::{self, Share};
use crate::group::ids::Time;
use crate::group::machine::Why;

/// How far the newest epoch has come.
#[derive(Default)]
pub(super) struct Course {
    /// When the epoch was asked for whose acknowledgements are counted.
    since: Time,
    /// Shares of the members that are still to hold it, the smallest first.
    left: &'static [Share],
    /// What delivered epochs are for that are not active yet.
    inactive: Option<Why>,
}

impl Course {
    /// An epoch is sent to all who are there, of whom so many do not hold the one before.
    pub(super) fn delivered(&mut self, now: Time, why: Why, present: u32, lacking: u32) {
        if !self.left.is_empty() && lacking > 0 {
            count::overtaken();
        }
        count::delivered(why.cause, now.since(why.since));
        self.since = why.since;
        self.left = match present {
            0 => &[],
            _ => &Share::ALL,
        };
        self.inactive = Some(why.and(self.inactive));
    }

    /// Members hold an epoch. So many are there, and so many of them hold the newest now.
    pub(super) fn acknowledged(&mut self, now: Time, current: impl FnOnce() -> (u32, u32)) {
        if self.left.is_empty() {
            return;
        }
        let (present, current) = current();
        while let [next, later @ ..] = self.left
            && next.is_reached(present, current)
        {
            count::reached(*next, now.since(self.since));
            self.left = later;
        }
    }

    /// Senders switch to the newest epoch.
    pub(super) fn activated(&mut self, now: Time) {
        if let Some(why) = self.inactive.take() {
            count::activated(why.cause, now.since(why.since));
        }
    }
}
