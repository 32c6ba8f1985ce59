//! What operators look at: all of a gateway, one member, and who lacks the newest epoch.

use serde::{Deserialize, Serialize};

use super::{Ready, TokenView, UpstreamView};
use crate::group::ids::{Epoch, Identity, MemberId, Role};

/// Groups in [`OverviewView::busiest`], at most.
pub const MAX_GROUPS_SHOWN: usize = 60;
/// Members in [`OverviewView::slowest`], at most.
pub const MAX_SLOWEST_SHOWN: usize = 10;

/// All of a gateway at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OverviewView {
    /// When it was put together, in RFC 3339; for about a second all who ask get the same.
    pub at: String,
    /// The gateway itself.
    pub gateway: GatewayView,
    /// Groups that there are.
    pub groups: usize,
    /// Their members.
    pub members: MemberCounts,
    /// The busiest groups, those with most members behind, and the largest: [`MAX_GROUPS_SHOWN`] at most. Where there are very many,
    /// these are of those that were looked at.
    pub busiest: Vec<ActivityView>,
    /// How long rekeys took.
    pub latency: LatencyView,
    /// Members that are present and lack the newest epoch for longer than a second, the slowest first: [`MAX_SLOWEST_SHOWN`] at
    /// most, of those that were looked at.
    pub slowest: Vec<SlowView>,
    /// The tokens.
    pub token: TokenView,
    /// The key store upstream, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<UpstreamView>,
    /// The audit trail, if one is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditView>,
}

/// The gateway itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayView {
    /// Its version.
    pub version: String,
    /// For how many seconds it has run.
    pub uptime_s: u64,
    /// Whether it can admit members, and what it lacks.
    pub ready: Ready,
    /// Events that wait for each shard; null for a shard that did not answer in time, whose groups are missing.
    pub shards: Vec<Option<usize>>,
}

/// Registrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberCounts {
    /// All of them.
    pub members: u64,
    /// Those with a connection, or parked.
    pub present: u64,
    /// Those that acknowledged their group's newest epoch.
    pub acknowledged: u64,
    /// Those that are present and did not.
    pub behind: u64,
}

/// A group and what it did lately.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityView {
    /// Its name.
    pub name: String,
    /// The newest epoch that was delivered.
    pub epoch: Epoch,
    /// The epoch that senders send with.
    pub active: Epoch,
    /// Its members.
    #[serde(flatten)]
    pub counts: MemberCounts,
    /// Epochs that were delivered within the last minute.
    pub rekeys: u32,
    /// Members that joined within the last minute.
    pub joins: u32,
    /// Whether it admits nobody.
    pub frozen: bool,
}

/// How long rekeys took over the last minutes: from the change to each acknowledgement, of members that were there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyView {
    /// How many seconds a point stands for.
    pub step_s: u64,
    /// The oldest first; null where nobody acknowledged anything.
    pub points: Vec<Option<LatencyPoint>>,
}

/// How long rekeys took in some seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyPoint {
    /// Members that acknowledged.
    pub acknowledged: u64,
    /// Half of them had it within so many milliseconds, to about a tenth.
    pub p50_ms: u64,
    /// And all but one of a hundred within these.
    pub p99_ms: u64,
}

/// A member that is present and lacks the newest epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowView {
    /// Its group.
    pub group: String,
    /// Its number.
    pub member: MemberId,
    /// Whose it is.
    pub identity: Identity,
    /// The newest epoch that it acknowledged; 0 for none since the gateway started.
    pub acknowledged: Epoch,
    /// Epochs that it is behind.
    pub behind: u64,
    /// For how many seconds the newest epoch has been there for it.
    pub waited_s: u64,
}

/// The audit trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditView {
    /// The number of its newest record.
    pub sequence: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes on disk, beyond which nobody is admitted.
    pub max_bytes: u64,
    /// Records that wait in memory for the disk.
    pub backlog: u64,
    /// Whether the disk takes what is written.
    pub writable: bool,
}

/// Somebody and a group: his registrations in it, and what the audit trail says of him.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceView {
    /// The group.
    pub group: String,
    /// Who; absent for a number that nobody is known to have or to have had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// His registrations; none if he is no member.
    pub registrations: Vec<RegistrationView>,
    /// What the trail says of him and this group.
    pub trail: TrailView,
}

/// A registration in full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegistrationView {
    /// Its number.
    pub member: MemberId,
    /// Whose it is.
    pub identity: Identity,
    /// What it may do with the keys.
    pub role: Role,
    /// Its leaf's index in the tree.
    pub leaf: u32,
    /// The first epoch that it was in, and when that was, as the audit trail says.
    pub joined: EpochAt,
    /// How it is reached.
    pub reach: ReachView,
    /// The newest epoch that it acknowledged, and when; 0 for none since the gateway started.
    pub acknowledged: EpochAt,
    /// Epochs that it is behind.
    pub behind: u64,
    /// Its group's epochs.
    pub epochs: EpochsView,
    /// When it last asked for its keys by itself, in RFC 3339: it came back, or pulled. Absent if it did not since the gateway
    /// started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<String>,
    /// What was sent to it; absent where it is not reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deliveries: Option<DeliveriesView>,
}

/// An epoch and a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochAt {
    /// Which.
    pub epoch: Epoch,
    /// When, in RFC 3339; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// A group's epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochsView {
    /// The newest that was delivered.
    pub delivered: Epoch,
    /// The one that senders send with.
    pub active: Epoch,
}

/// How a member is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachView {
    /// By what.
    pub by: ReachedBy,
    /// Whether it says that it hears its group's multicast.
    pub hears_multicast: bool,
    /// Since when it is present, or absent, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// By what a member is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReachedBy {
    /// Nothing yet: its grant is under way.
    Joining,
    /// Streams of its connection.
    Stream,
    /// Datagrams, and streams where these get lost.
    Datagram,
    /// Datagrams alone: it has no connection.
    Parked,
    /// Nothing: it is away.
    Absent,
}

/// What was sent to a member: each since its connection, or its channel for datagrams, began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveriesView {
    /// Pushes on streams.
    pub streams: u32,
    /// Epochs that a newer one replaced before they were sent.
    pub conflated: u32,
    /// Rekeys by datagram.
    pub datagrams: u32,
    /// Datagrams that were sent again.
    pub resent: u32,
    /// Rekeys that no datagram brought, so that a stream had to.
    pub given_up: u32,
}

/// What the newest part of the audit trail says of somebody and a group: the last record of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrailView {
    /// Why he was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<TrailNote>,
    /// By which rule he was granted keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<TrailNote>,
    /// Why a registration of his ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub departed: Option<TrailNote>,
    /// The number of the oldest record that was looked at; absent where no trail is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub searched_from: Option<u64>,
}

/// A record of the trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrailNote {
    /// Its number.
    pub sequence: u64,
    /// When, in RFC 3339.
    pub at: String,
    /// The registration that it is about, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<MemberId>,
    /// Why, or by which rule.
    pub why: String,
    /// How often, since the last record that says the same; repeated refusals are counted for a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
}

/// Some of those who lack their group's newest epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LackingView {
    /// Who; a page may be empty though others follow.
    pub members: Vec<LackingMember>,
    /// What the next page is asked `after`; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A member that did not acknowledge its group's newest epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LackingMember {
    /// Its group.
    pub group: String,
    /// Its registration.
    #[serde(flatten)]
    pub registration: RegistrationView,
}
