//! Grants and catch-ups: whoever waits for a leaf key, a path, or both.
//!
//! Everyone gets the same thing, a path from the leaf to the newest root under the newest header, and whoever does not
//! hold its leaf key that one besides: a joiner, and after a rollover every member. A waiter moves between two places until
//! it is answered: `queue`, for what the token must make first, and `ready`, for the header of an epoch that is committed
//! and not sealed yet. What a waiter still lacks is looked up anew each time, against the tree as it is then.

use std::collections::{BTreeMap, HashSet, VecDeque};

use bytes::Bytes;

use super::GroupMachine;
use super::asked::{Asked, Made, Need, Waiter};
use super::io::{Claim, Effect, Ticket};
use super::jobs::Work;
use super::sealing::wrap;
use super::waiting::Said;
use crate::group::edges::{Edge, EdgeCache};
use crate::group::ids::{KeyRef, MemberId, Time};
use crate::group::limits::{
    BACKOFF_MOST_MS, BUSY_RETRY_MS, KEY_JOBS_IN_FLIGHT, MAX_WAITING_PATHS, PATIENCE_MS,
    WAITERS_PER_JOB,
};
use crate::group::operations::{Operation, Output, Priority};
use crate::group::planner::PlannedEdge;
use crate::group::roster::Presence;
use crate::group::wire::{
    Grant, PathDelivery, Refusal, RefusalCode, RemovalReason, grant_transcript,
};

/// Whoever waits for keys, and the edges that are known already.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) cache: EdgeCache,
    queue: VecDeque<Waiter>,
    ready: Vec<Waiter>,
    /// One for each member at most: a member that asks again takes its own place.
    tickets: BTreeMap<MemberId, Asked>,
}

impl Keys {
    pub(super) fn waiting(&self) -> usize {
        self.tickets.len()
    }

    /// What a member waits with.
    pub(super) fn ticket(&self, member: MemberId) -> Option<Ticket> {
        self.tickets.get(&member).map(|asked| asked.ticket)
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
        tickets.into_values().map(|asked| asked.ticket).collect()
    }
}

impl GroupMachine {
    /// A member resumes or pulls; without a claim the gateway asks for a delivery to it.
    pub(super) fn catch_up(&mut self, ticket: Ticket, member: MemberId, claim: Option<Claim>) {
        let known = self.state.roster().get(member);
        let granted = known.is_some_and(|m| m.presence != Presence::Joining);
        if !granted || self.waiting.is_leaving(member) {
            return self.refuse(ticket, Refusal::new(RefusalCode::UnknownMember));
        }
        let Some(claim) = claim else {
            return self.catch_up_for_a_push(ticket, member);
        };
        let holds_leaf = claim.leaf.is_some() && claim.leaf == self.state.leaf_key(member);
        let public = claim
            .offer
            .as_ref()
            .and_then(|offer| offer.key(self.state.suite()));
        if claim.offer.is_some() && public.is_none() && !holds_leaf {
            return self.refuse(ticket, Refusal::new(RefusalCode::UnsupportedSuite));
        }
        if let Some(offer) = &claim.offer {
            self.state.roster_mut().offers(member, offer.suites());
        }
        if holds_leaf {
            self.state.roster_mut().holds_leaf(member, true);
        }
        self.state.roster_mut().asks(member, self.now);
        let public = public.cloned();
        self.ask_for(ticket, member, claim.leaf, public);
    }

    /// A member that does not hold its leaf key since a rollover is shown the header alone: it asks for the key by
    /// itself, and edges would be of no use to it. What it asked for meanwhile stays as it is.
    fn catch_up_for_a_push(&mut self, ticket: Ticket, member: MemberId) {
        let holds_leaf = self
            .state
            .roster()
            .get(member)
            .is_some_and(|m| m.holds_leaf);
        if holds_leaf {
            return self.ask_for(ticket, member, None, None);
        }
        match self.path(member, Vec::new()) {
            Some(path) => self.effects.push_back(Effect::Path {
                ticket,
                member,
                path,
            }),
            None => {
                self.need_header();
                self.refuse(ticket, Refusal::retry(RefusalCode::Busy, BUSY_RETRY_MS));
            }
        }
    }

    /// Somebody waits from now on, in the place of what it asked before.
    fn ask_for(
        &mut self,
        ticket: Ticket,
        member: MemberId,
        held: Option<KeyRef>,
        public: Option<Bytes>,
    ) {
        let asked = Asked {
            ticket,
            since: self.now,
            held,
            public,
        };
        if let Some(earlier) = self.keys.tickets.get_mut(&member) {
            let earlier = std::mem::replace(earlier, asked);
            let refusal = Refusal::retry(RefusalCode::Busy, BUSY_RETRY_MS);
            return self.refuse(earlier.ticket, refusal);
        }
        if self.keys.tickets.len() >= MAX_WAITING_PATHS {
            return self.refuse(ticket, Refusal::retry(RefusalCode::Busy, BUSY_RETRY_MS));
        }
        self.keys.tickets.insert(member, asked);
        self.serve(Waiter::new(member), &[]);
    }

    /// A joiner is on record.
    pub(super) fn await_grant(&mut self, ticket: Ticket, member: MemberId, public: Option<Bytes>) {
        let asked = Asked {
            ticket,
            since: self.now,
            held: None,
            public,
        };
        self.keys.tickets.insert(member, asked);
        self.keys.queue.push_back(Waiter::new(member));
    }

    /// What whoever waits needs besides its path, as things are now.
    fn need(&self, member: MemberId) -> Option<Need> {
        let asked = self.keys.tickets.get(&member)?;
        let leaf = self.state.leaf_key(member)?;
        Some(match &asked.public {
            _ if asked.held == Some(leaf) => Need::Nothing,
            None => Need::Nothing,
            Some(public) if public.len() == self.state.suite().sizes().member => {
                Need::Grant(leaf, public.clone())
            }
            Some(_) => Need::OtherSuite,
        })
    }

