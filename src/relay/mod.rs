//! What goes to the key store upstream, and what comes back: the audit trail on disk is the durable queue of it.
//!
//! Every change of a group's life is on the trail, in order, numbered, and on disk before it is visible. So nothing else is
//! queued: each [`Sink`] follows the trail from a cursor of its own, and what the trail may take on disk (`audit.max_mb`, of which
//! is warned early) is the queue's bound.
//!
//! ```text
//!   trail: ... 41 42 43 44 45 46 47 (48)        what is in brackets is not on disk for good yet
//!                    |        `-- read and put together: a batch, within the sink's bounds
//!                    `-- the cursor: up to here the sink has taken it; on disk
//! ```
//!
//! - **At least once, in order**: a batch is begun (that is on disk), given to the sink until it takes it, then the cursor moves on.
//!   After a crash the same records make up the same batch, byte for byte, and the sink is told that it may have them.
//! - A store that is out of reach is tried again for ever, with growing pauses; one that refuses a batch likewise, and loudly:
//!   nothing is ever skipped. Where the trail on disk does not go on, because segments were moved elsewhere, that is said,
//!   counted, and it goes on with what is there.
//! - A sink may know better than its cursor how far it has come: what is upstream is looked at before anything is sent without one.
//! - Sinks do not wait for one another, nor anything else for them.
//! - Where nobody says that he has taken something, as with syslog, the cursor trails what was sent ([`Sink::settling`]): it moves
//!   over records once the connection has survived them for long enough, and when that breaks before, they are sent again.
//! - A sink is replaced while it is fed ([`Succession`]): the next one goes on where the cursor is, by a connection of its own.
//!
//! Nothing of the feeds is about the key store: what else follows the trail is a sink of another [`Destination`].
//!
//! [`audit`] takes the trail itself upstream; [`lifecycle`] what it says of groups and their keys, and what is done to these there back.

pub mod audit;
mod batch;
mod catalogue;
mod cursor;
mod destination;
pub mod documents;
mod doubt;
mod feed;
mod follower;
mod hints;
pub mod lifecycle;
mod progress;
#[expect(clippy::module_inception, reason = "the module's main part")]
mod relay;
mod relayed;
mod standing;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::audit::Digest;
use crate::kmip::client::ClientError;

pub use batch::{Batch, Line};
pub use catalogue::METRICS;
pub use destination::{Destination, KEY_STORE};
pub use feed::{Pauses, Succession};
pub use hints::{Bell, Hints, SOONEST};
pub use progress::SinkView;
pub use relay::{Relay, RelayError, Status};
pub use relayed::{Hindmost, hindmost};
pub use standing::{Standing, StandingView};

/// How much one batch may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Records.
    pub records: usize,
    /// Bytes of their lines; a record that is longer is a batch by itself.
    pub bytes: usize,
}

/// A place on the trail: after a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The number of the record; 0 before the first.
    pub sequence: u64,
    /// The digest of its line.
    pub head: Digest,
}

/// From where a sink is about to be fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// What it has taken, as far as its cursor knows: nothing if there is no cursor, or one of another trail.
    pub taken: Option<Place>,
    /// The number of the newest record on the trail.
    pub newest: u64,
}

/// From where a sink wants to be fed, which knows that better than its cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// After this record.
    pub after: Place,
    /// The trail must have that record. If it has another one, nothing is sent: it is not the trail that the sink was fed before.
    pub must_follow: bool,
}

/// Where the records of the trail go.
pub trait Sink: Send + Sync + 'static {
    /// What it is called: in the name of its cursor's file, in metrics and logs.
    fn name(&self) -> &'static str;

    /// How much one batch may have.
    fn bounds(&self) -> Bounds;

    /// How long records wait for one that closes their batch.
    fn patience(&self) -> Duration;

    /// Whether a batch had best end with this record.
    fn closes(&self, _line: &Line) -> bool {
        false
    }

    /// It is about to be fed, from there. Tried again until it is done.
    fn begin(
        &mut self,
        _start: Start,
    ) -> impl Future<Output = Result<Option<Resume>, SinkError>> + Send {
        std::future::ready(Ok(None))
    }

    /// Takes a batch: done once all of it is where it goes. If it fails, it is given the same batch again.
    fn take(&mut self, batch: &Batch) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Where that is.
    fn destination(&self) -> &'static Destination {
        &KEY_STORE
    }

    /// How long what it took and what has arrived is in doubt still; none where taken is taken. When a batch fails or the
    /// connection breaks, whatever is in doubt is given to it again, and not just that batch.
    fn settling(&self) -> Option<Duration> {
        None
    }

    /// Bytes that it has sent by the connection that it has, for sinks that leave something in doubt.
    fn sent(&self) -> u64 {
        0
    }

    /// How many of these have arrived at the other end, at least; 0 once the connection is over.
    fn arrived(&mut self) -> impl Future<Output = u64> + Send {
        std::future::ready(0)
    }

    /// Done when the connection breaks by which it has sent what is in doubt; never if there is none. It may be given up at any time.
    fn broken(&mut self) -> impl Future<Output = SinkError> + Send {
        std::future::pending()
    }

    /// The last batch was taken: ends the connection in good order. If that is done, nothing is in doubt any more.
    fn close(&mut self) -> impl Future<Output = Result<(), SinkError>> + Send {
        std::future::ready(Ok(()))
    }
}

/// Why a batch was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// What takes it is out of reach, or does not answer in time: a matter of patience.
    #[error("{0}")]
    Unreachable(String),
    /// It is not taken: somebody has to see to it.
    #[error("{0}")]
    Refused(String),
}

impl SinkError {
    /// Each kind, as metrics call it.
    pub(crate) const KINDS: [&str; 2] = ["unreachable", "refused"];

    fn kind(&self) -> &'static str {
        match self {
            SinkError::Unreachable(_) => Self::KINDS[0],
            SinkError::Refused(_) => Self::KINDS[1],
        }
    }
}

impl From<ClientError> for SinkError {
    fn from(error: ClientError) -> Self {
        let why = error.to_string();
        match error {
            ClientError::Failed { .. }
            | ClientError::Skipped { .. }
            | ClientError::Answer { .. }
            | ClientError::Version { .. }
            | ClientError::Batch(_)
            | ClientError::Request(_) => SinkError::Refused(why),
            _ => SinkError::Unreachable(why),
        }
    }
}
