//! What a shard tells of its groups when operators look: it looks at a bounded number of groups and members for it.

use std::collections::HashSet;
use std::time::Duration;

use super::Shard;
use crate::engine::census::Totals;
use crate::engine::group::Served;
use crate::engine::handle::MAX_PAGE;
use crate::engine::watch::{
    GROUPS_TOLD, GroupActivity, Lacking, LackingPage, Place, SLOWEST_TOLD, ShardView, SlowMember,
    behind, leading,
};
use crate::group::ids::{GroupId, Time};
use crate::group::roster::Presence;

/// Groups of each kind that are looked at for an overview: any, and those with members behind.
const LOOKED_GROUPS: usize = 1_024;
/// Members that are looked at for the slowest.
const LOOKED_MEMBERS: usize = 10_000;
/// Whoever has had the newest epoch before him for less is not slow.
const SLOW_MS: u64 = 1_000;
/// Members and groups that are looked at for a page of those who lack the newest epoch.
const PAGE_LOOKED: usize = 20_000;
const PAGE_GROUPS: usize = 2_000;

/// What a group is put in order by: activity, members behind, members.
type Rank = ([u64; 3], GroupId);

impl Shard {
    /// All its groups together.
    pub(super) fn overview(&mut self) -> ShardView {
        let now = self.clock.now();
        ShardView {
            now,
            groups: self.groups.len(),
            totals: self.shown.census.totals(),
            busiest: self.busiest(now),
            slowest: self.slowest(now),
            history: self.shown.census.history().clone(),
        }
    }

    fn busiest(&mut self, now: Time) -> Vec<GroupActivity> {
        let did = self.shown.census.busy(now);
        let mut looked: HashSet<GroupId> = did.keys().copied().collect();
        looked.extend(self.shown.census.behind().iter().take(LOOKED_GROUPS));
        looked.extend(self.groups.keys().take(LOOKED_GROUPS));
        let ranks = looked.into_iter().filter_map(|group| {
            let of = self.groups.get(&group)?.told();
            let did = did.get(&group).copied().unwrap_or_default();
            let active = u64::from(did.rekeys) + u64::from(did.joins);
            Some(([active, of.behind.into(), of.members.into()], group))
        });
        let ranks: Vec<Rank> = ranks.collect();
        let chosen = leading(
            &ranks,
            GROUPS_TOLD,
            &[|rank: &Rank| rank.0[0], |rank| rank.0[1], |rank| rank.0[2]],
        );
        let told = chosen.into_iter().filter_map(|(_, group)| {
            let served = self.groups.get(&group)?;
            let did = did.get(&group).copied().unwrap_or_default();
            Some(served.activity(did.rekeys, did.joins))
        });
        told.collect()
    }

    fn slowest(&self, now: Time) -> Vec<SlowMember> {
        let mut left = LOOKED_MEMBERS;
        let mut slow = Vec::new();
        for group in self.shown.census.behind().iter().take(LOOKED_GROUPS) {
            if let Some(served) = self.groups.get(group) {
                left = served.slow(now, left, &mut slow);
            }
            slow = leading(
                &slow,
                SLOWEST_TOLD,
                &[|member: &SlowMember| (member.behind, member.waited)],
            );
        }
        slow
    }

    /// A page of those who lack the newest epoch, of one group or of all of this shard's.
    pub(super) fn lacking(&self, only: Option<GroupId>, from: Place) -> LackingPage {
        let now = self.clock.now();
        let mut page = LackingPage::default();
        let first = from.group.unwrap_or(GroupId([0; 16]));
        let all = self.shown.census.lacking().range(first..);
        let groups: Vec<GroupId> = match only {
            Some(group) => vec![group],
            None => all.take(PAGE_GROUPS + 1).copied().collect(),
        };
        let mut left = PAGE_LOOKED;
        for (at, group) in groups.into_iter().enumerate() {
            let after = from.after.filter(|_| from.group == Some(group));
            let full = at == PAGE_GROUPS || left == 0 || page.members.len() >= MAX_PAGE;
            let Some(served) = self.groups.get(&group) else {
                continue;
            };
            let place = |after| Place {
                shard: from.shard,
                group: Some(group),
                after,
            };
            if full {
                page.next = Some(place(after));
                break;
            }
            let most = (MAX_PAGE - page.members.len(), left);
            let (found, more) = served.lacking(now, after, most);
            left = left.saturating_sub(served.told().members as usize);
            page.members.extend(found.into_iter().map(|trace| Lacking {
                group: served.name().to_owned(),
                trace,
            }));
            if more.is_some() {
                page.next = Some(place(more));
                break;
            }
        }
        page
    }
}

impl Served {
    fn activity(&self, rekeys: u32, joins: u32) -> GroupActivity {
        let of = self.told();
        GroupActivity {
            name: self.name().to_owned(),
            epoch: self.machine().delivered().0,
            active: self.machine().active(),
            totals: Totals {
                members: of.members.into(),
                present: of.present.into(),
                acknowledged: of.acknowledged.into(),
                behind: of.behind.into(),
            },
            rekeys,
            joins,
            frozen: self.machine().frozen().is_some(),
        }
    }

    /// Adds members that are present and lack the newest epoch; looks at so many at most, and tells how many may be looked at
    /// elsewhere.
    fn slow(&self, now: Time, most: usize, slow: &mut Vec<SlowMember>) -> usize {
        let (delivered, at) = self.machine().delivered();
        if at.after(SLOW_MS) > now {
            return most;
        }
        let mut looked = 0;
        for (member, registration) in self.machine().members().take(most) {
            looked += 1;
            let present = registration.presence == Presence::Present;
            if !present || registration.acknowledged >= delivered {
                continue;
            }
            // A member that has come back since waits for as long as it is there.
            let waited = now.0.saturating_sub(at.0.max(registration.since.0));
            if waited >= SLOW_MS {
                slow.push(SlowMember {
                    group: self.name().to_owned(),
                    member,
                    identity: (*registration.identity).clone(),
                    acknowledged: registration.acknowledged,
                    behind: behind(registration.acknowledged, registration.joined, delivered),
                    waited: Duration::from_millis(waited),
                });
            }
        }
        most - looked
    }
}
