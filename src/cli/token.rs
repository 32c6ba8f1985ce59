//! `wardcast token`: prepares the tokens that hold the master key.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::load;
use crate::app;
use crate::crypto::Fingerprint;
use crate::hsm::Provisioned;

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
    /// Makes the keys once and puts them into the configured token and all its replicas, none of which may have some
    /// yet. They are in this process's memory for that long: run it where you would hold a key ceremony. Tokens that
    /// take no imported keys are cloned with their vendor's tools instead.
    Ceremony {
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
    let (path, json, ceremony) = match &args.command {
        TokenCommand::Provision { config, json } => (config, *json, false),
        TokenCommand::Ceremony { config, json } => (config, *json, true),
    };
    let config = match load(path) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let provisioned = match ceremony {
        true => app::provision_all(&config.token),
        false => app::provision(&config.token).map(|one| vec![one]),
    };
    let provisioned = match provisioned {
        Ok(provisioned) => provisioned,
        Err(error) => {
            eprintln!("wardcast: {}: [token] {error}", path.display());
            return ExitCode::FAILURE;
        }
    };
    // A reader that went away has seen what it wanted.
    let _ = writeln!(std::io::stdout(), "{}", report(&provisioned, json));
    ExitCode::SUCCESS
}

/// What was made, and the issuer that members may pin: the same of all tokens.
fn report(provisioned: &[Provisioned], json: bool) -> String {
    let mut created: Vec<&str> = Vec::new();
    for label in provisioned.iter().flat_map(|one| &one.created) {
        if !created.contains(&label.as_str()) {
            created.push(label);
        }
    }
    let issuer = provisioned.first().map_or(String::new(), |one| {
        Fingerprint::of(&one.issuers.one.signing).to_string()
    });
    match (json, created.is_empty()) {
        (true, _) => {
            json!({ "created": created, "issuer": issuer, "tokens": provisioned.len() }).to_string()
        }
        (false, true) => format!("nothing to do: all keys exist\nissuer {issuer}"),
        (false, false) => format!("created: {}\nissuer {issuer}", created.join(", ")),
    }
}
