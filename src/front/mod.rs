//! The front for programs: the key store upstream and the gateway's groups, over HTTPS, by KMIP and by REST.
//!
//! | request | does | answers |
//! | --- | --- | --- |
//! | `POST /kmip` | messages of KMIP 1.4, 2.0 and 2.1, in TTLV, JSON or XML | 200 and a message, errors included |
//! | `POST /v1/objects` | registers a document in the key store, by a name | 201, the object |
//! | `GET /v1/objects?name=&group=&limit=` | finds objects | identifiers |
//! | `GET /v1/objects/ID` | shows one: name, type, state, groups | the object |
//! | `POST /v1/objects/ID/activate`, `revoke`, `archive`, `recover` | does that to one, later | 202, an exchange, and where to look |
//! | `GET /v1/exchanges/VALUE` | shows how an exchange of the caller's own is | pending, done, failed or cancelled |
//! | `DELETE /v1/exchanges/VALUE` | cancels it, if it is not begun | the same |
//! | `POST /v1/requests` | asks for access to a group, for the caller's own certificate | 201, the request |
//! | `GET /v1/requests?after=` | lists requests: one's own, or all for key officers | requests |
//! | `POST /v1/requests/ID/grant` | grants one: a rule for that identity in the group's policy | the request |
//! | `DELETE /v1/requests/ID` | withdraws one, or refuses it | the request |
//! | `POST /v1/groups/NAME/exclude` | takes access away: removes the identity's own rule and evicts its members at once | how many of each, and patterns that may still admit it |
//! | `GET /v1/audit?after=N&limit=N` | reads the audit trail, by sequence number | records, and the number of the newest |
//! | `GET /openapi.json` | describes all this (OpenAPI 3.1) | the description |
//!
//! # Who may do what
//! Callers are known by their certificate or by a bearer token (`[jwt]`), and have the roles that `[front.roles]` gives to their
//! identity or to a claim of their token; without a role nothing is done. The one table of operations and roles is in `role.rs`:
//!
//! | role | operations of KMIP |
//! | --- | --- |
//! | viewer | Locate, Check, GetAttributes, GetAttributeList, Validate |
//! | auditor | the same, and Get of what is no key in the clear |
//! | operator | the same, and Register, Create, CreateKeyPair, Activate, Archive, Recover, and those that change attributes |
//! | key officer | all that is relayed: Get of keys too, Revoke, Destroy, ReKey, Import, Export, and what uses keys |
//!
//! By REST viewers look, operators register, activate, archive and recover, key officers do that and revoke, grant and exclude (not for
//! themselves: another one has to), and auditors read the trail; with any role one can ask for access.
//! The gateway answers Query, Discover Versions, Poll and Cancel itself. What is refused says which role is needed.
//! Names and object groups that begin with `upstream.name` and a dot are of the gateway's own objects: nobody gives them here, so that policy
//! documents come from those alone who may write to the store itself. Nor does anybody change such objects by their identifiers (the
//! store is asked first what an object is called), but that key officers revoke and destroy those of groups and of their keys.
//!
//! # Notify
//! A key store that can send Notify (KMIP 1.4 section 5.1, KMIP 2.1 section 6.2.2) is looked at at once when it does, and not only every
//! `upstream.poll_s`: it posts a request with that operation to `/kmip`, with a certificate whose identity `front.notifiers` names, and is
//! answered without a payload. That is on record. Nothing of it is believed: policy documents and the objects of groups are looked at, and
//! what is found there decides. However many there are, two looks have a pause between them of a second and as long as the last one took; beyond
//! 120 in a minute they are refused, and one look serves them all. Nobody else may notify, and a notifier may do nothing else. Put is refused.
//!
//! # Relaying
//! Allowed items that follow one another go to the store in one message, in the caller's own version of KMIP: messages are not
//! converted between versions, and Discover Versions tells what the store speaks. Tags that nobody here knows pass unchanged. A refused
//! item among others parts them: an identifier that a later item leaves out does not reach across, and the store says so. What may
//! be sent twice is tried again; what may have been done is answered as unknown.
//!
//! # Answers that come later
//! A request of one item with AsynchronousIndicator (true in KMIP 1.x, Mandatory in 2.x) is kept on disk, answered as pending with a
//! correlation value of 32 random bytes that serves its caller alone, and done by a worker, also after a restart or an outage
//! of the store. No key is kept: what may hold one (`Get`, `Export`, what uses keys, `Register` of what is not wrapped) is
//! answered at once, or refused where it must be later. The caller has to have the role still as it is done, and a token that it was asked for
//! with has to be one that would be taken then: otherwise it is refused, and that is on record. What a crash interrupted is done again if that changes nothing, else its answer is
//! that nobody knows.
//!
//! # On record
//! Each change is a record, and so is each object that is handed out. Look-ups, and what fails before anything is done, are put on record
//! once a minute for a caller, an operation and an outcome, with how often; the first at once.
//!
//! # Bounds
//! Connections and bodies: the constants below. Exchanges that are answered later: 64 of a caller, 4,096 in all, requests of 64 KiB, answers of
//! 256 KiB, a day each (an answer that was told makes room before). Requests for access: 16 of a caller, 4,096 in all, a week each. What is beyond is refused, and counted by
//! bound in `wardcast_front_refused_total`; `wardcast_front_calls_total` counts calls by operation and outcome,
//! `wardcast_front_exchanges_expired_total` exchanges that became too old, and `wardcast_front_exchanges` is how many are kept.
//!
//! Browsers are no clients: a request that names an `Origin` is refused.

