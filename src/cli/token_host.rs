//! `wardcast token-host`: the process that holds the token.

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use clap::Args;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use super::serve::stop;
use super::{load, logging};
use crate::app;
use crate::config::{Config, Sandbox, TokenHost};
use crate::hsm::host;
use crate::hsm::host::sandbox::{self, SandboxOptions};
use crate::hsm::host::server::{self, End, HostOptions};
use crate::hsm::{TokenConfig, TokenKind};

/// Serves the configured token to a gateway over a Unix socket. This process alone reads the PIN and loads the vendor's
/// library, confined by a sandbox that it enters before. A gateway starts it by itself, or the service manager does
/// under a user of its own. SIGTERM and SIGINT stop it.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes:\n  0  stopped as asked\n  1  it could not start\n  2  wrong usage\nIt aborts (SIGABRT) when too many calls are stuck in the token: start it again"
)]
pub struct TokenHostArgs {
    /// The configuration; WARDCAST_… variables come before it.
    #[arg(long)]
    config: PathBuf,
    /// The socket to listen on.
    #[arg(long)]
    socket: PathBuf,
    /// Stop when standard input ends as well: for a gateway whose host must not outlive it.
    #[arg(long)]
    supervised: bool,
    /// Which of the configured tokens: 0 is the first, 1 the first of token.replicas.
    #[arg(long, default_value_t = 0)]
    token: usize,
}

/// Runs the command. It needs the process's only thread: the sandbox restrains no other.
pub fn run(args: &TokenHostArgs) -> ExitCode {
    let config = match load(&args.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let _logging = logging::start(&config.log);
    match serve(args, &config) {
        Ok(End::Stopped) => ExitCode::SUCCESS,
        // An orderly exit would run the library's own destructors, which wait for what is stuck.
        Ok(End::Stuck) => std::process::abort(),
        Err(why) => {
            eprintln!("wardcast: {}: [token] {why}", args.config.display());
            ExitCode::FAILURE
        }
    }
}

fn serve(args: &TokenHostArgs, config: &Config) -> Result<End, Box<dyn std::error::Error>> {
    undumpable()?;
    let mut tokens = app::token_configs(&config.token);
    if args.token >= tokens.len() {
        return Err(format!(
            "there is no token {}: the last is {}",
            args.token,
            tokens.len() - 1
        )
        .into());
    }
    let token = tokens.swap_remove(args.token);
    let mut options = HostOptions::default();
    options.uids.extend(&config.token.host.clients);
    // With other users the socket is open to the group: they have to be in it.
    let listener = server::bind(&args.socket, !config.token.host.clients.is_empty())?;
    match config.token.host.sandbox {
        Sandbox::Off => tracing::warn!("the token host is not sandboxed, as configured"),
        Sandbox::Auto | Sandbox::Required => {
            let confinement = sandbox::enter(&sandbox_options(&config.token.host, &token))?;
            options.confinement = confinement.to_string();
        }
    }
    let server = server::serve(listener, host::lazy(token), options)?;
    let (stopping, supervised) = (server.clone(), args.supervised);
    // One thread of its own for signals: everything else here blocks.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let stop = runtime.block_on(async { stop(supervised) })?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(stop);
            tracing::info!("stopping: sessions are closed");
            stopping.stop();
        })?;
    tracing::info!(socket = %args.socket.display(), "token host listening");
    Ok(server.wait())
}

/// No core dump holds what this process knows, and no other process of its user looks into it.
fn undumpable() -> std::io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    Ok(setrlimit(Resource::Core, none)?)
}

fn sandbox_options(host: &TokenHost, token: &TokenConfig) -> SandboxOptions {
    let mut write = host.writable.clone();
    if let TokenKind::Soft { path } = &token.kind {
        // The file is replaced as a whole when its ring changes, so its folder is written to.
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        write.push(folder.map_or_else(|| PathBuf::from("."), PathBuf::from));
    }
    SandboxOptions {
        write,
        network: host.network,
        required: host.sandbox == Sandbox::Required,
    }
}
