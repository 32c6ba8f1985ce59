//! Why a pool does not start, and why it does not execute a batch.

use std::time::Duration;

use super::options::MAX_LANES;
use crate::group::ids::MasterId;
use crate::group::operations::Priority;
use crate::hsm::TokenError;

/// Why a pool cannot start. No token was touched.
#[derive(Debug, thiserror::Error)]
pub enum PoolStartError {
    /// Nothing to execute with.
    #[error("a token pool needs a token: configure at least one")]
    NoLane,
    /// More lanes than a pool serves.
    #[error("{0} tokens are configured; one pool serves at most {MAX_LANES}")]
    TooManyLanes(usize),
    /// Two lanes have one name.
    #[error("two tokens are called \"{0}\": give each a name of its own")]
    SameName(String),
    /// The system gives no more threads.
    #[error("cannot start a thread of the token pool: {0}")]
    Thread(#[from] std::io::Error),
}

/// Why a batch was not executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// As much waits as may.
    #[error(
        "the token pool's {priority:?} queue is full: try again in {} ms", .retry_after.as_millis()
    )]
    Busy {
        /// The priority that has no room.
        priority: Priority,
        /// When what waits now will have been executed, as far as the measured rate tells.
        retry_after: Duration,
    },
    /// No lane has a token that works; or none that does has what is needed, and one that does not may have it.
    #[error("no token is usable, try again in {} ms: {error}", .retry_after.as_millis())]
    Unusable {
        /// What is wrong with the first such lane's.
        error: TokenError,
        /// When a lane is probed again.
        retry_after: Duration,
    },
    /// It waited longer than a batch may.
    #[error("the token pool did not get to it within {} ms", .after.as_millis())]
    Expired {
        /// The options' patience.
        after: Duration,
    },
    /// The pool is shutting down.
    #[error("the token pool is shutting down")]
    Closed,
    /// The token did not execute it.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl PoolError {
    /// When to ask again, if the pool can tell.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            PoolError::Busy { retry_after, .. } | PoolError::Unusable { retry_after, .. } => {
                Some(*retry_after)
            }
            _ => None,
        }
    }
}

/// Why a change of the ring was not made everywhere. Every change may be repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// One lane did not make it.
    #[error("token \"{lane}\": {error}")]
    Lane {
        /// Which.
        lane: String,
        /// Why.
        error: PoolError,
    },
    /// Two lanes hold different masters afterwards.
    #[error(
        "token \"{lane}\" holds the masters {masters:?}, but token \"{other}\" {others:?}: bring them together by the ceremony in the README"
    )]
    Disagree {
        /// The first lane.
        lane: String,
        /// Its masters.
        masters: Vec<MasterId>,
        /// The lane that differs.
        other: String,
        /// Its masters.
        others: Vec<MasterId>,
    },
    /// No lane works.
    #[error(transparent)]
    Pool(#[from] PoolError),
}
