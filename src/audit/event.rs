//! What can happen, as the trail says it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::signature::Signature;
use crate::group::ids::{
    Epoch, GroupId, Identity, MasterId, MemberId, Revision, Role, SenderId, Suite,
};
use crate::group::policy::GroupPolicy;
use crate::group::request::RequestId;

/// Who acted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "name", rename_all = "snake_case")]
pub enum Actor {
    /// The gateway by itself: a timer, a policy, trouble.
    Gateway,
    /// A member, by its certificate.
    Member(Identity),
    /// An operator, by its certificate.
    Operator(Identity),
    /// Somebody at the front, by its certificate or by its token.
    Caller(Identity),
}

/// Which group something happened to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its identifier, in hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
}

impl Group {
    /// A group of this identifier and name.
    pub fn new(id: GroupId, name: &str) -> Self {
        Group {
            id: id.to_string(),
            name: name.to_owned(),
        }
    }
}

/// What a record says, besides its place in the trail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Who acted.
    pub actor: Actor,
    /// The group that it happened to, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Arc<Group>>,
    /// The record of the group's log in the store, if it is that which the trail repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// The request that it was done for, where it is one: logs, traces and the peer's answer call it the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestId>,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

impl Entry {
    /// Something that the gateway did by itself, to no group.
    pub fn of_gateway(event: Event) -> Self {
        Entry {
            actor: Actor::Gateway,
            group: None,
            revision: None,
            request: None,
            event,
        }
    }
}

