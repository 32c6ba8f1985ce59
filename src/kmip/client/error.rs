//! Why a request was not done: what happened, where, and whether it may have been done all the same.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use super::Version;
use super::options::{MAX_ADDRESSES, MAX_BATCH};
use crate::kmip::codec::{DecodeError, EncodeError, tag, value_text};
use crate::kmip::message::MessageError;
use crate::tls::TlsError;

/// Why a client cannot be made. Nothing was sent.
#[derive(Debug, Error)]
pub enum SetupError {
    /// No address, or too many.
    #[error("{0} addresses of a key store: name 1 to {MAX_ADDRESSES}")]
    Addresses(usize),
    /// A range of versions without one.
    #[error("no version of KMIP is between {0} and {1}: the first must not be the greater")]
    Versions(Version, Version),
    /// Certificates or keys that do not serve.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The HTTPS client cannot be made.
    #[error("cannot make an HTTPS client: {0}")]
    Https(String),
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The server answered that it did not do it.
    #[error("{address}: {error}")]
    Failed {
        /// The address.
        address: String,
        /// What the server said.
        error: ServerError,
    },
    /// An earlier item of the batch failed, and the server stopped there.
    #[error("{address}: not done, because an earlier item of the batch failed")]
    Skipped {
        /// The address.
        address: String,
    },
    /// No attempt reached a server, or every one failed. What was asked was not done, or may be repeated.
    #[error("{address}: {error}")]
    Unreachable {
        /// The address of the last attempt.
        address: String,
        /// Why it failed.
        error: TransportError,
    },
    /// It was sent, and there is no answer that can be read: it may have been done. Look before repeating it.
    #[error(
        "{address}: {error}; the request was sent, and whether it was done is unknown: look it up before repeating it"
    )]
    Unknown {
        /// The address.
        address: String,
        /// Why there is no answer.
        error: TransportError,
    },
    /// All addresses rest after failures. Nothing was sent.
    #[error("every address of the key store rests after failures: try again in {} ms", .retry_after.as_millis())]
    Resting {
        /// When the first of them is tried again.
        retry_after: Duration,
    },
    /// As many requests wait as may. Nothing was sent.
    #[error("{waiting} requests wait for the key store already: try again later")]
    Busy {
        /// The bound.
        waiting: usize,
    },
    /// No connection became free in time. Nothing was sent.
    #[error("no connection to the key store became free within {} ms", .after.as_millis())]
    Queued {
        /// The deadline.
        after: Duration,
    },
    /// Server and client have no version in common that may be spoken.
    #[error("{address}: the server speaks {}, but KMIP {wanted} is needed", versions(.spoken))]
    Version {
        /// The address.
        address: String,
        /// The versions that the client may speak.
        wanted: String,
        /// What the server answered: major and minor numbers.
        spoken: Vec<(i32, i32)>,
    },
    /// It was done, but the answer is not what it has to be.
    #[error("{address}: the answer is malformed: {fault}")]
    Answer {
        /// The address.
        address: String,
        /// What is wrong, and where.
        fault: MessageError,
    },
    /// A batch of no items or too many. Nothing was sent.
    #[error("a batch of {0} items: it must have 1 to {MAX_BATCH}")]
    Batch(usize),
    /// The request cannot be written. Nothing was sent.
    #[error("the request cannot be written: {0}")]
    Request(#[from] EncodeError),
}

impl ClientError {
    /// Whether it may have been done although there is no answer.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }

    /// The server's reason, if the server answered: one of [`ResultReason`](crate::kmip::codec::values::ResultReason).
    #[must_use]
    pub fn reason(&self) -> Option<u32> {
        match self {
            Self::Failed { error, .. } => error.reason,
            _ => None,
        }
    }

