//! The wire protocol `wardcast/1`: messages, epoch headers, their encoding and its bounds.
//!
//! This page and the four of [`spec`] are the specification: enough to write a second implementation from. The one in
//! `tests/python` was written from them; `tests/vectors/wire.json` holds every message byte for byte and
//! `tests/vectors/suite1.json` the cryptography.
//!
//! # Transport
//!
//! QUIC version 1 with TLS 1.3. Both sides authenticate by certificate; ALPN is `wardcast/1`. A member's identity is
//! what its certificate says: the SPIFFE URI, else `dns:` and the first DNS name, else `cn:` and the common name. No
//! message carries an identity. One connection serves up to 64 groups, and one registration in each.
//!
//! ```text
//!  member                                    gateway
//!    | -- stream 0: request, FIN ------------> |     Join, Resume, Leave, Pull, Status, Acknowledge
//!    | <------------ response, FIN, stream 0 - |     Granted, Path, Left, KeySet, Status, Acknowledged, Refused
//!    |                                         |
//!    | <---------------- push, FIN, stream 1 - |     Rekey, Activate, Removed, GoAway
//!    | -- stream 1: push reply, FIN ---------> |     Ack, Nack
//! ```
//!
//! Every exchange is a bidirectional stream of its own: whoever opens it writes one message and finishes, the other
//! reads to the end, writes one message and finishes. There is no framing: the end of the stream ends the message.
//! Exchanges are independent of each other and may complete in any order. Unidirectional streams and QUIC's datagrams
//! are not used; a receiver ignores them. Beside QUIC there may be a push channel, of bare datagrams: [`spec::channel`]. A member lets the gateway open at least 4 streams at a time.
//!
//! A gateway drops a connection that was silent for 30 seconds; members keep theirs alive with PING frames, every 10
//! seconds or more often, and take one for lost when nothing comes back for some of them: a gateway that was killed says
//! nothing, and the one that is started in its place does not know the connection.
//!
//! # Encoding
//!
//! A message is one CBOR item (RFC 8949), an array `[kind, body]`: `kind` an unsigned integer, `body` a map with unsigned
//! integer keys. The encoding is deterministic (RFC 8949 section 4.2.1), and a receiver refuses any other:
//!
//! - definite lengths only; integers and lengths in their shortest form;
//! - map keys are unsigned integers in ascending order, so none is there twice;
//! - text is UTF-8; of the simple values only `false`, `true` and `null`; no floats; no tags, but for the one that
//!   begins an epoch header, which stands inside a byte string;
//! - at most [`MAX_DEPTH`](super::limits::MAX_DEPTH) (8) arrays and maps inside each other, the message's own included;
//! - nothing after the item.
//!
//! A field that may be absent is left out, not null. Unknown map keys and further elements of a message's array are
//! passed over when they follow these rules: that is how later versions add fields. An unknown kind, a missing field
//! and a field of another type are refused; an unknown *number of a reason* is kept as a number.
//!
//! | message | greatest size | sender of a greater one |
//! | --- | --- | --- |
//! | request | [`MAX_REQUEST`](super::limits::MAX_REQUEST), 12 KiB | is refused with code 11, or its stream stopped with 2 |
//! | response, push | [`MAX_MESSAGE`](super::limits::MAX_MESSAGE), 1 MiB | is a faulty gateway: the member closes with 1 |
//! | push reply | [`MAX_PUSH_REPLY`](super::limits::MAX_PUSH_REPLY), 256 bytes | is taken not to have answered |
//! | epoch header | [`MAX_HEADER`](super::limits::MAX_HEADER), 4 KiB | as a header that does not verify |
//!
//! # In this implementation
//!
//! [`Message::to_bytes`] and [`Message::from_bytes`] are all there is to reading and writing. Reading goes over the
//! bytes once, strictly, before it builds anything: whatever the input, it neither panics nor recurses, and costs time
//! and memory in proportion to the bytes that are there, not to the lengths they claim. A [`WireError`] says what was
//! read, where it goes wrong and how. A [`Push::Rekey`] for many members is written as two shared buffers:
//! [`rekey_head`] and the chunk's edges.

mod away;
mod codec;
pub mod datagram;
pub(in crate::group) mod fields;
mod header;
mod names;
mod offer;
mod push;
mod refusal;
mod request;
mod response;
pub mod spec;
mod strict;
mod token;
mod trail;

pub use super::edges::{Edge, EdgeError};
pub use away::{GoAway, is_address};
pub use codec::{Fault, Message, WireError};
pub use header::{EpochHeader, HEADER_AAD, ParsedHeader};
pub use names::{grant_transcript, key_id, spi};
pub use offer::Offer;
pub use push::{
    Ack, Activate, Heartbeat, Nack, PACKET_OVERHEAD, Push, PushReply, RekeyDelivery, RekeyPacket,
    Removed, rekey_head,
};
pub use refusal::{CloseCode, NackCode, Refusal, RefusalCode, RemovalReason};
pub use request::{Acknowledge, Join, Leave, OpenChannel, Park, Pull, Request, Resume, Status};
pub use response::{
    ChannelOpened, Grant, KeySet, KeyState, Left, MulticastOffer, Parked, PathDelivery, Response,
    StatusReport,
};
pub use token::Token;
pub use trail::{TRAIL_AAD, TrailHead, is_of_a_header};

/// The protocol's name in TLS ALPN.
pub const ALPN: &[u8] = b"wardcast/1";

#[cfg(test)]
mod tests;
