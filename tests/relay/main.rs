//! The audit trail goes to a real PyKMIP server: all of it, in order, none of it twice, whatever is killed meanwhile; and what the
//! gateway does while the server is away.

#[path = "../support/pykmip.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod pykmip;
#[path = "../support/mod.rs"]
mod support;

mod batches;
mod cursor;
mod kills;
mod outage;
mod renewal;
mod rule;
mod upstream;
