//! Staging: what waits becomes a record, the record is persisted, and only then is it true.

use super::GroupMachine;
use super::backoff::Backoff;
use super::io::{Effect, Ticket};
use super::rollover::{Rollover, RolloverError};
use super::waiting::{Said, WaitingJoin};
use super::why::{Cause, Why};
use crate::group::ids::{Epoch, Identity, MemberId, Revision, Role, Time};
use crate::group::limits::{
    BUSY_RETRY_MS, JOIN_DELIVERIES_PER_SECOND, JOIN_PAUSE_MOST_MS, MAX_JOINS_PER_CHANGE,
    MAX_WAITING_JOINS,
};
use crate::group::operations::Priority;
use crate::group::planner::{Change, Plan, PlanError, plan};
use crate::group::record::{Changed, Departed, Record};
use crate::group::roster::Presence;
use crate::group::wire::{Offer, Refusal, RefusalCode, RemovalReason};

/// The way to the group's log.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The record that is under way.
    pub(super) staged: Option<Staged>,
    pub(super) backoff: Backoff,
}

/// A record that is being persisted, with what is done once it is.
#[derive(Debug)]
pub(super) struct Staged {
    record: Record,
    change: Option<StagedChange>,
}

/// What a new epoch needs besides its record.
#[derive(Debug)]
struct StagedChange {
    plan: Plan,
    joins: Vec<WaitingJoin>,
    left: Vec<Departed>,
    rotate: bool,
    rollover: Option<Rollover>,
    urgent: bool,
    why: Why,
}

impl Staged {
    /// Joins that are being registered.
    pub(super) fn joins(&self) -> usize {
        self.change.as_ref().map_or(0, |change| change.joins.len())
    }

    /// Why there is to be an epoch, if there is to be one.
    pub(super) fn why(&self) -> Option<Why> {
        self.change.as_ref().map(|change| change.why)
    }

    /// Who waits to be registered with it, if there is to be an epoch.
    fn tickets(&self) -> Option<impl Iterator<Item = Ticket>> {
        let change = self.change.as_ref()?;
        Some(change.joins.iter().map(|join| join.ticket))
    }

    fn joins_of(&self, identity: &Identity) -> u32 {
        let joins = self.change.iter().flat_map(|change| &change.joins);
        joins.filter(|join| join.identity == *identity).count() as u32
    }
}

impl GroupMachine {
    /// Who waits to be registered by the record that is under way; none where that leads to no epoch.
    pub fn joining(&self) -> Option<impl Iterator<Item = Ticket>> {
        self.log.staged.as_ref()?.tickets()
    }

    /// Somebody asks to be registered.
    pub(super) fn join(&mut self, ticket: Ticket, identity: Identity, role: Role, offer: Offer) {
        if self.state.destroyed() || self.waiting.destroy {
            return self.refuse(ticket, Refusal::new(RefusalCode::Destroyed));
        }
        if self.frozen().is_some() {
            return self.refuse_frozen(ticket);
        }
        if offer.key(self.coming_suite()).is_none() {
            return self.refuse(ticket, Refusal::new(RefusalCode::UnsupportedSuite));
        }
        let staged = self.log.staged.as_ref().map_or(0, Staged::joins);
        let waiting = self.waiting.joins() + staged;
        if waiting + self.keys.waiting() >= MAX_WAITING_JOINS {
            return self.refuse(ticket, Refusal::retry(RefusalCode::Busy, BUSY_RETRY_MS));
        }
        let members = self.state.roster().len() as usize + waiting;
        if members - self.waiting.departures().min(members) >= self.member_limit() {
            return self.refuse(ticket, Refusal::new(RefusalCode::Full));
        }
        if let Err(refusal) = self.make_room_for(&identity) {
            return self.refuse(ticket, refusal);
        }
        let join = WaitingJoin {
            ticket,
            identity,
            role,
            offer,
            since: self.now,
        };
        self.waiting.join(join, self.now);
    }

    fn member_limit(&self) -> usize {
        self.state.policy().member_limit as usize
    }

