//! How many members have acknowledged which epoch as their newest.

use std::collections::BTreeMap;

use crate::group::ids::Epoch;

/// Some members, and how many of them have a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) members: u32,
    pub(super) present: u32,
}

impl Tally {
    /// One member.
    pub(super) fn one(is_present: bool) -> Self {
        Tally {
            members: 1,
            present: u32::from(is_present),
        }
    }

    fn add(&mut self, other: Tally) {
        self.members += other.members;
        self.present += other.present;
    }
}

/// All members of a group, by the newest epoch that they acknowledged.
#[derive(Clone, Debug, Default)]
pub(super) struct Tallies {
    by_epoch: BTreeMap<Epoch, Tally>,
}

/// Members that had acknowledged one epoch and now have another one.
#[derive(Default)]
pub(super) struct Moved {
    between: (Epoch, Epoch),
    who: Tally,
}

impl Tallies {
    pub(super) fn clear(&mut self) {
        self.by_epoch.clear();
    }

    /// Who acknowledged an epoch or one after it.
    pub(super) fn since(&self, epoch: Epoch) -> Tally {
        let mut all = Tally::default();
        self.by_epoch
            .range(epoch..)
            .for_each(|(_, tally)| all.add(*tally));
        all
    }

    pub(super) fn come(&mut self, epoch: Epoch, who: Tally) {
        self.by_epoch.entry(epoch).or_default().add(who);
    }

    pub(super) fn go(&mut self, epoch: Epoch, who: Tally) {
        let tally = self.by_epoch.entry(epoch).or_default();
        tally.members -= who.members;
        tally.present -= who.present;
        if tally.members == 0 {
            self.by_epoch.remove(&epoch);
        }
    }

    /// One more member has moved. Of those who acknowledge together nearly all move alike: they are counted together, so
    /// until [`settle`](Self::settle) some may not be counted yet.
    pub(super) fn advance(&mut self, moved: &mut Moved, between: (Epoch, Epoch), who: Tally) {
        if moved.between != between {
            self.settle(std::mem::take(moved));
            moved.between = between;
        }
        moved.who.add(who);
    }

    pub(super) fn settle(&mut self, Moved { between, who }: Moved) {
        if who.members > 0 {
            self.go(between.0, who);
            self.come(between.1, who);
        }
    }
}
