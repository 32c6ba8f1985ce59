//! What operators look at: every shard is asked, none is waited for for long.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::{BUSY_RETRY_MS, Handle};
use crate::engine::census::{Merged, Totals};
use crate::engine::event::{Event, Operate};
use crate::engine::watch::{
    GROUPS_TOLD, GroupActivity, LackingPage, MemberTrace, Overview, Place, SLOWEST_TOLD,
    ShardStatus, SlowMember, Who, leading,
};
use crate::group::ids::{GroupId, Time};
use crate::group::wire::{Refusal, RefusalCode};

/// How long a shard is waited for: one that has more to do is told of as such.
const PATIENCE: Duration = Duration::from_secs(2);

impl Handle {
    /// All groups at one moment. Each shard looks at a bounded number of them for it, and nothing that rekeys waits for
    /// another shard; whoever serves many viewers asks once for all of them.
    pub async fn overview(&self) -> Overview {
        let until = Instant::now() + PATIENCE;
        let asked: Vec<_> = self
            .shards
            .iter()
            .map(|shard| {
                let (reply, answer) = oneshot::channel();
                let queued = shard.max_capacity() - shard.capacity();
                let asked = shard.try_send(Event::Overview(reply)).is_ok();
                (queued, asked.then_some(answer))
            })
            .collect();
        let (mut now, mut groups, mut totals) = (Time(0), 0, Totals::default());
        let (mut busiest, mut slowest) = (Vec::new(), Vec::new());
        let (mut merged, mut shards) = (Merged::default(), Vec::new());
        for (queued, answer) in asked {
            let view = match answer {
                Some(answer) => timeout_at(until, answer).await.ok().and_then(Result::ok),
                None => None,
            };
            let answered = view.is_some();
            shards.push(ShardStatus { queued, answered });
            let Some(view) = view else {
                continue;
            };
            now = now.max(view.now);
            groups += view.groups;
            totals.add(&view.totals);
            busiest.extend(view.busiest);
            slowest.extend(view.slowest);
            merged.add(&view.history);
        }
        Overview {
            groups,
            totals,
            busiest: busy_first(&busiest),
            latency: merged.points(now),
            slowest: leading(
                &slowest,
                SLOWEST_TOLD,
                &[|member: &SlowMember| (member.behind, member.waited)],
            ),
            shards,
        }
    }

    /// Somebody's registrations in a group, or one by its number; none where there is no such one.
    pub async fn trace(&self, group: &str, who: Who) -> Result<Vec<MemberTrace>, Refusal> {
        self.operate(self.find(group)?, |reply| Operate::Trace(who, reply))
            .await
    }

    /// Members that did not acknowledge the newest epoch: of one group, or of all; a page.
    pub async fn lacking(
        &self,
        group: Option<&str>,
        from: Option<Place>,
    ) -> Result<LackingPage, Refusal> {
        let only: Option<GroupId> = group.map(|group| self.find(group)).transpose()?;
        let mut from = from.unwrap_or_default();
        if let Some(group) = only {
            from.shard = self.directory.shard(group);
        }
        let Some(shard) = self.shards.get(from.shard) else {
            return Ok(LackingPage::default());
        };
        let busy = || Refusal::retry(RefusalCode::Busy, BUSY_RETRY_MS);
        let (reply, answer) = oneshot::channel();
        let event = Event::Lacking(only, from, reply);
        shard.try_send(event).map_err(|_| busy())?;
        let answer = timeout_at(Instant::now() + PATIENCE, answer).await;
        let mut page = answer.ok().and_then(Result::ok).ok_or_else(busy)?;
        if page.next.is_none() && only.is_none() && from.shard + 1 < self.shards.len() {
            page.next = Some(Place {
                shard: from.shard + 1,
                ..Place::default()
            });
        }
        Ok(page)
    }
}

fn busy_first(groups: &[GroupActivity]) -> Vec<GroupActivity> {
    leading(
        groups,
        GROUPS_TOLD,
        &[
            |group: &GroupActivity| u64::from(group.rekeys) + u64::from(group.joins),
            |group| group.totals.behind,
            |group| group.totals.members,
        ],
    )
}
