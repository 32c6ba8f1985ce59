//! Grants and catch-ups: whoever waits for a leaf key, a path, or both.
//!
//! Everyone gets the same thing, a path from the leaf to the newest root under the newest header, and a joiner its
//! wrapped leaf key besides. A waiter moves between two places until it is answered: `queue`, for what the token must
//! make first, and `ready`, for the header of an epoch that is committed and not sealed yet. What a waiter still
//! lacks is looked up anew each time, against the tree as it is then.

use std::collections::{BTreeMap, HashSet, VecDeque};

use super::GroupMachine;
use super::io::{Effect, Ticket};
use super::jobs::Work;
use super::sealing::wrap;
use crate::group::edges::{Edge, EdgeCache};
use crate::group::ids::{KeyRef, MemberId, Time};
use crate::group::limits::{
    BUSY_RETRY_MS, KEY_JOBS_IN_FLIGHT, MAX_WAITING_PATHS, PATIENCE_MS, WAITERS_PER_JOB,
};
use crate::group::operations::{Operation, Output, Priority, PublicKey, WrappedKey};
use crate::group::planner::PlannedEdge;
use crate::group::roster::Presence;
use crate::group::wire::{
    Grant, PathDelivery, Refusal, RefusalCode, RemovalReason, grant_transcript,
};

/// Somebody who waits for keys. Only while `tickets` names the member too: one that left is forgotten there.
#[derive(Debug)]
pub(super) struct Waiter {
    member: MemberId,
    grant: Option<LeafGrant>,
}

/// What a joiner waits for besides its path.
#[derive(Debug)]
struct LeafGrant {
    leaf: KeyRef,
    public: PublicKey,
    wrapped: Option<WrappedKey>,
}

impl Waiter {
    pub(super) fn lacks_grant(&self) -> bool {
        self.grant
            .as_ref()
            .is_some_and(|grant| grant.wrapped.is_none())
    }
}

/// Whoever waits for keys, and the edges that are known already.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) cache: EdgeCache,
    queue: VecDeque<Waiter>,
    ready: Vec<Waiter>,
    /// One for each member at most: a member that asks again takes its own place.
    tickets: BTreeMap<MemberId, (Ticket, Time)>,
}

impl Keys {
    pub(super) fn waiting(&self) -> usize {
        self.tickets.len()
    }

    /// Whether the token is to be asked for something.
    pub(super) fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// What could not be made goes to the head of the queue again.
    pub(super) fn put_back(&mut self, waiters: Vec<Waiter>) {
        for waiter in waiters.into_iter().rev() {
            self.queue.push_front(waiter);
        }
    }

    pub(super) fn clear(&mut self) -> Vec<Ticket> {
        let tickets = std::mem::take(self).tickets;
        tickets.into_values().map(|(ticket, _)| ticket).collect()
    }
}

impl GroupMachine {
    /// A member resumes or pulls.
    pub(super) fn catch_up(&mut self, ticket: Ticket, member: MemberId) {
        let known = self.state.roster().get(member);
        let granted = known.is_some_and(|m| m.presence != Presence::Joining);
        if !granted || self.waiting.is_leaving(member) {
            return self.refuse(ticket, Refusal::new(RefusalCode::UnknownMember));
        }
        if let Some(earlier) = self.keys.tickets.get_mut(&member) {
            let (earlier, _) = std::mem::replace(earlier, (ticket, self.now));
            return self.refuse(earlier, Refusal::retry(RefusalCode::Busy, BUSY_RETRY_MS));
        }
        if self.keys.tickets.len() >= MAX_WAITING_PATHS {
            return self.refuse(ticket, Refusal::retry(RefusalCode::Busy, BUSY_RETRY_MS));
        }
        self.keys.tickets.insert(member, (ticket, self.now));
        let waiter = Waiter {
            member,
            grant: None,
        };
        self.serve(waiter, &[]);
    }

    /// A joiner is on record.
    pub(super) fn await_grant(&mut self, ticket: Ticket, member: MemberId, public: PublicKey) {
        let Some(leaf) = self.state.leaf_key(member) else {
            return self.refuse(ticket, Refusal::new(RefusalCode::UnknownMember));
        };
        self.keys.tickets.insert(member, (ticket, self.now));
        let grant = LeafGrant {
            leaf,
            public,
            wrapped: None,
        };
        self.keys.queue.push_back(Waiter {
            member,
            grant: Some(grant),
        });
    }

    /// A member is on its way out: it is given nothing more.
    pub(super) fn forget_waiter(&mut self, member: MemberId) {
        if let Some((ticket, _)) = self.keys.tickets.remove(&member) {
            self.refuse(ticket, Refusal::new(RefusalCode::UnknownMember));
        }
    }

    /// The newest header is sealed: whoever has all else is answered.
    pub(super) fn answer_ready(&mut self) {
        for waiter in std::mem::take(&mut self.keys.ready) {
            self.serve(waiter, &[]);
        }
    }

    /// Answers a waiter, or puts it where it gets what it lacks. `fresh` are edges just made, for which the cache may
    /// have had no room.
    fn serve(&mut self, waiter: Waiter, fresh: &[Edge]) {
        let keys = &mut self.keys;
        let member = self.state.roster().get(waiter.member);
        let Some(member) = member.filter(|_| keys.tickets.contains_key(&waiter.member)) else {
            return;
        };
        if waiter.lacks_grant() {
            return keys.queue.push_back(waiter);
        }
        if self.newest_header().is_none() {
            self.keys.ready.push(waiter);
            return self.need_header();
        }
        match self
            .keys
            .cache
            .path_with(self.state.tree(), member.leaf, fresh)
        {
            Ok(edges) => self.answer(waiter, edges),
            Err(_) => self.keys.queue.push_back(waiter),
        }
    }