    /// A member is on its way out: it is given nothing more.
    pub(super) fn forget_waiter(&mut self, member: MemberId) {
        if let Some(asked) = self.keys.tickets.remove(&member) {
            self.refuse(asked.ticket, Refusal::new(RefusalCode::UnknownMember));
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
        let (Some(need), Some(member)) = (
            self.need(waiter.member),
            self.state.roster().get(waiter.member),
        ) else {
            return;
        };
        if need == Need::OtherSuite {
            return self.suite_changed(waiter.member);
        }
        if waiter.lacks(&need) {
            return self.keys.queue.push_back(waiter);
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
            Ok(edges) => self.answer(waiter, &need, edges),
            Err(_) => self.keys.queue.push_back(waiter),
        }
    }

    fn suite_changed(&mut self, member: MemberId) {
        self.give_up(member, Refusal::retry(RefusalCode::Busy, BUSY_RETRY_MS));
    }

    fn answer(&mut self, waiter: Waiter, need: &Need, edges: Vec<Edge>) {
        let member = waiter.member;
        let (Some(path), Some(Asked { ticket, .. })) =
            (self.path(member, edges), self.keys.tickets.remove(&member))
        else {
            return;
        };
        let granted = matches!(need, Need::Grant(..));
        let Some(made) = waiter.made.filter(|_| granted) else {
            return self.effects.push_back(Effect::Path {
                ticket,
                member,
                path,
            });
        };
        let Some(grant) = self.grant(member, made, path) else {
            return;
        };
        let roster = self.state.roster_mut();
        roster.holds_leaf(member, true);
        if roster
            .get(member)
            .is_some_and(|m| m.presence == Presence::Joining)
        {
            roster.arrive(member, self.now);
        }
        self.effects.push_back(Effect::Granted {
            ticket,
            member,
            grant: Box::new(grant),
        });
    }

    fn grant(&self, member: MemberId, made: Made, path: PathDelivery) -> Option<Grant> {
        let issuer = self.issuer()?;
        Some(Grant {
            group: self.state.group(),
            suite: self.state.suite(),
            member,
            role: self.state.roster().get(member)?.role,
            leaf: made.leaf,
            wrapped: made.wrapped,
            signing: issuer.signing.clone(),
            agreement: issuer.agreement.clone(),
            path,
            encapsulated: made.encapsulated,
            // Whoever serves the member opens one.
            channel: None,
        })
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
            && self.issuer().is_some()
            && self.token.backoff.is_over(self.now)
            && self.token.key_jobs() < KEY_JOBS_IN_FLIGHT
        {
            let (waiters, edges) = self.gather();
            if waiters.is_empty() {
                return;
            }
            let mut operations: Vec<Operation> = waiters
                .iter()
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
            let Some(mut waiter) = self.keys.queue.pop_front() else {
                break;
            };
            let member = self.state.roster().get(waiter.member);
            let (Some(need), Some(member)) = (self.need(waiter.member), member) else {
                continue;
            };
            let path = self.keys.cache.path(self.state.tree(), member.leaf);
            let mut missing = path.err().unwrap_or_default();
            // What the rekey in the making brings is not asked for twice.
            missing.retain(|edge| !self.sealing.owes(edge.child.node));
            let lacks_grant = waiter.lacks(&need);
            if need == Need::OtherSuite || (missing.is_empty() && !lacks_grant) {
                self.serve(waiter, &[]);
                continue;
            }
            waiter.asking = match need {
                Need::Grant(leaf, public) if lacks_grant => Some((leaf, public)),
                _ => None,
            };
            edges.extend(missing.into_iter().filter(|&edge| seen.insert(edge)));
            waiters.push(waiter);
        }
        (waiters, edges)
    }

    fn grant_operation(&self, waiter: &Waiter) -> Option<Operation> {
        let (leaf, public) = waiter.asking.as_ref()?;
        Some(Operation::Grant {
            leaf: *leaf,
            member: public.clone(),
            transcript: grant_transcript(
                self.state.suite(),
                &self.state.group(),
                waiter.member,
                leaf,
                public,
                &self.issuer()?.agreement,
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
            let output = waiter.asking.as_ref().and_then(|_| grants.next());
            if waiter.take(output) {
                self.serve(waiter, edges);
            } else {
                self.give_up(waiter.member, Refusal::new(RefusalCode::BadPublicKey));
            }
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
            .filter(|(_, asked)| asked.since <= oldest)
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

    /// While the token is not known nothing is asked of it, so nothing fails either: whoever waits is told in time.
    pub(super) fn give_up_waiting_for_the_token(&mut self) {
        if self.impatience().is_some_and(|due| due <= self.now) {
            self.refuse_impatient(BACKOFF_MOST_MS);
        }
    }

    /// When whoever has waited longest for a token that is not known is refused.
    pub(super) fn impatience(&self) -> Option<Time> {
        if self.issuer().is_some() {
            return None;
        }
        let asked = self.keys.tickets.values().map(|asked| asked.since);
        let oldest = asked.chain(self.waiting.oldest_join()).min()?;
        Some(oldest.after(PATIENCE_MS))
    }

    fn give_up(&mut self, member: MemberId, refusal: Refusal) {
        if let Some(asked) = self.keys.tickets.remove(&member) {
            self.refuse(asked.ticket, refusal);
        }
        let joiner = self.state.roster().get(member);
        if joiner.is_some_and(|m| m.presence == Presence::Joining) {
            self.waiting
                .leave(member, RemovalReason::NotGranted, Said::default(), self.now);
        }
    }
}
