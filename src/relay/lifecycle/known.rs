//! What is known of a group's objects upstream: a line of the ledger for each group.

use serde::{Deserialize, Serialize};

use crate::audit::Root;
use crate::group::ids::{Epoch, MasterId, Revision, Suite};
use crate::group::policy::{GroupPolicy, OnRevoked};

/// A group and its objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// The group's identifier, in hexadecimal digits.
    pub(super) id: String,
    /// Its name.
    pub(super) name: String,
    /// The newest record of its log that was applied: what is not newer is passed over.
    pub(super) revision: Revision,
    /// What its keys come from.
    pub(super) seed: Seed,
    /// What its policy says about objects upstream.
    pub(super) rules: Rules,
    /// The group's own object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) group: Option<Object>,
    /// The object of the root's generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<Key>,
    /// What is to be done because of what was found upstream, until it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) due: Option<Due>,
    /// The group is over.
    #[serde(default)]
    pub(super) over: bool,
}

/// What a group's keys come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seed {
    /// The suite of the keys.
    pub(super) suite: Suite,
    /// The master key.
    pub(super) master: MasterId,
    /// The nonce, in hexadecimal digits; unknown where the trail begins after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) nonce: Option<String>,
}

/// What a policy says about objects upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rules {
    /// Whether generations of the root go up, wrapped.
    pub(super) escrow: bool,
    /// Whether what is over is archived.
    pub(super) archive: bool,
}

impl From<&GroupPolicy> for Rules {
    fn from(policy: &GroupPolicy) -> Self {
        Rules {
            escrow: policy.escrow,
            archive: policy.archive,
        }
    }
}

/// An object upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Object {
    /// Its name there.
    pub(super) name: String,
    /// Its identifier there, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    /// Which one it is of those that had the same purpose: the first, or a successor of one that somebody ended.
    pub(super) copy: u32,
    /// How somebody else ended it, if somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) found: Option<Ended>,
}

/// The object of a generation of the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    /// The object.
    pub(super) object: Object,
    /// Which key.
    pub(super) root: Root,
    /// The first epoch of the generation.
    pub(super) epoch: Epoch,
}

/// How an object was ended upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ended {
    /// It was revoked, and is deactivated.
    Revoked,
    /// It was revoked as compromised.
    Compromised,
    /// It was destroyed, or is not there.
    Destroyed,
}

impl Ended {
    /// What is called so.
    pub(super) fn of(word: &str) -> Option<Self> {
        let all = [Ended::Revoked, Ended::Compromised, Ended::Destroyed];
        all.into_iter().find(|ended| ended.word() == word)
    }

    /// In a word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Ended::Revoked => "revoked",
            Ended::Compromised => "compromised",
            Ended::Destroyed => "destroyed",
        }
    }
}

/// What is to be done to a group because one of its objects was ended upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Due {
    /// What.
    pub(super) action: OnRevoked,
    /// Why, for the record.
    pub(super) why: String,
    /// How many rollovers there had been: one more, and a rollover is done.
    pub(super) rollovers: u64,
}

impl Due {
    /// What is to be done if this is to be done and something else besides: the stronger of both.
    ///
    /// A destruction ends what a rollover would renew, and a rollover renews the keys that a freeze would leave in use. The freeze of
    /// many groups at once is for what nobody may have meant; what was revoked by name was meant, and is not to wait for a thaw.
    /// A rollover or a destruction can be asked for by whoever may revoke one object, freeze or not: so the stronger gives nobody more
    /// than he had.
    pub(super) fn with(self, other: Due) -> Due {
        let strength = |due: &Due| match due.action {
            OnRevoked::Freeze => 0,
            OnRevoked::Roll => 1,
            OnRevoked::Destroy => 2,
        };
        match strength(&other) > strength(&self) {
            true => other,
            false => self,
        }
    }
}

impl Known {
    /// The objects that should be active.
    pub(super) fn objects(&self) -> impl Iterator<Item = &Object> {
        self.group
            .iter()
            .chain(self.key.as_ref().map(|key| &key.object))
    }

    /// The same, to be changed.
    pub(super) fn objects_mut(&mut self) -> impl Iterator<Item = &mut Object> {
        let key = self.key.as_mut().map(|key| &mut key.object);
        self.group.iter_mut().chain(key)
    }
}
