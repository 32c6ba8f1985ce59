//! Which groups did most lately: counted in windows, each for a bounded number of groups.

use std::collections::{HashMap, VecDeque};

use crate::group::ids::{GroupId, Time};

/// How long a window is, and how many there are.
const WINDOW_MS: u64 = 10_000;
const WINDOWS: usize = 6;
/// What is told covers the last so many milliseconds, less up to a window.
pub const BUSY_MS: u64 = WINDOW_MS * WINDOWS as u64;
/// Groups that are counted in a window: the first that do anything. Which those are differs from window to window, so that of a
/// hundred thousand the busiest are among them sooner or later.
const GROUPS: usize = 512;

/// What a group did in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct Did {
    /// Epochs that were delivered.
    pub(in crate::engine) rekeys: u32,
    /// Members that were granted a registration.
    pub(in crate::engine) joins: u32,
}

impl Did {
    fn add(&mut self, other: Self) {
        self.rekeys = self.rekeys.saturating_add(other.rekeys);
        self.joins = self.joins.saturating_add(other.joins);
    }
}

/// The windows, the newest last.
#[derive(Debug, Default)]
pub(super) struct Busy(VecDeque<(u64, HashMap<GroupId, Did>)>);

impl Busy {
    pub(super) fn did(&mut self, now: Time, group: GroupId, did: Did) {
        self.turn(now);
        let Some((_, window)) = self.0.back_mut() else {
            return;
        };
        let full = window.len() >= GROUPS;
        match window.get_mut(&group) {
            Some(known) => known.add(did),
            None if full => {}
            None => drop(window.insert(group, did)),
        }
    }

    /// All windows together.
    pub(super) fn all(&mut self, now: Time) -> HashMap<GroupId, Did> {
        self.turn(now);
        let mut all: HashMap<GroupId, Did> = HashMap::new();
        for (group, did) in self.0.iter().flat_map(|(_, window)| window) {
            all.entry(*group).or_default().add(*did);
        }
        all
    }

    /// Begins the window of this time, and forgets those that are over.
    fn turn(&mut self, now: Time) {
        let number = now.0 / WINDOW_MS;
        if self.0.back().is_none_or(|(newest, _)| *newest < number) {
            self.0.push_back((number, HashMap::new()));
        }
        let oldest = (number + 1).saturating_sub(WINDOWS as u64);
        self.0.retain(|(window, _)| *window >= oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(number: u64) -> GroupId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        GroupId(id)
    }

    #[test]
    fn what_was_done_is_forgotten_after_a_minute() {
        let (mut busy, rekey) = (
            Busy::default(),
            Did {
                rekeys: 1,
                joins: 0,
            },
        );
        for now in [0, 9_999, 10_000] {
            busy.did(Time(now), group(1), rekey);
        }
        assert_eq!(busy.all(Time(59_999))[&group(1)].rekeys, 3);
        assert_eq!(busy.all(Time(60_000))[&group(1)].rekeys, 1);
        assert!(busy.all(Time(70_000)).is_empty());
    }

    #[test]
    fn however_many_groups_there_are_few_are_kept() {
        let mut busy = Busy::default();
        for number in 0..100_000 {
            busy.did(
                Time(number),
                group(number),
                Did {
                    rekeys: 1,
                    joins: 1,
                },
            );
        }
        assert_eq!(busy.all(Time(99_999)).len(), WINDOWS * GROUPS);
    }
}
