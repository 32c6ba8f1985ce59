//! Changes that wait for the next epoch.

use std::collections::{BTreeMap, VecDeque};

use super::io::Ticket;
use super::rollover::Rollover;
use crate::group::ids::{Identity, MemberId, Role, Time};
use crate::group::limits::MAX_NOTE;
use crate::group::policy::GroupPolicy;
use crate::group::record::{Departed, Record};
use crate::group::roster::Roster;
use crate::group::wire::{Offer, RemovalReason};

/// Somebody who waits to be registered.
#[derive(Clone, Debug)]
pub(super) struct WaitingJoin {
    pub(super) ticket: Ticket,
    pub(super) identity: Identity,
    pub(super) role: Role,
    pub(super) offer: Offer,
    pub(super) since: Time,
}

/// What is on record of a departure besides its reason.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said<'a> {
    /// What was said about it.
    pub(super) note: Option<&'a str>,
    /// The operator who asked for it.
    pub(super) by: Option<&'a Identity>,
}

/// Why a member is on its way out.
#[derive(Clone, Debug)]
struct Departure {
    reason: RemovalReason,
    note: Option<String>,
    by: Option<Identity>,
}

/// What the next records are made of.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    joins: VecDeque<WaitingJoin>,
    /// How many joins wait for each identity.
    identities: BTreeMap<Identity, u32>,
    /// Kept until the departure is on record: a failure of the store loses none.
    departures: BTreeMap<MemberId, Departure>,
    pub(super) rotate: bool,
    pub(super) rollover: Option<Rollover>,
    pub(super) urgent: bool,
    /// When the first change of the batch came.
    pub(super) since: Option<Time>,
    /// When the first change came that is not on record: a batch that failed to be is not forgotten here.
    pub(super) first: Option<Time>,
    pub(super) policy: Option<GroupPolicy>,
    /// A freeze or a thaw.
    pub(super) gate: Option<Record>,
    pub(super) destroy: bool,
}

impl Waiting {
    /// A change came: the batch's interval runs from the first one.
    pub(super) fn open(&mut self, now: Time) {
        self.since.get_or_insert(now);
        self.first.get_or_insert(now);
    }

    pub(super) fn joins(&self) -> usize {
        self.joins.len()
    }

    pub(super) fn joins_of(&self, identity: &Identity) -> u32 {
        self.identities.get(identity).copied().unwrap_or(0)
    }

    pub(super) fn join(&mut self, join: WaitingJoin, now: Time) {
        *self.identities.entry(join.identity.clone()).or_default() += 1;
        self.joins.push_back(join);
        self.open(now);
    }

    /// Takes the joins that have waited longest.
    pub(super) fn take_joins(&mut self, most: usize) -> Vec<WaitingJoin> {
        let most = most.min(self.joins.len());
        let taken: Vec<WaitingJoin> = self.joins.drain(..most).collect();
        for join in &taken {
            self.forget_identity(&join.identity);
        }
        taken
    }

    /// When the join came that waits longest.
    pub(super) fn oldest_join(&self) -> Option<Time> {
        self.joins.front().map(|join| join.since)
    }

    /// Whether there is more to put on record than joins.
    pub(super) fn is_more_than_joins(&self) -> bool {
        !self.departures.is_empty() || self.rotate || self.rollover.is_some()
    }

    /// Takes the joins that came at or before a time.
    pub(super) fn take_joins_until(&mut self, time: Time) -> Vec<WaitingJoin> {
        let most = self.joins.partition_point(|join| join.since <= time);
        self.take_joins(most)
    }

    fn forget_identity(&mut self, identity: &Identity) {
        if let Some(count) = self.identities.get_mut(identity) {
            *count -= 1;
            if *count == 0 {
                self.identities.remove(identity);
            }
        }
    }

    pub(super) fn departures(&self) -> usize {
        self.departures.len()
    }

    pub(super) fn is_leaving(&self, member: MemberId) -> bool {
        self.departures.contains_key(&member)
    }

    /// Notes that a member is on its way out; the first reason stays, but for an eviction, which is the strongest.
    pub(super) fn leave(
        &mut self,
        member: MemberId,
        reason: RemovalReason,
        said: Said<'_>,
        now: Time,
    ) {
        let departure = Departure {
            reason,
            note: said.note.filter(|note| !note.is_empty()).map(cut),
            by: said.by.cloned(),
        };
        if reason == RemovalReason::Evicted {
            self.departures.insert(member, departure);
        } else {
            self.departures.entry(member).or_insert(departure);
        }
        self.open(now);
    }

    /// Those who are on their way out, for a record.
    pub(super) fn departed(&self, roster: &Roster) -> Vec<Departed> {
        let departed = |(&member, departure): (&MemberId, &Departure)| {
            let identity = &roster.get(member)?.identity;
            Some(Departed {
                member,
                reason: departure.reason,
                note: departure.note.clone(),
                identity: Some((**identity).clone()),
                by: departure.by.clone(),
            })
        };
        self.departures.iter().filter_map(departed).collect()
    }

    /// Those departures are on record.
    pub(super) fn departures_done(&mut self, left: &[Departed]) {
        for departed in left {
            self.departures.remove(&departed.member);
        }
    }

    /// Whether the next epoch has no reason any more.
    pub(super) fn settle(&mut self) {
        if self.departures.is_empty() {
            self.urgent = false;
            if self.joins.is_empty() && !self.rotate && self.rollover.is_none() {
                (self.since, self.first) = (None, None);
            }
        }
    }
}

/// A note within its bound, cut between characters.
pub(super) fn cut(note: &str) -> String {
    let end = (0..=MAX_NOTE.min(note.len()))
        .rev()
        .find(|&at| note.is_char_boundary(at));
    note[..end.unwrap_or(0)].to_owned()
}
