//! What the gateway answers: the one message that comes back on a stream that a member opened.

use bytes::Bytes;
use minicbor::{Decode, Encode};

use super::codec::Message;
use super::push::Ack;
use super::refusal::Refusal;
use crate::group::edges::Edge;
use crate::group::ids::{Epoch, GroupId, KeyRef, MemberId, Role, SenderId, Suite};
use crate::group::limits::MAX_MESSAGE;
use crate::group::multicast::{MulticastAddress, MulticastTimes};
use crate::group::operations::{Issuer, WrappedKey};

/// The gateway's answer to a [`Request`](super::Request).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum Response {
    /// To `Join`: the registration. To `Resume` and `Pull`: the leaf key that the registration has since a rollover.
    #[n(16)]
    Granted(#[cbor(n(0), with = "granted")] Box<Grant>),
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
    /// To `OpenChannel`: probes follow.
    #[n(23)]
    ChannelOpened(#[n(0)] ChannelOpened),
    /// To `Park`: the registration needs its connection no more.
    #[n(24)]
    Parked(#[n(0)] Parked),
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

/// A registration, new or renewed: the member's leaf key, wrapped for its ephemeral public key, and the path from it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Grant {
    /// The group.
    #[n(0)]
    pub group: GroupId,
    /// The suite of every key and header of this group.
    #[n(1)]
    pub suite: Suite,
    /// The registration.
    #[n(2)]
    pub member: MemberId,
    /// What the member may do with the traffic keys.
    #[n(3)]
    pub role: Role,
    /// The member's leaf key by name.
    #[n(4)]
    pub leaf: KeyRef,
    /// The leaf key, wrapped under what the key agreement and the grant's transcript give.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub wrapped: WrappedKey,
    /// Verifies the group's epoch headers.
    #[cbor(n(6), with = "super::fields::octets")]
    pub signing: Bytes,
    /// The gateway's side of the key agreement.
    #[cbor(n(7), with = "super::fields::octets")]
    pub agreement: Bytes,
    /// From the leaf to the newest root.
    #[n(8)]
    pub path: PathDelivery,
    /// The KEM's ciphertext; empty, and absent on the wire, in suite 1.
    #[cbor(
        n(9),
        with = "super::fields::octets",
        default,
        skip_if = "Bytes::is_empty"
    )]
    pub encapsulated: Bytes,
    /// The push channel that was opened with the registration, to a member that wanted one as it joined; none where there is
    /// none to be had, nor from gateways of earlier versions.
    #[n(10)]
    pub channel: Option<ChannelOpened>,
}

/// Reads a grant whose public values are as long as its suite says.
mod granted {
    use super::{Decode, Encode, Grant};
    use crate::group::wire::codec::refuse;
    use minicbor::decode::{Decoder, Error as DecodeError};
    use minicbor::encode::{Encoder, Error as EncodeError, Write};

    pub(super) fn encode<C, W: Write>(
        grant: &Grant,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        grant.encode(e, ctx)
    }

    pub(super) fn decode<C>(d: &mut Decoder<'_>, ctx: &mut C) -> Result<Box<Grant>, DecodeError> {
        let at = d.position();
        let grant = Grant::decode(d, ctx)?;
        let sizes = grant.suite.sizes();
        let why = if grant.signing.len() != sizes.signing {
            "the issuer's signing key is not as long as the suite says"
        } else if grant.agreement.len() != sizes.agreement {
            "the issuer's agreement key is not as long as the suite says"
        } else if grant.encapsulated.len() != sizes.encapsulated {
            "the encapsulated key is not as long as the suite says"
        } else {
            return Ok(Box::new(grant));
        };
        Err(refuse(why, at))
    }
}

impl Grant {
    /// The token's public keys.
    pub fn issuer(&self) -> Issuer {
        Issuer {
            signing: self.signing.clone(),
            agreement: self.agreement.clone(),
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

/// A push channel is open; the gateway uses it once a probe was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ChannelOpened {
    /// Its number, which both ends' datagrams carry.
    #[n(0)]
    pub channel: u32,
    /// Where the group's rekeys can be heard besides; none when it has no multicast address, or the gateway does not multicast.
    #[n(1)]
    pub multicast: Option<MulticastOffer>,
}

/// Where a group's rekeys are sent by multicast, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct MulticastOffer {
    /// What to join.
    #[n(0)]
    pub address: MulticastAddress,
    /// Milliseconds between two heartbeats.
    #[n(1)]
    pub heartbeat_ms: u32,
    /// Milliseconds within which a member that listens reports what it holds.
    #[n(2)]
    pub report_ms: u32,
    /// Milliseconds from a rekey to its last repetition.
    #[n(3)]
    pub settle_ms: u32,
}

impl MulticastOffer {
    /// How long those who listen wait.
    pub fn times(&self) -> MulticastTimes {
        MulticastTimes {
            heartbeat_ms: self.heartbeat_ms,
            report_ms: self.report_ms,
            settle_ms: self.settle_ms,
        }
    }
}

/// A registration is parked: it is served by datagram alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Parked {
    /// How often the member says that it is there, in milliseconds; after three times as long without a word it is absent.
    #[n(0)]
    pub alive_ms: u32,
    /// A member that has to come back waits at random for up to so long before, in milliseconds, as others may have to as well.
    #[n(1)]
    pub spread_ms: u32,
}
