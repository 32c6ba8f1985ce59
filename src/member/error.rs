//! What can go wrong for a member.

use std::time::Duration;

use super::Fingerprint;
use crate::group::ids::{Epoch, GroupId, MemberId, Suite};
use crate::group::wire::{Refusal, WireError};
use crate::tls::TlsError;

/// A client that cannot work at all.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// The credentials do not serve.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There is no UDP socket to be had.
    #[error("cannot open a UDP socket: {0}; raise the limit of open files, or share an endpoint")]
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
    Unusable(#[from] Unusable),
    /// The client was closed meanwhile.
    #[error("the client is closed")]
    Closed,
}

/// What is wrong with a gateway's answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It answers something else.
    #[error("it does not answer a {0}")]
    OtherKind(&'static str),
    /// The epoch header is malformed.
    #[error(transparent)]
    Header(#[from] WireError),
    /// The epoch header is of another group.
    #[error("its epoch header is of group {0}, not of the one that was joined")]
    OtherGroup(GroupId),
    /// The epoch header is of another suite than the grant.
    #[error("its epoch header is of suite {}, not of the one that was granted", .0.number())]
    OtherSuite(Suite),
    /// The grant is for another registration.
    #[error("it grants member {0}, which is another registration")]
    OtherMember(MemberId),
    /// The epoch header was signed by another token than the one that granted.
    #[error("its epoch header names another signing key than the grant")]
    OtherKey,
    /// The epoch header's signature is wrong.
    #[error("its epoch header's signature does not verify")]
    Signature,
    /// The token is not the pinned one.
    #[error(
        "its token signs with the key {found}, but {pinned} is pinned: if the token was replaced on purpose, pin the new one"
    )]
    OtherIssuer {
        /// The one that the options name, the first of several.
        pinned: Fingerprint,
        /// The one that the gateway named.
        found: Fingerprint,
    },
    /// This member offers nothing that a key could be wrapped for.
    #[error("this client's options offer no suite that it has: offer one")]
    NoSuite,
    /// The leaf key does not open.
    #[error("the leaf key in it is not wrapped for this request")]
    Leaf,
    /// The path does not open.
    #[error("its path does not lead to the group's key: {0}")]
    Path(#[from] crate::group::session::SessionError),
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

/// Bytes that are no saved registration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no saved registration: {0}; join afresh")]
pub struct TicketError(pub(super) String);
