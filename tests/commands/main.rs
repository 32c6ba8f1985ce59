//! The commands as a person and a script run them: the real program, its exit codes, and what it says where something is wrong.

mod admin;
mod config;
mod control;
mod gateway;
mod join;
mod kmip;
mod pages;
mod pki;
mod place;
mod readme;
mod serve;
mod token;
mod token_host;
mod traces;
