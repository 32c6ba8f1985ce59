//! `wardcast token`: prepares the token that holds the master key.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::load;
use crate::{app, crypto};

/// Prepares the configured token.
#[derive(Args, Debug)]
pub struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Subcommand, Debug)]
enum TokenCommand {
    /// Creates the keys that the token lacks: the master key, the agreement and the signing key pair. A gateway
    /// never does so by itself: with the wrong token it must not begin afresh. Harmless to repeat.
    Provision {
        /// The configuration; WARDCAST_… variables come before it.
        #[arg(long)]
        config: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command.
pub fn run(args: &TokenArgs) -> ExitCode {
    let TokenCommand::Provision { config: path, json } = &args.command;
    let config = match load(path) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let provisioned = match app::provision(&config.token) {
        Ok(provisioned) => provisioned,
        Err(error) => {
            eprintln!("wardcast: {}: [token] {error}", path.display());
            return ExitCode::FAILURE;
        }
    };
    let created = provisioned.created;
    let issuer = crypto::fingerprint(&provisioned.issuer.signing);
    let text = match (json, created.is_empty()) {
        (true, _) => json!({ "created": created, "issuer": issuer }).to_string(),
        (false, true) => format!("nothing to do: all keys exist\nissuer {issuer}"),
        (false, false) => format!("created: {}\nissuer {issuer}", created.join(", ")),
    };
    // A reader that went away has seen what it wanted.
    let _ = writeln!(std::io::stdout(), "{text}");
    ExitCode::SUCCESS
}
