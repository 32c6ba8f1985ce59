//! What a shard is told: a closed set, so that its loop is the only place that touches a group.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::channel::Opening;
use super::outbox::Outbox;
use super::watch::{LackingPage, MemberTrace, Place, ShardView, Who};
use crate::attributes::{self, Attributes};
use crate::group::ids::{Epoch, GroupId, Identity, MemberId, Revision, Role};
use crate::group::machine::{GroupMachine, GroupStatus, JobId, Rollover};
use crate::group::operations::{Issuers, Output};
use crate::group::policy::GroupPolicy;
use crate::group::request::RequestId;
use crate::group::roster::{Member, Presence};
use crate::group::wire::datagram::ChannelId;
use crate::group::wire::{
    ChannelOpened, Grant, Join, Leave, OpenChannel, PathDelivery, Pull, Refusal, Response, Resume,
    StatusReport,
};
use crate::hsm::PoolError;
use crate::policy::Decider;
use crate::store::StoreError;

/// What is known about who asks to join, or why that cannot be known: he is not admitted then.
pub type Known = Result<Attributes, attributes::Refused>;

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// Something that happened.
pub(super) enum Event {
    /// To one group.
    Group(GroupId, What),
    /// To all of them: a token has answered for the first time, and these are its public keys.
    TokenKnown(Arc<Issuers>),
    /// To the shard itself: is it there?
    Echo(oneshot::Sender<()>),
    /// To the shard itself: what is under way?
    UnderWay(oneshot::Sender<UnderWay>),
    /// To the shard: an operator looks.
    Overview(oneshot::Sender<ShardView>),
    /// To the shard: an operator asks who lacks the newest epoch, of one group or of all, from this place on.
    Lacking(Option<GroupId>, Place, oneshot::Sender<LackingPage>),
}

/// What is under way in groups, which ends soon by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnderWay {
    /// Groups with a change that is not delivered and activated yet, or with somebody who waits for keys.
    pub rekeys: usize,
    /// Connected members that have not acknowledged their group's newest epoch.
    pub behind: u64,
}

/// What happened.
pub(super) enum What {
    /// A member asked.
    Ask(Asker, Ask),
    /// An operator asked, by a request if it has a name.
    Operate(Option<RequestId>, Operate),
    /// A push was acknowledged, or a path.
    Acknowledged(MemberId, Epoch),
    /// Datagrams were acknowledged.
    AllAcknowledged(Vec<(MemberId, Epoch)>),
    /// The token told the push key of an epoch, or could not.
    PushKey(Epoch, Result<Vec<Output>, PoolError>),
    /// The delivery of this registration needs a path.
    PathFor(MemberId, Reply<PathDelivery>),
    /// A parked member was not heard of for long, on the channel with this number.
    Silent(MemberId, ChannelId),
    /// A connection is over.
    Detached(MemberId, Arc<Outbox>),
    /// The store answered an append.
    Stored(Result<Revision, StoreError>),
    /// The token answered a job.
    Executed(JobId, Result<Vec<Output>, PoolError>),
}

/// Who asks, by its certificate, and what the request is called, if it has a name.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    pub(super) identity: Arc<Identity>,
    pub(super) request: Option<RequestId>,
}

/// A member's request.
pub(super) enum Ask {
    Join(Box<Joining>, Reply<Grant>),
    Resume(Resume, Arc<Outbox>, Reply<Response>),
    Leave(Leave, Reply<()>),
    Pull(Pull, Reply<Response>),
    Acknowledge(MemberId, Epoch, Reply<()>),
    Status(Reply<StatusReport>),
    OpenChannel(OpenChannel, Arc<Outbox>, Opening, Reply<ChannelOpened>),
    Park(MemberId, Arc<Outbox>, Reply<u32>),
}

/// Somebody who wants to join.
pub(super) struct Joining {
    pub(super) join: Join,
    /// What is known about him.
    pub(super) known: Known,
    /// What decides whether he may.
    pub(super) decider: Arc<Decider>,
    pub(super) outbox: Arc<Outbox>,
    /// For the channel that he wants to be granted besides.
    pub(super) opening: Option<Opening>,
}

/// An operator's request.
pub(super) enum Operate {
    Create(Box<GroupMachine>, Reply<GroupView>),
    Show(Reply<GroupView>),
    Members(Option<MemberId>, usize, Reply<Vec<MemberView>>),
    SetPolicy(GroupPolicy, Reply<GroupView>),
    DecideAnew,
    Rotate(Reply<()>),
    RollOver(Rollover, Reply<()>),
    Freeze(String, Option<Identity>, Reply<GroupView>),
    Thaw(Option<Identity>, Reply<GroupView>),
    Evict(Eviction, Reply<()>),
    Destroy(Reply<()>),
    Trace(Who, Reply<Vec<MemberTrace>>),
}

/// Who is to be evicted.
#[derive(Clone, Debug)]
pub struct Eviction {
    /// Which registrations.
    pub members: Vec<MemberId>,
    /// Whether it closes the batch at once and overtakes everything else.
    pub urgent: bool,
    /// Why, for the record.
    pub reason: String,
    /// The operator who asks for it, for the record.
    pub by: Option<Identity>,
}

/// A group, as an operator sees it.
#[derive(Clone, Debug)]
pub struct GroupView {
    /// Its epochs, its members, what waits.
    pub status: GroupStatus,
    /// Its policy.
    pub policy: GroupPolicy,
}

/// A registration, as an operator sees it.
#[derive(Clone, Debug)]
pub struct MemberView {
    /// Its number.
    pub member: MemberId,
    /// Whose it is.
    pub identity: Identity,
    /// What it may do.
    pub role: Role,
    /// Its leaf's index in the tree.
    pub leaf: u32,
    /// Since which epoch it is in the group.
    pub joined: Epoch,
    /// The newest epoch that it acknowledged; 0 for none since the gateway started.
    pub acknowledged: Epoch,
    /// Whether it has a connection.
    pub present: bool,
}

impl MemberView {
    pub(super) fn of(member: MemberId, registration: &Member) -> Self {
        Self {
            member,
            identity: (*registration.identity).clone(),
            role: registration.role,
            leaf: registration.leaf,
            joined: registration.joined,
            acknowledged: registration.acknowledged,
            present: registration.presence == Presence::Present,
        }
    }
}
