//! No key, PIN or token reaches any log line, and no key is on the disk, not even a wrapped one.
//!
//! A real gateway logs all that it can while members join, leave, are evicted, are rekeyed and come back; this process logs
//! all that they do. The test opens the gateway's software token with its PIN, derives every key that the group ever
//! had, and looks for each of them, in every form in which a program could have written it.

#[path = "../support/mod.rs"]
mod support;

mod forms;
mod keys;
mod log;
mod story;
mod token;
