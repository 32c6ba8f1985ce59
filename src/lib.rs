//! Wardcast: a key-distribution gateway for secure multicast groups.

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod crypto;
pub mod engine;
pub mod group;
pub mod hsm;
pub mod member;
pub mod pki;
pub mod policy;
pub mod quic;
pub mod store;
pub mod tls;
