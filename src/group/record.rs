//! What is persisted of a group: outcomes, never keys, so that replay needs no planner.
//!
//! ```cddl
//! record = [version: 1, [kind: uint, body]]
//! ```
//! A log begins with `Created`. Every `Changed` is one epoch.

use minicbor::{Decode, Encode};
use thiserror::Error;

use super::ids::{
    Epoch, GroupId, GroupNonce, Identity, MasterId, MemberId, Role, SenderId, Suite, Suites,
};
use super::policy::GroupPolicy;
use super::tree::TreeDiff;
use super::wire::RemovalReason;

const VERSION: u8 = 1;

/// One entry of a group's log.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(flat)]
pub enum Record {
    /// The group begins.
    #[n(0)]
    Created(#[n(0)] Created),
    /// Members come and go, or keys rotate: a new epoch.
    #[n(1)]
    Changed(#[n(0)] Box<Changed>),
    /// The policy is another one.
    #[n(2)]
    PolicyChanged(#[n(0)] GroupPolicy),
    /// The group is over.
    #[n(3)]
    Destroyed,
    /// Nobody is admitted any more.
    #[n(4)]
    Frozen(#[n(0)] Frozen),
    /// Whoever the policy admits is admitted again.
    #[n(5)]
    Thawed(#[n(0)] Thawed),
}

/// A freeze.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Frozen {
    /// What was said about it.
    #[n(0)]
    pub why: String,
    /// The operator who asked for it; the gateway itself if there is none.
    #[n(1)]
    pub by: Option<Identity>,
}

/// The end of a freeze.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Thawed {
    /// The operator who asked for it.
    #[n(0)]
    pub by: Option<Identity>,
}

/// What a group is at its beginning; master, nonce and suite are replaced by a rollover.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Created {
    /// Its identifier.
    #[n(0)]
    pub group: GroupId,
    /// Its name.
    #[n(1)]
    pub name: String,
    /// What its seed is derived with.
    #[n(2)]
    pub nonce: GroupNonce,
    /// What its seed is derived from.
    #[n(3)]
    pub master: MasterId,
    /// The suite of its keys.
    #[n(4)]
    pub suite: Suite,
    /// Its first policy.
    #[n(5)]
    pub policy: GroupPolicy,
}

/// A new epoch and how it came about.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Changed {
    /// The epoch: one more than the one before.
    #[n(0)]
    pub epoch: Epoch,
    /// What becomes of the tree; it names the joiners' leaves.
    #[n(1)]
    pub diff: TreeDiff,
    /// Who comes, by ascending identifier.
    #[n(2)]
    pub joined: Vec<Joined>,
    /// Who goes.
    #[n(3)]
    pub left: Vec<Departed>,
    /// The sender space afterwards. When it is a new one, the senders that stay are numbered from 0 in the order of
    /// their registrations, the joiners after them.
    #[n(4)]
    pub sender_space: u32,
    /// A rollover, when the epoch is one: its keys come from another seed. Then the diff renews every key.
    #[n(5)]
    pub renewal: Option<Renewal>,
}

/// What a group's keys come from after a rollover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Renewal {
    /// What the seed is derived from.
    #[n(0)]
    pub master: MasterId,
    /// What the seed is derived with: never used before in this group.
    #[n(1)]
    pub nonce: GroupNonce,
    /// The suite of the keys.
    #[n(2)]
    pub suite: Suite,
    /// How much longer than the policy's the epoch's activation delay is: members are granted their leaf keys meanwhile.
    #[n(3)]
    pub spread_ms: u32,
}

/// A new registration.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Joined {
    /// Its identifier, never used before in this group.
    #[n(0)]
    pub member: MemberId,
    /// Whose it is.
    #[n(1)]
    pub identity: Identity,
    /// What it may do.
    #[n(2)]
    pub role: Role,
    /// What it sends under; never used before in the sender space.
    #[n(3)]
    pub sender: Option<SenderId>,
    /// The suites that it offered; absent in records of builds that had one suite.
    #[n(4)]
    pub suites: Option<Suites>,
}

impl Joined {
    /// The suites that the member has, as far as is on record.
    pub fn suites(&self) -> Suites {
        self.suites.unwrap_or(Suites::of(Suite::One))
    }
}

/// A registration that ends.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Departed {
    /// Which.
    #[n(0)]
    pub member: MemberId,
    /// Why.
    #[n(1)]
    pub reason: RemovalReason,
    /// What was said about it.
    #[n(2)]
    pub note: Option<String>,
    /// Whose it was; absent in records of builds that kept no audit trail.
    #[n(3)]
    pub identity: Option<Identity>,
    /// The operator who evicted it.
    #[n(4)]
    pub by: Option<Identity>,
}

/// Why bytes are no record.
#[derive(Debug, Error)]
pub enum RecordError {
    /// Written by another version.
    #[error(
        "the record has format version {0}, this build reads {VERSION}: run the build that wrote it"
    )]
    Version(u8),
    /// Not the CBOR that it should be.
    #[error("the record is malformed: {0}")]
    Malformed(#[from] minicbor::decode::Error),
    /// Bytes follow it.
    #[error("{0} bytes follow the record")]
    Trailing(usize),
}

impl Record {
    /// The record as it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        minicbor::to_vec((VERSION, self)).expect("writing to memory does not fail")
    }

    /// Reads what [`Record::to_bytes`] wrote.
    ///
    /// # Errors
    /// When the bytes are anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut decoder = minicbor::Decoder::new(bytes);
        if decoder.array()? != Some(2) {
            return Err(minicbor::decode::Error::message("it is no array of two").into());
        }
        match decoder.u8()? {
            VERSION => {}
            other => return Err(RecordError::Version(other)),
        }
        let record = decoder.decode()?;
        match bytes.len() - decoder.position() {
            0 => Ok(record),
            trailing => Err(RecordError::Trailing(trailing)),
        }
    }
}