    /// An identity may have so many registrations; a new one takes the place of the oldest without a connection.
    fn make_room_for(&mut self, identity: &Identity) -> Result<(), Refusal> {
        let staged = self
            .log
            .staged
            .as_ref()
            .map_or(0, |staged| staged.joins_of(identity));
        let roster = self.state.roster();
        let mut count = staged + self.waiting.joins_of(identity);
        let mut oldest_absent = None;
        for &id in roster.of(identity) {
            if self.waiting.is_leaving(id) {
                continue;
            }
            count += 1;
            let absent = roster
                .get(id)
                .is_some_and(|m| m.presence == Presence::Absent);
            if absent && oldest_absent.is_none() {
                oldest_absent = Some(id);
            }
        }
        if count < self.state.policy().registrations_per_identity {
            return Ok(());
        }
        let refusal = Refusal::new(RefusalCode::TooManyRegistrations);
        let replaced = oldest_absent.ok_or(refusal)?;
        self.depart(replaced, RemovalReason::Replaced, Said::default());
        Ok(())
    }

    /// A member is on its way out.
    pub(super) fn depart(&mut self, member: MemberId, reason: RemovalReason, said: Said<'_>) {
        if self.state.roster().get(member).is_none() {
            return;
        }
        self.waiting.leave(member, reason, said, self.now);
        self.forget_waiter(member);
    }

    /// Persists the next record, when there is one and nothing stands against it.
    pub(super) fn stage(&mut self) {
        if self.log.staged.is_some()
            || self.state.destroyed()
            || !self.log.backoff.is_over(self.now)
        {
            return;
        }
        if self.state.revision() == Revision(0) {
            self.persist(self.state.created(), None);
        } else if self.waiting.destroy {
            self.persist(Record::Destroyed, None);
        } else if let Some(policy) = self.waiting.policy.clone() {
            self.persist(Record::PolicyChanged(policy), None);
        } else if let Some(gate) = self.gate() {
            self.persist(gate, None);
        } else if self.may_change() {
            self.stage_change();
        }
    }

    /// Whether the batch is due. An urgent one overtakes an epoch that is not delivered or not active yet; any other
    /// waits for it, so that members never have to keep more than a few.
    fn may_change(&self) -> bool {
        let collected = self.collected_at().is_some_and(|due| due <= self.now);
        (self.waiting.urgent || collected && !self.is_in_flight()) && self.has_reason()
    }

    /// When the batch that there is has been collected for long enough. An epoch goes to all who are there: of joins alone there
    /// is none so soon after another that those who are in already have more to do with it than those who come.
    pub(super) fn collected_at(&self) -> Option<Time> {
        let interval = u64::from(self.state.policy().batch_interval_ms);
        let collected = self.waiting.since?.after(interval);
        if self.waiting.is_more_than_joins() {
            return Some(collected);
        }
        let present = u64::from(self.state.roster().present_count());
        let pause = (present * 1_000 / JOIN_DELIVERIES_PER_SECOND).min(JOIN_PAUSE_MOST_MS);
        Some(collected.max(self.epochs.delivered_at().after(pause)))
    }

    /// Whether what waits can be put on record: joins only once the token is known that is to grant them.
    pub(super) fn has_reason(&self) -> bool {
        self.issuer().is_some() || self.waiting.is_more_than_joins()
    }

    /// Whether an epoch is on its way to being active.
    pub(super) fn is_in_flight(&self) -> bool {
        self.epochs.is_pending() || self.sealing.delivers()
    }

    pub(super) fn persist_creation(&mut self) {
        self.persist(self.state.created(), None);
    }

    fn persist(&mut self, record: Record, change: Option<StagedChange>) {
        self.effects.push_back(Effect::Persist {
            expected: self.state.revision(),
            record: record.to_bytes(),
        });
        self.log.staged = Some(Staged { record, change });
    }

    fn stage_change(&mut self) {
        let most = match self.issuer() {
            Some(_) => MAX_JOINS_PER_CHANGE,
            None => 0,
        };
        let joins = self.waiting.take_joins(most);
        let left = self.waiting.departed(self.state.roster());
        let rollover = self.take_rollover();
        let joins = self.fit_suite(joins, rollover.as_ref());
        let (joins, renumber) = self.fit_senders(joins, &left);
        let rotate = self.waiting.rotate || renumber;
        match self.plan_change(&joins, &left, rotate, rollover.is_some()) {
            Ok(plan) => {
                let cause = Cause::of(&left, rollover.is_some(), rotate);
                let since = self.waiting.first.unwrap_or(self.now);
                let change = StagedChange {
                    why: Why { cause, since },
                    plan,
                    joins,
                    left,
                    rotate: self.waiting.rotate,
                    rollover,
                    urgent: self.waiting.urgent,
                };
                self.stage_plan(change, renumber);
            }
            Err(PlanError::Nothing) => {
                self.waiting.urgent = false;
                self.close_batch();
            }
            Err(PlanError::Exhausted { node }) if rollover.is_some() => {
                // Nothing else is wrong: what waits is staged again, without the rollover.
                for join in joins {
                    let refusal = Refusal::retry(RefusalCode::Busy, BUSY_RETRY_MS);
                    self.refuse(join.ticket, refusal);
                }
                self.refuse_rollover(RolloverError::Exhausted(node));
                self.waiting.settle();
            }
            Err(_) => {
                // The tree has no room or no generation left. Departures are kept: they may fit without the joins.
                for join in joins {
                    self.refuse(join.ticket, Refusal::new(RefusalCode::Full));
                }
                // A rollover is tried again with them.
                self.waiting.rollover = self.waiting.rollover.take().or(rollover);
                self.waiting.settle();
                self.log.backoff.fail(self.now);
            }
        }
    }

