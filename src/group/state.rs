//! All of a group that is durable: it changes by records alone, live as in replay.

mod snapshot;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use thiserror::Error;

use super::ids::{
    Epoch, GroupId, GroupNonce, Identity, KeyRef, MasterId, MemberId, Revision, Role, SenderId,
    Suite, Suites,
};
use super::index;
use super::policy::GroupPolicy;
use super::record::{Changed, Created, Departed, Joined, Record, RecordError};
use super::roster::{Member, Roster};
use super::tree::{DiffError, Tree};
use super::wire::EpochHeader;
pub use snapshot::StateError;

/// A group as its log tells it.
#[derive(Clone, Debug)]
pub struct State {
    created: Created,
    origin: Origin,
    policy: GroupPolicy,
    tree: Tree,
    roster: Roster,
    epoch: EpochState,
    senders: SenderSpace,
    next_member: u64,
    revision: Revision,
    destroyed: bool,
    /// Why nobody is admitted, if nobody is.
    frozen: Option<String>,
}

/// What the group's keys come from now, and how often that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
struct Origin {
    #[n(0)]
    master: MasterId,
    #[n(1)]
    nonce: GroupNonce,
    #[n(2)]
    suite: Suite,
    #[n(3)]
    rollovers: u64,
}

impl Origin {
    fn of(created: &Created) -> Self {
        Origin {
            master: created.master,
            nonce: created.nonce,
            suite: created.suite,
            rollovers: 0,
        }
    }
}

/// The newest epoch, with the delays of the policy that it was made under: a header that is sealed again after a
/// restart is the same header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
struct EpochState {
    #[n(0)]
    epoch: Epoch,
    #[n(1)]
    activation_delay_ms: u32,
    #[n(2)]
    retirement_delay_ms: u32,
}

/// Which sender identifiers were given out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
struct SenderSpace {
    #[n(0)]
    space: u32,
    #[n(1)]
    next: u32,
}

/// Why a record does not follow the state before it; the state is as it was.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// It cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A log that does not begin with `Created`, or has it twice.
    #[error("a log begins with one Created record and has no other")]
    Beginning,
    /// Something after the end.
    #[error("the group was destroyed before this record")]
    Destroyed,
    /// An epoch out of turn.
    #[error("the record makes epoch {found} where {expected} must follow")]
    Epoch {
        /// What it says.
        found: Epoch,
        /// What must follow.
        expected: Epoch,
    },
    /// The tree cannot change like this.
    #[error("the record's change of the tree is impossible: {0}")]
    Tree(#[from] DiffError),
    /// Members that come or go without a leaf that does, or the other way round, or identifiers used twice.
    #[error("the record's member {0} does not fit the change of the tree or the members before")]
    Member(MemberId),
    /// A sender identifier that is missing, superfluous or used before in its space.
    #[error("the record's sender identifiers do not follow those given out before")]
    Sender,
    /// Somebody comes into a group that admits nobody.
    #[error("the record has somebody join, but the group was frozen before it")]
    Frozen,
    /// A rollover whose diff renews no keys, or the other way round, or one to the nonce in use.
    #[error(
        "the record's rollover does not fit its change of the tree, or has the nonce of before"
    )]
    Renewal,
}

impl State {
    /// A group at its beginning: what the first record of its log says.
    pub fn begin(created: Created) -> Self {
        State {
            policy: created.policy.clone(),
            origin: Origin::of(&created),
            created,
            tree: Tree::new(),
            roster: Roster::default(),
            epoch: EpochState::default(),
            senders: SenderSpace::default(),
            next_member: 1,
            revision: Revision(0),
            destroyed: false,
            frozen: None,
        }
    }

    /// Follows the log: a record that is the next one changes the state, any other does not.
    ///
    /// # Errors
    /// When the record cannot follow.
    pub fn apply(&mut self, record: Record) -> Result<(), ReplayError> {
        if self.destroyed {
            return Err(ReplayError::Destroyed);
        }
        match record {
            Record::Created(created) if self.revision == Revision(0) && created == self.created => {
            }
            Record::Created(_) => return Err(ReplayError::Beginning),
            _ if self.revision == Revision(0) => return Err(ReplayError::Beginning),
            Record::Changed(changed) => self.change(*changed)?,
            Record::PolicyChanged(policy) => self.policy = policy,
            Record::Destroyed => self.destroyed = true,
            Record::Frozen(frozen) => self.frozen = Some(frozen.why),
            Record::Thawed(_) => self.frozen = None,
        }
        self.revision.0 += 1;
        Ok(())
    }

