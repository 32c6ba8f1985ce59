//! What a member asks: the opening message of a stream that the member opens.

use bytes::Bytes;
use minicbor::decode::{Decoder, Error as DecodeError};
use minicbor::encode::{Encoder, Error as EncodeError, Write};
use minicbor::{Decode, Encode};

use super::codec::{Message, refuse};
use super::offer::Offer;
use super::token::Token;
use crate::group::ids::{Epoch, KeyRef, MemberId, Role, Suite};
use crate::group::limits::MAX_REQUEST;

/// A member's request.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum Request {
    /// Register in a group; answered by [`Granted`](super::Response::Granted).
    #[n(1)]
    Join(#[n(0)] Join),
    /// Take up a registration again; answered by [`Path`](super::Response::Path), or by
    /// [`Granted`](super::Response::Granted) when the leaf key is another one now.
    #[n(2)]
    Resume(#[n(0)] Resume),
    /// End a registration; answered by [`Left`](super::Response::Left).
    #[n(3)]
    Leave(#[n(0)] Leave),
    /// Ask for the current and the next keys; answered by [`KeySet`](super::Response::KeySet), or by
    /// [`Granted`](super::Response::Granted) when the leaf key is another one now and the member offers a key.
    #[n(4)]
    Pull(#[n(0)] Pull),
    /// Ask how a group is; answered by [`Status`](super::Response::Status).
    #[n(5)]
    Status(#[n(0)] Status),
    /// Tell that an epoch that came by a path is installed; answered by
    /// [`Acknowledged`](super::Response::Acknowledged).
    #[n(6)]
    Acknowledge(#[n(0)] Acknowledge),
    /// Ask for rekeys by datagram; answered by [`ChannelOpened`](super::Response::ChannelOpened).
    #[n(7)]
    OpenChannel(#[n(0)] OpenChannel),
    /// Ask to be served by datagram alone from now on; answered by [`Parked`](super::Response::Parked).
    #[n(8)]
    Park(#[n(0)] Park),
}

impl Request {
    /// The name of the group that the request is about.
    pub fn group(&self) -> &str {
        match self {
            Request::Join(Join { group, .. })
            | Request::Resume(Resume { group, .. })
            | Request::Leave(Leave { group, .. })
            | Request::Pull(Pull { group, .. })
            | Request::Status(Status { group })
            | Request::Acknowledge(Acknowledge { group, .. })
            | Request::OpenChannel(OpenChannel { group, .. })
            | Request::Park(Park { group, .. }) => group,
        }
    }
}

impl Message for Request {
    const WHAT: &'static str = "request";
    const LIMIT: usize = MAX_REQUEST;
}

/// Registers the sender in a group. The identity comes from the connection's certificate, never from a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// The group's name.
    pub group: String,
    /// What the member wants to do with the traffic keys.
    pub role: Role,
    /// The member's ephemeral public keys, fresh for every join. On the wire the numbers of the suites stand beside them,
    /// those unknown to the reader among them.
    pub offer: Offer,
    /// What an identity provider says about the member, for the gateway's rules to look at, where they ask for it.
    pub token: Option<Token>,
    /// Whether a push channel is wanted with the registration: the grant tells of it. Members of earlier versions do not say, and
    /// ask for one afterwards.
    pub channel: bool,
}

/// A join as it stands on the wire.
#[derive(Encode, Decode)]
#[cbor(map)]
struct JoinBody {
    #[cbor(n(0), with = "super::fields::group_name")]
    group: String,
    #[n(1)]
    role: Role,
    #[cbor(
        n(2),
        with = "super::fields::octets",
        default,
        skip_if = "Bytes::is_empty"
    )]
    one: Bytes,
    #[n(3)]
    suites: Vec<u32>,
    #[cbor(
        n(4),
        with = "super::fields::octets",
        default,
        skip_if = "Bytes::is_empty"
    )]
    two: Bytes,
    #[n(5)]
    token: Option<Token>,
    #[cbor(n(6), default, skip_if = "is_unsaid")]
    channel: bool,
}

/// No is not written: whoever does not say wants none.
fn is_unsaid(channel: &bool) -> bool {
    !channel
}

impl<C> Encode<C> for Join {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        let key = |suite| self.offer.key(suite).cloned().unwrap_or_default();
        let body = JoinBody {
            group: self.group.clone(),
            role: self.role,
            one: key(Suite::One),
            suites: self.offer.suites().iter().map(Suite::number).collect(),
            two: key(Suite::Two),
            token: self.token.clone(),
            channel: self.channel,
        };
        body.encode(e, ctx)
    }
}

impl<'b, C> Decode<'b, C> for Join {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, DecodeError> {
        let at = d.position();
        let JoinBody {
            group,
            role,
            one,
            suites,
            two,
            token,
            channel,
        } = JoinBody::decode(d, ctx)?;
        let offer = Offer::checked(one, two).map_err(|why| refuse(why, at))?;
        let agrees =
            |suite: &Suite| suites.contains(&suite.number()) == offer.key(*suite).is_some();
        if !Suite::ALL.iter().all(agrees) {
            return Err(refuse("a join has a key of each suite that it names", at));
        }
        Ok(Join {
            group,
            role,
            offer,
            token,
            channel,
        })
    }
}

/// Takes up a registration on a new connection.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Resume {
    /// The group's name.
    #[cbor(n(0), with = "super::fields::group_name")]
    pub group: String,
    /// The registration; it must belong to the connection's identity.
    #[n(1)]
    pub member: MemberId,
    /// The leaf key that the member holds. When the registration has another one now, it is granted that.
    #[n(2)]
    pub leaf: KeyRef,
    /// The newest epoch that the member holds; 0 for none.
    #[n(3)]
    pub epoch: Epoch,
    /// What to grant another leaf key with; without it such a resume is refused as of an unknown member.
    #[n(4)]
    pub offer: Option<Offer>,
}

