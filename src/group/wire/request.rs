//! What a member asks: the opening message of a stream that the member opens.

use minicbor::{Decode, Encode};

use super::codec::Message;
use crate::group::ids::{Epoch, KeyRef, MemberId, Role, Suite};
use crate::group::limits::MAX_REQUEST;
use crate::group::operations::PublicKey;

/// A member's request.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum Request {
    /// Register in a group; answered by [`Granted`](super::Response::Granted).
    #[n(1)]
    Join(#[n(0)] Join),
    /// Take up a registration again; answered by [`Path`](super::Response::Path).
    #[n(2)]
    Resume(#[n(0)] Resume),
    /// End a registration; answered by [`Left`](super::Response::Left).
    #[n(3)]
    Leave(#[n(0)] Leave),
    /// Ask for the current and the next keys; answered by [`KeySet`](super::Response::KeySet).
    #[n(4)]
    Pull(#[n(0)] Pull),
    /// Ask how a group is; answered by [`Status`](super::Response::Status).
    #[n(5)]
    Status(#[n(0)] Status),
    /// Tell that an epoch that came by a path is installed; answered by
    /// [`Acknowledged`](super::Response::Acknowledged).
    #[n(6)]
    Acknowledge(#[n(0)] Acknowledge),
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
            | Request::Acknowledge(Acknowledge { group, .. }) => group,
        }
    }
}

impl Message for Request {
    const WHAT: &'static str = "request";
    const LIMIT: usize = MAX_REQUEST;
}

/// Registers the sender in a group. The identity comes from the connection's certificate, never from a message.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Join {
    /// The group's name.
    #[cbor(n(0), with = "super::fields::group_name")]
    pub group: String,
    /// What the member wants to do with the traffic keys.
    #[n(1)]
    pub role: Role,
    /// The member's ephemeral public key, fresh for every join: the leaf key is wrapped for it.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub public: PublicKey,
    /// The numbers of the suites that the member has, those unknown to the reader among them.
    #[n(3)]
    pub suites: Vec<u32>,
}

impl Join {
    /// Whether the member has this suite.
    pub fn supports(&self, suite: Suite) -> bool {
        let Suite::One = suite;
        self.suites.contains(&1)
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
    /// The leaf key that the member holds; another one is refused as an unknown member.
    #[n(2)]
    pub leaf: KeyRef,
    /// The newest epoch that the member holds; 0 for none.
    #[n(3)]
    pub epoch: Epoch,
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
