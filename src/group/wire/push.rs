//! What the gateway pushes: the opening message of a stream that the gateway opens, and the member's answer.

use bytes::Bytes;
use minicbor::{Decode, Encode, Encoder};

use super::away::GoAway;
use super::codec::Message;
use super::refusal::{NackCode, RemovalReason};
use crate::group::edges::Edge;
use crate::group::ids::{Epoch, GroupId, MemberId};
use crate::group::limits::{MAX_MESSAGE, MAX_PUSH_REPLY};

/// A message that the gateway begins.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum Push {
    /// A new epoch; answered by `Ack` with its number once its root is confirmed, else by `Nack`.
    #[n(32)]
    Rekey(#[n(0)] RekeyDelivery),
    /// To those who may send: switch to this epoch; answered by `Ack` with its number.
    #[n(33)]
    Activate(#[n(0)] Activate),
    /// A registration is over; answered by `Ack`.
    #[n(34)]
    Removed(#[n(0)] Removed),
    /// The gateway stops serving this connection; answered by `Ack`. Parked members are told by [datagram](super::datagram::Datagram::GoAway).
    #[n(35)]
    GoAway(#[n(0)] GoAway),
    /// A new epoch for the members of many leaves; by multicast alone, and not answered.
    #[n(36)]
    Packet(#[n(0)] RekeyPacket),
    /// Which epoch is the newest; by multicast alone, and not answered.
    #[n(37)]
    Heartbeat(#[n(0)] Heartbeat),
}

impl Message for Push {
    const WHAT: &'static str = "push";
    const LIMIT: usize = MAX_MESSAGE;
}

/// The member's answer to a [`Push`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum PushReply {
    /// Done.
    #[n(48)]
    Ack(#[n(0)] Ack),
    /// Not done.
    #[n(49)]
    Nack(#[n(0)] Nack),
}

impl PushReply {
    /// An acknowledgement of an epoch.
    pub fn ack(epoch: Epoch) -> Self {
        PushReply::Ack(Ack { epoch })
    }

    /// A refusal, with the newest epoch that the member holds.
    pub fn nack(code: NackCode, held: Epoch) -> Self {
        PushReply::Nack(Nack { code, held })
    }
}

impl Message for PushReply {
    const WHAT: &'static str = "push reply";
    const LIMIT: usize = MAX_PUSH_REPLY;
}

/// A new epoch of a group, for the members below one chunk of its tree.
///
/// The gateway writes it as two shared buffers, [`rekey_head`] and the chunk's edges, so that sending an epoch
/// to a million members encodes it once.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RekeyDelivery {
    /// The group.
    #[n(0)]
    pub group: GroupId,
    /// The epoch's signed header.
    #[cbor(n(1), with = "super::fields::octets")]
    pub header: Bytes,
    /// The epoch that senders send with while this one is delivered: receivers are told in no other way.
    #[n(2)]
    pub active: Epoch,
    /// The up-edges that the members below the chunk need, from the leaves up; empty when they ratchet only.
    #[n(3)]
    pub edges: Vec<Edge>,
}

/// A new epoch of a group, for the members of a run of leaves: all edges that any of them needs.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RekeyPacket {
    /// The group.
    #[n(0)]
    pub group: GroupId,
    /// The epoch's signed header.
    #[cbor(n(1), with = "super::fields::octets")]
    pub header: Bytes,
    /// The epoch that senders send with meanwhile.
    #[n(2)]
    pub active: Epoch,
    /// Up-edges in any order; a member uses those on its own path.
    #[n(3)]
    pub edges: Vec<Edge>,
    /// The first leaf whose member has all that it needs here.
    #[n(4)]
    pub first_leaf: u32,
    /// The last such leaf.
    #[n(5)]
    pub last_leaf: u32,
}

/// Bytes of a [`Push::Packet`] besides its header and its edges, at most.
pub const PACKET_OVERHEAD: usize = 64;

/// Which epoch is the newest that was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Heartbeat {
    /// The group.
    #[n(0)]
    pub group: GroupId,
    /// The epoch.
    #[n(1)]
    pub epoch: Epoch,
}

/// Everything of a [`Push::Rekey`] before its edges: followed by an encoded CBOR array of edges it is the message.
pub fn rekey_head(group: GroupId, header: &[u8], active: Epoch) -> Bytes {
    let mut e = Encoder::new(Vec::with_capacity(header.len() + 32));
    let written = e.array(2).and_then(|e| {
        e.u8(32)?
            .map(4)?
            .u8(0)?
            .encode(group)?
            .u8(1)?
            .bytes(header)?
            .u8(2)?
            .encode(active)?
            .u8(3)
    });
    written.expect("a Vec takes all bytes, and a group's identifier encodes");
    Bytes::from(e.into_writer())
}

/// Senders switch to an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Activate {
    /// The group.
    #[n(0)]
    pub group: GroupId,
    /// The epoch to send with.
    #[n(1)]
    pub epoch: Epoch,
}

/// A registration is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Removed {
    /// The group.
    #[n(0)]
    pub group: GroupId,
    /// The registration that ended.
    #[n(1)]
    pub member: MemberId,
    /// Why.
    #[n(2)]
    pub reason: RemovalReason,
}

/// The newest epoch that the member holds, its root confirmed: this one and all before it are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Ack {
    /// The epoch; 0 for none. To a `Rekey` or `Activate` that was done it is at least the one pushed.
    #[n(0)]
    pub epoch: Epoch,
}

/// A push was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Nack {
    /// Why.
    #[n(0)]
    pub code: NackCode,
    /// The newest epoch that the member holds; 0 for none.
    #[n(1)]
    pub held: Epoch,
}
