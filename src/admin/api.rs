//! What goes over the admin interface: JSON, the same types for the gateway and for its clients.

mod control;
mod watch;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine;
use crate::group::ids::{Epoch, Identity, MemberId, Role};
use crate::group::policy::GroupPolicy;
pub use watch::*;

pub use control::{DrainView, LogView, ReloadView, SetLog, StartDrain};

/// Creates a group.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateGroup {
    /// Its name: 1 to 128 bytes without control characters.
    pub name: String,
    /// What differs from the configured default policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Value>,
}

/// Evicts members.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evict {
    /// Their numbers. If one is unknown, nobody is evicted.
    pub members: Vec<MemberId>,
    /// At once rather than with the next batch.
    #[serde(default)]
    pub urgent: bool,
    /// Why; it is kept on record.
    #[serde(default)]
    pub reason: String,
}

/// Freezes a group: it admits nobody any more, and everything else goes on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// Why; it is kept on record.
    #[serde(default)]
    pub reason: String,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupView {
    /// Its name.
    pub name: String,
    /// Its identifier in hexadecimal digits.
    pub id: String,
    /// The newest epoch that was delivered.
    pub epoch: Epoch,
    /// The epoch that senders send with.
    pub active: Epoch,
    /// Registered members.
    pub members: u32,
    /// Members with a connection.
    pub present: u32,
    /// Members that acknowledged the newest epoch.
    pub acknowledged: u32,
    /// Members with a connection that did not.
    pub behind: u32,
    /// Why nobody is admitted; absent if the group is not frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<String>,
    /// What its keys come from.
    pub keys: Keys,
    /// What waits.
    pub waiting: Waiting,
    /// Its policy; lists leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<GroupPolicy>,
}

/// What a group's keys come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// The suite that they are of.
    pub suite: u32,
    /// The master that they are derived from.
    pub master: u32,
}

/// A policy that is in force, or the rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyView {
    /// `rules`, `default` or `group`.
    pub about: String,
    /// The group's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Where it is from; absent where every document was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The beginning of its SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Since when, in RFC 3339.
    pub since: String,
    /// What was refused since, or cannot be followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<PolicyRefusal>,
}

/// A policy that is not in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRefusal {
    /// Where it is from.
    pub source: String,
    /// What is wrong with it.
    pub why: String,
    /// When that was found, in RFC 3339.
    pub at: String,
}

/// What waits in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Joins that wait for the next epoch.
    pub joins: usize,
    /// Departures that wait for the next epoch.
    pub departures: usize,
    /// Members that wait for wraps of the token.
    pub paths: usize,
}

/// A registration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberView {
    /// Its number.
    pub member: MemberId,
    /// Whose it is.
    pub identity: Identity,
    /// What it may do with the keys.
    pub role: Role,
    /// The first epoch that it was in.
    pub joined: Epoch,
    /// The newest epoch that it acknowledged; 0 for none since the gateway started.
    pub acknowledged: Epoch,
    /// Whether it has a connection.
    pub present: bool,
}

/// Moves a group to other keys: all of them are replaced, and members are granted theirs anew.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollOver {
    /// To this suite, if all members offer it; the group's own if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<u32>,
}

/// Rolls every group onto the newest master and destroys the older ones.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateMaster {
    /// How many members are given new keys in a second; the gateway's choice if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members_per_second: Option<u32>,
}

/// Whether the gateway can do all that it is there for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Whether it can.
    pub ready: bool,
    /// What it lacks first of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// All that it lacks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
    /// What is wrong with the key store upstream, which need not keep anybody from being admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
}

/// Something that keeps the gateway from admitting anybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Which part: `draining`, `engine`, `token`, `audit`, `policy` or `upstream`.
    pub part: String,
    /// What is wrong with it, and what to do.
    pub why: String,
}

/// Whether the gateway's loops answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// Whether all do.
    pub live: bool,
    /// Those that do not.
    pub hanging: Vec<String>,
}

/// The key store upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamView {
    /// Its addresses, in the order in which they are asked.
    pub addresses: Vec<String>,
    /// Whether it answers.
    pub state: UpstreamState,
    /// The address that answered last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The version of KMIP that is spoken with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// For how long it has not answered, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_s: Option<u64>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What is relayed to it, each with how far it is behind the audit trail.
    pub sinks: Vec<SinkView>,
    /// Objects of groups and their keys that it refuses: they are set aside, so that they hold up no others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set_aside: Vec<AsideView>,
}

/// An object that the key store upstream refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsideView {
    /// Its name there.
    pub object: String,
    /// What is refused.
    pub operation: String,
    /// Why, as the store says it.
    pub why: String,
    /// Since when (RFC 3339, UTC).
    pub since: String,
}

