//! From `[token]` to a pool: which processes are started, how sessions are opened, and their end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::config::{self, HostMode};
use crate::crypto::Key;
use crate::group::ids::MasterId;
use crate::hsm::host::remote;
use crate::hsm::host::supervisor::{HostCommand, HostState, Supervisor, SupervisorOptions};
use crate::hsm::host::{self};
use crate::hsm::{
    self, Lane, Opener, Pauses, PinSource, Pool, PoolOptions, Provisioned, TokenConfig, TokenError,
    TokenKind,
};

use super::AppError;

/// How long a batch may take, as a multiple of the deadline of one call: it may be tried elsewhere, and wait before that.
const PATIENCE: u32 = 6;

/// How long a session waits for a host that is being started.
const HOST_START: Duration = Duration::from_secs(2);
/// The longest pause before a host is started, or a session opened, again.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How often it looks; this is one of the pool's own threads, which have nothing else to do then.
const HOST_LOOK: Duration = Duration::from_millis(5);

/// The pool, and the token hosts that this process looks after.
pub(super) struct Tokens {
    pub(super) pool: Arc<Pool>,
    hosts: Vec<Supervisor>,
    /// Where their sockets are; it goes with them.
    _folder: Option<TempDir>,
}

impl Tokens {
    /// Starts hosts and pool without waiting for any token. `file` is the configuration that hosts read for themselves.
    pub(super) fn start(config: &config::Token, file: &Path) -> Result<Self, AppError> {
        let deadline = Duration::from_millis(config.pool.deadline_ms.into());
        let mut hosts = Vec::new();
        let folder = match config.host.mode {
            HostMode::Process => Some(private_folder()?),
            HostMode::Socket | HostMode::Inside => None,
        };
        let mut lanes = Vec::new();
        for (lane, place) in places(config).into_iter().enumerate() {
            let opener: Opener = match (&folder, &place.socket) {
                (Some(folder), _) => {
                    let socket = folder.path().join(lane.to_string());
                    let command = HostCommand::this_program(file, lane, &socket);
                    let host = Supervisor::start(command, patience(deadline));
                    let opener = once_alive(&host, remote::opener(&socket, deadline));
                    hosts.push(host);
                    opener
                }
                (None, Some(socket)) => remote::opener(socket, deadline),
                (None, None) => host::lazy(place.config),
            };
            lanes.push(Lane {
                name: unique(&place.name, &lanes),
                opener,
            });
        }
        let options = PoolOptions {
            workers: config.pool.workers,
            queue: config.pool.queue,
            // A host's call has given up by then: what is lost after that is a worker whose thread hangs.
            deadline: deadline + deadline / 4,
            patience: deadline * PATIENCE,
            lost: config.pool.lost_workers,
            pauses: Pauses {
                // A host that is started again is waited for anyhow; nobody else is spared by a longer pause.
                longest: match config.host.mode {
                    HostMode::Process => LONGEST_PAUSE,
                    HostMode::Socket | HostMode::Inside => Pauses::default().longest,
                },
                ..Pauses::default()
            },
        };
        Ok(Self {
            pool: Arc::new(Pool::start(lanes, options)?),
            hosts,
            _folder: folder,
        })
    }

    /// Closes the sessions in good order, then ends the hosts.
    pub(super) async fn stop(self) {
        let pool = self.pool;
        // It waits for threads. Should one panic, there is nothing left to close.
        let _ = spawn_blocking(move || pool.shutdown()).await;
        for host in self.hosts {
            host.stop().await;
        }
    }
}

/// Where the sockets of this process's hosts are; nobody else may look into it.
fn private_folder() -> Result<TempDir, AppError> {
    // The service manager's folder for this service, if it made one.
    let folder = std::env::var_os("RUNTIME_DIRECTORY").map(PathBuf::from);
    let folder = folder.unwrap_or_else(std::env::temp_dir);
    let made = tempfile::Builder::new()
        .prefix("wardcast-")
        .tempdir_in(folder);
    made.map_err(|source| AppError::System {
        what: "cannot make a folder for the token hosts' sockets",
        source,
    })
}

/// A host that does not answer a ping for half a call's deadline does not answer: so a frozen one is replaced about as soon as
/// the calls that it swallowed are given up.
fn patience(deadline: Duration) -> SupervisorOptions {
    let default = SupervisorOptions::default();
    SupervisorOptions {
        ping_every: default.ping_every.min(deadline / 2),
        ping_patience: default.ping_patience.min(deadline / 2),
        longest_pause: LONGEST_PAUSE,
        ..default
    }
}

