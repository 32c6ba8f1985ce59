//! The epoch machine of one group: inputs in, effects out, in the order that keeps promises.
//!
//! # Contract
//! Call [`GroupMachine::handle`] with the time and what happened, then [`GroupMachine::poll`] until it returns none
//! and carry the effects out in that order; call `handle` with [`Input::Tick`] when [`GroupMachine::next_timeout`] has
//! come. The machine does no input or output, has no clock and no random numbers: the same inputs at the same times
//! give the same effects. The first input of a life should come at once: absence is counted from it.
//!
//! # What happens to a change
//! ```text
//!  join, leave, evict, rotate, roll over
//!        | batch: policy's interval from the first change; an urgent eviction closes it at once
//!        v
//!    [ staged ] --Persist--> store --PersistFailed--> joins refused, departures and rotations kept, tried again
//!        | Persisted
//!        v
//!   [ committed ]  tree and roster changed, Removed told; wraps and seal asked of the token;
//!        |         grants asked for beside it, a few dozen joiners a job
//!        | TokenDone (TokenFailed: asked again, the epoch stays)
//!        v
//!   [ delivered ] --Deliver--> members; Granted and Path answered from here on
//!        | a quorum acknowledged, or the activation delay passed
//!        v
//!    [ active ] --Activate--> members; epochs before it retire
//! ```
//! One record is under way at a time. An ordinary batch waits until the epoch before it is active. An urgent one does
//! not: it overtakes, and what the overtaken epoch had not delivered is delivered with it.
//!
//! # After a restart
//! [`GroupMachine::restore`] takes what was persisted. Nothing is in flight then: the newest epoch counts as active,
//! nobody is present, no edge is cached and no header sealed. Members that resume get their path, for which the
//! token seals the same header again.
//!
//! # Before the token is known
//! A group lives before its token does: nothing in its state needs the token's public keys. Until [`Input::TokenKnown`]
//! brings them nothing is asked of the token, departures and rotations are put on record all the same, and whoever joins
//! or resumes waits as for a token that fails: [`PATIENCE_MS`](super::limits::PATIENCE_MS), then it is refused.

mod asked;
mod backoff;
mod epochs;
mod freeze;
mod io;
mod jobs;
mod keys;
mod rollover;
mod sealing;
mod staging;
mod status;
#[cfg(test)]
mod tests;
mod timing;
mod waiting;
mod why;

use std::collections::VecDeque;
use std::sync::Arc;

use thiserror::Error;

use super::ids::{Epoch, KeyRef, MemberId, Revision, Time};
use super::operations::{Issuer, Issuers};
use super::record::{Created, Record, RecordError};
use super::roster::{Member, Presence};
use super::state::{ReplayError, State, StateError};
use super::wire::{Refusal, RefusalCode, RemovalReason};
use epochs::Epochs;
pub use io::{
    Assurance, Claim, Effect, EpochStatus, GroupStatus, Input, JobId, KeyStatus, NO_EDGES,
    QueueStatus, Rekey, Ticket,
};
use jobs::Token;
use keys::Keys;
pub use rollover::{Rollover, RolloverError};
use sealing::Sealing;
use staging::Log;
pub use timing::Held;
use waiting::{Said, Waiting};
pub use why::{Cause, Why};

/// One group's epochs, members and whoever waits for them. The module says how to drive it.
#[derive(Debug)]
pub struct GroupMachine {
    state: State,
    /// The token's public keys, once they are known.
    issuers: Option<Arc<Issuers>>,
    now: Time,
    /// Whether this life had its first input.
    begun: bool,
    effects: VecDeque<Effect>,
    waiting: Waiting,
    log: Log,
    epochs: Epochs,
    sealing: Sealing,
    keys: Keys,
    token: Token,
}

/// Why a group cannot be taken up from what was persisted.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// There is nothing.
    #[error("the group's log is empty: there is neither a snapshot nor a record")]
    Empty,
    /// The snapshot is not usable.
    #[error(transparent)]
    Snapshot(#[from] StateError),
    /// A record is not usable.
    #[error("the record at revision {at}: {why}", at = at.0)]
    Record {
        /// The revision that it made, or would have.
        at: Revision,
        /// What is wrong.
        why: ReplayError,
    },
}

impl GroupMachine {
    /// A new group. Its first effect is to persist that it was created.
    pub fn create(created: Created, issuers: Option<Arc<Issuers>>) -> Self {
        let mut machine = Self::begin(State::begin(created), issuers);
        machine.persist_creation();
        machine
    }