/// Whether the key store upstream answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamState {
    /// It was not asked yet.
    Unasked,
    /// It does.
    Up,
    /// It does not.
    Down,
}

/// How far what is relayed is behind the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkView {
    /// What it is.
    pub name: String,
    /// The number of the last record that was taken.
    pub sequence: u64,
    /// Records that were not.
    pub lag_records: u64,
    /// How old the oldest of them is.
    pub lag_seconds: u64,
    /// Batches that were taken since the gateway started.
    pub batches: u64,
    /// How often one was not.
    pub failures: u64,
    /// How often the audit trail on disk did not go on where it was relayed to.
    pub gaps: u64,
    /// Why the next is not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How a token is, or all of them together: one that is usable is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenState {
    /// It has not answered yet.
    Probing,
    /// It executes batches.
    Usable,
    /// It does not; it is tried again.
    Unusable,
}

/// The tokens and what they are busy with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    /// All of them together.
    pub state: TokenState,
    /// Why none is usable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The master of new groups, once a token has answered.
    pub master: Option<u32>,
    /// Batches that wait, by priority.
    pub waiting: std::collections::BTreeMap<String, usize>,
    /// Each of them.
    pub tokens: Vec<LaneView>,
    /// The last rotation of the master since the gateway started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationView>,
}

/// One token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneView {
    /// What the gateway calls it.
    pub name: String,
    /// How it is.
    pub state: TokenState,
    /// Why it is not usable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it says it is.
    pub description: String,
    /// Threads that work for it.
    pub workers: usize,
    /// Those of them that have a session.
    pub sessions: usize,
    /// Workers that are in calls that did not return in time.
    pub lost: usize,
    /// What an operation takes, in microseconds, averaged over the last ones.
    pub latency_us: Option<u64>,
    /// The masters of its ring.
    pub masters: Vec<u32>,
    /// The suites that it has.
    pub suites: Vec<u32>,
}

/// How a rotation of the master is getting on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationView {
    /// `preparing`, `rolling`, `destroying`, `done` or `failed`.
    pub phase: String,
    /// Why it failed; begun again, it goes on where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The master that groups are rolled onto.
    pub to: Option<u32>,
    /// Groups that there are.
    pub groups: usize,
    /// Groups that are under that master.
    pub rolled: usize,
    /// Masters that were destroyed: what was derived from them is gone for good.
    pub destroyed: Vec<u32>,
}

impl RotationView {
    /// Whether nothing more happens.
    pub fn is_over(&self) -> bool {
        matches!(self.phase.as_str(), "done" | "failed")
    }
}

/// A request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What went wrong, for programs.
    pub code: FailureCode,
    /// What went wrong and what would be right, for people.
    pub error: String,
    /// When to ask again, where the cause passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// Why a request was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The request is not what this interface takes.
    BadRequest,
    /// A policy that is not possible.
    BadPolicy,
    /// The certificate's owner does not have the role that this needs.
    NotOperator,
    /// The configuration that was read anew cannot be used; the one from before stays.
    BadConfiguration,
    /// No such group, member or path.
    NotFound,
    /// The path does not know this method.
    BadMethod,
    /// The name is taken, or what is there stands against it.
    Conflict,
    /// The request is too long.
    TooLarge,
    /// Token, store or gateway cannot do it now.
    Unavailable,
}

impl GroupView {
    /// With its policy.
    pub(super) fn full(view: engine::GroupView) -> Self {
        let policy = view.policy.clone();
        Self {
            policy: Some(policy),
            ..Self::brief(view)
        }
    }

    /// As in a list.
    pub(super) fn brief(view: engine::GroupView) -> Self {
        let status = view.status;
        Self {
            id: status.group.to_string(),
            name: status.name,
            epoch: status.epochs.delivered,
            active: status.epochs.active,
            members: status.assurance.members,
            present: status.assurance.present,
            acknowledged: status.assurance.acknowledged,
            behind: status.assurance.behind,
            frozen: status.frozen,
            keys: Keys {
                suite: status.keys.suite.number(),
                master: status.keys.master.0,
            },
            waiting: Waiting {
                joins: status.queues.joins,
                departures: status.queues.departures,
                paths: status.queues.paths,
            },
            policy: None,
        }
    }
}

impl From<engine::MemberView> for MemberView {
    fn from(view: engine::MemberView) -> Self {
        Self {
            member: view.member,
            identity: view.identity,
            role: view.role,
            joined: view.joined,
            acknowledged: view.acknowledged,
            present: view.present,
        }
    }
}