/// Ends a registration.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Leave {
    /// The group's name.
    #[cbor(n(0), with = "super::fields::group_name")]
    pub group: String,
    /// The registration; it must belong to the connection's identity.
    #[n(1)]
    pub member: MemberId,
}

/// Asks for the current and the next keys, and a path to the newest.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Pull {
    /// The group's name.
    #[cbor(n(0), with = "super::fields::group_name")]
    pub group: String,
    /// The registration; it must belong to the connection's identity.
    #[n(1)]
    pub member: MemberId,
    /// The newest epoch that the member holds; 0 for none.
    #[n(2)]
    pub epoch: Epoch,
    /// What to grant the leaf key with, when the one that the member holds is not the registration's any more.
    #[n(3)]
    pub offer: Option<Offer>,
    /// The leaf key that the member holds, beside an offer.
    #[n(4)]
    pub leaf: Option<KeyRef>,
}

/// Asks how a group is; the connection must hold a registration there.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Status {
    /// The group's name.
    #[cbor(n(0), with = "super::fields::group_name")]
    pub group: String,
}

/// Tells that the root of an epoch that came by a path (to a join, resume or pull) is confirmed: what the answer
/// to a push tells for an epoch that was pushed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Acknowledge {
    /// The group's name.
    #[cbor(n(0), with = "super::fields::group_name")]
    pub group: String,
    /// The registration; it must belong to the connection's identity.
    #[n(1)]
    pub member: MemberId,
    /// The newest epoch that the member holds.
    #[n(2)]
    pub epoch: Epoch,
}

/// Asks for a push channel for a registration that this connection serves.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct OpenChannel {
    /// The group's name.
    #[cbor(n(0), with = "super::fields::group_name")]
    pub group: String,
    /// The registration; it must belong to the connection's identity.
    #[n(1)]
    pub member: MemberId,
    /// The newest epoch that the member holds: told here, it needs no [`Acknowledge`] of its own.
    #[n(2)]
    pub epoch: Option<Epoch>,
}

/// Asks that the registration be kept without a connection, with the push channel that it has on this one.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Park {
    /// The group's name.
    #[cbor(n(0), with = "super::fields::group_name")]
    pub group: String,
    /// The registration; it must belong to the connection's identity.
    #[n(1)]
    pub member: MemberId,
}
