//! What the gateway answers: the one message that comes back on a stream that a member opened.

use bytes::Bytes;
use minicbor::{Decode, Encode};

use super::codec::Message;
use super::push::Ack;
use super::refusal::Refusal;
use crate::group::edges::Edge;
use crate::group::ids::{Epoch, GroupId, KeyRef, MemberId, Role, SenderId, Suite};
use crate::group::limits::MAX_MESSAGE;
use crate::group::operations::{Issuer, PublicKey, WrappedKey};

/// The gateway's answer to a [`Request`](super::Request).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum Response {
    /// To `Join`: the registration.
    #[n(16)]
    Granted(#[n(0)] Box<Grant>),
    /// To `Resume`: the newest epoch.
    #[n(17)]
    Path(#[n(0)] PathDelivery),
    /// To `Leave`: the registration is over, and the departure is on record.
    #[n(18)]
    Left(#[n(0)] Left),
    /// To `Pull`: the epochs in use and a path to the newest.
    #[n(19)]
    KeySet(#[n(0)] KeySet),
    /// To `Status`.
    #[n(20)]
    Status(#[n(0)] StatusReport),
    /// To any request: it was not done.
    #[n(21)]
    Refused(#[n(0)] Refusal),
    /// To `Acknowledge`: it is counted.
    #[n(22)]
    Acknowledged(#[n(0)] Ack),
}

impl Message for Response {
    const WHAT: &'static str = "response";
    const LIMIT: usize = MAX_MESSAGE;
}

/// All that a member needs to compute the newest epoch's root from its leaf key, whatever it has missed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PathDelivery {
    /// The newest epoch's signed header.
    #[cbor(n(0), with = "super::fields::octets")]
    pub header: Bytes,
    /// The up-edges from the member's leaf to the root, in that order.
    #[n(1)]
    pub edges: Vec<Edge>,
    /// The epoch that senders send with: the header's own, or an earlier one while the header's is not activated.
    #[n(2)]
    pub active: Epoch,
    /// The member's sender identifiers in the header's sender space; none for receivers.
    #[n(3)]
    pub sender_ids: Vec<SenderId>,
    /// Which sender space the identifiers are of.
    #[n(4)]
    pub sender_space: u32,
}

/// A registration: the member's leaf key, wrapped for its ephemeral public key, and the path from it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Grant {
    /// The group.
    #[n(0)]
    pub group: GroupId,
    /// The suite of every key and header of this group.
    #[n(1)]
    pub suite: Suite,
    /// The new registration.
    #[n(2)]
    pub member: MemberId,
    /// What the member may do with the traffic keys.
    #[n(3)]
    pub role: Role,
    /// The member's leaf key by name.
    #[n(4)]
    pub leaf: KeyRef,
    /// The leaf key, wrapped under what ECDH and the grant's transcript give.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub wrapped: WrappedKey,
    /// Verifies the group's epoch headers.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub signing: PublicKey,
    /// The gateway's side of the ECDH.
    #[cbor(n(7), with = "minicbor::bytes")]
    pub agreement: PublicKey,
    /// From the leaf to the newest root.
    #[n(8)]
    pub path: PathDelivery,
}

impl Grant {
    /// The token's public keys.
    pub fn issuer(&self) -> Issuer {
        Issuer {
            signing: self.signing,
            agreement: self.agreement,
        }
    }
}

/// A registration is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Left {
    /// The registration that ended.
    #[n(0)]
    pub member: MemberId,
}

/// The epochs that a group's traffic is protected with now and next, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct KeySet {
    /// The active epoch, and the pending one if there is one.
    #[n(0)]
    pub epochs: Vec<KeyState>,
    /// From the member's leaf to the newest root.
    #[n(1)]
    pub path: PathDelivery,
}

/// One epoch of a [`KeySet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct KeyState {
    /// The epoch.
    #[n(0)]
    pub epoch: Epoch,
    /// Its security parameter index: [`spi`](super::spi).
    #[n(1)]
    pub spi: u32,
    /// Its suite.
    #[n(2)]
    pub suite: Suite,
    /// Time until senders use it at the latest; 0 once active.
    #[n(3)]
    pub activates_in_ms: u64,
    /// Time until the next scheduled rekey; absent when none is scheduled.
    #[n(4)]
    pub lifetime_s: Option<u64>,
    /// Whether senders send with it.
    #[n(5)]
    pub active: bool,
}

/// How a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct StatusReport {
    /// The newest epoch.
    #[n(0)]
    pub epoch: Epoch,
    /// The epoch that senders send with.
    #[n(1)]
    pub active: Epoch,
    /// Registered members.
    #[n(2)]
    pub members: u64,
    /// Members that acknowledged the newest epoch.
    #[n(3)]
    pub acknowledged: u64,
}
