//! The composition root: the one place that names every part, and in which order they start and end.

mod admission;
mod front;
mod metrics;
mod policies;
mod relay;
mod siem;
mod signer;
mod token;
mod trail;
mod upstream;

use std::net::SocketAddr;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::Serialize;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use crate::admin::{self, AdminServer, Metrics};
use crate::attributes::Sources;
use crate::audit::{Audit, Entry, Event, SpoolError};
use crate::config::{self, Config};
use crate::engine::{self, Handle};
use crate::front::Front;
use crate::group::multicast::MulticastTimes;
use crate::group::wire;
use crate::hsm::PoolStartError;
use crate::policy::documents::Book;
use crate::quic::{self, Listener};
use crate::relay::lifecycle::LedgerError;
use crate::relay::{Relay, RelayError};
use crate::store::{SqliteStore, StoreError};
use crate::tls::{self, Credentials, TlsError, Trust};

pub use admission::{AdmissionError, rules};
pub use metrics::catalogue as metrics_catalogue;
use relay::Relayed;
pub use siem::SiemError;
use signer::Signer;
use token::Tokens;
pub use token::{provision, provision_all, provision_escrow, token_configs};
pub use upstream::{UpstreamError, client as upstream_client};

/// When members of a stopping gateway are told to come back, the first of them.
const COME_BACK: Duration = Duration::from_secs(1);

/// After the last repetition of a multicast rekey nobody waits longer for it; in milliseconds.
const SETTLE_MS: u32 = 100;

