//! What operators watch a gateway with: a real Prometheus scrapes one under load, with the configuration, rules and dashboards
//! that are shipped.

#[path = "../support/collector.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod collector;
#[path = "../support/pykmip.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod pykmip;
#[path = "../support/mod.rs"]
mod support;

mod exposition;
mod load;
mod panels;
mod rules;
mod server;
mod trouble;
