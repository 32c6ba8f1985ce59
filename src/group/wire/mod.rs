//! The wire protocol: messages, epoch headers, their encoding and its bounds.

mod codec;
mod fields;
mod header;
mod names;
mod push;
mod refusal;
mod request;
mod response;
mod strict;

pub use crate::group::edges::{Edge, EdgeError};
pub use codec::{Fault, Message, WireError};
pub use header::{EpochHeader, HEADER_AAD, ParsedHeader};
pub use names::{grant_transcript, key_id, spi};
pub use push::{Ack, Activate, GoAway, Nack, Push, PushReply, RekeyDelivery, Removed, rekey_head};
pub use refusal::{CloseCode, NackCode, Refusal, RefusalCode, RemovalReason};
pub use request::{Acknowledge, Join, Leave, Pull, Request, Resume, Status};
pub use response::{Grant, KeySet, KeyState, Left, PathDelivery, Response, StatusReport};

/// The protocol's name in TLS ALPN.
pub const ALPN: &[u8] = b"wardcast/1";

#[cfg(test)]
mod tests;
