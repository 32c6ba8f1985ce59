//! A gateway that is operated while members are connected: health, roles, reload, certificates, log level, the service manager, drain.

#[path = "../support/mod.rs"]
mod support;

mod drain;
mod health;
mod logs;
mod reload;
mod service;
