//! The member's side of a group: which keys it holds, what it can open, when it uses which epoch.
//!
//! # Contract
//! As the gateway's machine: [`MemberSession::handle`] with the time and what came, then [`MemberSession::poll`] until it
//! returns none; [`SessionInput::Tick`] when [`MemberSession::next_timeout`] has come. It is generic over what computes
//! with keys, so that it runs with real keys in members and with symbolic ones in tests.
//!
//! # An epoch's way
//! ```text
//!   Rekey or Path --opened, tag confirmed--> installed --activated--> active --a newer one activated--> retiring --> dropped
//!         |                                   Installed, Acknowledge    SendWith                                 Retired
//!         +--cannot be opened--> NeedPath, again after growing pauses until a path opens
//! ```
//! After a rollover no path opens either: the member's leaf key is another one. The answer to NeedPath is then a grant,
//! which [`MemberSession::regranted`] takes. As every member asks, each does so at a time of its own during the first half
//! of the epoch's activation delay; or at once when the gateway says that senders switch.
//!
//! Receivers use an epoch from its installation on. Senders begin with it when the gateway says so, or when the
//! activation delay has passed since they received it; everyone drops older epochs one retirement delay after
//! activation (RFC 9838 section 4.4.3.1.1 keeps the same two clocks). A sender whose identifiers are of another sender
//! space than the epoch's does not begin to send: it asks for its path, which brings the new ones.

mod epochs;
mod hearing;
mod io;
mod keyring;
mod repair;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use thiserror::Error;

use super::edges::Edge;
use super::ids::{Epoch, GroupId, KeyRef, MemberId, Role, SenderId, Time};
use super::index::MAX_HEIGHT;
use super::limits::MAX_RATCHET_STEPS;
use super::operations::WrappedKey;
use super::wire::{EpochHeader, ParsedHeader};
use epochs::HeldEpochs;
pub use hearing::{Hearing, HearingEffect};
pub use io::{SessionEffect, SessionInput};
use keyring::Keyring;
use repair::Repair;

/// What computes with keys.
pub trait KeyOperations {
    /// A key of a node.
    type Key: Clone;
    /// The key one ratchet step later.
    fn ratchet(&self, key: &Self::Key) -> Self::Key;
    /// The key that was wrapped under `child`; none when it was not, or the ciphertext is not whole.
    fn unwrap(&self, child: &Self::Key, wrapped: &WrappedKey) -> Option<Self::Key>;
    /// Whether the header's confirmation tag was made with this root.
    fn confirms(&self, root: &Self::Key, header: &ParsedHeader) -> bool;
}

/// A registration, as the grant tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The group.
    pub group: GroupId,
    /// The registration.
    pub member: MemberId,
    /// What it may do with the keys.
    pub role: Role,
    /// Its leaf key by name.
    pub leaf: KeyRef,
    /// Anything that differs between members: it spreads their requests in time.
    pub seed: u64,
}

/// Why an input was not taken; what is held stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SessionError {
    /// The header is of another group.
    #[error("the header is of group {0}, not of this one")]
    ForeignGroup(GroupId),
    /// The epoch, or a newer one, is held already: a repetition, to be acknowledged again with what is held.
    #[error("epoch {got} is not newer than epoch {held}, which is held")]
    OldEpoch {
        /// Of the header.
        got: Epoch,
        /// The newest.
        held: Epoch,
    },
    /// A second, different header of the newest epoch.
    #[error(
        "there are two different headers of epoch {0}: the gateway's state was rolled back or forked"
    )]
    Forked(Epoch),
    /// A root that no tree has.
    #[error("the header's root {0:?} is no root of any tree")]
    NoRoot(KeyRef),
    /// The keys that are held and the edges do not lead to a root that confirms the header.
    #[error("epoch {0} cannot be opened with what is held: the path is asked for")]
    CannotOpen(Epoch),
    /// There was a rollover: the member's leaf key is another one, which it asks for.
    #[error("epoch {0} needs a new leaf key since a rollover: it is asked for")]
    Renewed(Epoch),
    /// The registration is over.
    #[error("the registration is over")]
    Ended,
}

/// One registration's keys and clocks. The module says how to drive it.
#[derive(Debug)]
pub struct MemberSession<K: KeyOperations> {
    operations: K,
    membership: Membership,
    keyring: Keyring<K::Key>,
    /// How many rollovers there were when the leaf key was granted; unknown until the first path.
    rollover: Option<u64>,
    epochs: HeldEpochs<K::Key>,
    /// The newest epoch that the gateway said to be active.
    told_active: Epoch,
    /// The member's sender identifiers by sender space: of the newest two, one of which may still be in use.
    senders: BTreeMap<u32, Vec<SenderId>>,
    /// The epoch that was announced by `SendWith`.
    sending: Epoch,
    repair: Repair,
    effects: VecDeque<SessionEffect>,
    ended: bool,
}

