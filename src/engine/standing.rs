//! What the groups are together, as gauges. A group's share of them is looked at a few times a second while anything happens to it,
//! beside what is done for members: a delivery costs next to nothing more for it.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics::Gauge;

use super::catalogue::{BEHIND, EPOCH_STATES, WAITING};
use crate::group::ids::{GroupId, Time};
use crate::group::machine::GroupMachine;

/// How long a group's share may be out of date, in milliseconds.
pub(super) const SHOWN_AFTER_MS: u64 = 250;

/// How many numbers a group has a share in.
const NUMBERS: usize = 5 + BEHIND.len() + EPOCH_STATES.len() + WAITING.len();

/// The gauges that groups have a share in, in the order of [`numbers`].
pub(super) struct Gauges([Gauge; NUMBERS]);

impl Gauges {
    pub(super) fn new() -> Self {
        let plain = [
            "wardcast_groups",
            "wardcast_groups_frozen",
            "wardcast_members",
            "wardcast_members_present",
            "wardcast_members_current",
        ];
        let plain = plain.into_iter().map(|name| metrics::gauge!(name));
        let behind = BEHIND.iter();
        let behind =
            behind.map(|&epochs| metrics::gauge!("wardcast_members_behind", "epochs" => epochs));
        let states = EPOCH_STATES.iter();
        let states = states.map(|&state| metrics::gauge!("wardcast_epochs", "state" => state));
        let waiting = WAITING.iter();
        let waiting =
            waiting.map(|&what| metrics::gauge!("wardcast_requests_waiting", "kind" => what));
        let mut all = plain.chain(behind).chain(states).chain(waiting);
        let gauges = Gauges(std::array::from_fn(|_| {
            all.next().unwrap_or_else(Gauge::noop)
        }));
        // What there is none of is shown all the same.
        gauges.0.iter().for_each(|gauge| gauge.increment(0.0));
        gauges
    }
}

/// A group's share, which is given back when the group is no more.
#[derive(Default)]
pub(super) struct Share {
    numbers: [u32; NUMBERS],
    removing_since: Option<Time>,
    /// Whether it is to be looked at.
    pub(super) stale: bool,
}

fn numbers(machine: &GroupMachine) -> [u32; NUMBERS] {
    let assurance = machine.assurance();
    let queues = machine.queues();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let plain = [
        1,
        u32::from(machine.frozen().is_some()),
        assurance.members,
        assurance.present,
        assurance.acknowledged,
    ];
    let waiting = [queues.joins, queues.departures, queues.paths].map(count);
    let all = plain.into_iter().chain(machine.behind());
    let mut all = all.chain(machine.epochs_in_use()).chain(waiting);
    std::array::from_fn(|_| all.next().unwrap_or_default())
}

/// The gauges, as one shard moves them.
pub(super) struct Standing {
    gauges: Gauges,
    /// What the shard's clock began at, since 1970.
    began: Duration,
    /// Groups whose member is to be out, with since when.
    removing: BTreeSet<(Time, GroupId)>,
    oldest_removal: Gauge,
}

impl Standing {
    /// Of the shard with this number, whose clock shows `now`.
    pub(super) fn new(shard: usize, now: Time) -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        let oldest_removal = metrics::gauge!(
            "wardcast_removal_oldest_pending_timestamp_seconds",
            "shard" => shard.to_string()
        );
        oldest_removal.set(0.0);
        Self {
            gauges: Gauges::new(),
            began: wall
                .unwrap_or_default()
                .saturating_sub(Duration::from_millis(now.0)),
            removing: BTreeSet::new(),
            oldest_removal,
        }
    }

    /// Shows what a group is now; none of a group that is no more.
    pub(super) fn show(
        &mut self,
        group: GroupId,
        share: &mut Share,
        machine: Option<&GroupMachine>,
    ) {
        let now = machine.map(numbers).unwrap_or_default();
        let before = std::mem::replace(&mut share.numbers, now);
        for ((gauge, now), before) in self.gauges.0.iter().zip(now).zip(before) {
            if now != before {
                gauge.increment(f64::from(now) - f64::from(before));
            }
        }
        let removing = machine.and_then(GroupMachine::removing_since);
        let before = std::mem::replace(&mut share.removing_since, removing);
        if removing == before {
            return;
        }
        if let Some(before) = before {
            self.removing.remove(&(before, group));
        }
        if let Some(since) = removing {
            self.removing.insert((since, group));
        }
        let oldest = self.removing.first();
        let oldest = oldest.map(|(since, _)| self.began + Duration::from_millis(since.0));
        self.oldest_removal
            .set(oldest.unwrap_or_default().as_secs_f64());
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.oldest_removal.set(0.0);
    }
}
