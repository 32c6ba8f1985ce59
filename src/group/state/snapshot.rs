//! A state as one CBOR item, and back: what comes from a disk is checked as if a stranger had written it.
//!
//! ```cddl
//! snapshot = [version: 3, revision: uint, destroyed: bool, created, policy, tree, epoch, senders, next-member: uint,
//!             members: [* member], origin, frozen: tstr / null]
//! member = [member: uint, leaf: uint, joined: uint, role, sender: uint / null, identity: tstr, suites: uint]
//! ```
//! Version 2, of builds that froze no groups, is read too, and has no `frozen`. So is version 1, of builds without rollovers and
//! with one suite: it has neither `origin` nor `suites` besides.

use std::sync::Arc;

use minicbor::{Decoder, Encoder};
use thiserror::Error;

use super::{EpochState, Origin, SenderSpace, State};
use crate::group::ids::{Epoch, Identity, MemberId, Role, SenderId, Suite, Suites};
use crate::group::record::Created;
use crate::group::roster::{Member, Roster};
use crate::group::tree::Tree;

const VERSION: u8 = 3;
/// Before groups were frozen.
const SECOND_VERSION: u8 = 2;
/// Before there were rollovers.
const FIRST_VERSION: u8 = 1;

/// Why bytes are no snapshot of a group.
#[derive(Debug, Error)]
pub enum StateError {
    /// Written by another version.
    #[error(
        "the snapshot has format version {0}, this build reads {VERSION}: run the build that wrote it"
    )]
    Version(u8),
    /// Not the CBOR that it should be.
    #[error("the snapshot is malformed: {0}")]
    Malformed(#[from] minicbor::decode::Error),
    /// Bytes follow it.
    #[error("{0} bytes follow the snapshot")]
    Trailing(usize),
    /// A member that the tree or the counters do not know of, or the other way round.
    #[error("member {0} of the snapshot does not fit its tree or its counters")]
    Member(MemberId),
    /// The tree has members that the list has not.
    #[error("the snapshot lists {listed} members, its tree has {in_tree}")]
    Members {
        /// In the list.
        listed: u32,
        /// In the tree.
        in_tree: u32,
    },
}

impl State {
    /// The state as one CBOR item.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        self.write(&mut e).expect("writing to memory does not fail");
        e.into_writer()
    }

    fn write(
        &self,
        e: &mut Encoder<Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        e.array(12)?
            .u8(VERSION)?
            .encode(self.revision)?
            .bool(self.destroyed)?
            .encode(&self.created)?
            .encode(&self.policy)?
            .encode(&self.tree)?
            .encode(self.epoch)?
            .encode(self.senders)?
            .u64(self.next_member)?;
        e.array(u64::from(self.roster.len()))?;
        for (id, member) in self.roster.iter() {
            e.array(7)?
                .encode(id)?
                .u32(member.leaf)?
                .encode(member.joined)?
                .encode(member.role)?
                .encode(member.sender)?
                .encode(&*member.identity)?
                .encode(member.suites)?;
        }
        e.encode(self.origin)?.encode(&self.frozen)?;
        Ok(())
    }

    /// Reads what [`State::to_bytes`] wrote.
    ///
    /// # Errors
    /// When the bytes are anything else, or contradict themselves.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut d = Decoder::new(bytes);
        let length = d.array()?;
        let version = d.u8()?;
        match (version, length) {
            (VERSION, Some(12)) | (SECOND_VERSION, Some(11)) | (FIRST_VERSION, Some(10)) => {}
            (VERSION | SECOND_VERSION | FIRST_VERSION, _) => return Err(wrong_length(&d).into()),
            (other, _) => return Err(StateError::Version(other)),
        }
        let (revision, destroyed) = (d.decode()?, d.bool()?);
        let created = d.decode::<Created>()?;
        let mut state = State {
            revision,
            destroyed,
            frozen: None,
            origin: Origin::of(&created),
            created,
            policy: d.decode()?,
            tree: d.decode::<Tree>()?,
            epoch: d.decode::<EpochState>()?,
            senders: d.decode::<SenderSpace>()?,
            next_member: d.u64()?,
            roster: Roster::default(),
        };
        state.read_members(&mut d, version)?;
        if version != FIRST_VERSION {
            state.origin = d.decode::<Origin>()?;
        }
        if version == VERSION {
            state.frozen = d.decode()?;
        }
        match bytes.len() - d.position() {
            0 => Ok(state),
            trailing => Err(StateError::Trailing(trailing)),
        }
    }

    fn read_members(&mut self, d: &mut Decoder<'_>, version: u8) -> Result<(), StateError> {
        let count = d.array()?.unwrap_or(0);
        let mut last = None;
        for _ in 0..count {
            array(d, if version == FIRST_VERSION { 6 } else { 7 })?;
            let id: MemberId = d.decode()?;
            let leaf = d.u32()?;
            let joined: Epoch = d.decode()?;
            let role: Role = d.decode()?;
            let sender: Option<SenderId> = d.decode()?;
            let identity: Identity = d.decode()?;
            let suites = match version {
                FIRST_VERSION => Suites::of(Suite::One),
                _ => d.decode()?,
            };
            let fits = self.tree.member_at(leaf) == Some(id)
                && id.0 < self.next_member
                && last < Some(id)
                && joined <= self.epoch.epoch
                && sender.is_some() == role.sends()
                && sender.is_none_or(|s| s.0 < self.senders.next);
            if !fits {
                return Err(StateError::Member(id));
            }
            last = Some(id);
            let member = Member::new(Arc::new(identity), role, leaf, joined, suites);
            self.roster.insert(id, member);
            if let Some(sender) = sender {
                self.roster.assign(id, sender);
            }
        }
        let (listed, in_tree) = (self.roster.len(), self.tree.members());
        if listed == in_tree {
            Ok(())
        } else {
            Err(StateError::Members { listed, in_tree })
        }
    }
}

fn array(d: &mut Decoder<'_>, length: u64) -> Result<(), minicbor::decode::Error> {
    match d.array()? {
        Some(found) if found == length => Ok(()),
        _ => Err(wrong_length(d)),
    }
}

fn wrong_length(d: &Decoder<'_>) -> minicbor::decode::Error {
    minicbor::decode::Error::message("an array has the wrong length").at(d.position())
}
