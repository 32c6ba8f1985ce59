//! Drives QUIC over `quinn-proto`, for many connections that mostly rest.
//!
//! A lane has one task, and its connections have none: the task takes what the lane's socket has read, hands it to the connections,
//! and then drives each that has something to do, which packets, deadlines and callers find out. What a connection keeps is its
//! state of QUIC, a lock, a list of what has come, and a waker or two.
//!
//! A handshake costs as much as many packets. So it is driven by whoever waits for it, in a task of its own that any thread may run,
//! and the lane only wakes that task; the lane takes over when the handshake has ended. What comes for a connection waits in one list
//! in either case, so that its order holds.
//!
//! Locks are taken in this order: a connection's state, the lane's table, the lane's work. What has come for a connection has a lock
//! that is held for a moment only, with no other taken meanwhile.

mod connection;
mod endpoint;
mod inner;
mod lane;
mod streams;
#[cfg(test)]
mod tests;
mod work;

pub(super) use connection::Connection;
pub(super) use endpoint::{Endpoint, Incoming};
pub(super) use streams::{ReadToEndError, RecvStream, SendStream};