/// The key of a group's root, by name: see [`KeyRef`](crate::group::ids::KeyRef).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Root {
    /// The root's level: it rises as the tree grows.
    pub level: u8,
    /// Its generation there: with the level it is never used again in a group.
    pub generation: u32,
    /// Its ratchet step: a key that is independent of all before begins at 0.
    pub step: u16,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The gateway started.
    Started {
        /// Its version.
        version: String,
    },
    /// The gateway stopped in good order.
    Stopped,
    /// The configuration, or certificates, were read anew.
    Reloaded {
        /// The keys whose values or files are others from now on.
        applied: Vec<String>,
        /// The keys whose values or files are others and need a restart.
        needs_restart: Vec<String>,
        /// Why nothing was taken.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<String>,
    },
    /// Something else is logged from now on.
    LogLevel {
        /// What.
        level: String,
        /// For how many seconds, if not for good.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        for_s: Option<u64>,
    },
    /// Members are sent away, and the gateway ends.
    Draining {
        /// Where to; here again if nowhere.
        to: Vec<String>,
        /// Within how many seconds it ends.
        within_s: u32,
    },
    /// A group begins.
    GroupCreated {
        /// The suite of its keys.
        suite: Suite,
        /// The master key that they are derived from.
        master: MasterId,
        /// What its seed is derived with, in hexadecimal digits. It is no secret; absent in what builds wrote that did not record it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        nonce: Option<String>,
        /// Its policy.
        policy: Box<GroupPolicy>,
    },
    /// A group has another policy.
    PolicyChanged {
        /// The new one.
        policy: Box<GroupPolicy>,
    },
    /// A group admits nobody any more; everything else goes on.
    Frozen {
        /// Why.
        why: String,
    },
    /// A group admits whoever its policy admits again.
    Thawed,
    /// A group is over.
    GroupDestroyed,
    /// Somebody is a member from an epoch on. He has no keys before he is granted them.
    Joined {
        /// The first epoch that he is in.
        epoch: Epoch,
        /// The number of the registration.
        member: MemberId,
        /// Whose it is.
        identity: Identity,
        /// What he may do.
        role: Role,
        /// What he sends under.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sender: Option<SenderId>,
    },
    /// Somebody is no member any more from an epoch on.
    Departed {
        /// The first epoch that he is not in.
        epoch: Epoch,
        /// The number of the registration.
        member: MemberId,
        /// Whose it was; unknown in what builds wrote that did not record it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        identity: Option<Identity>,
        /// Why.
        reason: String,
        /// What was said about it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// A group has a new epoch.
    Rekeyed {
        /// Which.
        epoch: Epoch,
        /// How many came with it.
        joined: usize,
        /// How many went with it.
        departed: usize,
        /// How many keys of the tree are fresh in it.
        keys: usize,
        /// The master key that its keys come from now, where it rolled the whole group over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rolled_to: Option<MasterId>,
        /// The key that the epoch's secret hangs on; absent in what builds wrote that did not record it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        root: Option<Root>,
        /// The suite of its keys from now on, where it rolled the whole group over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        suite: Option<Suite>,
        /// What the group's seed is derived with from now on, where it rolled the whole group over; hexadecimal digits, and no
        /// secret.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        nonce: Option<String>,
    },
    /// A member is handed its leaf key, wrapped for it alone: by this it can compute the group's secret.
    Granted {
        /// The newest epoch as it was granted.
        epoch: Epoch,
        /// The number of the registration.
        member: MemberId,
        /// Whose it is.
        identity: Identity,
        /// By which rule he joined; without one he was a member, and lost his leaf key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
    },
    /// Somebody asked to join and was not admitted.
    Refused {
        /// Who.
        identity: Identity,
        /// As what.
        role: Role,
        /// The rule that refused, or that there is none.
        why: String,
        /// How often, since the last record that says the same.
        times: u64,
    },
    /// Somebody's certificate was not taken as he connected. Who it is, is not known: nobody vouches for what it says.
    Unauthenticated {
        /// Where he connected from.
        address: String,
        /// What is wrong with it.
        why: String,
        /// How often, from wherever, since the last record that says the same.
        times: u64,
    },
    /// A policy document, or rules about who may join, came from the key store upstream.
    Document {
        /// What it is about: a group by its name, the default, the rules.
        about: String,
        /// The object that it is.
        object: String,
        /// The beginning of its SHA-256, if it is in force.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<String>,
        /// Why it is not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<String>,
    },
    /// An operator called the admin interface for something to be done.
    Administered {
        /// The method and path of the call.
        call: String,
        /// The HTTP status that answered it.
        status: u16,
    },
    /// Somebody at the front asked for something, of the key store or of the gateway.
    Relayed {
        /// What, by its name.
        operation: String,
        /// The object or the group that it is about, if it names one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        object: Option<String>,
        /// What became of it: done, pending, or why not; begun where it is about to be asked of the store, which another record of it
        /// follows unless the gateway was killed; several where what is counted here did not all end alike.
        outcome: String,
        /// How often he did, since the last record that says the same, of whatever objects. Absent where something may have been
        /// changed or a key was handed out: that is one record each time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        times: Option<u64>,
    },
    /// Somebody who may not called the admin interface, or the front, for whatever it was, or for what nobody may.
    Denied {
        /// Who.
        identity: Identity,
        /// The method and path of the call, or the operation.
        call: String,
        /// How often he did, since the last record of it.
        times: u64,
    },
    /// The trail could not be written for a time. What happened meanwhile follows.
    Interrupted {
        /// Since when.
        since: String,
        /// Records that do not follow: memory had no room for them.
        lost: u64,
    },
    /// Somebody ended an object of a group in the key store upstream.
    UpstreamEnded {
        /// The object's name there.
        object: String,
        /// `revoked`, `compromised` or `destroyed`.
        state: String,
        /// What is done for it: `roll`, `freeze` or `destroy`.
        action: String,
        /// Why that.
        why: String,
    },
    /// No token is usable: nobody can be granted keys, and no epoch sealed.
    TokenLost {
        /// What the token says.
        why: String,
    },
    /// A token is usable again.
    TokenBack,
    /// The token has signed the trail, up to a record before this one.
    Signed(Signature),
    /// The key store upstream is out of reach.
    UpstreamLost {
        /// Why.
        why: String,
    },
    /// The key store upstream answers again.
    UpstreamBack {
        /// For how long it did not, in seconds.
        down_s: u64,
    },
}