/// Why a gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Certificates.
    #[error("[tls] {0}")]
    Tls(#[from] TlsError),
    /// The tokens' pool.
    #[error("[token] {0}")]
    Pool(#[from] PoolStartError),
    /// The store.
    #[error("[store] {0}")]
    Store(#[from] StoreError),
    /// The audit trail.
    #[error("[audit] {0}")]
    Audit(#[from] SpoolError),
    /// Who may join.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// The key store upstream.
    #[error("[upstream] {0}")]
    Upstream(#[from] UpstreamError),
    /// What goes to it.
    #[error("[upstream] {0}")]
    Relay(#[from] RelayError),
    /// What follows the audit trail besides.
    #[error("[siem] {0}")]
    Siem(#[from] SiemError),
    /// What is known of groups there.
    #[error("[upstream] {0}")]
    Lifecycle(#[from] LedgerError),
    /// Policy documents that were kept.
    #[error(
        "[store] {}: {source}; remove it, and the policies are those of the configuration until the key store can be reached",
        path.display()
    )]
    Policies {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: std::io::Error,
    },
    /// Stored groups.
    #[error("[store] {0}")]
    Engine(#[from] engine::StartError),
    /// The QUIC listener.
    #[error("[listen] {0}")]
    Quic(#[from] quic::BindError),
    /// The admin interface.
    #[error("[admin] {0}")]
    Admin(#[from] admin::StartError),
    /// The front for programs.
    #[error("[front] {0}")]
    Front(#[from] crate::front::StartError),
    /// The system.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Where a started gateway listens, with the ports that were chosen.
#[derive(Clone, Debug, Serialize)]
pub struct Listening {
    /// QUIC, for members.
    pub quic: SocketAddr,
    /// HTTPS, for operators.
    pub admin: Option<SocketAddr>,
    /// HTTPS, for programs.
    pub front: Option<SocketAddr>,
    /// How many groups were found in the store.
    pub groups: usize,
}

/// A started gateway.
pub struct Gateway {
    tokens: Tokens,
    audit: Audit,
    signer: Signer,
    relay: Option<Relayed>,
    /// What follows the trail besides.
    siem: Relay,
    interfaces: Interfaces,
    drain: Duration,
    /// What follows the policy documents.
    policies: JoinSet<()>,
}

/// What is there before the engine, and more than one part stands on.
struct Foundation {
    config: Config,
    credentials: Credentials,
    trust: Trust,
    sources: Sources,
    book: Arc<Book>,
    audit: Audit,
    metrics: Metrics,
    siem: admin::Siem,
}

/// Where others ask: members by QUIC, operators and programs by HTTPS, as far as they are configured.
struct Interfaces {
    listener: Listener,
    admin: Option<AdminServer>,
    front: Option<Front>,
    listening: Listening,
}

/// Sockets that there are unless more are asked for: eight send to more members than one gateway has.
const MOST_SOCKETS: usize = 8;

impl Gateway {
    /// Starts what others stand on first: certificates, store, tokens, groups, and the listeners last. Nothing here waits for
    /// a token. `file` is where the configuration was read from: token hosts read it for themselves.
    pub async fn start(config: Config, file: &Path) -> Result<Self, AppError> {
        // First, so that nothing is missed that counts.
        let metrics = metrics::install();
        let credentials = Credentials::load(&config.tls.certificate, &config.tls.key)?;
        let trust = Trust::load(&config.tls.client_ca, &config.tls.crl)?;
        metrics::certificates(&credentials, &trust);
        let server = tls::server_config(credentials.clone(), &trust, &[wire::ALPN])?;
        let server = tls::resumable(server)?;
        let key_store = upstream::client(&config)?;
        let sinks = siem::sinks(&config, &credentials)?;
        let decider = admission::decider(&config)?;
        let sources = admission::sources(&config, &credentials)?;
        let book = policies::book(&config, &decider)?;
        let documents = policies::options(&config, key_store.clone());
        let path: PathBuf = config.store.path.clone();
        let store = blocking(move || SqliteStore::open(path)).await?;
        let audit = trail::open(&config).await?;
        let siem = siem::start(sinks, &audit)?;
        // After what fails at once: whoever cannot start starts no process.
        let tokens = Tokens::start(&config.token, file)?;
        trail::watch(tokens.pool.clone(), audit.clone());
        let signer = Signer::start(tokens.pool.clone(), audit.clone());
        let mut relay = relay::start(&config.upstream, key_store, &audit)?;
        let parts = engine::Parts {
            store: Arc::new(store),
            audit: Some(audit.clone()),
            gate: relay.as_ref().map(Relayed::gate).unwrap_or_default(),
            token: tokens.pool.clone(),
            shards: shards(&config.engine),
            lanes: lanes(&config.listen),
            decider,
            multicast: multicast_times(&config.multicast),
        };
        let drain = Duration::from_secs(config.listen.drain_s.into());
        let foundation = Foundation {
            config,
            credentials,
            trust,
            sources,
            book: book.clone(),
            audit: audit.clone(),
            metrics,
            siem: siem::shown(&siem),
        };
        match foundation.build(server, parts, relay.as_mut()).await {
            Ok((engine, interfaces)) => Ok(Self {
                policies: policies::follow(
                    documents,
                    (&engine, &audit),
                    &book,
                    relay.as_ref().map(Relayed::bell),
                ),
                tokens,
                audit,
                signer,
                relay,
                siem,
                interfaces,
                drain,
            }),
            Err(error) => {
                // In good order, so that no host has the last word.
                signer.abandon();
                tokens.stop().await;
                Err(error)
            }
        }
    }

    /// Where it listens.
    pub fn listening(&self) -> &Listening {
        &self.interfaces.listening
    }

    /// Serves until `stop` is done; then ends in the opposite order, members first, within the configured time.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Interfaces {
            listener,
            admin,
            front,
            ..
        } = self.interfaces;
        let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
        let admin = admin.map(|server| {
            tokio::spawn(server.serve(async {
                let _ = stopped.await;
            }))
        });
        let (stopping_front, front_stopped) = tokio::sync::oneshot::channel::<()>();
        let front = front.map(|server| {
            tokio::spawn(server.serve(async {
                let _ = front_stopped.await;
            }))
        });
        tokio::select! {
            () = listener.run() => {}
            () = stop => {}
        }
        tracing::info!("stopping: members are told to come back");
        drop(self.policies);
        if timeout(self.drain, listener.drain(COME_BACK, &[]))
            .await
            .is_err()
        {
            tracing::warn!("connections are left that did not end in time");
        }
        drop(stopping_front);
        if let Some(front) = front {
            let _ = timeout(self.drain, front).await;
        }
        drop(stopping);
        if let Some(admin) = admin {
            let _ = timeout(self.drain, admin).await;
        }
        drop(listener);
        let mut relay = self.relay;
        if let Some(relay) = &mut relay {
            relay.rest().await;
        }
        let stopped = Entry::of_gateway(Event::Stopped);
        self.audit.note(vec![stopped]).await;
        // The trail of a gateway that stopped ends in a signature, for which a token is needed.
        self.signer.finish().await;
        self.tokens.stop().await;
        let (siem, drain) = (self.siem, self.drain);
        let upstream = async move {
            if let Some(relay) = relay {
                relay.stop(drain).await;
            }
        };
        tokio::join!(upstream, siem.stop(drain));
    }
}

impl Foundation {
    /// Starts the engine, and listens.
    async fn build(
        self,
        server: rustls::ServerConfig,
        parts: engine::Parts,
        mut relay: Option<&mut Relayed>,
    ) -> Result<(Handle, Interfaces), AppError> {
        let engine = engine::start(parts).await?;
        if let Some(relay) = &mut relay {
            let escrow_label = self.config.token.escrow_label.clone();
            relay.keep(engine.clone(), escrow_label).await?;
        }
        let listener = self.listener(server, engine.clone())?;
        let quic = listener.local_addr().map_err(|source| AppError::System {
            what: "cannot tell the address of the QUIC listener",
            source,
        })?;
        let bell = relay.as_ref().map(|relay| relay.bell().clone());
        let upstream = relay.map(|relay| relay.shown());
        let admin = self.admin(upstream, engine.clone()).await?;
        let front = front::bind(&self, bell, engine.clone()).await?;
        let listening = Listening {
            quic,
            admin: admin.as_ref().map(AdminServer::local_addr),
            front: front.as_ref().map(Front::local_addr),
            groups: engine.groups().len(),
        };
        let interfaces = Interfaces {
            listener,
            admin,
            front,
            listening,
        };
        Ok((engine, interfaces))
    }

    fn listener(&self, server: rustls::ServerConfig, engine: Handle) -> Result<Listener, AppError> {
        let Config {
            listen, multicast, ..
        } = &self.config;
        let multicast = self::multicast(multicast);
        let parts = quic::Parts {
            engine,
            sources: Arc::new(ArcSwap::from_pointee(self.sources.clone())),
            audit: Some(self.audit.clone()),
        };
        let limits = limits(&self.config);
        let listener = Listener::bind(listen.address, server, limits, multicast.as_ref(), parts)?;
        Ok(listener)
    }

    async fn admin(
        &self,
        upstream: Option<admin::Upstream>,
        engine: Handle,
    ) -> Result<Option<AdminServer>, AppError> {
        let config::Admin { address, operators } = &self.config.admin;
        let Some(address) = *address else {
            return Ok(None);
        };
        let options = admin::Options {
            credentials: self.credentials.clone(),
            trust: self.trust.clone(),
            operators: operators.iter().cloned().collect(),
            book: self.book.clone(),
            audit: Some(self.audit.clone()),
            metrics: self.metrics.clone(),
            upstream,
            siem: self.siem.clone(),
        };
        Ok(Some(AdminServer::bind(address, options, engine).await?))
    }
}

/// Runs what blocks beside the runtime's own threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    // Nothing cancels it, so it fails only as it panics, and that goes on here.
    spawn_blocking(work)
        .await
        .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

fn shards(config: &config::Engine) -> usize {
    match config.shards {
        0 => processors(),
        chosen => chosen,
    }
}

fn lanes(config: &config::Listen) -> u8 {
    match config.sockets {
        // It is no more than fits.
        0 => processors().min(MOST_SOCKETS) as u8,
        chosen => chosen,
    }
}

fn multicast(config: &config::Multicast) -> Option<quic::Multicast> {
    let milliseconds = |ms: u32| Duration::from_millis(ms.into());
    let pauses = config.repeat_after_ms.iter().copied();
    (!config.interface.is_empty()).then(|| quic::Multicast {
        interface: config.interface.clone(),
        ttl: config.ttl,
        repeat_after: pauses.map(milliseconds).collect(),
        heartbeat: milliseconds(config.heartbeat_ms),
        report: Duration::from_secs(config.report_s.into()),
    })
}

fn multicast_times(config: &config::Multicast) -> Option<MulticastTimes> {
    (!config.interface.is_empty()).then(|| MulticastTimes {
        heartbeat_ms: config.heartbeat_ms,
        report_ms: config.report_s.saturating_mul(1_000),
        settle_ms: config.repeat_after_ms.iter().sum::<u32>() + SETTLE_MS,
    })
}

fn limits(config: &Config) -> quic::Limits {
    let limits = &config.limits;
    quic::Limits {
        connections: limits.connections as usize,
        connections_per_identity: limits.connections_per_identity as usize,
        handshakes: limits.handshakes as usize,
        alive: Duration::from_millis(config.listen.alive_ms.into()),
        pace_mbit_s: config.listen.pace_mbit_s,
    }
}
