//! What the life cycle needs of this gateway: its groups, and their keys for escrow. The engine has it.

use crate::engine::{self, Handle, RootKey};
use crate::group::ids::{MasterId, Suite};
use crate::group::operations::WrappedKey;
use crate::group::policy::{GroupPolicy, OnRevoked};
use crate::group::wire::RefusalCode;

/// A group, as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Its identifier, in hexadecimal digits.
    pub id: String,
    /// The suite of its keys.
    pub suite: Suite,
    /// The master key that they come from.
    pub master: MasterId,
    /// Its policy.
    pub policy: GroupPolicy,
    /// How many rollovers there were.
    pub rollovers: u64,
    /// The level of its root and the generation there; unknown if it does not say.
    pub root: Option<(u8, u32)>,
}

/// Why a key is not wrapped for escrow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EscrowError {
    /// It cannot be had now: it is waited for.
    #[error("{0}")]
    Unavailable(String),
    /// It cannot be had at all.
    #[error("{0}")]
    Impossible(String),
}

/// The groups of this gateway.
pub trait Groups: Send + Sync + 'static {
    /// A group by its name; none if there is none.
    fn group(&self, name: &str) -> impl Future<Output = Result<Option<Facts>, String>> + Send;

    /// Does to a group what its policy says for an end upstream; done once that is on record.
    fn act(
        &self,
        name: &str,
        action: OnRevoked,
        why: &str,
    ) -> impl Future<Output = Result<(), String>> + Send;

    /// A key, wrapped in the token under the escrow key.
    fn wrap(&self, root: &RootKey) -> impl Future<Output = Result<WrappedKey, EscrowError>> + Send;
}

impl Groups for Handle {
    async fn group(&self, name: &str) -> Result<Option<Facts>, String> {
        match Handle::group(self, name).await {
            Ok(view) => Ok(Some(Facts {
                id: view.status.group.to_string(),
                suite: view.status.keys.suite,
                master: view.status.keys.master,
                rollovers: view.status.keys.rollovers,
                root: Some((
                    view.status.keys.root.node.level,
                    view.status.keys.root.generation,
                )),
                policy: view.policy,
            })),
            Err(refusal) if is_gone(refusal.code) => Ok(None),
            Err(refusal) => Err(refusal.to_string()),
        }
    }

    async fn act(&self, name: &str, action: OnRevoked, why: &str) -> Result<(), String> {
        let done = match action {
            OnRevoked::Roll => self.roll_over(name, None, None).await,
            OnRevoked::Freeze => self.freeze(name, why, None).await.map(drop),
            OnRevoked::Destroy => self.destroy(name).await,
        };
        match done {
            Err(refusal) if !is_gone(refusal.code) => Err(refusal.to_string()),
            _ => Ok(()),
        }
    }

    async fn wrap(&self, root: &RootKey) -> Result<WrappedKey, EscrowError> {
        self.escrow(*root).await.map_err(|error| match error {
            engine::EscrowError::Later(why) => EscrowError::Unavailable(why.to_string()),
            engine::EscrowError::Never(why) => EscrowError::Impossible(why.to_string()),
        })
    }
}

fn is_gone(code: RefusalCode) -> bool {
    matches!(code, RefusalCode::UnknownGroup | RefusalCode::Destroyed)
}
