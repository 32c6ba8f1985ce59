//! The gateway from the outside: `wardcast serve` in a process of its own, members, peers that misbehave, operators.

#[path = "../support/mod.rs"]
mod support;

mod audit;
mod channel;
mod epochs;
mod lanes;
mod library;
mod limits;
mod multicast;
mod parking;
mod refusals;