    /// Takes a group up from its newest snapshot, if there is one, and the records after it.
    ///
    /// # Errors
    /// When what was persisted cannot be read or does not fit together.
    pub fn restore<'a>(
        snapshot: Option<&[u8]>,
        records: impl Iterator<Item = &'a [u8]>,
        issuers: Option<Arc<Issuers>>,
    ) -> Result<Self, RestoreError> {
        let mut state = snapshot.map(State::from_bytes).transpose()?;
        for bytes in records {
            let last = state.as_ref().map_or(Revision(0), State::revision);
            let at = Revision(last.0 + 1);
            let record = |why| RestoreError::Record { at, why };
            let read = Record::from_bytes(bytes);
            let next = read.map_err(|why: RecordError| record(why.into()))?;
            let state = match (&mut state, &next) {
                (Some(state), _) => state,
                (none, Record::Created(created)) => none.insert(State::begin(created.clone())),
                (None, _) => return Err(record(ReplayError::Beginning)),
            };
            state.apply(next).map_err(record)?;
        }
        let state = state.ok_or(RestoreError::Empty)?;
        Ok(Self::begin(state, issuers))
    }

    fn begin(state: State, issuers: Option<Arc<Issuers>>) -> Self {
        let epochs = Epochs::begin(Epoch(0), state.suite(), Time(0));
        GroupMachine {
            state,
            issuers,
            now: Time(0),
            begun: false,
            effects: VecDeque::new(),
            waiting: Waiting::default(),
            log: Log::default(),
            epochs,
            sealing: Sealing::default(),
            keys: Keys::default(),
            token: Token::default(),
        }
    }

    /// Something happened.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.now = self.now.max(now);
        if !self.begun {
            self.begun = true;
            let (newest, suite) = (self.state.epoch(), self.state.suite());
            self.epochs = Epochs::begin(newest, suite, self.now);
            self.state.roster_mut().begin(self.now);
        }
        if self.state.destroyed() {
            return self.refuse_all(input);
        }
        match input {
            Input::Join {
                ticket,
                identity,
                role,
                offer,
            } => self.join(ticket, identity, role, offer),
            Input::CatchUp {
                ticket,
                member,
                claim,
            } => self.catch_up(ticket, member, claim),
            Input::Leave { member } => self.depart(member, RemovalReason::Left, Said::default()),
            Input::Evict {
                members,
                urgent,
                reason,
                by,
            } => {
                let said = Said {
                    note: Some(&reason),
                    by: by.as_ref(),
                };
                self.evict(&members, urgent, said)
            }
            Input::Rotate => self.rotate(),
            Input::Rollover(rollover) => self.roll_over(rollover),
            Input::SetPolicy(policy) => self.waiting.policy = Some(policy),
            Input::DecideAnew => self.decide_anew(),
            Input::Freeze { why, by } => self.freeze(&why, by),
            Input::Thaw { by } => self.thaw(by),
            Input::Destroy => self.waiting.destroy = true,
            Input::Acks(all) => self.acknowledge(all),
            Input::Present { member } => {
                if !self.is_joining(member) {
                    self.state.roster_mut().arrive(member, self.now);
                }
            }
            Input::Absent { member } => {
                self.state.roster_mut().depart(member, self.now);
            }
            Input::Persisted { revision } => self.persisted(revision),
            Input::PersistFailed => self.persist_failed(),
            Input::TokenDone { job, outputs } => self.token_done(job, outputs),
            Input::TokenFailed { job, retry_ms } => self.token_failed(job, retry_ms),
            Input::TokenKnown(issuers) => {
                self.issuers.get_or_insert(issuers);
            }
            Input::Tick => {}
        }
        self.advance();
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Does whatever is due.
    fn advance(&mut self) {
        if self.state.destroyed() {
            return;
        }
        self.expire_members();
        self.give_up_waiting_for_the_token();
        self.activate_when_due();
        self.epochs.retire(self.now);
        let period = self.state.policy().rekey_period_s;
        if self
            .epochs
            .rotates(period)
            .is_some_and(|due| due <= self.now)
        {
            // Counted anew from here when nobody is there to rotate for, or until the change commits.
            self.epochs.renewed(self.now);
            self.rotate();
        }
        self.stage();
        self.issue_sealing();
        self.issue_keys();
        // Whoever was looked at just now may need a header that is to be sealed again, or may be on its way out: a joiner
        // whose key is of the suite that the group had before a rollover.
        self.issue_sealing();
        self.stage();
    }

    fn refuse_all(&mut self, input: Input) {
        match input {
            Input::Join { ticket, .. } | Input::CatchUp { ticket, .. } => {
                self.refuse(ticket, Refusal::new(RefusalCode::Destroyed));
            }
            Input::Rollover(_) => self.refuse_rollover(RolloverError::Destroyed),
            _ => {}
        }
    }

    fn evict(&mut self, members: &[MemberId], urgent: bool, said: Said<'_>) {
        for &member in members {
            self.depart(member, RemovalReason::Evicted, said);
        }
        self.waiting.urgent |= urgent && self.waiting.departures() > 0;
    }

    fn is_joining(&self, member: MemberId) -> bool {
        let known = self.state.roster().get(member);
        known.is_some_and(|m| m.presence == Presence::Joining)
    }

    fn acknowledge(&mut self, mut all: Vec<(MemberId, Epoch)>) {
        let (delivered, at) = self.delivered();
        // Nobody can hold what was not delivered: a claim like that is counted as nothing.
        all.retain(|&(_, epoch)| epoch <= delivered);
        // Neighbours stand together in memory.
        all.sort_unstable_by_key(|&(member, _)| member);
        let mut held = 0;
        let roster = self.state.roster_mut();
        roster.acknowledge(&all, self.now, |epoch, since| {
            // Whoever has come meanwhile was not waited for.
            held += u32::from(epoch == delivered && since <= at);
        });
        self.sealing.timing.held += held;
    }

    /// Ends registrations whose members are away, or silent, for longer than the policy allows.
    fn expire_members(&mut self) {
        let (absence, silence) = (self.absence_ms(), self.silence_ms());
        let roster = self.state.roster_mut();
        if roster
            .next_timeout(absence, silence)
            .is_none_or(|due| due > self.now)
        {
            return;
        }
        let absent = roster.absent_since(self.now, absence);
        let silent = roster.silent_since(self.now, silence);
        for member in absent {
            self.depart(member, RemovalReason::Absent, Said::default());
        }
        for member in silent {
            self.depart(member, RemovalReason::Silent, Said::default());
        }
    }

    fn absence_ms(&self) -> u64 {
        u64::from(self.state.policy().absence_s) * 1_000
    }

    fn silence_ms(&self) -> u64 {
        u64::from(self.state.policy().silence_s) * 1_000
    }

    /// Activates the delivered epoch when enough members hold it, or have had enough time.
    fn activate_when_due(&mut self) {
        let Some(deadline) = self.epochs.deadline() else {
            return;
        };
        if deadline > self.now && !self.has_quorum() {
            return;
        }
        let retirement = u64::from(self.state.header().retirement_delay_ms);
        let epoch = self.epochs.activate(self.now, retirement);
        self.effects.push_back(Effect::Activate { epoch });
    }

    /// Whether enough members hold the delivered epoch, of those that can be waited for: the ones with a connection.
    /// The first epoch of all replaces none, so it waits for nobody.
    fn has_quorum(&self) -> bool {
        if self.epochs.active() == Epoch(0) {
            return true;
        }
        let roster = self.state.roster();
        let acknowledged = roster.acknowledged_present(self.epochs.delivered());
        let quorum = u64::from(self.state.policy().quorum_percent);
        u64::from(acknowledged) * 100 >= u64::from(roster.present_count()) * quorum
    }

    /// The group's state as one snapshot: with it, the records before it are needed no more.
    pub fn snapshot(&self) -> Vec<u8> {
        self.state.to_bytes()
    }

    /// What the group's log says.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// A registration.
    pub fn member(&self, member: MemberId) -> Option<&Member> {
        self.state.roster().get(member)
    }

    /// Every registration, the oldest first.
    pub fn members(&self) -> impl Iterator<Item = (MemberId, &Member)> {
        self.state.roster().iter()
    }

    /// The token's public keys of the group's suite. While they are not known, or the token has no such suite, it is
    /// asked for nothing.
    fn issuer(&self) -> Option<&Issuer> {
        self.issuers.as_ref()?.of(self.state.suite())
    }

    /// The key of a member's leaf: whoever resumes must name it.
    pub fn leaf_key(&self, member: MemberId) -> Option<KeyRef> {
        self.state.leaf_key(member)
    }
}