mod caller;
mod catalogue;
mod durable;
mod exchanges;
mod kmip;
mod observe;
mod requests;
mod rest;
pub mod role;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use axum::extract::DefaultBodyLimit;
use axum::{Router, middleware};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::attributes::jwt::Tokens;
use crate::audit::Audit;
use crate::engine::Handle;
use crate::https::{self, ALPN, Certificates, HttpsListener};
use crate::kmip::client::Client;
use crate::policy::documents::Book;
use crate::tls::{self, Credentials, Trust};

pub use catalogue::METRICS;
use durable::Durable;
pub use durable::DurableError;
use exchanges::Exchanges;
use requests::Requests;
use role::Appointments;

/// The longest body of a request, in bytes: what a message of KMIP needs as JSON or XML that is not wasteful.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// Bodies that are read at a time; more wait.
const MAX_BODIES: usize = 32;
/// The same of callers without a role, who are told so and no more: they must not keep the others waiting.
const MAX_IDLE_BODIES: usize = 4;
/// Within this a body is there, with the time that it waits until others are read.
const PATIENCE: Duration = https::BODY;
/// Exchanges that are done at a time, of those that are answered later.
const WORKERS: usize = 4;
/// Connections at a time.
const LISTENER: https::Options = https::Options {
    name: "front",
    connections: 256,
    times: https::Times::STANDARD,
};

/// Who is let in, and as what.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Who has which roles.
    pub appointments: Appointments,
    /// Checks bearer tokens; they are not taken if there is none.
    pub tokens: Option<Tokens>,
}

/// What the front needs to know.
pub struct Options {
    /// The gateway's certificate.
    pub credentials: Credentials,
    /// Who issues the callers' certificates.
    pub trust: Trust,
    /// Who is let in; replaced while it runs.
    pub access: Arc<ArcSwap<Access>>,
    /// The key store; nothing is relayed if there is none.
    pub upstream: Option<Client>,
    /// What names of the gateway's own objects begin with there, before a dot.
    pub own_names: String,
    /// Whether the store is told what requests are called that something is asked for.
    pub correlates: bool,
    /// The policies of groups that are a document's, which is not changed here.
    pub book: Arc<Book>,
    /// Where calls are put on record.
    pub audit: Audit,
    /// What is done when the key store says that something changed there.
    pub woken: Box<dyn Fn() + Send + Sync>,
    /// Where the front keeps what is answered later.
    pub database: PathBuf,
}

/// Why the front could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The listener.
    #[error(transparent)]
    Listener(#[from] https::StartError),
    /// The database.
    #[error(transparent)]
    Durable(#[from] DurableError),
}

/// What all requests share.
struct Shared {
    engine: Handle,
    access: Arc<ArcSwap<Access>>,
    upstream: Option<Client>,
    known: kmip::Store,
    exchanges: Exchanges,
    requests: Requests,
    /// Names of objects that are being registered.
    registering: std::sync::Mutex<HashSet<String>>,
    /// Who holds it may change what admits somebody, where that is not a document's.
    granting: tokio::sync::Mutex<Arc<Book>>,
    audit: Audit,
    notified: kmip::Notified,
}

/// The listener of the front.
pub struct Front {
    listener: HttpsListener,
    router: Router,
    shared: Arc<Shared>,
}

impl Front {
    /// Opens the database and listens; nothing is answered before [`serve`](Self::serve).
    ///
    /// # Errors
    /// When the database cannot be used, certificates do not serve, or the address cannot be listened on.
    pub async fn bind(
        address: SocketAddr,
        options: Options,
        engine: Handle,
    ) -> Result<Self, StartError> {
        let tls = tls::open_server_config(options.credentials, &options.trust, &[ALPN]);
        let tls = tls.map_err(https::StartError::from)?;
        let listener = HttpsListener::bind(address, tls, LISTENER).await?;
        let durable = Durable::open(&options.database)?;
        let exchanges = Exchanges::new(durable.clone());
        kmip::recover(&exchanges)?;
        let shared = Arc::new(Shared {
            engine,
            access: options.access,
            upstream: options.upstream,
            known: kmip::Store::new(&options.own_names, options.correlates),
            exchanges,
            requests: Requests::new(durable),
            registering: std::sync::Mutex::default(),
            granting: tokio::sync::Mutex::new(options.book),
            audit: options.audit,
            notified: kmip::Notified::new(options.woken),
        });
        Ok(Self {
            listener,
            router: router(shared.clone()),
            shared,
        })
    }

    /// Where it listens, with the port that the system chose if none was asked for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// What replaces its certificates while it serves.
    #[must_use]
    pub fn certificates(&self) -> Certificates {
        self.listener.certificates()
    }

    /// Serves until `stop` is done; what is under way then is finished.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = watch::channel(());
        let mut workers = JoinSet::new();
        for _ in 0..WORKERS {
            workers.spawn(kmip::work(self.shared.clone(), stopped.clone()));
        }
        drop(stopped);
        self.listener.serve(self.router, stop).await;
        drop(stopping);
        while workers.join_next().await.is_some() {}
    }
}

fn router(shared: Arc<Shared>) -> Router {
    rest::router()
        .layer(middleware::from_fn_with_state(
            shared.clone(),
            caller::known,
        ))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(shared)
}

/// Seconds since 1970 began in UTC.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}
