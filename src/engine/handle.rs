//! The engine's front door: one method a request, each with an answer or a typed refusal in bounded time.

mod watch;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::channel::{Channel, Opening};
use super::channels::Channels;
use super::directory::Directory;
use super::escrow::{self, EscrowError, RootKey};
use super::event::{
    Ask, Asker, Event, Eviction, GroupView, Joining, Known, MemberView, Operate, Reply, What,
};
use super::outbox::{Outbox, Registration};
use super::tokens::Tokens;
use crate::crypto;
use crate::group::ids::{Epoch, GroupId, GroupNonce, Identity, MasterId, MemberId, Suite};
use crate::group::machine::{GroupMachine, Rollover};
use crate::group::operations::WrappedKey;
use crate::group::policy::GroupPolicy;
use crate::group::record::Created;
use crate::group::wire::{
    ChannelOpened, Grant, Join, Leave, OpenChannel, Park, PathDelivery, Pull, Refusal, RefusalCode,
    Response, Resume, StatusReport,
};
use crate::hsm::PoolStatus;
use crate::policy::Decider;
use crate::trace;

/// How long a request may take before it is refused as busy; a join storm on a slow token is within it.
const DEADLINE: Duration = Duration::from_secs(60);
/// When a caller that was refused as busy may ask again.
const BUSY_RETRY_MS: u64 = 500;
/// Members on one page.
pub const MAX_PAGE: usize = 1_000;

/// Talks to the shards. Cheap to clone; the engine ends with the last one.
#[derive(Clone)]
pub struct Handle {
    shards: Arc<[mpsc::Sender<Event>]>,
    directory: Arc<Directory>,
    channels: Arc<Channels>,
    tokens: Arc<Tokens>,
    decider: Arc<Decider>,
}

impl Handle {
    pub(super) fn new(
        shards: Vec<mpsc::Sender<Event>>,
        (directory, channels): (Arc<Directory>, Arc<Channels>),
        tokens: Arc<Tokens>,
        decider: Arc<Decider>,
    ) -> Self {
        Self {
            shards: shards.into(),
            directory,
            channels,
            tokens,
            decider,
        }
    }

    /// Registers the owner of a certificate in a group, if what is known about him lets the rules admit him; its epochs go to
    /// this outbox, and to a channel besides where there is to be one and it can be had.
    pub async fn join(
        &self,
        identity: &Arc<Identity>,
        join: Join,
        known: Known,
        outbox: &Arc<Outbox>,
        opening: Option<Opening>,
    ) -> Result<Grant, Refusal> {
        let group = self.find(&join.group)?;
        let joining = Box::new(Joining {
            join,
            known,
            decider: self.decider.clone(),
            outbox: outbox.clone(),
            opening,
        });
        self.ask(group, identity, |reply| Ask::Join(joining, reply))
            .await
    }

    /// What decides who may join.
    pub fn decider(&self) -> &Arc<Decider> {
        &self.decider
    }

    /// Takes up a registration on a new connection; its epochs go to this outbox from now on. Answered by a path, or by
    /// a grant when the registration's leaf key is another one since a rollover.
    pub async fn resume(
        &self,
        identity: &Arc<Identity>,
        resume: Resume,
        outbox: &Arc<Outbox>,
    ) -> Result<Response, Refusal> {
        let group = self.find(&resume.group)?;
        let outbox = outbox.clone();
        self.ask(group, identity, |reply| Ask::Resume(resume, outbox, reply))
            .await
    }

    /// Ends a registration; answered once that is on record.
    pub async fn leave(&self, identity: &Arc<Identity>, leave: Leave) -> Result<(), Refusal> {
        let group = self.find(&leave.group)?;
        self.ask(group, identity, |reply| Ask::Leave(leave, reply))
            .await
    }

    /// The epochs in use and the path to the newest, as a key set; or a grant, as to a resume.
    pub async fn pull(&self, identity: &Arc<Identity>, pull: Pull) -> Result<Response, Refusal> {
        let group = self.find(&pull.group)?;
        self.ask(group, identity, |reply| Ask::Pull(pull, reply))
            .await
    }

    /// A member installed an epoch that came by a path.
    pub async fn acknowledge(
        &self,
        identity: &Arc<Identity>,
        group: &str,
        member: MemberId,
        epoch: Epoch,
    ) -> Result<(), Refusal> {
        let group = self.find(group)?;
        self.ask(group, identity, |reply| {
            Ask::Acknowledge(member, epoch, reply)
        })
        .await
    }

    /// Opens a push channel for a registration that this outbox serves.
    pub async fn open_channel(
        &self,
        identity: &Arc<Identity>,
        open: OpenChannel,
        outbox: &Arc<Outbox>,
        opening: Opening,
    ) -> Result<ChannelOpened, Refusal> {
        let group = self.find(&open.group)?;
        let outbox = outbox.clone();
        self.ask(group, identity, |reply| {
            Ask::OpenChannel(open, outbox, opening, reply)
        })
        .await
    }

