//! `wardcast top`: a live view of a gateway in a terminal, or one snapshot of it as text or JSON.

mod draw;
mod plain;
mod screen;
mod terminal;
#[cfg(test)]
mod tests;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Args;

use super::admin::{Client, ClientError, GatewayArgs};

const EXIT_CODES: &str =
    "Keys: q quits, s sorts otherwise, / filters groups by name, arrows scroll, ? helps.

Exit codes:
  0  done
  1  the gateway could not be reached (with --once or --json), or the terminal cannot be used
  2  wrong usage: certificates that cannot be used, or an output that is no terminal
  4  refused: not an operator";

/// Shows a running gateway: groups by activity, how long rekeys take, tokens, upstream, the slowest members.
#[derive(Args, Debug)]
#[command(after_help = EXIT_CODES)]
pub struct TopArgs {
    #[command(flatten)]
    gateway: GatewayArgs,
    /// Print one snapshot as text and end.
    #[arg(long)]
    once: bool,
    /// Print one snapshot as JSON and end.
    #[arg(long, conflicts_with = "once")]
    json: bool,
}

/// Runs until the user ends it.
pub async fn run(args: &TopArgs) -> ExitCode {
    let GatewayArgs {
        server,
        ca,
        cert,
        key,
    } = &args.gateway;
    let client = match Client::new(server, ca, cert, key) {
        Ok(client) => client,
        Err(error) => return failed(&error),
    };
    if args.once || args.json {
        return match client.overview().await {
            Ok(view) if args.json => print(&serde_json::json!(view).to_string()),
            Ok(view) => print(&plain::text(&view)),
            Err(error) => failed(&error),
        };
    }
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        eprintln!("wardcast: input and output are no terminal; use --once or --json");
        return ExitCode::from(2);
    }
    match terminal::run(client, server).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(terminal::TopError::Client(error)) => failed(&error),
        Err(error @ terminal::TopError::Terminal(_)) => {
            eprintln!("wardcast: {error}");
            ExitCode::FAILURE
        }
    }
}

fn failed(error: &ClientError) -> ExitCode {
    eprintln!("wardcast: {error}");
    ExitCode::from(error.exit_code())
}

/// A reader that went away, as `head` does, has seen what it wanted.
fn print(text: &str) -> ExitCode {
    let _ = writeln!(std::io::stdout(), "{text}");
    ExitCode::SUCCESS
}
