//! What can go wrong for a member.

use std::time::Duration;

use crate::group::ids::Epoch;
use crate::group::wire::Refusal;
use crate::tls::TlsError;

/// A client that cannot work at all.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// The credentials do not serve.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There is no UDP socket to be had.
    #[error("cannot open a UDP socket: {0}")]
    Socket(#[from] std::io::Error),
}

/// A request that was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JoinError {
    /// The gateway refused, and asking again would change nothing.
    #[error("the gateway refused: {0}")]
    Refused(Refusal),
    /// The gateway did not answer, or only with refusals that pass.
    #[error("gave up after {} s: {last}", patience.as_secs())]
    GaveUp {
        /// How long it was tried.
        patience: Duration,
        /// What the last try ended with.
        last: String,
    },
    /// What the gateway granted does not verify, or makes no sense.
    #[error("the gateway's answer cannot be used: {0}")]
    Unusable(String),
}

/// A key that cannot be exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// It is retired already, or never was this member's.
    #[error("epoch {0} is not held: it is retired, or was never installed here")]
    NotHeld(Epoch),
    /// Nothing has such a length.
    #[error(transparent)]
    Length(#[from] crate::crypto::ExportError),
}