    fn answer(&mut self, waiter: Waiter, edges: Vec<Edge>) {
        let member = waiter.member;
        let (Some(path), Some((ticket, _))) =
            (self.path(member, edges), self.keys.tickets.remove(&member))
        else {
            return;
        };
        let effect = match waiter.grant {
            None => Effect::Path {
                ticket,
                member,
                path,
            },
            Some(LeafGrant { leaf, wrapped, .. }) => {
                let (Some(wrapped), Some(known)) = (wrapped, self.state.roster().get(member))
                else {
                    return;
                };
                let grant = Grant {
                    group: self.state.group(),
                    suite: self.state.suite(),
                    member,
                    role: known.role,
                    leaf,
                    wrapped,
                    signing: self.issuer.signing,
                    agreement: self.issuer.agreement,
                    path,
                };
                self.state.roster_mut().arrive(member, self.now);
                Effect::Granted {
                    ticket,
                    member,
                    grant: Box::new(grant),
                }
            }
        };
        self.effects.push_back(effect);
    }

    fn path(&self, member: MemberId, edges: Vec<Edge>) -> Option<PathDelivery> {
        Some(PathDelivery {
            header: self.newest_header()?.clone(),
            edges,
            active: self.epochs.active(),
            sender_ids: self
                .state
                .roster()
                .get(member)?
                .sender
                .into_iter()
                .collect(),
            sender_space: self.state.sender_space(),
        })
    }

    /// Asks the token for grants and missing edges, a few jobs at a time.
    pub(super) fn issue_keys(&mut self) {
        while self.keys.is_waiting()
            && self.token.backoff.is_over(self.now)
            && self.token.key_jobs() < KEY_JOBS_IN_FLIGHT
        {
            let (waiters, edges) = self.gather();
            if waiters.is_empty() {
                return;
            }
            let grants = waiters.iter().filter(|waiter| waiter.lacks_grant());
            let mut operations: Vec<Operation> = grants
                .filter_map(|waiter| self.grant_operation(waiter))
                .collect();
            operations.extend(edges.iter().map(wrap));
            self.ask(Priority::Grant, operations, Work::Keys { waiters, edges });
        }
    }

    /// Takes waiters for one job, and the edges that they lack now, each once.
    fn gather(&mut self) -> (Vec<Waiter>, Vec<PlannedEdge>) {
        let (mut waiters, mut edges) = (Vec::new(), Vec::new());
        let mut seen = HashSet::new();
        while waiters.len() < WAITERS_PER_JOB {
            let Some(waiter) = self.keys.queue.pop_front() else {
                break;
            };
            let member = self.state.roster().get(waiter.member);
            let Some(member) = member.filter(|_| self.keys.tickets.contains_key(&waiter.member))
            else {
                continue;
            };
            let path = self.keys.cache.path(self.state.tree(), member.leaf);
            let mut missing = path.err().unwrap_or_default();
            // What the rekey in the making brings is not asked for twice.
            missing.retain(|edge| !self.sealing.owes(edge.child.node));
            if missing.is_empty() && !waiter.lacks_grant() {
                self.serve(waiter, &[]);
                continue;
            }
            edges.extend(missing.into_iter().filter(|&edge| seen.insert(edge)));
            waiters.push(waiter);
        }
        (waiters, edges)
    }

    fn grant_operation(&self, waiter: &Waiter) -> Option<Operation> {
        let grant = waiter.grant.as_ref()?;
        Some(Operation::Grant {
            leaf: grant.leaf,
            member: grant.public,
            transcript: grant_transcript(
                self.state.suite(),
                &self.state.group(),
                waiter.member,
                &grant.leaf,
                &grant.public,
                &self.issuer.agreement,
            ),
        })
    }

    /// The token made grants and edges.
    pub(super) fn keys_done(&mut self, waiters: Vec<Waiter>, grants: &[Output], edges: &[Edge]) {
        for edge in edges {
            self.keys.cache.insert(self.state.tree(), edge);
        }
        let mut grants = grants.iter();
        for mut waiter in waiters {
            if let Some(grant) = waiter
                .grant
                .as_mut()
                .filter(|grant| grant.wrapped.is_none())
            {
                match grants.next() {
                    Some(Output::Wrapped(wrapped)) => grant.wrapped = Some(*wrapped),
                    _ => {
                        self.give_up(waiter.member, Refusal::new(RefusalCode::BadPublicKey));
                        continue;
                    }
                }
            }
            self.serve(waiter, edges);
        }
    }

    /// Whoever waits too long while the token fails is told so; a joiner's registration, which nobody else can ever
    /// use, ends again.
    pub(super) fn refuse_impatient(&mut self, pause_ms: u64) {
        let Some(oldest) = self.now.0.checked_sub(PATIENCE_MS).map(Time) else {
            return;
        };
        let refusal = Refusal::retry(RefusalCode::TokenUnusable, pause_ms);
        let tickets = self.keys.tickets.iter();
        let late: Vec<MemberId> = tickets
            .filter(|(_, (_, since))| *since <= oldest)
            .map(|(&member, _)| member)
            .collect();
        for member in late {
            self.give_up(member, refusal.clone());
        }
        for join in self.waiting.take_joins_until(oldest) {
            self.refuse(join.ticket, refusal.clone());
        }
        self.waiting.settle();
    }

    fn give_up(&mut self, member: MemberId, refusal: Refusal) {
        if let Some((ticket, _)) = self.keys.tickets.remove(&member) {
            self.refuse(ticket, refusal);
        }
        let joiner = self.state.roster().get(member);
        if joiner.is_some_and(|m| m.presence == Presence::Joining) {
            self.waiting
                .leave(member, RemovalReason::NotGranted, None, self.now);
        }
    }
}
