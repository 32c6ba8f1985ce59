//! The QUIC front end: mutual TLS, identity, requests and deliveries.
//!
//! One task a connection: it takes the requests that the member opens and the pushes that its outbox holds, each
//! carried on a stream of its own. A handshake is never awaited where connections are accepted; when handshakes
//! pile up, addresses must prove themselves first (Retry, RFC 9000 section 8.1.2), and wait for their turn.
//!
//! The port has several sockets, a lane each: a thread that reads it, one that sends rekeys on it, and a task that drives QUIC on it
//! for all its connections. What is multicast is sent by a thread of its own.

mod absence;
mod acknowledgements;
mod admission;
mod beats;
mod catalogue;
mod connection;
mod driver;
mod failures;
mod fanout;
mod farewell;
mod lanes;
mod listener;
mod multicast;
mod pace;
mod push;
mod request;
mod session;
mod socket;
mod timers;
mod transmit;
mod transport;

pub use beats::Beats;
pub use catalogue::METRICS;
pub use listener::{BindError, Listener, Parts};

use std::time::Duration;

/// Bounds of the front end that operators set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// Connections at a time of one identity.
    pub connections_per_identity: usize,
    /// Handshakes at a time, those that wait among them; from half of it on, or 320, clients must prove their address
    /// first.
    pub handshakes: usize,
    /// How often parked members say that they are there.
    pub alive: Duration,
    /// Megabits a second that datagrams of the push channel are sent with at most, by all sockets together; no limit if 0.
    pub pace_mbit_s: u32,
}

/// How to multicast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multicast {
    /// The interface to send on, such as `eth0`.
    pub interface: String,
    /// How many networks a datagram may cross; 1 stays on the interface's own.
    pub ttl: u8,
    /// What is sent is sent again, unchanged, after each of these pauses.
    pub repeat_after: Vec<Duration>,
    /// Between two heartbeats of a group.
    pub heartbeat: Duration,
    /// Within which a member that listens reports.
    pub report: Duration,
}

/// Requests of one connection at a time; QUIC's stream limit holds the peer to it. Each connection has room for them as long as it lives.
const MAX_REQUESTS: u32 = 8;
/// Registrations that one connection may carry.
const MAX_REGISTRATIONS: usize = 64;
/// When whoever wants to join a gateway that is about to go may ask again, in milliseconds; by then it is told where to go.
const CLOSING_RETRY_MS: u64 = 1_000;
/// How long a client may take for its handshake.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// How long a client may take to send a request once it has opened the stream.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
/// How long a member may take to answer a push; a path is pushed after that, for as long as the connection lives.
const PUSH_DEADLINE: Duration = Duration::from_secs(10);
/// How long to wait before a push that failed is followed by a path.
const PUSH_RETRY: Duration = Duration::from_secs(1);
/// A parked member that was not heard of for so many times as long as it should be is absent.
const MISSED: u32 = 3;
/// A connection that is silent for this long is lost; members keep theirs alive well within it.
const IDLE: Duration = Duration::from_secs(30);
