//! The client library: connect, join, follow rekeys, export keys.
//!
//! A [`Client`] is one connection to a gateway, made again whenever it is lost; any number of groups use it. A
//! [`Membership`] is one registration in one group. It follows the group by itself, resumes with its leaf on every new
//! connection, never joins afresh behind its owner's back, and tells what happens as [`Event`]s.
//!
//! ```no_run
//! # use wardcast::member::{Client, Event, Options};
//! # use wardcast::group::ids::Role;
//! # async fn run(options: Options) -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new(options)?;
//! let mut studio = client.join("studio", Role::Both).await?;
//! while let Some(event) = studio.next().await {
//!     if let Event::Installed { epoch } = event {
//!         let key = studio.export(epoch, "srtp key", b"", 16)?;
//!         // receive with it from now on; send with it when Event::Send says so
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! An owner that reads no events costs no memory and keeps no key alive: [`Event`] says what it finds when it reads.
//!
//! # Code map
//!
//! | module | does |
//! | --- | --- |
//! | `client` | requests that are tried for a while; join and resume |
//! | `link` | the connection, made again with growing pauses |
//! | `exchange` | one request, one message; how connections are set up |
//! | `pauses` | how long to wait before something is tried again |
//! | `dispatch` | a push finds its membership |
//! | `census` | who needs the connection |
//! | `channel` | rekeys by datagram: which keys open them, how they are acknowledged |
//! | `multicast` | rekeys by IP multicast: the socket that they are heard on |
//! | `driver` | one task a membership: runs [`MemberSession`](crate::group::session::MemberSession) |
//! | `membership`, `events`, `ticket` | what the owner holds |
//! | `suite` | what is computed with keys, by suite |
//! | `keys` | the check of headers and issuers |

mod census;
mod channel;
mod client;
mod dispatch;
mod driver;
mod error;
mod events;
mod exchange;
mod keys;
mod link;
mod membership;
mod multicast;
mod options;
mod pauses;
mod route;
mod suite;
mod ticket;

pub use client::Client;
pub use error::{ExportError, JoinError, MemberError, TicketError, Unusable};
pub use events::{End, Event};
pub use link::HANDSHAKE;
pub use membership::{Counters, Membership};
pub use options::{Fidelity, KeyOptions, Observed, Options, Presence, Sockets};
pub use pauses::{Pauses, is_refused};
pub use suite::SuiteKeys;
pub use ticket::Ticket;

pub use crate::crypto::{Fingerprint, NoFingerprint};

#[cfg(test)]
mod tests;
