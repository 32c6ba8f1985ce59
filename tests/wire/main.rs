//! The wire protocol against its golden vectors, against hostile bytes and against random messages; KMIP likewise.

#![allow(clippy::unwrap_used, reason = "a test may panic: that is how it fails")]

mod channel;
mod golden;
mod hostile;
mod kmip;
mod member;
mod random;
mod samples;
mod suites;