/// Opens sessions with a host that is being started once it answers: until then there is nothing to complain of.
fn once_alive(host: &Supervisor, opener: Opener) -> Opener {
    let state = host.state();
    Arc::new(move || {
        let began = Instant::now();
        while !matches!(*state.borrow(), HostState::Alive { .. }) && began.elapsed() < HOST_START {
            std::thread::sleep(HOST_LOOK);
        }
        opener()
    })
}

/// A token, wherever it is configured.
struct Place {
    name: String,
    config: TokenConfig,
    socket: Option<PathBuf>,
}

/// The first token, then the replicas.
fn places(config: &config::Token) -> Vec<Place> {
    let master = MasterId(config.master);
    let socket = |socket: &Option<PathBuf>| match config.host.mode {
        HostMode::Socket => socket.clone(),
        HostMode::Process | HostMode::Inside => None,
    };
    let first = Place::new(
        kind(
            config.kind,
            Some(&config.path),
            config.module.as_ref(),
            config.token_label.as_ref(),
        ),
        pin(config.pin()),
        (master, config.escrow_label.clone()),
        socket(&config.host.socket),
    );
    let replicas = config.replicas.iter().map(|replica| {
        Place::new(
            kind(
                replica.kind,
                replica.path.as_ref(),
                replica.module.as_ref(),
                replica.token_label.as_ref(),
            ),
            pin(replica.pin()),
            (master, config.escrow_label.clone()),
            socket(&replica.socket),
        )
    });
    std::iter::once(first).chain(replicas).collect()
}

impl Place {
    fn new(
        kind: TokenKind,
        pin: PinSource,
        (master, escrow): (MasterId, Option<String>),
        socket: Option<PathBuf>,
    ) -> Self {
        let name = match &kind {
            TokenKind::Soft { path } => path
                .file_name()
                .map_or("soft".into(), |name| name.to_string_lossy())
                .into_owned(),
            TokenKind::Pkcs11 { token_label, .. } => token_label.clone(),
            TokenKind::Host { socket, .. } => socket.display().to_string(),
        };
        Self {
            name,
            config: TokenConfig {
                kind,
                pin,
                master,
                escrow,
            },
            socket,
        }
    }
}

/// Loading refuses a PKCS#11 token without its module and label, and a software token without its file.
fn kind(
    kind: config::TokenKind,
    path: Option<&PathBuf>,
    module: Option<&PathBuf>,
    label: Option<&String>,
) -> TokenKind {
    match (kind, module, label) {
        (config::TokenKind::Pkcs11, Some(module), Some(label)) => TokenKind::Pkcs11 {
            module: module.clone(),
            token_label: label.clone(),
        },
        _ => TokenKind::Soft {
            path: path.cloned().unwrap_or_default(),
        },
    }
}

fn pin(source: config::PinSource<'_>) -> PinSource {
    match source {
        config::PinSource::File(path) => PinSource::File(path.clone()),
        config::PinSource::Env(name) => PinSource::Env(name.to_owned()),
        config::PinSource::Credential(name) => PinSource::Credential(name.to_owned()),
    }
}

/// Two tokens may have one label, in two libraries.
fn unique(name: &str, lanes: &[Lane]) -> String {
    let taken = |name: &str| lanes.iter().any(|lane| lane.name == name);
    let numbered = (2..).map(|number| format!("{name} ({number})"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    names
        .find(|name| !taken(name))
        .expect("one of endless names is not taken")
}

/// All configured tokens, the first one first: for commands that talk to them directly.
pub fn token_configs(config: &config::Token) -> Vec<TokenConfig> {
    let places = places(config).into_iter();
    places.map(|place| place.config).collect()
}

/// Creates the keys that the first token lacks; harmless to repeat. Blocks.
pub fn provision(config: &config::Token) -> Result<Provisioned, TokenError> {
    let [first, ..] = &token_configs(config)[..] else {
        unreachable!("there is always a first token");
    };
    hsm::provision(first)
}

/// Puts the escrow key into all tokens: this one, or one that the only token makes by itself. Answers with whether any was made.
/// Blocks.
pub fn provision_escrow(config: &config::Token, key: Option<&Key>) -> Result<bool, TokenError> {
    hsm::provision_escrow(&token_configs(config), key)
}

/// Makes the keys once and puts them into the first token and all replicas, none of which may have some yet. Blocks.
pub fn provision_all(config: &config::Token) -> Result<Vec<Provisioned>, TokenError> {
    hsm::provision_shared(&token_configs(config))
}
