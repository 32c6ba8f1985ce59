//! The specification of `wardcast/1`, in five parts; nothing here is code.
//!
//! - [`messages`]: every message as a CDDL, and what each means.
//! - [`keys`]: from a grant to an exported key, byte for byte; how a delivery is opened and an epoch verified.
//! - [`behaviour`]: the states of a registration and of a group, who does what when, and what goes wrong.
//! - [`channel`]: rekeys as bare datagrams beside QUIC, and what an attacker can do to them.
//! - [`multicast`]: the same for many at once, by IP multicast.

pub mod behaviour;
pub mod channel;
pub mod keys;
pub mod messages;
pub mod multicast;
