//! A document: JSON with the keys of a policy that differ from the default, and the suite.

use serde_json::{Map, Value};

use crate::group::ids::Suite;
use crate::group::policy::GroupPolicy;

/// The longest document of a group, in bytes: a full list `admit` is about half of it.
pub const MAX_DOCUMENT: usize = 256 * 1024;

/// What is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Too long.
    #[error("{0} bytes; at most {MAX_DOCUMENT}")]
    TooLong(usize),
    /// No JSON.
    #[error("not JSON: {0}")]
    Syntax(String),
    /// JSON, but no object.
    #[error("the policy must be an object of its keys")]
    NoObject,
    /// A key that there is not, a value that it cannot have, or values that do not fit each other.
    #[error("{key}: {why}")]
    Key {
        /// Which.
        key: String,
        /// What is wrong with it.
        why: String,
    },
}

/// A policy with what only documents have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The whole policy: the default with what the document has in its place.
    pub policy: GroupPolicy,
    /// The suite of the group's keys; whatever it is if the document does not say.
    pub suite: Option<Suite>,
}

impl Document {
    /// Reads a document that stands on a default.
    pub fn parse(default: &GroupPolicy, text: &str) -> Result<Self, DocumentError> {
        if text.len() > MAX_DOCUMENT {
            return Err(DocumentError::TooLong(text.len()));
        }
        let value: Value =
            serde_json::from_str(text).map_err(|error| DocumentError::Syntax(error.to_string()))?;
        let Value::Object(mut changes) = value else {
            return Err(DocumentError::NoObject);
        };
        let suite = changes.remove("suite").map(suite).transpose()?;
        let policy = merged(default, changes)?;
        Ok(Self { policy, suite })
    }

    /// Reads the document of all groups, which stands on what is configured. It has no suite.
    pub fn parse_default(
        configured: &GroupPolicy,
        text: &str,
    ) -> Result<GroupPolicy, DocumentError> {
        let Self { policy, suite } = Self::parse(configured, text)?;
        match suite {
            None => Ok(policy),
            Some(_) => Err(DocumentError::Key {
                key: "suite".into(),
                why: "it is for the documents of groups".into(),
            }),
        }
    }
}

fn suite(value: Value) -> Result<Suite, DocumentError> {
    let known = |number: u64| {
        let mut all = Suite::ALL.into_iter();
        all.find(|suite| u64::from(suite.number()) == number)
    };
    let suite = value.as_u64().and_then(known);
    suite.ok_or_else(|| DocumentError::Key {
        key: "suite".into(),
        why: format!("{value}; there are 1 and 2"),
    })
}

/// A default with what `changes` has in its place, if that is a possible policy.
pub fn merged(
    default: &GroupPolicy,
    changes: Map<String, Value>,
) -> Result<GroupPolicy, DocumentError> {
    let mut whole = serde_json::to_value(default).expect("a policy has text keys only");
    let keys = whole.as_object_mut().expect("a policy is a map");
    keys.extend(changes);
    let policy: GroupPolicy =
        serde_path_to_error::deserialize(whole).map_err(|error| DocumentError::Key {
            key: error.path().to_string(),
            why: error.inner().to_string(),
        })?;
    policy.validate().map_err(|error| DocumentError::Key {
        key: error.key,
        why: error.why,
    })?;
    Ok(policy)
}
