//! The command line: one file a command.

pub mod admin;
pub mod check_config;
pub mod demo;
pub mod join;
pub mod pki;
pub mod serve;
pub mod token;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Config;

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
    Pki(pki::PkiArgs),
    Admin(admin::AdminArgs),
    Join(join::JoinArgs),
    Demo(demo::DemoArgs),
}

/// Runs the command.
pub async fn run(cli: &Cli) -> ExitCode {
    match &cli.command {
        Command::Serve(args) => serve::run(args).await,
        Command::CheckConfig(args) => check_config::run(args),
        Command::Token(args) => token::run(args),
        Command::Pki(args) => pki::run(args),
        Command::Admin(args) => admin::run(args).await,
        Command::Join(args) => join::run(args).await,
        Command::Demo(args) => demo::run(args).await,
    }
}

/// The configuration of a file, with the environment's variables over it; what is wrong is printed.
fn load(path: &Path) -> Result<Config, ExitCode> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let variables = std::env::vars_os().filter_map(text);
    Config::load(Some(path), variables).map_err(|error| {
        for problem in &error.problems {
            eprintln!("wardcast: {problem}");
        }
        ExitCode::FAILURE
    })
}
