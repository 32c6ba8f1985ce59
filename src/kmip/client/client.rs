//! The client itself, and what its requests share.

use std::sync::atomic::{AtomicU32, AtomicUsize};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use super::breaker::Breaker;
use super::endpoint::Endpoint;
use super::error::{ClientError, SetupError};
use super::exchange::{Answers, Batch, Request};
use super::heard::{Heard, Hearing};
use super::idle::Idle;
use super::observe::Observer;
use super::operations::Operation;
use super::options::{MAX_ADDRESSES, MAX_CONNECTIONS, Options, SWEEPS};
use super::transport::Transport;
use super::version::Version;
use crate::kmip::codec::limits::MAX_MESSAGE;
use crate::tls::{self, Credentials, Trust};

/// A client of one key store, which may have several addresses. Clones share connections, breakers and bounds.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

pub(super) struct Shared {
    pub(super) addresses: Vec<Address>,
    pub(super) options: Options,
    pub(super) permits: Semaphore,
    pub(super) waiting: AtomicUsize,
    pub(super) idle: Idle,
    sweeper: Once,
    pub(super) batch_item_ids: AtomicU32,
    pub(super) observer: Observer,
    hearing: Hearing,
}

pub(super) struct Address {
    pub(super) name: String,
    endpoint: Endpoint,
    /// With the credentials in use.
    transport: ArcSwap<Transport>,
    pub(super) breaker: Breaker,
    /// The version agreed on, until something goes wrong.
    version: Mutex<Option<Version>>,
}

/// What is sent, whatever the address.
#[derive(Clone, Copy)]
pub(super) struct Job<'r> {
    pub(super) items: &'r [&'r dyn Request],
    pub(super) batch: Batch<'r>,
    pub(super) deadline: Instant,
}

impl Client {
    /// A client of the key store at these addresses: the first is asked as long as it answers, then the second, and so on.
    /// It connects with its first request.
    ///
    /// # Errors
    ///
    /// When there is no address or too many, no version, or credentials do not serve.
    pub fn new(
        endpoints: &[Endpoint],
        credentials: Credentials,
        trust: &Trust,
        mut options: Options,
    ) -> Result<Self, SetupError> {
        if endpoints.is_empty() || endpoints.len() > MAX_ADDRESSES {
            return Err(SetupError::Addresses(endpoints.len()));
        }
        if options.versions.is_empty() {
            let (first, last) = (*options.versions.start(), *options.versions.end());
            return Err(SetupError::Versions(first, last));
        }
        options.connections = options.connections.clamp(1, MAX_CONNECTIONS);
        options.max_response = options.max_response.min(MAX_MESSAGE);
        let transports = transports(endpoints, credentials, trust, &options)?;
        let both = endpoints.iter().zip(transports);
        let addresses = both.map(|(endpoint, transport)| Address {
            name: endpoint.to_string(),
            endpoint: endpoint.clone(),
            transport: ArcSwap::new(transport),
            breaker: Breaker::new(&options),
            version: Mutex::default(),
        });
        let addresses: Vec<Address> = addresses.collect();
        let observer = Observer::new(options.metrics);
        for address in &addresses {
            observer.begins(&address.name);
        }
        Ok(Self(Arc::new(Shared {
            addresses,
            permits: Semaphore::new(options.connections),
            waiting: AtomicUsize::new(0),
            idle: Idle::new(options.idle),
            sweeper: Once::new(),
            batch_item_ids: AtomicU32::new(1),
            observer,
            hearing: Hearing::default(),
            options,
        })))
    }

    /// Does one operation.
    ///
    /// # Errors
    ///
    /// When the server did not do it, or there is no answer; [`ClientError::Unknown`] when it may have been done.
    pub async fn call<O: Operation>(&self, operation: &O) -> Result<O::Answer, ClientError> {
        let answers = self.exchange(&[operation], Batch::default()).await?;
        answers.read(0, operation)
    }

    /// Does several operations, with one message each way. An item that failed is an [`Answer`](super::Answer), not an error.
    ///
    /// # Errors
    ///
    /// When the server refused the whole message, or there is no answer; [`ClientError::Unknown`] when any of the items may
    /// have been done.
    pub async fn exchange(
        &self,
        items: &[&dyn Request],
        batch: Batch<'_>,
    ) -> Result<Answers, ClientError> {
        let began = Instant::now();
        self.0.sweep(Arc::downgrade(&self.0));
        let deadline = began + self.0.options.deadline;
        let job = Job {
            items,
            batch,
            deadline,
        };
        let result = self.0.exchange(job).await;
        self.0.observer.ended(began.elapsed(), &result);
        self.0.hearing.ended(&result);
        self.0.show_connections();
        result
    }

    /// The same addresses with other credentials, which nothing shows yet.
    ///
    /// # Errors
    ///
    /// When the credentials do not serve.
    pub fn renewal(&self, credentials: Credentials, trust: &Trust) -> Result<Renewal, SetupError> {
        let Shared {
            addresses, options, ..
        } = &*self.0;
        let endpoints = addresses.iter().map(|address| address.endpoint.clone());
        let endpoints: Vec<Endpoint> = endpoints.collect();
        Ok(Renewal {
            client: self.clone(),
            transports: transports(&endpoints, credentials, trust, options)?,
        })
    }

    /// When the store was heard of last, and why not since.
    #[must_use]
    pub fn heard(&self) -> Heard {
        self.0.hearing.heard()
    }

    /// Its addresses, in the order in which they are asked.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        let addresses = self.0.addresses.iter();
        addresses.map(|address| address.name.clone()).collect()
    }
}

/// The way to each address, by a TLS configuration of its own: so no session is resumed that began with other credentials.
fn transports(
    endpoints: &[Endpoint],
    credentials: Credentials,
    trust: &Trust,
    options: &Options,
) -> Result<Vec<Arc<Transport>>, SetupError> {
    let tls = Arc::new(tls::key_store_client_config(credentials, trust)?);
    let transports = endpoints
        .iter()
        .map(|endpoint| Transport::new(endpoint, &tls, options).map(Arc::new));
    transports.collect()
}

/// Other credentials for a client that goes on.
pub struct Renewal {
    client: Client,
    transports: Vec<Arc<Transport>>,
}

impl Renewal {
    /// Has the client, and all of its clones, show them from now on. Connections that are idle are closed; what is under way ends by the
    /// connection that it has, which is closed then.
    pub fn take(self) {
        let Shared {
            addresses, idle, ..
        } = &*self.client.0;
        for (index, transport) in self.transports.into_iter().enumerate() {
            addresses[index].transport.store(transport);
            idle.forget(index);
        }
        self.client.0.show_connections();
    }
}

impl Shared {
    /// Begins to close idle connections in time, as long as there is a client.
    fn sweep(&self, shared: Weak<Self>) {
        let every = self.options.idle / SWEEPS;
        self.sweeper.call_once(|| {
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(every.max(Duration::from_millis(1))).await;
                    let Some(shared) = shared.upgrade() else {
                        return;
                    };
                    shared.idle.sweep(Instant::now());
                    shared.show_connections();
                }
            });
        });
    }

    pub(super) fn show_connections(&self) {
        let active = self.options.connections - self.permits.available_permits();
        self.observer.connections(self.idle.len() + active);
    }
}

impl Address {
    pub(super) fn transport(&self) -> Arc<Transport> {
        self.transport.load_full()
    }

    pub(super) fn version(&self) -> Option<Version> {
        *self.version.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn remember(&self, version: Option<Version>) {
        *self.version.lock().unwrap_or_else(PoisonError::into_inner) = version;
    }
}
