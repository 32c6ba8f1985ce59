//! Rollovers: the group's keys come from another seed, by another master, nonce or suite.
//!
//! Every leaf and node gets its next generation, derived from the new seed. Nobody can open a key of the new seed with one
//! of the old, so such an epoch is delivered as its header alone. From that each member sees that its leaf key is another
//! one, and asks for it with a fresh public key, some time during the first half of the activation delay, which is longer
//! by [`ROLLOVER_MS_PER_MEMBER`]. It is granted the key as a joiner is. One that was away asks when it resumes.
//!
//! # Why nothing of before helps after it
//! A key of the new seed leaves the token only under another key of the new seed, or for a public key that a member of
//! that moment offers. So whoever knows every key of before, and every delivery, has nothing that opens one: members that
//! left, whoever broke a member's memory, and whoever learns the old master itself. Nor does the new seed tell of the old
//! one, so who joins after it learns nothing of before. An eviction that is on record before a member asks for its new
//! leaf key shuts it out without any wrap.

use thiserror::Error;

use super::GroupMachine;
use super::io::Effect;
use super::waiting::WaitingJoin;
use crate::group::ids::{GroupNonce, MasterId, NodeId, Suite};
use crate::group::limits::{ROLLOVER_MOST_MS, ROLLOVER_MS_PER_MEMBER};
use crate::group::record::Renewal;
use crate::group::wire::{Refusal, RefusalCode};

/// What a group's keys are to come from. The nonce is fresh and random: the core has no random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rollover {
    /// The master key of the seed.
    pub master: MasterId,
    /// What the seed is derived with.
    pub nonce: GroupNonce,
    /// The suite of the keys.
    pub suite: Suite,
}

/// Why a group is not rolled over; its keys stay what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RolloverError {
    /// There is no group any more.
    #[error("the group was destroyed")]
    Destroyed,
    /// Members would be shut out.
    #[error("{members} members do not offer suite {}: have them updated, or removed, and ask again", suite.number())]
    Lacking {
        /// The suite that they lack.
        suite: Suite,
        /// How many they are.
        members: u32,
    },
    /// The token cannot make keys of the suite, or is not known yet.
    #[error("the token has no keys of suite {}, or is not known yet: see whether it is usable, and provision the suite", .0.number())]
    NoSuite(Suite),
    /// The nonce in use.
    #[error("the nonce is the one in use: take a fresh one")]
    Nonce,
    /// The last generation there is.
    #[error("{0:?} has used up its generations: create a new group")]
    Exhausted(NodeId),
}

impl GroupMachine {
    /// Whether the group could be rolled over now.
    ///
    /// # Errors
    /// With what stands against it.
    pub fn check_rollover(&self, rollover: &Rollover) -> Result<(), RolloverError> {
        let suite = rollover.suite;
        if self.state.destroyed() || self.waiting.destroy {
            return Err(RolloverError::Destroyed);
        }
        if rollover.nonce == self.state.nonce() {
            return Err(RolloverError::Nonce);
        }
        if suite == self.state.suite() {
            return Ok(());
        }
        let issuers = self.issuers.as_ref();
        if issuers.is_none_or(|issuers| issuers.of(suite).is_none()) {
            return Err(RolloverError::NoSuite(suite));
        }
        match self.state.roster().lacking(suite) {
            0 => Ok(()),
            members => Err(RolloverError::Lacking { suite, members }),
        }
    }

    /// The group is to be rolled over with the next ordinary change.
    pub(super) fn roll_over(&mut self, rollover: Rollover) {
        match self.check_rollover(&rollover) {
            Ok(()) => {
                self.waiting.rollover = Some(rollover);
                self.waiting.open(self.now);
            }
            Err(why) => self.refuse_rollover(why),
        }
    }

    pub(super) fn refuse_rollover(&mut self, why: RolloverError) {
        self.waiting.rollover = None;
        self.effects.push_back(Effect::RolloverRefused(why));
    }

    /// The rollover that goes with the change that is being staged. An urgent one is not kept waiting by it.
    pub(super) fn take_rollover(&mut self) -> Option<Rollover> {
        let rollover = self.waiting.rollover.filter(|_| !self.waiting.urgent)?;
        // What was found out when it was asked for may have changed.
        match self.check_rollover(&rollover) {
            Ok(()) => self.waiting.rollover.take(),
            Err(why) => {
                self.refuse_rollover(why);
                None
            }
        }
    }

    /// The suite that the group has once everything that waits is on record.
    pub fn coming_suite(&self) -> Suite {
        let waiting = self.waiting.rollover.as_ref();
        waiting.map_or(self.state.suite(), |rollover| rollover.suite)
    }

    /// Refuses joiners that do not have the suite that the group has after this change.
    pub(super) fn fit_suite(
        &mut self,
        joins: Vec<WaitingJoin>,
        rollover: Option<&Rollover>,
    ) -> Vec<WaitingJoin> {
        let suite = rollover.map_or(self.state.suite(), |rollover| rollover.suite);
        let (fitting, others): (Vec<_>, Vec<_>) = joins
            .into_iter()
            .partition(|join| join.offer.key(suite).is_some());
        for join in others {
            self.refuse(join.ticket, Refusal::new(RefusalCode::UnsupportedSuite));
        }
        fitting
    }

    /// The rollover for the record; `joins` more members are granted leaf keys.
    pub(super) fn renewal(&self, rollover: &Rollover, joins: usize) -> Renewal {
        let members = u64::from(self.state.roster().len()) + joins as u64;
        let spread = members.saturating_mul(ROLLOVER_MS_PER_MEMBER);
        Renewal {
            master: rollover.master,
            nonce: rollover.nonce,
            suite: rollover.suite,
            spread_ms: spread.min(ROLLOVER_MOST_MS) as u32,
        }
    }
}