    fn plan_change(
        &self,
        joins: &[WaitingJoin],
        left: &[Departed],
        rotate: bool,
        renew: bool,
    ) -> Result<Plan, PlanError> {
        let roster = self.state.roster();
        let leaf = |departed: &Departed| roster.get(departed.member).map(|member| member.leaf);
        let next = self.state.next_member();
        let change = Change {
            joins: (next..).take(joins.len()).map(MemberId).collect(),
            leaves: left.iter().filter_map(leaf).collect(),
            rotate,
            renew,
        };
        plan(self.state.tree(), &change)
    }

    fn stage_plan(&mut self, change: StagedChange, renumber: bool) {
        let joins = change.joins.iter();
        let who = joins.map(|join| (join.identity.clone(), join.role, join.offer.suites()));
        let (joined, sender_space) = self.state.register(who, &change.left, renumber);
        let renewal = change.rollover.as_ref();
        let changed = Changed {
            epoch: Epoch(self.state.epoch().0 + 1),
            diff: change.plan.diff.clone(),
            joined,
            left: change.left.clone(),
            sender_space,
            renewal: renewal.map(|rollover| self.renewal(rollover, change.joins.len())),
        };
        self.waiting.rotate = false;
        self.waiting.urgent = false;
        self.close_batch();
        self.persist(Record::Changed(Box::new(changed)), Some(change));
    }

    /// The batch is closed; what did not fit begins the next one.
    fn close_batch(&mut self) {
        let more = self.waiting.joins() > 0 || self.waiting.rollover.is_some();
        self.waiting.since = more.then_some(self.now);
        let oldest = self.waiting.oldest_join().unwrap_or(self.now);
        self.waiting.first = more.then_some(oldest);
    }

    /// Refuses joiners that the sender space has no room for; whether the space is exhausted and a new one begins.
    fn fit_senders(
        &mut self,
        joins: Vec<WaitingJoin>,
        left: &[Departed],
    ) -> (Vec<WaitingJoin>, bool) {
        let space = 1_u32 << self.state.policy().sender_id_bits;
        let staying = self.state.staying_senders(left);
        let wanted = joins.iter().filter(|join| join.role.sends()).count() as u32;
        let used = self.state.senders_used();
        let renumber = used + wanted > space && staying <= space && staying < used;
        let taken = if renumber { staying } else { used };
        let mut room = space.saturating_sub(taken);
        let mut fitting = Vec::with_capacity(joins.len());
        for join in joins {
            if !join.role.sends() {
                fitting.push(join);
            } else if room > 0 {
                room -= 1;
                fitting.push(join);
            } else {
                self.refuse(join.ticket, Refusal::new(RefusalCode::Full));
            }
        }
        let departs_or_joins = !fitting.is_empty() || !left.is_empty() || self.waiting.rotate;
        (fitting, renumber && departs_or_joins)
    }

    /// The staged record is durable: it is true from now on.
    pub(super) fn persisted(&mut self, revision: Revision) {
        let Some(Staged { record, change }) = self.log.staged.take() else {
            return;
        };
        self.log.backoff.succeed();
        let renews = change
            .as_ref()
            .is_some_and(|change| self.renews_root(&change.plan));
        if let Record::PolicyChanged(policy) = &record {
            // Unless a newer one came meanwhile.
            self.waiting.policy.take_if(|waiting| waiting == policy);
            if policy.may_refuse_what(self.state.policy()) {
                // The policy before admitted them.
                self.decide_anew();
            }
        }
        self.waiting.gate.take_if(|waiting| *waiting == record);
        self.state
            .apply(record)
            .expect("a record made from a state that nothing else changed follows it");
        debug_assert_eq!(revision, self.state.revision(), "the store counts as we do");
        match change {
            Some(change) => self.commit(change, renews),
            None if self.state.destroyed() => self.end(),
            None => self.policy_changed(),
        }
    }