    /// In a word, for metrics.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Failed { .. } | Self::Skipped { .. } => "refused",
            Self::Unreachable { .. } => "unreachable",
            Self::Unknown { .. } => "unknown",
            Self::Resting { .. } => "resting",
            Self::Busy { .. } => "busy",
            Self::Queued { .. } => "queued",
            Self::Version { .. } => "version",
            Self::Answer { .. } => "answer",
            Self::Batch(_) | Self::Request(_) => "request",
        }
    }
}

fn versions(spoken: &[(i32, i32)]) -> String {
    if spoken.is_empty() {
        return "none of these versions".to_owned();
    }
    let spoken = spoken.iter().take(Version::ALL.len() * 4);
    let spoken: Vec<String> = spoken
        .map(|(major, minor)| format!("{major}.{minor}"))
        .collect();
    format!("KMIP {}", spoken.join(", "))
}

/// What a server said about an operation that it did not do (KMIP 2.1 section 9.15 to 9.17).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    /// What it was asked to do; unknown when it refused the whole message.
    pub operation: Option<u32>,
    /// [`OperationFailed`](crate::kmip::codec::values::ResultStatus::OperationFailed), or undone, or pending.
    pub status: u32,
    /// One of [`ResultReason`](crate::kmip::codec::values::ResultReason).
    pub reason: Option<u32>,
    /// In words, shortened to [`MAX_SHOWN`](super::options::MAX_SHOWN) characters, and on one line.
    pub message: Option<String>,
}

impl std::error::Error for ServerError {}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.operation {
            Some(operation) => f.write_str(&value_text(tag::Operation, operation))?,
            None => f.write_str("the whole message")?,
        }
        write!(f, ": {}", value_text(tag::ResultStatus, self.status))?;
        if let Some(reason) = self.reason {
            write!(f, ", {}", value_text(tag::ResultReason, reason))?;
        }
        match &self.message {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

/// Why an attempt has no answer that can be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TransportError {
    /// No connection.
    #[error("cannot connect: {0}; is the server running, and is the address right?")]
    Connect(String),
    /// A connection without TLS.
    #[error(
        "no TLS connection: {0}; check the server's certificate, the authority's and the client's"
    )]
    Tls(String),
    /// The connection was closed before the answer was there.
    #[error("the server closed the connection before it answered")]
    Closed,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// There is no answer in time.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// An answer that is too long.
    #[error("the answer has {length} bytes or more; at most {limit} are read")]
    TooLong {
        /// The length that was announced, or read so far.
        length: usize,
        /// The bound.
        limit: usize,
    },
    /// HTTP's status is not 200, which every answer of KMIP has.
    #[error("HTTP status {0}: no KMIP server is at this URL, or none that is well")]
    Status(u16),
    /// The answer is no message.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// The answer is no response to the request.
    #[error("the answer does not belong to the request: {0}")]
    Response(#[from] ResponseFault),
}

/// Why a message is no response to the request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ResponseFault {
    /// A field is missing, there too often, or of another type.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// Another version than the request has.
    #[error("it is of version {}.{}, not {asked}", .answered.0, .answered.1)]
    Version {
        /// The version of the request.
        asked: Version,
        /// The version of the answer.
        answered: (i32, i32),
    },
    /// The number of items is another one than is said, or than was asked for.
    #[error("BatchCount is {said}, with {found} items to a request of {asked}")]
    Count {
        /// The items of the request.
        asked: usize,
        /// The header's number.
        said: i32,
        /// The items that are there.
        found: usize,
    },
    /// An item to which none of the request's belongs, or two that belong to the same one.
    #[error("UniqueBatchItemID of item {0} is missing, unknown, or there twice")]
    BatchItemId(usize),
    /// An item of another operation.
    #[error("item {place} is about {}, not {}", value_text(tag::Operation, *.answered), value_text(tag::Operation, *.asked))]
    Operation {
        /// The place of the item in the answer, counted from 0.
        place: usize,
        /// The operation of the request.
        asked: u32,
        /// The operation of the answer.
        answered: u32,
    },
}
