//! What operators are shown of all groups together, and of one member: types, and the questions that go to every shard.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::census::{History, Latency, Totals};
use super::event::MemberView;
use crate::group::ids::{Epoch, GroupId, Identity, MemberId, Time};

/// Groups that are told of for each of what they are in order of: activity, members behind, members.
pub(super) const GROUPS_TOLD: usize = 20;
/// Members that are told of as the slowest.
pub(super) const SLOWEST_TOLD: usize = 10;

/// All groups of a gateway, at one moment.
#[derive(Clone, Debug)]
pub struct Overview {
    /// Groups that there are.
    pub groups: usize,
    /// Their members.
    pub totals: Totals,
    /// The busiest groups, those with most members behind, and the largest; the busiest first. Where there are very many groups,
    /// those among the ones that were looked at.
    pub busiest: Vec<GroupActivity>,
    /// How long rekeys took, a point for each [`POINT_MS`](super::POINT_MS), the oldest first.
    pub latency: Vec<Option<Latency>>,
    /// Members that are present and lack the newest epoch for longer than a second, the slowest first; of those that were looked at.
    pub slowest: Vec<SlowMember>,
    /// Each shard's queue.
    pub shards: Vec<ShardStatus>,
}

/// How a shard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardStatus {
    /// Events that wait for it.
    pub queued: usize,
    /// Whether it answered in time: if not, its groups are missing.
    pub answered: bool,
}

/// A group and what it did lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupActivity {
    /// Its name.
    pub name: String,
    /// The newest epoch that was delivered.
    pub epoch: Epoch,
    /// The one that senders send with.
    pub active: Epoch,
    /// Its members.
    pub totals: Totals,
    /// Epochs that were delivered within the last [`BUSY_MS`](super::BUSY_MS).
    pub rekeys: u32,
    /// Members that joined within that time.
    pub joins: u32,
    /// Whether it admits nobody.
    pub frozen: bool,
}

/// A member that is present and lacks the newest epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowMember {
    /// Its group.
    pub group: String,
    /// Its number.
    pub member: MemberId,
    /// Whose it is.
    pub identity: Identity,
    /// The newest epoch that it acknowledged; 0 for none.
    pub acknowledged: Epoch,
    /// Epochs that it is behind.
    pub behind: u64,
    /// For how long the newest epoch has been there for it.
    pub waited: Duration,
}

/// Whom to trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// One registration.
    Member(MemberId),
    /// All registrations of somebody.
    Identity(Identity),
}

/// How a member is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Not yet: its grant is under way.
    Joining,
    /// By streams of its connection.
    Stream,
    /// By datagrams, and by streams where these get lost.
    Datagram,
    /// By datagrams alone: it has no connection.
    Parked,
    /// Not at all.
    Absent,
}

/// What was sent to a member: each since its connection or channel began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deliveries {
    /// Pushes on streams.
    pub streams: u32,
    /// Epochs that a newer one replaced before they were sent.
    pub conflated: u32,
    /// Rekeys by datagram.
    pub datagrams: u32,
    /// Datagrams that were sent again.
    pub resent: u32,
    /// Rekeys that no datagram brought, so that a stream had to.
    pub given_up: u32,
}

/// A registration in full.
#[derive(Clone, Debug)]
pub struct MemberTrace {
    /// What a list says of it.
    pub registration: MemberView,
    /// How it is reached.
    pub reach: Reach,
    /// Whether it says that it hears its group's multicast.
    pub hears_multicast: bool,
    /// For how long it has been present, or absent.
    pub since: Option<Duration>,
    /// How long ago it acknowledged what it acknowledged last, to the second.
    pub acknowledged: Option<Duration>,
    /// How long ago it last asked for its keys by itself, to the second: it came back, or pulled.
    pub asked: Option<Duration>,
    /// The newest epoch that its group has delivered.
    pub delivered: Epoch,
    /// The epoch that senders send with.
    pub active: Epoch,
    /// What was sent to it; none where it is not reached.
    pub deliveries: Option<Deliveries>,
}

impl MemberTrace {
    /// How many epochs it is behind: of those since it joined.
    pub fn behind(&self) -> u64 {
        let MemberView {
            acknowledged,
            joined,
            ..
        } = self.registration;
        behind(acknowledged, joined, self.delivered)
    }
}

pub(super) fn behind(acknowledged: Epoch, joined: Epoch, delivered: Epoch) -> u64 {
    let held = acknowledged.0.max(joined.0.saturating_sub(1));
    delivered.0.saturating_sub(held)
}

