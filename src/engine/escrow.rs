//! Roots of groups, wrapped in a token under its escrow key for the key store upstream.

use crate::group::ids::{GroupId, GroupNonce, KeyRef, MasterId, Suite};
use crate::group::operations::{Batch, Operation, Output, Priority, WrappedKey};
use crate::group::request::Requests;
use crate::hsm::{ErrorClass, Pool, PoolError, TokenError};

/// A key of a group's root, by all that it is derived from: the group may have been rolled over since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootKey {
    /// The group.
    pub group: GroupId,
    /// The suite of its keys.
    pub suite: Suite,
    /// The master that its seed is derived from.
    pub master: MasterId,
    /// What its seed is derived with.
    pub nonce: GroupNonce,
    /// The root's key, at the first step that is to be escrowed.
    pub root: KeyRef,
}

/// Why a root is not escrowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EscrowError {
    /// The tokens do not do it now; they may later.
    #[error("{0}")]
    Later(PoolError),
    /// They never will, unless an operator mends something: no escrow key, or the master is destroyed.
    #[error("{0}")]
    Never(PoolError),
}

impl From<PoolError> for EscrowError {
    fn from(error: PoolError) -> Self {
        let never = match &error {
            PoolError::Token(TokenError::MissingKey { .. } | TokenError::NoSuite { .. }) => true,
            PoolError::Token(error) => {
                matches!(error.class(), ErrorClass::Fatal | ErrorClass::OurBug)
            }
            _ => false,
        };
        match never {
            true => EscrowError::Never(error),
            false => EscrowError::Later(error),
        }
    }
}

/// Has a root's key wrapped under the escrow key. Behind all that members wait for.
pub(super) async fn escrow(tokens: &Pool, key: RootKey) -> Result<WrappedKey, EscrowError> {
    let batch = Batch {
        suite: key.suite,
        group: key.group,
        master: key.master,
        nonce: key.nonce,
        operations: vec![Operation::Escrow { root: key.root }],
        requests: Requests::default(),
    };
    match tokens.execute(Priority::Prefetch, batch).await?[..] {
        [Output::Escrowed(wrapped)] => Ok(wrapped),
        _ => {
            let lost = TokenError::BadBatch("the token's answer is no escrowed key".into());
            Err(PoolError::Token(lost).into())
        }
    }
}
