//! The gateway's tokens in processes of their own: what members notice of their troubles, and what never leaves them.

#[path = "../support/mod.rs"]
mod support;

mod chaos;
mod processes;
mod replicas;
mod rotation;
mod start;
mod suites;
