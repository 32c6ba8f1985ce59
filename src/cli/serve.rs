//! `wardcast serve`: runs a gateway until it is told to stop.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::{configuration, load, logging};
use crate::admin::Order;
use crate::app::{Gateway, Surroundings};

/// What a process that was ended by a signal exits with, besides the signal's number.
const ENDED_BY_SIGNAL: i32 = 128;

/// Runs a gateway. The first line on standard output is a JSON object that says where it listens; logs go to
/// standard error. SIGTERM and SIGINT stop it: rekeys that are under way end, and members are told to come back, here or where
/// listen.drain_to says; a second one ends it at once. SIGHUP has it read its configuration and its files anew; certificates that are
/// replaced are noticed without. A service manager is told how it is (sd_notify), and its watchdog that it is alive.
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
    let (logging, traces) = match logging::start_with_traces(&config.log, &config.trace) {
        Ok(started) => started,
        Err(why) => {
            eprintln!("wardcast: {}: {why}", args.config.display());
            return ExitCode::FAILURE;
        }
    };
    let gateway = match Gateway::start(config, &args.config).await {
        Ok(gateway) => gateway,
        Err(error) => {
            eprintln!("wardcast: {}: {error}", args.config.display());
            return ExitCode::FAILURE;
        }
    };
    let signals =
        stop(args.stop_with_input).and_then(|stop| Ok((stop, signal(SignalKind::hangup())?)));
    let (stop, hang_ups) = match signals {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("wardcast: cannot listen for signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    let reloading = tokio::spawn(reload(hang_ups, gateway.orders()));
    let listening = gateway.listening();
    tracing::info!(quic = %listening.quic, groups = listening.groups, "listening");
    // Whoever started it may not care, and have closed the pipe.
    let _ = writeln!(std::io::stdout(), "{}", json!({ "listening": listening }));
    let surroundings = Surroundings {
        load: || configuration(&args.config),
        logging,
        stop,
    };
    gateway.run(surroundings).await;
    reloading.abort();
    // It panics only with the thread, and then there is nothing to tell.
    let _ = spawn_blocking(|| traces.stop()).await;
    ExitCode::SUCCESS
}

/// Has the gateway read its configuration anew at each SIGHUP. What comes of it is logged, and on record.
async fn reload(mut hang_ups: Signal, orders: mpsc::Sender<Order>) {
    while hang_ups.recv().await.is_some() {
        let (reply, done) = oneshot::channel();
        if orders.send(Order::Reload(None, reply)).await.is_err() {
            return;
        }
        let _ = done.await;
    }
}

/// Done at SIGTERM or SIGINT, and if asked for at the end of standard input. The next signal after that ends the process at once.
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
    let (mut told, asked) = oneshot::channel();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            Ok(()) = &mut input => {}
            // It ends for another reason; the first signal says no more than that.
            () = told.closed() => {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            }
        }
        let _ = told.send(());
        let signal = tokio::select! {
            _ = terminate.recv() => SignalKind::terminate(),
            _ = interrupt.recv() => SignalKind::interrupt(),
        };
        eprintln!("wardcast: told to end a second time: it ends at once");
        std::process::exit(ENDED_BY_SIGNAL + signal.as_raw_value());
    });
    Ok(async move {
        let _ = asked.await;
    })
}
