//! The command line: one file a command.

pub mod admin;
pub mod audit;
pub mod check_config;
pub mod completions;
pub mod demo;
pub mod join;
pub mod kmip;
mod logging;
pub mod man;
pub mod pki;
pub mod policy;
pub mod serve;
pub mod token;
pub mod token_host;
pub mod top;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, ConfigError};

/// A key-distribution gateway for secure multicast groups.
#[derive(Parser, Debug)]
#[command(name = "wardcast", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Serve(serve::ServeArgs),
    CheckConfig(check_config::CheckConfigArgs),
    Token(token::TokenArgs),
    TokenHost(token_host::TokenHostArgs),
    Pki(pki::PkiArgs),
    Admin(admin::AdminArgs),
    Top(top::TopArgs),
    Audit(audit::AuditArgs),
    Kmip(kmip::KmipArgs),
    Policy(policy::PolicyArgs),
    Join(join::JoinArgs),
    Demo(demo::DemoArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Runs the command.
pub fn run(cli: &Cli) -> ExitCode {
    match &cli.command {
        Command::Serve(args) => on_runtime(serve::run(args)),
        Command::CheckConfig(args) => check_config::run(args),
        Command::Token(args) => token::run(args),
        // Before there is any thread but this one: its sandbox restrains no other.
        Command::TokenHost(args) => token_host::run(args),
        Command::Pki(args) => pki::run(args),
        Command::Admin(args) => on_runtime(admin::run(args)),
        Command::Top(args) => on_runtime(top::run(args)),
        Command::Audit(args) => audit::run(args),
        Command::Kmip(args) => kmip::run(args),
        Command::Policy(args) => on_runtime(policy::run(args)),
        Command::Join(args) => on_runtime(join::run(args)),
        Command::Demo(args) => on_runtime(demo::run(args)),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
    }
}

fn on_runtime(command: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => {
            eprintln!("wardcast: cannot start its threads: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The configuration of a file, with the environment's variables over it; what is wrong is printed.
fn load(path: &Path) -> Result<Config, ExitCode> {
    configuration(path).map_err(|error| {
        for problem in &error.problems {
            eprintln!("wardcast: {problem}");
        }
        ExitCode::FAILURE
    })
}

/// The same without a word.
fn configuration(path: &Path) -> Result<Config, ConfigError> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    Config::load(Some(path), std::env::vars_os().filter_map(text))
}
