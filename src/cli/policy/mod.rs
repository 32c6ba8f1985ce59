//! `wardcast policy`: checks a policy document or a file of rules, and publishes it at the key store upstream.

mod put;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::load;
use crate::group::policy::GroupPolicy;
use crate::policy::documents::Document;
use crate::policy::{Rules, SCHEMA};

/// How the command ended, for scripts; listed in its help.
const EXIT_CODES: &str = "Exit codes:
  0  good, or published
  1  something is wrong with it, or the key store did not take it
  2  wrong usage";

/// Policies as documents, and the rules about who may join.
#[derive(Args, Debug)]
#[command(after_help = EXIT_CODES)]
pub struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Subcommand, Debug)]
enum PolicyCommand {
    /// Checks a document (JSON), or rules (Cedar, in a file whose name ends with .cedar).
    Check(CheckArgs),
    /// Prints what rules can look at: the schema that they are held against.
    Schema,
    /// Publishes a document or rules at the key store upstream, in place of what is there.
    Put(put::PutArgs),
}

#[derive(Args, Debug)]
struct CheckArgs {
    /// The file.
    file: PathBuf,
    /// The gateway's configuration: the document stands on its default policy, else on the built-in one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs the command.
pub async fn run(args: &PolicyArgs) -> ExitCode {
    let done = match &args.command {
        PolicyCommand::Check(args) => check(args),
        PolicyCommand::Schema => Ok(SCHEMA.trim_end().to_owned()),
        PolicyCommand::Put(args) => put::put(args).await,
    };
    match done {
        Ok(said) => {
            // A reader that went away has seen what it wanted.
            let _ = writeln!(std::io::stdout(), "{said}");
            ExitCode::SUCCESS
        }
        Err(said) => {
            if !said.is_empty() {
                eprintln!("wardcast: {said}");
            }
            ExitCode::FAILURE
        }
    }
}

fn check(args: &CheckArgs) -> Result<String, String> {
    let text = read(&args.file)?;
    let wrong = |why: String| format!("{}: {why}", args.file.display());
    if is_rules(&args.file) {
        let rules = Rules::parse(&text).map_err(|error| wrong(error.to_string()))?;
        return Ok(format!(
            "{} good rules, revision {}",
            rules.count(),
            rules.revision()
        ));
    }
    let default = match &args.config {
        // What is wrong with it is printed already.
        Some(path) => load(path).map_err(|_| String::new())?.policy.default,
        None => GroupPolicy::default(),
    };
    Document::parse(&default, &text).map_err(|error| wrong(error.to_string()))?;
    Ok("a good document".to_owned())
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn is_rules(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "cedar")
}
