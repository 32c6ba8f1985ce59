//! The client of a key store upstream: typed operations over mutual TLS or HTTPS, with every wait and every retry bounded.
//!
//! ```text
//!   call(operation), exchange(batch)
//!     | queue: a bound, and the deadline
//!     | address: the first whose breaker gives leave
//!     | connection: an idle one that is quiet, or a new one; then DiscoverVersions where no version is known
//!     v
//!   exchange: request --> transport --> response, checked against the request
//! ```
//!
//! - A request whose answer is lost is sent again only when each of its operations may be repeated, or when nothing of it was
//!   sent. What else is lost is [`ClientError::Unknown`], and is the caller's to look up.
//! - An answer that cannot be read counts as lost, and its connection is closed.
//! - Credentials are replaced while it serves ([`Client::renewal`]): what is asked after that shows the new ones.
//! - A transport that fails several times in a row lets its address rest; KMIP's own errors do not.
//! - Keys pass through here wrapped, never plain: [`Register`] has no plain key, and [`Get`] refuses one. Messages are
//!   overwritten when they are dropped, but for the copies that the TLS and HTTPS libraries make; no error, log line or metric
//!   has a value of an object in it.

mod attempt;
mod attempts;
mod attributes;
mod breaker;
mod catalogue;
#[expect(clippy::module_inception, reason = "the module's main part")]
mod client;
mod endpoint;
mod error;
mod exchange;
mod heard;
mod idle;
mod observe;
mod operations;
mod options;
mod transport;
mod version;

pub use attributes::{Attribute, AttributeName};
pub use catalogue::METRICS;
pub use client::{Client, Renewal};
pub use endpoint::{Endpoint, EndpointError, PORT};
pub use error::{ClientError, ResponseFault, ServerError, SetupError, TransportError};
pub use exchange::{Answer, Answers, Batch, RawRequest, Request};
pub use heard::Heard;
pub use operations::*;
pub use options::{MAX_ADDRESSES, MAX_BATCH, MAX_CONNECTIONS, MAX_SHOWN, Options};
pub use version::Version;
