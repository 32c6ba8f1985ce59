//! `wardcast serve`: runs a gateway until it is told to stop.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
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
    /// Stop when standard input ends as well: for whoever starts a gateway that must not outlive him.
    #[arg(long)]
    stop_with_input: bool,
}

/// Runs the command.
pub async fn run(args: &ServeArgs) -> ExitCode {
    let config = match load(&args.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    start_logging(&config.log);
    let gateway = match Gateway::start(config, &args.config).await {
        Ok(gateway) => gateway,
        Err(error) => {
            eprintln!("wardcast: {}: {error}", args.config.display());
            return ExitCode::FAILURE;
        }
    };
    let stop = match stop(args.stop_with_input) {
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

/// Done at SIGTERM or SIGINT, and if asked for at the end of standard input.
pub(super) fn stop(with_input: bool) -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (ended, mut input) = oneshot::channel();
    if with_input {
        // A thread of its own, which nobody waits for: a read of standard input cannot be called off.
        std::thread::spawn(move || {
            // What is written there means nothing, and an error is an end as well.
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            let _ = ended.send(());
        });
    }
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            Ok(()) = &mut input => {}
        }
    })
}

/// Logs to standard error as configured.
pub(super) fn start_logging(log: &Log) {
    // Loading has checked the directives.
    let filter = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    // It takes each mechanism of a token that it has no name for, dozens of them, for an error.
    let quiet = "cryptoki::mechanism=off".parse();
    let filter = quiet.map_or(filter.clone(), |quiet| filter.add_directive(quiet));
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
