//! What goes into a group's machine and what comes out of it.

use std::sync::Arc;

use bytes::Bytes;

use super::rollover::{Rollover, RolloverError};
use super::why::Why;
use crate::group::edges::Chunk;
use crate::group::ids::{
    Epoch, GroupId, Identity, KeyRef, MasterId, MemberId, Revision, Role, Suite, Time,
};
use crate::group::operations::{Batch, Issuers, Output, Priority};
use crate::group::policy::GroupPolicy;
use crate::group::wire::{Grant, Offer, PathDelivery, Refusal, RemovalReason};

/// The driver's name for whoever waits for an answer: every ticket is answered by exactly one
/// [`Effect::Granted`], [`Effect::Path`] or [`Effect::Refused`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// A batch that the token was asked for; unique within one life of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub u64);

/// What a member that resumes or pulls says that it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Its leaf key.
    pub leaf: Option<KeyRef>,
    /// The ephemeral keys that another leaf key may be wrapped for.
    pub offer: Option<Offer>,
}

/// What happened: handed to [`GroupMachine::handle`](super::GroupMachine::handle).
#[derive(Clone, Debug)]
pub enum Input {
    /// Somebody asks to be registered. That the policy admits it was decided before; limits are checked here.
    /// A grant makes the member present.
    Join {
        /// Who waits.
        ticket: Ticket,
        /// Who asks, by certificate.
        identity: Identity,
        /// What it wants to do with the keys.
        role: Role,
        /// The ephemeral keys that the leaf key may be wrapped for; that they are keys was checked, as far as that goes.
        offer: Offer,
    },
    /// A member resumes or pulls, or needs a delivery: answered with its path to the newest epoch, or with a grant when
    /// it claims a leaf key that is not its own any more and offers to be granted the one that is.
    CatchUp {
        /// Who waits.
        ticket: Ticket,
        /// The registration; that it belongs to the asking identity was checked before.
        member: MemberId,
        /// What the member said. None when it did not ask by itself: then a member that lacks its leaf key gets a path
        /// without edges, whose header tells it so.
        claim: Option<Claim>,
    },
    /// A member asks to leave. Done when [`Effect::Removed`] names it.
    Leave {
        /// Which registration.
        member: MemberId,
    },
    /// Somebody is evicted, each done when [`Effect::Removed`] names it.
    Evict {
        /// Which registrations; unknown ones are passed over.
        members: Vec<MemberId>,
        /// Whether the batch closes at once and overtakes everything else in the token's queue.
        urgent: bool,
        /// Why, for the record.
        reason: String,
        /// The operator who asked for it, for the record.
        by: Option<Identity>,
    },
    /// The root gets an independent key though nobody leaves.
    Rotate,
    /// The group's keys come from another seed, with the next change that is not urgent. Done when
    /// [`State::rollovers`](crate::group::state::State::rollovers) says so; else [`Effect::RolloverRefused`].
    Rollover(Rollover),
    /// The policy changes; it was validated before. Once it is on record, and admits others or fewer than the one before, whoever
    /// waits to join is refused as busy: he asks again, and it is decided anew.
    SetPolicy(GroupPolicy),
    /// What decides about joins besides the policy is another one now: whoever waits to join is refused as busy, and asks again.
    DecideAnew,
    /// Nobody is admitted any more; everything else goes on.
    Freeze {
        /// Why, for the record.
        why: String,
        /// The operator who asked for it, for the record.
        by: Option<Identity>,
    },
    /// Whoever the policy admits is admitted again.
    Thaw {
        /// The operator who asked for it, for the record.
        by: Option<Identity>,
    },
    /// The group ends.
    Destroy,
    /// Members confirmed an epoch's root: each with the newest that it holds.
    Acks(Vec<(MemberId, Epoch)>),
    /// A member has a connection.
    Present {
        /// Which member.
        member: MemberId,
    },
    /// A member lost its connection.
    Absent {
        /// Which member.
        member: MemberId,
    },
    /// The record of the last [`Effect::Persist`] is durable.
    Persisted {
        /// The log's revision with it.
        revision: Revision,
    },
    /// The record of the last [`Effect::Persist`] was not written and never will be.
    PersistFailed,
    /// The token executed a job.
    TokenDone {
        /// Which job.
        job: JobId,
        /// An output for each operation, in order.
        outputs: Vec<Output>,
    },
    /// The token did not execute a job.
    TokenFailed {
        /// Which job.
        job: JobId,
        /// How long it wants to be left alone, if it said so: no shorter pause is made, within the bound of pauses.
        retry_ms: Option<u64>,
    },
    /// The token's public keys became known. They are the same for as long as the process lives: later news is ignored.
    TokenKnown(Arc<Issuers>),
    /// The time that [`next_timeout`](super::GroupMachine::next_timeout) named has come.
    Tick,
}