impl<K: KeyOperations> MemberSession<K> {
    /// A registration that was granted: its leaf key is unwrapped, its path comes as the first input.
    pub fn joined(operations: K, membership: Membership, leaf: K::Key) -> Self {
        MemberSession {
            operations,
            membership,
            keyring: Keyring::new(membership.leaf, leaf),
            rollover: None,
            epochs: HeldEpochs::default(),
            told_active: Epoch(0),
            senders: BTreeMap::new(),
            sending: Epoch(0),
            repair: Repair::new(membership.seed),
            effects: VecDeque::new(),
            ended: false,
        }
    }

    /// The leaf key was granted anew, with a path from it. Epochs that are held stay: their roots do not hang on it.
    ///
    /// # Errors
    /// When the path does not open with the new leaf key; everything stays as it was then.
    pub fn regranted(
        &mut self,
        now: Time,
        operations: K,
        (leaf, key): (KeyRef, K::Key),
        path: SessionInput,
    ) -> Result<(), SessionError> {
        if leaf == self.membership.leaf {
            // A second answer: the keys that the first one led to are worth keeping.
            return self.handle(now, path);
        }
        let keyring = std::mem::replace(&mut self.keyring, Keyring::new(leaf, key));
        let operations = std::mem::replace(&mut self.operations, operations);
        let (rollover, before) = (self.rollover.take(), self.membership.leaf);
        self.membership.leaf = leaf;
        let taken = self.handle(now, path);
        if taken.is_err() {
            (self.keyring, self.operations) = (keyring, operations);
            (self.rollover, self.membership.leaf) = (rollover, before);
        }
        taken
    }