    /// Parks a registration that this outbox serves: it is served by datagram alone from now on. How many members its group
    /// has.
    pub async fn park(
        &self,
        identity: &Arc<Identity>,
        park: Park,
        outbox: &Arc<Outbox>,
    ) -> Result<u32, Refusal> {
        let group = self.find(&park.group)?;
        let outbox = outbox.clone();
        self.ask(group, identity, |reply| {
            Ask::Park(park.member, outbox, reply)
        })
        .await
    }

    /// A parked member was not heard of for long: it counts as absent.
    pub async fn silent(&self, channel: &Channel) {
        let (group, member) = channel.registration();
        self.tell(group, What::Silent(member, channel.number()))
            .await;
    }

    /// The push channels: what to send on them, and which there are.
    pub fn channels(&self) -> &Arc<Channels> {
        &self.channels
    }

    /// Datagrams were acknowledged by members of one group. Waits while the shard is behind.
    pub async fn all_acknowledged(&self, group: GroupId, all: Vec<(MemberId, Epoch)>) {
        self.tell(group, What::AllAcknowledged(all)).await;
    }

    /// How a group is, for one of its members.
    pub async fn status(
        &self,
        identity: &Arc<Identity>,
        group: &str,
    ) -> Result<StatusReport, Refusal> {
        let group = self.find(group)?;
        self.ask(group, identity, Ask::Status).await
    }

    /// A push was acknowledged. Waits while the shard is behind: that is what slows acknowledgements down, not memory.
    pub async fn acknowledged(&self, (group, member): Registration, epoch: Epoch) {
        self.tell(group, What::Acknowledged(member, epoch)).await;
    }

    /// The path to the newest epoch, for a registration whose member missed what came before.
    pub async fn path(&self, (group, member): Registration) -> Result<PathDelivery, Refusal> {
        self.request(group, |reply| What::PathFor(member, reply))
            .await
    }

    /// A connection is over: its members are absent from now on, which is not a leave.
    pub async fn detached(&self, outbox: &Arc<Outbox>) {
        for (group, member) in outbox.registrations() {
            self.tell(group, What::Detached(member, outbox.clone()))
                .await;
        }
    }

    /// Creates a group; answered once it is durable. The policy was validated.
    pub async fn create(&self, name: &str, policy: GroupPolicy) -> Result<GroupView, Refusal> {
        let Some((issuers, master)) = self.tokens.for_a_new_group().await else {
            return Err(Refusal::retry(RefusalCode::TokenUnusable, BUSY_RETRY_MS));
        };
        let group = GroupId(crypto::random());
        if !self.directory.claim(name, group) {
            let why = format!("there is a group {name:?}, or there are too many groups");
            return Err(Refusal::because(RefusalCode::Full, why));
        }
        let nonce = GroupNonce(crypto::random());
        let created = Created {
            group,
            name: name.to_owned(),
            nonce,
            master,
            suite: Suite::One,
            policy,
        };
        let machine = GroupMachine::create(created, Some(issuers));
        self.operate(group, |reply| Operate::Create(Box::new(machine), reply))
            .await
    }

    /// The names of all groups, in order.
    pub fn groups(&self) -> Vec<String> {
        self.directory
            .all()
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    }

    /// One group.
    pub async fn group(&self, name: &str) -> Result<GroupView, Refusal> {
        self.operate(self.find(name)?, Operate::Show).await
    }

    /// Members of a group after a given one, in the order of their numbers, at most [`MAX_PAGE`].
    pub async fn members(
        &self,
        name: &str,
        after: Option<MemberId>,
        limit: usize,
    ) -> Result<Vec<MemberView>, Refusal> {
        let limit = limit.min(MAX_PAGE);
        self.operate(self.find(name)?, |reply| {
            Operate::Members(after, limit, reply)
        })
        .await
    }

    /// Changes a group's policy; answered once that is durable. The policy was validated.
    pub async fn set_policy(&self, name: &str, policy: GroupPolicy) -> Result<GroupView, Refusal> {
        self.operate(self.find(name)?, |reply| Operate::SetPolicy(policy, reply))
            .await
    }

    /// The rules that decide about joins are other ones now: whoever waits to join some group, admitted by those before, is told to ask
    /// again.
    pub async fn decide_anew(&self) {
        for (_, group) in self.directory.all() {
            // Not refused as busy, as a request is: where there is most to do, joins of before would go on to be granted.
            self.tell(group, What::Operate(None, Operate::DecideAnew))
                .await;
        }
    }

    /// Gives a group's root an independent key with the next batch.
    pub async fn rotate(&self, name: &str) -> Result<(), Refusal> {
        self.operate(self.find(name)?, Operate::Rotate).await
    }

