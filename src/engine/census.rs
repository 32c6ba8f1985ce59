//! What a shard counts of its groups for operators: on the way of what it does anyway, and in bounded memory.
//!
//! No member is looked at for it, and nothing is shared between shards. Whoever looks asks every shard, which tells what it
//! counted and looks at a bounded number of its groups: see [`Handle::overview`](super::Handle::overview).

mod busy;
mod latency;

use std::collections::BTreeSet;

use super::group::Seen;
use crate::group::ids::{GroupId, Time};
use crate::group::machine::Assurance;
pub use busy::BUSY_MS;
use busy::Busy;
pub(super) use busy::Did;
pub(super) use latency::{History, Merged};
pub use latency::{Latency, POINT_MS, POINTS};

/// Registrations of several groups together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Registered members.
    pub members: u64,
    /// Members with a connection, or parked.
    pub present: u64,
    /// Members that acknowledged their group's newest delivered epoch.
    pub acknowledged: u64,
    /// Members that are present and did not.
    pub behind: u64,
}

impl Totals {
    fn change(&mut self, before: &Assurance, now: &Assurance) {
        let fields = [
            (&mut self.members, before.members, now.members),
            (&mut self.present, before.present, now.present),
            (
                &mut self.acknowledged,
                before.acknowledged,
                now.acknowledged,
            ),
            (&mut self.behind, before.behind, now.behind),
        ];
        for (total, before, now) in fields {
            *total = (*total + u64::from(now)).saturating_sub(before.into());
        }
    }

    /// These and others.
    pub(super) fn add(&mut self, other: &Self) {
        self.members += other.members;
        self.present += other.present;
        self.acknowledged += other.acknowledged;
        self.behind += other.behind;
    }
}

/// What one shard has counted.
#[derive(Debug, Default)]
pub(super) struct Census {
    totals: Totals,
    /// Groups with a member that is present and lacks the newest epoch.
    behind: BTreeSet<GroupId>,
    /// Groups with a member that did not acknowledge the newest epoch, present or not.
    lacking: BTreeSet<GroupId>,
    busy: Busy,
    history: History,
}

impl Census {
    /// A group has done something.
    pub(super) fn saw(&mut self, group: GroupId, now: Time, seen: Seen) {
        let Seen {
            before,
            assurance,
            did,
            held,
        } = seen;
        if before != assurance {
            self.totals.change(&before, &assurance);
            mark(
                &mut self.behind,
                group,
                before.behind > 0,
                assurance.behind > 0,
            );
            mark(&mut self.lacking, group, lacks(&before), lacks(&assurance));
        }
        if did != Did::default() {
            self.busy.did(now, group, did);
        }
        if let Some(held) = held {
            self.history.record(now, held);
        }
    }

    /// A group is served no more.
    pub(super) fn forget(&mut self, group: GroupId, last: &Assurance) {
        self.totals.change(last, &Assurance::default());
        self.behind.remove(&group);
        self.lacking.remove(&group);
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    pub(super) fn history(&self) -> &History {
        &self.history
    }

    /// Groups with a member that is present and lacks the newest epoch.
    pub(super) fn behind(&self) -> &BTreeSet<GroupId> {
        &self.behind
    }

    /// Groups with a member that did not acknowledge the newest epoch.
    pub(super) fn lacking(&self) -> &BTreeSet<GroupId> {
        &self.lacking
    }

    /// What groups did within the last [`BUSY_MS`], as far as that is kept.
    pub(super) fn busy(&mut self, now: Time) -> std::collections::HashMap<GroupId, Did> {
        self.busy.all(now)
    }
}

fn lacks(assurance: &Assurance) -> bool {
    assurance.acknowledged < assurance.members
}

fn mark(groups: &mut BTreeSet<GroupId>, group: GroupId, before: bool, now: bool) {
    match (before, now) {
        (false, true) => drop(groups.insert(group)),
        (true, false) => drop(groups.remove(&group)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::machine::Held;

    fn seen(before: Assurance, assurance: Assurance) -> Seen {
        Seen {
            before,
            assurance,
            did: Did::default(),
            held: None,
        }
    }

    #[test]
    fn totals_follow_each_group_and_forget_it_with_its_end() {
        let (mut census, group) = (Census::default(), GroupId([1; 16]));
        let counts = |members, present, acknowledged, behind| Assurance {
            members,
            present,
            acknowledged,
            behind,
        };
        let (first, second) = (counts(4, 3, 2, 1), counts(4, 3, 3, 0));
        census.saw(group, Time(0), seen(Assurance::default(), first));
        census.saw(
            GroupId([2; 16]),
            Time(0),
            seen(Assurance::default(), counts(1, 1, 1, 0)),
        );
        let totals = census.totals();
        assert_eq!((totals.members, totals.present), (5, 4));
        assert_eq!((totals.acknowledged, totals.behind), (3, 1));
        assert!(census.behind().contains(&group) && census.lacking().contains(&group));
        census.saw(group, Time(0), seen(first, second));
        assert!(census.behind().is_empty(), "one is absent, and lacks it");
        assert_eq!(census.lacking().len(), 1);
        census.forget(group, &second);
        assert_eq!((census.totals().members, census.lacking().len()), (1, 0));
    }

    #[test]
    fn a_rekey_is_in_the_history_and_its_group_is_busy() {
        let (mut census, group) = (Census::default(), GroupId([1; 16]));
        let did = Did {
            rekeys: 1,
            joins: 2,
        };
        let held = Held {
            members: 3,
            after_ms: 40,
        };
        let seen = Seen {
            did,
            held: Some(held),
            ..seen(Assurance::default(), Assurance::default())
        };
        census.saw(group, Time(1), seen);
        assert_eq!(census.busy(Time(2)).get(&group), Some(&did));
        let mut merged = Merged::default();
        merged.add(census.history());
        let points = merged.points(Time(2));
        assert_eq!(
            points
                .iter()
                .flatten()
                .map(|point| point.acknowledged)
                .sum::<u64>(),
            3
        );
    }
}
