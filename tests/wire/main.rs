//! The wire protocol against its golden vectors, against hostile bytes and against random messages.

mod golden;
mod hostile;
mod random;
mod samples;