    fn change(&mut self, changed: Changed) -> Result<(), ReplayError> {
        let expected = Epoch(self.epoch.epoch.0 + 1);
        if changed.epoch != expected {
            let found = changed.epoch;
            return Err(ReplayError::Epoch { found, expected });
        }
        if self.frozen.is_some() && !changed.joined.is_empty() {
            return Err(ReplayError::Frozen);
        }
        let leaves = self.check_members(&changed)?;
        let origin = self.check_renewal(&changed)?;
        let senders = self.check_senders(&changed)?;
        self.tree.apply(&changed.diff)?;
        for departed in &changed.left {
            self.roster.remove(departed.member);
        }
        if changed.sender_space != self.senders.space {
            self.roster.assign_afresh();
        }
        self.senders = senders;
        if changed.renewal.is_some() {
            self.origin = origin;
            self.roster.renewed(origin.suite);
        }
        for (joined, leaf) in changed.joined.into_iter().zip(leaves) {
            self.next_member = joined.member.0 + 1;
            let suites = joined.suites();
            let identity = Arc::new(joined.identity);
            let member = Member::new(identity, joined.role, leaf, changed.epoch, suites);
            self.roster.insert(joined.member, member);
            if let Some(sender) = joined.sender {
                self.roster.assign(joined.member, sender);
            }
        }
        let spread = changed.renewal.map_or(0, |renewal| renewal.spread_ms);
        let activation_delay_ms = self.policy.activation_delay_ms.saturating_add(spread);
        let retirement_delay_ms = match spread {
            0 => self.policy.retirement_delay_ms,
            // Whoever is granted its leaf key late sends with the epoch before for as long.
            _ => self.policy.retirement_delay_ms.max(activation_delay_ms),
        };
        self.epoch = EpochState {
            epoch: changed.epoch,
            activation_delay_ms,
            retirement_delay_ms,
        };
        Ok(())
    }

    /// Checks a rollover; returns what keys come from afterwards.
    fn check_renewal(&self, changed: &Changed) -> Result<Origin, ReplayError> {
        match changed.renewal {
            None if changed.diff.renewed => Err(ReplayError::Renewal),
            None => Ok(self.origin),
            Some(renewal) if !changed.diff.renewed || renewal.nonce == self.origin.nonce => {
                Err(ReplayError::Renewal)
            }
            Some(renewal) => Ok(Origin {
                master: renewal.master,
                nonce: renewal.nonce,
                suite: renewal.suite,
                rollovers: self.origin.rollovers + 1,
            }),
        }
    }

    /// Checks that exactly those leaves change whose members come or go; returns the joiners' leaves.
    fn check_members(&self, changed: &Changed) -> Result<Vec<u32>, ReplayError> {
        let mut given: Vec<(MemberId, u32)> = Vec::with_capacity(changed.joined.len());
        let mut taken: Vec<MemberId> = Vec::with_capacity(changed.left.len());
        for leaf in &changed.diff.leaves {
            given.extend(leaf.member.map(|member| (member, leaf.index)));
            taken.extend(self.tree.member_at(leaf.index));
        }
        given.sort_unstable();
        taken.sort_unstable();
        let mut left: Vec<MemberId> = changed.left.iter().map(|d| d.member).collect();
        left.sort_unstable();
        if let Some(odd) = first_difference(&left, &taken) {
            return Err(ReplayError::Member(odd));
        }
        let joined: Vec<MemberId> = changed.joined.iter().map(|j| j.member).collect();
        let members: Vec<MemberId> = given.iter().map(|&(member, _)| member).collect();
        if let Some(odd) = first_difference(&joined, &members) {
            return Err(ReplayError::Member(odd));
        }
        let mut next = self.next_member;
        for &MemberId(id) in &joined {
            if id < next || id == u64::MAX {
                return Err(ReplayError::Member(MemberId(id)));
            }
            next = id + 1;
        }
        Ok(given.into_iter().map(|(_, leaf)| leaf).collect())
    }

    /// Checks the joiners' sender identifiers; returns the space afterwards.
    fn check_senders(&self, changed: &Changed) -> Result<SenderSpace, ReplayError> {
        let SenderSpace { space, next } = self.senders;
        let mut senders = SenderSpace {
            space: changed.sender_space,
            next,
        };
        if changed.sender_space != space {
            if space.checked_add(1) != Some(changed.sender_space) {
                return Err(ReplayError::Sender);
            }
            senders.next = self.staying_senders(&changed.left);
        }
        for joined in &changed.joined {
            match joined.sender {
                Some(SenderId(id))
                    if joined.role.sends() && id >= senders.next && id < u32::MAX =>
                {
                    senders.next = id + 1;
                }
                None if !joined.role.sends() => {}
                _ => return Err(ReplayError::Sender),
            }
        }
        Ok(senders)
    }

