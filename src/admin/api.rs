//! What goes over the admin interface: JSON, the same types for the gateway and for its clients.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine;
use crate::group::ids::{Epoch, Identity, MemberId, Role};
use crate::group::policy::GroupPolicy;

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
    /// What waits.
    pub waiting: Waiting,
    /// Its policy; lists leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<GroupPolicy>,
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
    /// The certificate is not an operator's.
    NotOperator,
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
