//! The composition root: the one place that names every part, and in which order they start and end.

mod admission;
mod called;
mod end;
mod files;
mod front;
mod live;
mod log;
mod metrics;
mod notify;
mod policies;
mod relay;
mod reload;
mod run;
mod shown;
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

use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};

use crate::admin::{self, AdminServer, Control, MAX_ORDERS, Metrics, Order, Pulse, Vital};
use crate::audit::{Audit, SpoolError};
use crate::config::{self, Config};
use crate::engine::{self, Handle};
use crate::front::Front;
use crate::group::multicast::MulticastTimes;
use crate::group::wire;
use crate::hsm::PoolStartError;
use crate::quic::{self, Beats, Listener};
use crate::relay::lifecycle::LedgerError;
use crate::relay::{Relay, RelayError};
use crate::store::{SqliteStore, StoreError};
use crate::tls::{self, Credentials, TlsError, Trust};

pub use admission::{AdmissionError, rules};
use called::Callees;
use files::Files;
use live::Live;
pub use log::{Logging, Taker, start as start_logging};
pub use metrics::catalogue as metrics_catalogue;
use relay::Relayed;
use reload::Running;
pub use run::Surroundings;
pub use siem::SiemError;
use signer::Signer;
use token::Tokens;
pub use token::{provision, provision_all, provision_escrow, token_configs};
pub use upstream::{UpstreamError, client as upstream_client};

/// Within this each loop answers that it is there, or counts as hanging.
const ANSWERS: Duration = Duration::from_secs(5);

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
    /// HTTP, for whoever asks for health without a certificate.
    pub health: Option<SocketAddr>,
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
    followers: Followers,
    interfaces: Interfaces,
    engine: Handle,
    running: Running,
    orders: mpsc::Receiver<Order>,
    order: mpsc::Sender<Order>,
    vital: Vital,
    /// What follows the policy documents.
    policies: JoinSet<()>,
}

/// What follows the audit trail.
struct Followers {
    upstream: Option<Relayed>,
    siem: Relay,
}

/// What is there before the engine, and more than one part stands on.
struct Foundation {
    config: Config,
    credentials: Credentials,
    trust: Trust,
    live: Live,
    audit: Audit,
    metrics: Metrics,
    siem: admin::Siem,
    orders: mpsc::Sender<Order>,
}

/// Where others ask: members by QUIC, operators and programs by HTTPS, as far as they are configured.
struct Interfaces {
    listener: Arc<Listener>,
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
        // Before they are read: what is replaced meanwhile is read again.
        let files = Files::of(&config);
        let (credentials, trust, server) = secured(&config.tls)?;
        let callees = Callees::load(&config, &credentials)?;
        let key_store = callees.store.clone();
        let decider = admission::decider(&config)?;
        let sources = admission::sources(&config, &credentials)?;
        let book = policies::book(&config, &decider)?;
        let documents = policies::options(&config, key_store.clone());
        let path: PathBuf = config.store.path.clone();
        let store = blocking(move || SqliteStore::open(path)).await?;
        let audit = trail::open(&config).await?;
        let (siem, called) = callees.feed(&audit)?;
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
        let live = Live::new(&config, sources, book.clone(), called);
        let (order, orders) = mpsc::channel(MAX_ORDERS);
        let foundation = Foundation {
            config: config.clone(),
            credentials: credentials.clone(),
            trust,
            live: live.clone(),
            audit: audit.clone(),
            metrics,
            siem: siem::shown(&siem),
            orders: order.clone(),
        };
        let running = Running::new(config, files, credentials, live);
        match foundation.build(server, parts, relay.as_mut()).await {
            Ok((engine, vital, interfaces)) => Ok(Self {
                policies: policies::follow(
                    documents,
                    (&engine, &audit),
                    &book,
                    relay.as_ref().map(Relayed::bell),
                ),
                running: running.serving(&interfaces),
                tokens,
                audit,
                signer,
                followers: Followers {
                    upstream: relay,
                    siem,
                },
                interfaces,
                engine,
                orders,
                order,
                vital,
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

    /// Where orders to it go.
    pub fn orders(&self) -> mpsc::Sender<Order> {
        self.order.clone()
    }
}

/// Certificates, and what members are met with.
fn secured(of: &config::Tls) -> Result<(Credentials, Trust, rustls::ServerConfig), TlsError> {
    let credentials = Credentials::load(&of.certificate, &of.key)?;
    let trust = Trust::load(&of.client_ca, &of.crl)?;
    metrics::lists(&trust);
    let server = tls::server_config(credentials.clone(), &trust, &[wire::ALPN])?;
    Ok((credentials, trust, tls::resumable(server)?))
}

impl Foundation {
    /// Starts the engine, and listens.
    async fn build(
        self,
        server: rustls::ServerConfig,
        parts: engine::Parts,
        mut relay: Option<&mut Relayed>,
    ) -> Result<(Handle, Vital, Interfaces), AppError> {
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
        let vital = Vital {
            pulse: pulse(engine.clone(), listener.beats()),
            draining: Arc::default(),
        };
        let admin = self.admin(upstream, &vital, engine.clone()).await?;
        let front = front::bind(&self, bell, engine.clone()).await?;
        let listening = Listening {
            quic,
            admin: admin.as_ref().map(AdminServer::local_addr),
            health: admin.as_ref().and_then(AdminServer::health_addr),
            front: front.as_ref().map(Front::local_addr),
            groups: engine.groups().len(),
        };
        let interfaces = Interfaces {
            listener: Arc::new(listener),
            admin,
            front,
            listening,
        };
        Ok((engine, vital, interfaces))
    }

    fn listener(&self, server: rustls::ServerConfig, engine: Handle) -> Result<Listener, AppError> {
        let Config {
            listen, multicast, ..
        } = &self.config;
        let multicast = self::multicast(multicast);
        let parts = quic::Parts {
            engine,
            sources: self.live.sources.clone(),
            audit: Some(self.audit.clone()),
        };
        let limits = limits(&self.config);
        let listener = Listener::bind(listen.address, server, limits, multicast.as_ref(), parts)?;
        Ok(listener)
    }

    async fn admin(
        &self,
        upstream: Option<admin::Upstream>,
        vital: &Vital,
        engine: Handle,
    ) -> Result<Option<AdminServer>, AppError> {
        let Some(address) = self.config.admin.address else {
            return Ok(None);
        };
        let health = self.config.admin.health_address;
        let options = admin::Options {
            credentials: self.credentials.clone(),
            trust: self.trust.clone(),
            appointments: self.live.operators.clone(),
            book: self.live.book.clone(),
            audit: Some(self.audit.clone()),
            metrics: self.metrics.clone(),
            upstream,
            siem: self.siem.clone(),
            control: Control {
                orders: self.orders.clone(),
                vital: vital.clone(),
            },
        };
        let server = AdminServer::bind(address, health, options, engine).await?;
        Ok(Some(server))
    }
}

/// Asks every loop whether it is there.
fn pulse(engine: Handle, beats: Beats) -> Pulse {
    Pulse::new(move || {
        let (engine, mut hanging) = (engine.clone(), beats.hanging());
        async move {
            hanging.extend(engine.hanging(ANSWERS).await);
            hanging
        }
    })
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
