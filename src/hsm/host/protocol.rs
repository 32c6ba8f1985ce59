//! What gateway and token host say to each other: CBOR in length-prefixed frames, names and public values only.
//!
//! A frame is a length (4 bytes, big-endian) and a message of that many bytes, in the wire format's strict encoding
//! ([`crate::group::wire`]). The gateway asks, the host answers, one question at a time:
//!
//! | question | answer |
//! | --- | --- |
//! | `Hello`, the first one of a session | `Welcome`: a session with the token is open |
//! | `Execute`: batches of whatever groups | `Executed`: a result for each, and what they cost |
//! | `Ring` | `Masters` |
//! | `Ping`, at any time | `Pong`, without a session |
//!
//! Each may be answered by `Failed` instead. A question names its budget: how long the gateway waits for the answer.
//! No message has a place for a key; what comes back is wrapped, or public.

use std::io::{self, Read, Write};
use std::time::Duration;

use minicbor::{Decode, Encode};

use crate::group::ids::MasterId;
use crate::group::operations::{Batch, Operation, Output};
use crate::group::wire::{Fault, Message, WireError};
use crate::hsm::{Profile, RingChange, TokenError, Usage};

/// The version of this protocol. Gateway and host are one program, so only equal versions talk to each other.
pub const VERSION: u32 = 3;
/// The greatest message, in bytes: more than [`MAX_OPERATIONS`] grants of suite 2 take.
pub const MAX_FRAME: usize = 16 * 1024 * 1024;
/// Batches of one call.
pub const MAX_BATCHES: usize = 256;
/// Operations of one call, of all its batches together.
pub const MAX_OPERATIONS: usize = 2_048;
/// The greatest budget that is believed: a thread is noticed as stuck after that at the latest.
pub const MAX_BUDGET: Duration = Duration::from_secs(600);
/// How long closing a session may take: nobody waits for it, so no question names it.
pub(super) const CLOSE_BUDGET: Duration = Duration::from_secs(30);

/// What a gateway asks.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(flat)]
pub enum Request {
    /// Open a session with the token.
    #[n(0)]
    Hello {
        /// [`VERSION`].
        #[n(0)]
        version: u32,
        /// How long the gateway waits for the answer.
        #[n(1)]
        budget_ms: u32,
    },
    /// Execute batches, of several groups in one go.
    #[n(1)]
    Execute {
        /// How long the gateway waits for the answer.
        #[n(0)]
        budget_ms: u32,
        /// At most [`MAX_BATCHES`], of at most [`MAX_OPERATIONS`] together.
        #[n(1)]
        batches: Vec<Batch>,
    },
    /// List the ring of masters, or change it.
    #[n(2)]
    Ring {
        /// How long the gateway waits for the answer.
        #[n(0)]
        budget_ms: u32,
        /// What to do.
        #[n(1)]
        change: RingChange,
    },
    /// Answer at once: it asks whether the host is alive, not the token.
    #[n(3)]
    Ping,
}

/// What the host answers.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(flat)]
pub enum Answer {
    /// To `Hello`.
    #[n(0)]
    Welcome {
        /// The token, and how the host is confined.
        #[n(0)]
        profile: Profile,
    },
    /// To `Execute`.
    #[n(1)]
    Executed {
        /// One for each batch, in order.
        #[n(0)]
        results: Vec<Result<Vec<Output>, TokenError>>,
        /// What all of them together cost the token.
        #[n(1)]
        usage: Usage,
    },
    /// To `Ring`.
    #[n(2)]
    Masters {
        /// The masters that there are, ascending.
        #[n(0)]
        masters: Vec<MasterId>,
    },
    /// To `Ping`.
    #[n(3)]
    Pong,
    /// To each of them: it was not done.
    #[n(4)]
    Failed {
        /// Why.
        #[n(0)]
        error: TokenError,
    },
}

impl Message for Request {
    const WHAT: &'static str = "question to a token host";
    const LIMIT: usize = MAX_FRAME;
}

impl Message for Answer {
    const WHAT: &'static str = "answer of a token host";
    const LIMIT: usize = MAX_FRAME;
}

impl Request {
    /// How long the gateway waits for the answer.
    pub fn budget(&self) -> Duration {
        match self {
            Request::Hello { budget_ms, .. }
            | Request::Execute { budget_ms, .. }
            | Request::Ring { budget_ms, .. } => {
                Duration::from_millis((*budget_ms).into()).min(MAX_BUDGET)
            }
            Request::Ping => MAX_BUDGET,
        }
    }
}

/// Whether batches fit into one call.
pub fn fits(batches: &[Batch]) -> bool {
    let operations: usize = batches.iter().map(|batch| batch.operations.len()).sum();
    batches.len() <= MAX_BATCHES && operations <= MAX_OPERATIONS
}

/// Whether the outputs are such as the batch asks for: one for each operation, of its kind and of its suite's length.
pub fn answers(batch: &Batch, outputs: &[Output]) -> bool {
    let sizes = batch.suite.sizes();
    let fits = |(operation, output): (&Operation, &Output)| match (operation, output) {
        (Operation::Wrap { .. }, Output::Wrapped(_))
        | (Operation::Grant { .. }, Output::BadPublicKey)
        | (Operation::PushKey { .. }, Output::PushKey(_))
        | (Operation::Escrow { .. }, Output::Escrowed(_)) => true,
        (Operation::Grant { .. }, Output::Granted { encapsulated, .. }) => {
            encapsulated.len() == sizes.encapsulated
        }
        (Operation::Seal { .. }, Output::Sealed { signature, .. }) => {
            signature.len() == sizes.signature
        }
        (Operation::SignHead { .. }, Output::HeadSigned(signature)) => {
            signature.len() == sizes.signature
        }
        _ => false,
    };
    outputs.len() == batch.operations.len() && batch.operations.iter().zip(outputs).all(fits)
}

/// Why no message could be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The socket failed, or its time ran out.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The other side closed the connection within a message, or where an answer was due.
    #[error("the connection was closed")]
    Closed,
    /// What came is no message.
    #[error(transparent)]
    Malformed(#[from] WireError),
}

/// Writes one message, in one piece.
pub fn write<M: Message>(stream: &mut impl Write, message: &M) -> Result<(), FrameError> {
    let bytes = message.to_bytes();
    if bytes.len() > M::LIMIT {
        return Err(too_large::<M>().into());
    }
    let length = u32::try_from(bytes.len()).expect("the limit of a frame fits into its length");
    let mut frame = Vec::with_capacity(4 + bytes.len());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&bytes);
    stream.write_all(&frame)?;
    Ok(())
}

/// Reads one message; none when the other side closed the connection between two. Memory grows with what comes, not
/// with what the length claims.
pub fn read<M: Message>(stream: &mut impl Read) -> Result<Option<M>, FrameError> {
    let mut length = [0; 4];
    let mut filled = 0;
    while filled < length.len() {
        match stream.read(&mut length[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(FrameError::Closed),
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > M::LIMIT {
        return Err(too_large::<M>().into());
    }
    let mut bytes = Vec::new();
    stream.take(length as u64).read_to_end(&mut bytes)?;
    if bytes.len() < length {
        return Err(FrameError::Closed);
    }
    Ok(Some(M::from_bytes(&bytes)?))
}

fn too_large<M: Message>() -> WireError {
    WireError {
        what: M::WHAT,
        offset: M::LIMIT,
        fault: Fault::TooLarge(M::LIMIT),
    }
}

#[cfg(test)]
mod tests;
