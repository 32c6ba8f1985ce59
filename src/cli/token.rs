//! `wardcast token`: prepares the tokens that hold the master key.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::load;
use crate::crypto::Fingerprint;
use crate::hsm::{Provisioned, read_escrow_key};
use crate::{app, config};

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
        #[command(flatten)]
        escrow: Escrow,
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
        #[command(flatten)]
        escrow: Escrow,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// The key that roots are wrapped under for the key store upstream.
#[derive(Args, Debug)]
struct Escrow {
    /// Also let the token make the escrow key (token.escrow_label), unless it has it. It never leaves the token: its vendor's tool
    /// takes it to whoever else is to have it.
    #[arg(long)]
    escrow: bool,
    /// Also put the escrow key (token.escrow_label) from this file into all configured tokens, none of which may have one of that label:
    /// 64 hexadecimal digits, in a file that its owner alone may read. Delete the file afterwards.
    #[arg(long, value_name = "FILE", conflicts_with = "escrow")]
    escrow_file: Option<PathBuf>,
}

impl Escrow {
    /// Does what is asked; answers with the label, if a key was made or brought in.
    fn provision(&self, token: &config::Token) -> Result<Option<String>, String> {
        let key = self.escrow_file.as_deref().map(read_escrow_key);
        let key = key.transpose().map_err(|error| error.to_string())?;
        if key.is_none() && !self.escrow {
            return Ok(None);
        }
        let made = app::provision_escrow(token, key.as_ref());
        let made = made.map_err(|error| error.to_string())?;
        Ok(token.escrow_label.clone().filter(|_| made))
    }
}

/// Runs the command.
pub fn run(args: &TokenArgs) -> ExitCode {
    let (path, escrow, json, ceremony) = match &args.command {
        TokenCommand::Provision {
            config,
            escrow,
            json,
        } => (config, escrow, *json, false),
        TokenCommand::Ceremony {
            config,
            escrow,
            json,
        } => (config, escrow, *json, true),
    };
    let config = match load(path) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let provisioned = match ceremony {
        true => app::provision_all(&config.token),
        false => app::provision(&config.token).map(|one| vec![one]),
    };
    let done = provisioned
        .map_err(|error| error.to_string())
        .and_then(|provisioned| Ok((provisioned, escrow.provision(&config.token)?)));
    let (provisioned, escrow) = match done {
        Ok(done) => done,
        Err(why) => {
            eprintln!("wardcast: {}: [token] {why}", path.display());
            return ExitCode::FAILURE;
        }
    };
    // A reader that went away has seen what it wanted.
    let _ = writeln!(std::io::stdout(), "{}", report(&provisioned, escrow, json));
    ExitCode::SUCCESS
}

/// What was made, and the issuer that members may pin: the same of all tokens.
fn report(provisioned: &[Provisioned], escrow: Option<String>, json: bool) -> String {
    let mut created: Vec<&str> = Vec::new();
    for label in provisioned
        .iter()
        .flat_map(|one| &one.created)
        .chain(&escrow)
    {
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