/// A member that did not acknowledge its group's newest epoch.
#[derive(Clone, Debug)]
pub struct Lacking {
    /// Its group.
    pub group: String,
    /// Its registration.
    pub trace: MemberTrace,
}

/// Some of those who lack the newest epoch, and where to go on. A page may be empty though others follow.
#[derive(Clone, Debug, Default)]
pub struct LackingPage {
    /// Who.
    pub members: Vec<Lacking>,
    /// Where the next page begins; none after the last.
    pub next: Option<Place>,
}

/// Where a page of those who lack the newest epoch begins. Its text means nothing but to the gateway that gave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub(super) shard: usize,
    /// With this group.
    pub(super) group: Option<GroupId>,
    /// After this member of it.
    pub(super) after: Option<MemberId>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.shard)?;
        if let Some(group) = self.group {
            write!(f, ".{group}")?;
        }
        match self.after {
            Some(MemberId(member)) => write!(f, ".{member}"),
            None => Ok(()),
        }
    }
}

/// A text that is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no place in a list: it is what the page before said under next")]
pub struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let mut parts = text.split('.');
        let shard = parts.next().and_then(|part| part.parse().ok());
        let group = parts.next().map(|part| {
            let bytes = data_encoding::HEXLOWER.decode(part.as_bytes()).ok();
            let id = bytes.and_then(|bytes| bytes.try_into().ok());
            id.map(GroupId).ok_or(NoPlace)
        });
        let after = parts.next().map(|part| part.parse().map_err(|_| NoPlace));
        match parts.next() {
            Some(_) => Err(NoPlace),
            None => Ok(Place {
                shard: shard.ok_or(NoPlace)?,
                group: group.transpose()?,
                after: after.transpose()?.map(MemberId),
            }),
        }
    }
}

/// What one shard tells.
#[derive(Debug)]
pub(super) struct ShardView {
    pub(super) now: Time,
    pub(super) groups: usize,
    pub(super) totals: Totals,
    pub(super) busiest: Vec<GroupActivity>,
    pub(super) slowest: Vec<SlowMember>,
    pub(super) history: History,
}

/// The first of these by each order, each once; the first order's first.
pub(super) fn leading<T: Clone, K: Ord>(all: &[T], most: usize, orders: &[fn(&T) -> K]) -> Vec<T> {
    let mut chosen: Vec<usize> = Vec::new();
    for order in orders {
        let mut places: Vec<usize> = (0..all.len()).collect();
        let descending = |place: &usize| std::cmp::Reverse(order(&all[*place]));
        if places.len() > most {
            places.select_nth_unstable_by_key(most, descending);
            places.truncate(most);
        }
        places.sort_by_key(descending);
        places.retain(|place| !chosen.contains(place));
        chosen.extend(places);
    }
    chosen.into_iter().map(|place| all[place].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let group = GroupId([7; 16]);
        for (group, after) in [
            (None, None),
            (Some(group), None),
            (Some(group), Some(MemberId(u64::from(u32::MAX) + 9))),
        ] {
            let shard = 3;
            let place = Place {
                shard,
                group,
                after,
            };
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        let long = format!("0.{group}.1.1");
        let no_number = format!("0.{group}.x");
        for bad in ["", "x", "0.", "0.07.1", "0.07", "-1", &long, &no_number] {
            assert_eq!(bad.parse::<Place>(), Err(NoPlace), "{bad}");
        }
    }

    #[test]
    fn the_first_of_each_order_are_there_once() {
        let all: Vec<(u32, u32)> = (0..100).map(|at| (at, (at * 37) % 100)).collect();
        let chosen = leading(&all, 3, &[|pair| pair.0, |pair| pair.1]);
        assert_eq!(
            &chosen[..3],
            &all[97..].iter().rev().copied().collect::<Vec<_>>()
        );
        assert_eq!(chosen.len(), 6);
        assert!(chosen[3..].iter().all(|pair| pair.1 > 96), "{chosen:?}");
        assert_eq!(leading(&all[..2], 3, &[|pair| pair.0]).len(), 2);
    }

    #[test]
    fn a_member_is_behind_since_it_joined_at_most() {
        let behind = |acknowledged, joined| behind(Epoch(acknowledged), Epoch(joined), Epoch(9));
        assert_eq!((behind(9, 1), behind(7, 1), behind(0, 8)), (0, 2, 2));
    }
}