    /// Whether nobody who held the root can compute the new one by themselves.
    fn renews_root(&self, plan: &Plan) -> bool {
        let old = self.state.tree().root();
        (plan.root.node, plan.root.generation) != (old.node, old.generation)
    }

    fn commit(&mut self, change: StagedChange, renews: bool) {
        let StagedChange {
            plan,
            joins,
            left,
            rollover,
            urgent,
            why,
            ..
        } = change;
        self.keys.cache.forget(&plan);
        if rollover.is_some() {
            self.keys.cache.clear();
        }
        if renews {
            self.epochs.renewed(self.now);
        }
        self.waiting.departures_done(&left);
        for departed in left {
            self.forget_waiter(departed.member);
            self.effects.push_back(Effect::Removed {
                member: departed.member,
                reason: departed.reason,
            });
        }
        self.waiting.settle();
        let priority = match (urgent, joins.is_empty()) {
            (true, _) => Priority::Urgent,
            (false, false) => Priority::Grant,
            (false, true) => Priority::Scheduled,
        };
        self.make_epoch(&plan.rekey, priority, rollover.is_some(), why);
        let suite = self.state.suite();
        for (join, (member, _)) in joins.into_iter().zip(plan.placed) {
            self.await_grant(join.ticket, member, join.offer.key(suite).cloned());
        }
    }

    /// A smaller sender space takes effect with the next epoch, which is made at once.
    fn policy_changed(&mut self) {
        let space = 1_u32 << self.state.policy().sender_id_bits;
        if self.state.senders_used() > space && self.state.roster().senders() <= space {
            self.rotate();
        }
    }

    pub(super) fn rotate(&mut self) {
        if !self.state.roster().is_empty() {
            self.waiting.rotate = true;
            self.waiting.open(self.now);
        }
    }

    /// The staged record was not written: whoever waits to join is told so, everything else is tried again.
    pub(super) fn persist_failed(&mut self) {
        let Some(Staged { change, .. }) = self.log.staged.take() else {
            return;
        };
        let pause = self.log.backoff.fail(self.now);
        let began = change.as_ref().map(|change| change.why.since);
        let refusal = Refusal::retry(RefusalCode::StoreTrouble, pause);
        if let Some(change) = change {
            self.waiting.rotate |= change.rotate;
            // Unless a newer one was asked for meanwhile.
            self.waiting.rollover = self.waiting.rollover.take().or(change.rollover);
            self.waiting.urgent |= change.urgent;
            for join in change.joins {
                self.refuse(join.ticket, refusal.clone());
            }
        }
        self.refuse_joins(&refusal);
        if self.waiting.is_more_than_joins() {
            self.waiting.open(self.now);
            let before = began.into_iter().chain(self.waiting.first);
            self.waiting.first = before.min();
        }
    }

    /// The group is over.
    fn end(&mut self) {
        let refusal = Refusal::new(RefusalCode::Destroyed);
        let joins = self
            .waiting
            .take_joins(usize::MAX)
            .into_iter()
            .map(|join| join.ticket);
        let tickets: Vec<Ticket> = joins.chain(self.keys.clear()).collect();
        for ticket in tickets {
            self.refuse(ticket, refusal.clone());
        }
        self.waiting = Default::default();
        self.sealing.clear();
        self.token.clear();
        self.effects.push_back(Effect::Destroyed);
    }

    /// Whoever waits to join was admitted by what does not decide any more: he asks again.
    pub(super) fn decide_anew(&mut self) {
        self.refuse_joins(&Refusal::retry(RefusalCode::Busy, BUSY_RETRY_MS));
    }

    /// Whoever waits to join is refused; everything else goes on waiting.
    pub(super) fn refuse_joins(&mut self, refusal: &Refusal) {
        for join in self.waiting.take_joins(usize::MAX) {
            self.refuse(join.ticket, refusal.clone());
        }
        self.waiting.settle();
    }

    pub(super) fn refuse(&mut self, ticket: Ticket, refusal: Refusal) {
        self.effects.push_back(Effect::Refused { ticket, refusal });
    }
}
