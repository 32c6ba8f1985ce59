//! What a request and a rekey go through: identifiers of requests, and spans that a collector of traces can be told (OTLP, feature `otlp`).
//!
//! A span is made for each request of a member, an operator or a program, and for each change of a group with what it consists of: the
//! store, the token, what is pushed, and the wait for acknowledgements. Never one for each member of a group that is rekeyed. All are
//! of the target [`TARGET`]; those of changes are at the level debug, so that logs at `info` have nothing to do with them.

mod catalogue;
#[cfg(feature = "otlp")]
mod export;
#[cfg(feature = "otlp")]
mod queue;
mod request;

pub use catalogue::METRICS;
#[cfg(feature = "otlp")]
pub use export::{Exporter, Options, TraceError};
pub use request::{Few, current, fresh, within};

/// Of all spans.
pub const TARGET: &str = "wardcast::trace";
