//! `wardcast serve`: runs a gateway until it is told to stop.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::load;
use crate::app::Gateway;
use crate::config::{Log, LogFormat};

/// Runs a gateway. The first line on standard output is a JSON object that says where it listens; logs go to
/// standard error. SIGTERM and SIGINT stop it: members are told to come back, and what is under way is finished.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes:\n  0  stopped as asked\n  1  it could not start\n  2  wrong usage"
)]
pub struct ServeArgs {
    /// The configuration; WARDCAST_… variables come before it.
    #[arg(long)]
    config: PathBuf,
}

/// Runs the command.
pub async fn run(args: &ServeArgs) -> ExitCode {
    let config = match load(&args.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    start_logging(&config.log);
    let gateway = match Gateway::start(config).await {
        Ok(gateway) => gateway,
        Err(error) => {
            eprintln!("wardcast: {}: {error}", args.config.display());
            return ExitCode::FAILURE;
        }
    };
    let stop = match stop() {
        Ok(stop) => stop,
        Err(error) => {
            eprintln!("wardcast: cannot listen for signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    let listening = gateway.listening();
    tracing::info!(quic = %listening.quic, groups = listening.groups, "listening");
    // Whoever started it may not care, and have closed the pipe.
    let _ = writeln!(std::io::stdout(), "{}", json!({ "listening": listening }));
    gateway.run(stop).await;
    ExitCode::SUCCESS
}

fn stop() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn start_logging(log: &Log) {
    // Loading has checked the directives.
    let filter = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => lines
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .init(),
        LogFormat::Json => lines.json().init(),
    }
}