    /// Something came.
    ///
    /// # Errors
    /// When it is not taken; the keys held stay as they were.
    pub fn handle(&mut self, now: Time, input: SessionInput) -> Result<(), SessionError> {
        if self.ended {
            return Err(SessionError::Ended);
        }
        let taken = match input {
            SessionInput::OtherSuite {
                activation_delay_ms,
            } => {
                self.repair.hint(now, 0, own_time(activation_delay_ms));
                Ok(())
            }
            SessionInput::Lacking {
                after_ms,
                within_ms,
            } => {
                self.repair.hint(now, after_ms, within_ms);
                Ok(())
            }
            SessionInput::Rekey {
                header,
                edges,
                active,
            } => {
                if active < header.header.epoch {
                    self.told_active = self.told_active.max(active);
                    // Before the new one takes the place of the oldest that is not active.
                    self.epochs.activate_when_due(now, self.told_active);
                }
                self.rekey(now, &header, &edges)
            }
            SessionInput::Path {
                header,
                edges,
                active,
                sender_ids,
                sender_space,
            } => {
                self.told_active = self.told_active.max(active);
                self.learn_senders(sender_space, sender_ids);
                self.path(now, &header, &edges)
            }
            SessionInput::Activate { epoch } => {
                self.told_active = self.told_active.max(epoch);
                self.repair.want(epoch);
                if epoch > self.epochs.newest() {
                    self.repair.hurry();
                }
                Ok(())
            }
            SessionInput::Evicted => {
                self.end();
                return Ok(());
            }
            SessionInput::Tick => Ok(()),
        };
        self.advance(now);
        taken
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<SessionEffect> {
        self.effects.pop_front()
    }

    /// When the session wants [`SessionInput::Tick`].
    pub fn next_timeout(&self) -> Option<Time> {
        self.epochs
            .next_timeout()
            .into_iter()
            .chain(self.repair.next())
            .min()
    }

    /// The registration.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The newest epoch that is held; 0 for none.
    pub fn newest(&self) -> Epoch {
        self.epochs.newest()
    }

    /// The epoch that senders send with, as far as is known here; 0 for none.
    pub fn active(&self) -> Epoch {
        self.epochs.active()
    }

    /// The epochs that are held, the oldest first.
    pub fn held(&self) -> impl Iterator<Item = &EpochHeader> {
        self.epochs.headers()
    }

    /// The root of an epoch, while it is held.
    pub fn root(&self, epoch: Epoch) -> Option<&K::Key> {
        self.epochs.root(epoch)
    }

    /// What the member sends under in an epoch: identifiers of the epoch's own sender space, or none.
    pub fn sender_ids(&self, epoch: Epoch) -> &[SenderId] {
        let header = self.epochs.header(epoch);
        let known = header.and_then(|header| self.senders.get(&header.sender_space));
        known.map_or(&[], Vec::as_slice)
    }

    fn rekey(
        &mut self,
        now: Time,
        header: &ParsedHeader,
        edges: &[Edge],
    ) -> Result<(), SessionError> {
        self.check(header)?;
        self.check_leaf(now, header)?;
        let epoch = header.header.epoch;
        match self.keyring.open(&self.operations, header, edges) {
            Some((keyring, root)) => {
                self.install(now, header.header, keyring, root);
                Ok(())
            }
            None => {
                self.repair.want(epoch);
                Err(SessionError::CannotOpen(epoch))
            }
        }
    }

    fn path(
        &mut self,
        now: Time,
        header: &ParsedHeader,
        edges: &[Edge],
    ) -> Result<(), SessionError> {
        match self.check(header) {
            Ok(()) => {}
            // Nothing new but the sender identifiers, for the member; a gateway that was restarted knows nothing of
            // what was acknowledged before.
            Err(SessionError::OldEpoch { got, held }) if got == held => {
                self.repair.answered();
                self.effects
                    .push_back(SessionEffect::Acknowledge { epoch: held });
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        self.check_leaf(now, header)?;
        let epoch = header.header.epoch;
        // A path is complete from the leaf on; what is held besides is only of use when a part of it is damaged.
        let from_leaf = self
            .keyring
            .leaf_only()
            .open(&self.operations, header, edges);
        let opened = from_leaf.or_else(|| self.keyring.open(&self.operations, header, edges));
        match opened {
            Some((keyring, root)) => {
                self.install(now, header.header, keyring, root);
                Ok(())
            }
            None => {
                self.repair.want(epoch);
                Err(SessionError::CannotOpen(epoch))
            }
        }
    }

    /// Whether the leaf key that is held is of the header's time.
    fn check_leaf(&mut self, now: Time, header: &ParsedHeader) -> Result<(), SessionError> {
        let EpochHeader {
            epoch,
            activation_delay_ms,
            rollover,
            ..
        } = header.header;
        if self.rollover.is_none_or(|known| known == rollover) {
            return Ok(());
        }
        let within = own_time(activation_delay_ms);
        self.repair.want_within(epoch, now, within);
        Err(SessionError::Renewed(epoch))
    }

    fn check(&self, header: &ParsedHeader) -> Result<(), SessionError> {
        let EpochHeader {
            group, epoch, root, ..
        } = header.header;
        let held = self.epochs.newest();
        if group != self.membership.group {
            return Err(SessionError::ForeignGroup(group));
        }
        if epoch == held && self.epochs.headers().last() != Some(&header.header) {
            return Err(SessionError::Forked(epoch));
        }
        if epoch <= held {
            return Err(SessionError::OldEpoch { got: epoch, held });
        }
        let is_root = root.node.index == 0 && (1..=MAX_HEIGHT).contains(&root.node.level);
        if !is_root || root.step > MAX_RATCHET_STEPS {
            return Err(SessionError::NoRoot(root));
        }
        Ok(())
    }

    fn install(&mut self, now: Time, header: EpochHeader, keyring: Keyring<K::Key>, root: K::Key) {
        let epoch = header.epoch;
        self.keyring = keyring;
        self.rollover = Some(header.rollover);
        self.repair.answered();
        self.effects.push_back(SessionEffect::Installed { epoch });
        self.effects.push_back(SessionEffect::Acknowledge { epoch });
        let dropped = self.epochs.install(now, header, root);
        self.tell_retired(dropped);
    }

    /// Does whatever is due.
    fn advance(&mut self, now: Time) {
        self.epochs.activate_when_due(now, self.told_active);
        let dropped = self.epochs.retire(now);
        self.tell_retired(dropped);
        self.send_with_active();
        let held = self.epochs.newest();
        if self.repair.is_due(now, held, self.lacks_sender_ids()) {
            self.effects.push_back(SessionEffect::NeedPath { held });
        }
    }

    fn tell_retired(&mut self, dropped: Vec<Epoch>) {
        let retired = dropped
            .into_iter()
            .map(|epoch| SessionEffect::Retired { epoch });
        self.effects.extend(retired);
    }

    fn send_with_active(&mut self) {
        let epoch = self.epochs.active();
        if epoch > self.sending && !self.sender_ids(epoch).is_empty() {
            self.sending = epoch;
            self.effects.push_back(SessionEffect::SendWith { epoch });
        }
    }

    /// Whether the newest epoch is of a sender space that no identifiers are known for.
    fn lacks_sender_ids(&self) -> bool {
        let newest = self.epochs.newest();
        self.membership.role.sends() && newest > Epoch(0) && self.sender_ids(newest).is_empty()
    }

    fn learn_senders(&mut self, space: u32, ids: Vec<SenderId>) {
        if self.membership.role.sends() {
            self.senders.insert(space, ids);
        }
        while self.senders.len() > 2 {
            self.senders.pop_first();
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.keyring.clear();
        self.epochs = HeldEpochs::default();
        self.senders.clear();
        self.repair.clear();
        self.effects.clear();
        self.effects.push_back(SessionEffect::Ended);
    }
}

/// During which time a member asks for its new leaf key, so that the others' are made as well before senders switch.
fn own_time(activation_delay_ms: u32) -> u64 {
    u64::from(activation_delay_ms / 2)
}