    /// Replaces every key of a group, under a master (the one of new groups if none is named) and in a suite (its own if none
    /// is named); answered once that is on record. Members are granted theirs anew.
    pub async fn roll_over(
        &self,
        name: &str,
        master: Option<MasterId>,
        suite: Option<Suite>,
    ) -> Result<(), Refusal> {
        let group = self.find(name)?;
        let Some(master) = master.or_else(|| self.tokens.current_master()) else {
            return Err(Refusal::retry(RefusalCode::TokenUnusable, BUSY_RETRY_MS));
        };
        let view = self.group(name).await?;
        let rollover = Rollover {
            master,
            nonce: GroupNonce(crypto::random()),
            suite: suite.unwrap_or(view.status.keys.suite),
        };
        self.operate(group, |reply| Operate::RollOver(rollover, reply))
            .await
    }

    /// Admits nobody to a group any more; everything else goes on. Answered once that is on record.
    pub async fn freeze(
        &self,
        name: &str,
        why: &str,
        by: Option<Identity>,
    ) -> Result<GroupView, Refusal> {
        let why = why.to_owned();
        self.operate(self.find(name)?, |reply| Operate::Freeze(why, by, reply))
            .await
    }

    /// Admits whoever the policy admits again; answered once that is on record.
    pub async fn thaw(&self, name: &str, by: Option<Identity>) -> Result<GroupView, Refusal> {
        self.operate(self.find(name)?, |reply| Operate::Thaw(by, reply))
            .await
    }

    /// Has a key of a group's root wrapped under the escrow key, in a token: for whoever keeps it where the group's policy says so, which
    /// is the caller's to look at. It needs nothing of the group but what is named, so that one of before a rollover can be had as
    /// long as its master exists.
    ///
    /// # Errors
    /// When the tokens do not do it now, or never will: without an escrow key, or with the master destroyed.
    pub async fn escrow(&self, key: RootKey) -> Result<WrappedKey, EscrowError> {
        escrow::escrow(self.tokens.pool(), key).await
    }

    /// The tokens, as their pool sees them.
    pub fn token_status(&self) -> PoolStatus {
        self.tokens.pool().status()
    }

    /// The master of new groups, once a token has answered.
    pub fn master(&self) -> Option<MasterId> {
        self.tokens.current_master()
    }

    pub(super) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Evicts members; answered once that is on record. One unknown member, and nobody is evicted.
    pub async fn evict(&self, name: &str, eviction: Eviction) -> Result<(), Refusal> {
        let evict = |reply| Operate::Evict(eviction, reply);
        self.operate(self.find(name)?, evict).await
    }

    /// Ends a group; answered once that is on record.
    pub async fn destroy(&self, name: &str) -> Result<(), Refusal> {
        self.operate(self.find(name)?, Operate::Destroy).await
    }

    pub(super) fn shards(&self) -> &[mpsc::Sender<Event>] {
        &self.shards
    }

    fn find(&self, name: &str) -> Result<GroupId, Refusal> {
        self.directory
            .find(name)
            .ok_or_else(|| Refusal::new(RefusalCode::UnknownGroup))
    }

    async fn ask<T>(
        &self,
        group: GroupId,
        identity: &Arc<Identity>,
        ask: impl FnOnce(Reply<T>) -> Ask,
    ) -> Result<T, Refusal> {
        let asker = Asker {
            identity: identity.clone(),
            request: trace::current(),
        };
        self.request(group, |reply| What::Ask(asker, ask(reply)))
            .await
    }

    async fn operate<T>(
        &self,
        group: GroupId,
        operate: impl FnOnce(Reply<T>) -> Operate,
    ) -> Result<T, Refusal> {
        let operated = |reply| What::Operate(trace::current(), operate(reply));
        self.request(group, operated).await
    }

    async fn request<T>(
        &self,
        group: GroupId,
        what: impl FnOnce(Reply<T>) -> What,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let busy = || Refusal::retry(RefusalCode::Busy, BUSY_RETRY_MS);
        let event = Event::Group(group, what(reply));
        self.shard(group).try_send(event).map_err(|_| busy())?;
        match timeout(DEADLINE, answer).await {
            Ok(Ok(answer)) => answer,
            // The shard does not serve the group any more: it was destroyed, or another gateway writes it.
            Ok(Err(_)) => Err(Refusal::retry(RefusalCode::StoreTrouble, BUSY_RETRY_MS)),
            Err(_) => Err(busy()),
        }
    }

    async fn tell(&self, group: GroupId, what: What) {
        // The shards end with the last handle, and this is one.
        let _ = self.shard(group).send(Event::Group(group, what)).await;
    }

    fn shard(&self, group: GroupId) -> &mpsc::Sender<Event> {
        &self.shards[self.directory.shard(group)]
    }
}
