//! The epoch machine of one group: inputs in, effects out, in the order that keeps promises.

mod io;

pub use io::{
    Assurance, Effect, EpochStatus, GroupStatus, Input, JobId, QueueStatus, Rekey, Ticket,
};