/// What is to be done: drained by [`GroupMachine::poll`](super::GroupMachine::poll), carried out in order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Append a record to the group's log; answered by [`Input::Persisted`] or [`Input::PersistFailed`]. At most one
    /// is under way.
    Persist {
        /// The revision that the log must be at.
        expected: Revision,
        /// What to append.
        record: Vec<u8>,
    },
    /// Ask the token; answered by [`Input::TokenDone`] or [`Input::TokenFailed`].
    Token {
        /// Names the job in the answer.
        job: JobId,
        /// How urgent it is.
        priority: Priority,
        /// What to execute.
        batch: Batch,
    },
    /// Push an epoch to every present member, each with its leaf's chunk.
    Deliver(Arc<Rekey>),
    /// Tell every present member to send with an epoch.
    Activate {
        /// Which epoch.
        epoch: Epoch,
    },
    /// Answer a join; or a catch-up, whose member's leaf key is another one since a rollover.
    Granted {
        /// Who waits.
        ticket: Ticket,
        /// The registration; a new one counts as present from here on.
        member: MemberId,
        /// The whole answer.
        grant: Box<Grant>,
    },
    /// Answer a catch-up.
    Path {
        /// Who waits.
        ticket: Ticket,
        /// The registration.
        member: MemberId,
        /// The path to the newest epoch.
        path: PathDelivery,
    },
    /// Answer a join or a catch-up that cannot be done.
    Refused {
        /// Who waits.
        ticket: Ticket,
        /// Why, and when to ask again.
        refusal: Refusal,
    },
    /// The group is not rolled over.
    RolloverRefused(RolloverError),
    /// A registration is over and that is on record: tell the member and detach it.
    Removed {
        /// Which registration.
        member: MemberId,
        /// Why.
        reason: RemovalReason,
    },
    /// The group is over and that is on record: tell and detach every member.
    Destroyed,
}

/// The encoded edges of a member that only ratchets: an empty CBOR array.
pub const NO_EDGES: &[u8] = &[0x80];

/// A new epoch, ready to be pushed: one header for all, and for every subtree the edges that its members need.
#[derive(Clone, Debug)]
pub struct Rekey {
    /// The group.
    pub group: GroupId,
    /// The epoch.
    pub epoch: Epoch,
    /// The epoch delivered before: whoever holds its keys can open this one, unless the header tells of a rollover since.
    pub previous: Epoch,
    /// The epoch that senders send with meanwhile.
    pub active: Epoch,
    /// Why there is this epoch, and since when it was waited for.
    pub why: Why,
    /// The signed header.
    pub header: Bytes,
    /// The push message up to its edges, the same for all: [`rekey_head`](crate::group::wire::rekey_head).
    pub head: Bytes,
    /// Sorted and disjoint; a leaf in none needs the header alone.
    pub chunks: Vec<Chunk>,
}

impl Rekey {
    /// The encoded edges for the member at a leaf: a CBOR array, empty when the member only ratchets.
    pub fn chunk_for(&self, leaf: u32) -> &Bytes {
        static NONE: Bytes = Bytes::from_static(NO_EDGES);
        let at = self.chunks.partition_point(|chunk| chunk.last_leaf < leaf);
        match self.chunks.get(at) {
            Some(chunk) if chunk.first_leaf <= leaf => &chunk.edges,
            _ => &NONE,
        }
    }
}

/// How a group is, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    /// The group.
    pub group: GroupId,
    /// Its name.
    pub name: String,
    /// How many records its log holds.
    pub revision: Revision,
    /// Whether it is over.
    pub destroyed: bool,
    /// Why nobody is admitted, if it is frozen.
    pub frozen: Option<String>,
    /// Which sender space is in use.
    pub sender_space: u32,
    /// What its keys come from.
    pub keys: KeyStatus,
    /// Its epochs.
    pub epochs: EpochStatus,
    /// Who holds the newest delivered epoch.
    pub assurance: Assurance,
    /// What waits.
    pub queues: QueueStatus,
}

/// What a group's keys come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// The suite of its keys.
    pub suite: Suite,
    /// The master key of its seed.
    pub master: MasterId,
    /// The newest key of its root, by name.
    pub root: KeyRef,
    /// How many rollovers there were.
    pub rollovers: u64,
    /// Whether another one waits.
    pub rolling_over: bool,
    /// Members that do not hold their leaf key, as far as this life knows: since a rollover, or for being away.
    pub without_leaf: u32,
    /// Members that do not offer suite 2: none may be left when the group is moved to it.
    pub without_suite_two: u32,
}

/// The epochs of a group that are in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochStatus {
    /// The newest on record; 0 before the first.
    pub newest: Epoch,
    /// The newest that was sealed and delivered.
    pub delivered: Epoch,
    /// The one that senders send with.
    pub active: Epoch,
    /// The suite of its keys: until a rollover is active, the one of before.
    pub active_suite: Suite,
    /// The suite of the newest that was delivered.
    pub delivered_suite: Suite,
    /// When the delivered one becomes active at the latest, while it is not.
    pub activates: Option<Time>,
    /// Epochs that receivers still hold for what is under way, and until when.
    pub retiring: Vec<(Epoch, Time)>,
    /// When the root gets an independent key without anybody leaving.
    pub rotates: Option<Time>,
}

/// Delivery assurance: who acknowledged the newest delivered epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Assurance {
    /// Registered members.
    pub members: u32,
    /// Members with a connection.
    pub present: u32,
    /// Members that acknowledged the newest delivered epoch.
    pub acknowledged: u32,
    /// Members with a connection that did not.
    pub behind: u32,
}

impl Assurance {
    /// The share of members that acknowledged, in percent, rounded down; 100 when there are none.
    pub fn percent(&self) -> u8 {
        match self.members {
            0 => 100,
            members => (u64::from(self.acknowledged) * 100 / u64::from(members)) as u8,
        }
    }
}

/// What waits in a group's machine; each queue has a bound in [`limits`](crate::group::limits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueStatus {
    /// Joins that wait for the next change.
    pub joins: usize,
    /// Departures that wait for the next change.
    pub departures: usize,
    /// Grants and catch-ups that wait for the token.
    pub paths: usize,
    /// Jobs that the token has, or that are to be asked again.
    pub jobs: usize,
}
