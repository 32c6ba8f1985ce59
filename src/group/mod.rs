//! The pure core: what a group is and how its keys change, without a clock, socket, lock, RNG or key byte.

pub mod edges;
pub mod ids;
pub mod index;
pub mod limits;
pub mod machine;
pub mod multicast;
pub mod operations;
pub mod planner;
pub mod policy;
pub mod record;
pub mod request;
pub mod roster;
pub mod session;
pub mod state;
pub mod tree;
pub mod wire;