    /// How many senders remain when these members leave.
    pub(super) fn staying_senders(&self, left: &[Departed]) -> u32 {
        let sends = |departed: &&Departed| {
            let member = self.roster.get(departed.member);
            member.is_some_and(|m| m.role.sends())
        };
        self.roster.senders() - left.iter().filter(sends).count() as u32
    }

    /// Registrations for joiners, with the next free identifiers; the sender space afterwards. `renumber` begins a
    /// new space.
    pub(super) fn register(
        &self,
        joins: impl Iterator<Item = (Identity, Role, Suites)>,
        left: &[Departed],
        renumber: bool,
    ) -> (Vec<Joined>, u32) {
        let SenderSpace {
            mut space,
            mut next,
        } = self.senders;
        if renumber {
            space += 1;
            next = self.staying_senders(left);
        }
        let register = |(member, (identity, role, suites)): (u64, (Identity, Role, Suites))| {
            let sender = role.sends().then(|| {
                next += 1;
                SenderId(next - 1)
            });
            Joined {
                member: MemberId(member),
                identity,
                role,
                sender,
                suites: Some(suites),
            }
        };
        (
            (self.next_member..).zip(joins).map(register).collect(),
            space,
        )
    }

    /// What the next joiner is called.
    pub(super) fn next_member(&self) -> u64 {
        self.next_member
    }

    /// How many sender identifiers of the current space were given out.
    pub(super) fn senders_used(&self) -> u32 {
        self.senders.next
    }

    /// The header of the newest epoch.
    pub fn header(&self) -> EpochHeader {
        EpochHeader {
            suite: self.origin.suite,
            group: self.created.group,
            epoch: self.epoch.epoch,
            root: self.tree.root(),
            activation_delay_ms: self.epoch.activation_delay_ms,
            retirement_delay_ms: self.epoch.retirement_delay_ms,
            sender_space: self.senders.space,
            members: u64::from(self.roster.len()),
            rollover: self.origin.rollovers,
        }
    }

    /// The current leaf key of a member.
    pub fn leaf_key(&self, member: MemberId) -> Option<KeyRef> {
        let leaf = self.roster.get(member)?.leaf;
        Some(self.tree.key(index::leaf(leaf)))
    }

    /// The group's identifier.
    pub fn group(&self) -> GroupId {
        self.created.group
    }

    /// The group's name.
    pub fn name(&self) -> &str {
        &self.created.name
    }

    /// What the group's seed is derived with.
    pub fn nonce(&self) -> GroupNonce {
        self.origin.nonce
    }

    /// What the group's seed is derived from.
    pub fn master(&self) -> MasterId {
        self.origin.master
    }

    /// The suite of the group's keys.
    pub fn suite(&self) -> Suite {
        self.origin.suite
    }

    /// How many rollovers there were: each gave the group another seed.
    pub fn rollovers(&self) -> u64 {
        self.origin.rollovers
    }

    /// The policy in force.
    pub fn policy(&self) -> &GroupPolicy {
        &self.policy
    }

    /// The key tree.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The members.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The members, for what is not durable of them.
    pub(super) fn roster_mut(&mut self) -> &mut Roster {
        &mut self.roster
    }

    /// The newest epoch; 0 before the first.
    pub fn epoch(&self) -> Epoch {
        self.epoch.epoch
    }

    /// The sender space in use.
    pub fn sender_space(&self) -> u32 {
        self.senders.space
    }

    /// How many records the log holds.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Whether the group is over.
    pub fn destroyed(&self) -> bool {
        self.destroyed
    }

    /// Why nobody is admitted; none if the group is not frozen.
    pub fn frozen(&self) -> Option<&str> {
        self.frozen.as_deref()
    }

    /// The record that a log of this group begins with.
    pub(super) fn created(&self) -> Record {
        Record::Created(self.created.clone())
    }
}

/// The first member that is in one of two sorted lists only, or twice in one.
fn first_difference(a: &[MemberId], b: &[MemberId]) -> Option<MemberId> {
    let differ = a
        .iter()
        .zip(b)
        .find(|(a, b)| a != b)
        .map(|(a, b)| *a.min(b));
    let rest = || {
        let shorter = a.len().min(b.len());
        a.get(shorter).or(b.get(shorter)).copied()
    };
    let twice = || a.windows(2).find(|w| w[0] == w[1]).map(|w| w[0]);
    differ.or_else(rest).or_else(twice)
}
