//! The epoch machine of one group: inputs in, effects out, in the order that keeps promises.
