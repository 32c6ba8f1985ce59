//! An HTTPS listener: TLS, who the caller is by its certificate, bounds on connections, and an end in good order.
//!
//! A connection has a place among so many, and its address may have half of them. It does not keep it for nothing: each of its parts has a
//! time ([`Times`]), and so has the whole. Bodies are read by [`body`], or under a bound of the router's own.
//!
//! Who may do what is for the router to say: each request carries its connection's [`Caller`]. What routers have in common is here too:
//! how they read JSON, and how they tell of a failure.

mod catalogue;
mod named;
mod paced;
mod peers;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::group::ids::Identity;
use crate::tls::{self, TlsError};
use paced::Paced;
use peers::Peers;

pub use catalogue::METRICS;
pub use named::REQUEST_ID;

/// The one protocol that is spoken (ALPN).
pub const ALPN: &[u8] = b"http/1.1";
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a connection may stay without a request, and a request's head may take.
const IDLE: Duration = Duration::from_secs(30);
/// Within this a request's body is there.
pub const BODY: Duration = Duration::from_secs(30);
/// Within this a peer has read what it is answered, however much that is.
const ANSWER: Duration = Duration::from_secs(60);
/// How long a connection lives: whoever stays connects anew, and shows a certificate that is still taken.
const LIFE: Duration = Duration::from_secs(3_600);
/// How long its last request may take then, or when the gateway stops: longer than body, work and answer of any.
const LAST: Duration = Duration::from_secs(180);
/// The pause after the system refused to accept, which it does when it is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why an HTTPS interface could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address} (TCP): {source}; free it, or set {name}.address to another"
    )]
    Bind {
        /// Which interface: the section of the configuration.
        name: &'static str,
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Who asks, from the connection's certificate.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// Its name; `None` if it names nobody, or there is none.
    pub identity: Option<Arc<Identity>>,
    /// The SHA-256 of the certificate, if there is one.
    pub thumbprint: Option<[u8; 32]>,
}

/// What sets one interface apart from another.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What it is called in logs and in the configuration.
    pub name: &'static str,
    /// Connections at a time; more wait in the kernel's queue. HTTP/1.1 has one request at a time on each. One address has at most
    /// half of them, and what it opens beyond is closed.
    pub connections: usize,
    /// How long what may take.
    pub times: Times,
}

/// How long the parts of a connection may take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Until a request begins, and then until its head is there.
    pub head: Duration,
    /// Until an answer is read.
    pub answer: Duration,
    /// The whole, but for the last request.
    pub life: Duration,
    /// The last request.
    pub last: Duration,
}

impl Times {
    /// What programs and people can live with, and what nobody can hold a place by.
    pub const STANDARD: Self = Self {
        head: IDLE,
        answer: ANSWER,
        life: LIFE,
        last: LAST,
    };
}

/// What replaces the certificates of a listener while it serves. Connections from before end once what is under way is answered:
/// whoever they are with is looked at by the new rules then.
#[derive(Clone)]
pub struct Certificates(watch::Sender<Option<Arc<ServerConfig>>>);

impl Certificates {
    /// Takes others from now on.
    pub fn replace(&self, tls: ServerConfig) {
        self.0.send_replace(Some(Arc::new(tls)));
    }
}

/// The listener.
pub struct HttpsListener {
    options: Options,
    listener: TcpListener,
    address: SocketAddr,
    tls: Certificates,
}

impl HttpsListener {
    /// Listens; nothing is answered before [`serve`](Self::serve).
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn bind(
        address: SocketAddr,
        tls: ServerConfig,
        options: Options,
    ) -> Result<Self, StartError> {
        Self::listen(address, Some(Arc::new(tls)), options).await
    }

    /// The same without TLS, for what anybody may ask: all callers are nobody.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn bind_plainly(address: SocketAddr, options: Options) -> Result<Self, StartError> {
        Self::listen(address, None, options).await
    }

    async fn listen(
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        options: Options,
    ) -> Result<Self, StartError> {
        let name = options.name;
        let bind = |source| StartError::Bind {
            name,
            address,
            source,
        };
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        Ok(Self {
            options,
            address: listener.local_addr().map_err(bind)?,
            listener,
            tls: Certificates(watch::Sender::new(tls)),
        })
    }

    /// What replaces its certificates.
    #[must_use]
    pub fn certificates(&self) -> Certificates {
        self.tls.clone()
    }

    /// Where it listens, with the port that the system chose if none was asked for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is done; what is under way then is finished.
    pub async fn serve(self, router: Router, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = watch::channel(());
        let places = Arc::new(Semaphore::new(self.options.connections));
        let peers = Peers::new(self.options.connections.div_ceil(2));
        let mut connections = JoinSet::new();
        let options = self.options;
        let name = options.name;
        tokio::pin!(stop);
        loop {
            let next = async {
                let place = places.clone().acquire_owned().await;
                (place, self.listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                () = &mut stop => break,
                Some(_) = connections.join_next() => continue,
                next = next => next,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let Some(own) = peers.enter(peer.ip()) else {
                        metrics::counter!("wardcast_https_crowded_total", "listener" => name)
                            .increment(1);
                        tracing::debug!(%peer, "{name}: the address has as many connections as it may");
                        continue;
                    };
                    let (tls, router) = (self.tls.0.subscribe(), router.clone());
                    let stopped = stopped.clone();
                    connections.spawn(async move {
                        connection(options, (stream, peer), router, (tls, stopped)).await;
                        drop((own, place));
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "{name}: cannot accept");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        drop(stopping);
        while connections.join_next().await.is_some() {}
    }
}

/// Reads a body, which has to be there within a time, and to be no longer than the router's limit.
///
/// # Errors
/// The status to answer with, and why.
pub async fn body(request: Request, within: Duration) -> Result<Bytes, (StatusCode, String)> {
    match timeout(within, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) => Err((error.status(), error.body_text())),
        Err(_) => Err((
            StatusCode::REQUEST_TIMEOUT,
            "the body took too long".to_owned(),
        )),
    }
}

/// Reads JSON, which must be this and nothing else; an error names the place where it is wrong.
///
/// # Errors
/// When it is no JSON, or other JSON than is asked for.
pub fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| format!("{}: {}", error.path(), error.inner()))?;
    json.end().map_err(|error| error.to_string())?;
    Ok(value)
}

/// A failure as JSON, with when to ask again, if that helps.
pub fn failed(
    status: StatusCode,
    failure: impl Serialize,
    retry_after_ms: Option<u64>,
) -> Response {
    let mut response = (status, Json(failure)).into_response();
    if let Some(ms) = retry_after_ms {
        let seconds = HeaderValue::from(ms.div_ceil(1_000));
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    response
}

/// Serves one connection until its peer or the gateway is done with it.
async fn connection(
    options: Options,
    (stream, peer): (TcpStream, SocketAddr),
    router: Router,
    (mut tls, stopped): (
        watch::Receiver<Option<Arc<ServerConfig>>>,
        watch::Receiver<()>,
    ),
) {
    let config = tls.borrow_and_update().clone();
    let name = options.name;
    let over = over(tls, stopped, options.times.life);
    let Some(config) = config else {
        let router = router.layer(Extension(Caller::default()));
        return requests(options, peer, stream, router, over).await;
    };
    let stream = match timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::info!(%peer, %error, "{name}: handshake failed"),
        Err(_) => return tracing::info!(%peer, "{name}: handshake took too long"),
    };
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let own = certificates.first();
    let identity = match own.map(|own| tls::identity(own)) {
        Some(Ok(identity)) => Some(Arc::new(identity)),
        Some(Err(error)) => {
            tracing::info!(%peer, %error, "{name}: the certificate names nobody");
            None
        }
        None => None,
    };
    let caller = Caller {
        identity,
        thumbprint: own.map(|own| Sha256::digest(own).into()),
    };
    let router = router.layer(Extension(caller));
    requests(options, peer, stream, router, over).await;
}

/// Done when the listener ends or has other certificates, or a connection has lived long enough.
async fn over(
    mut tls: watch::Receiver<Option<Arc<ServerConfig>>>,
    mut stopped: watch::Receiver<()>,
    life: Duration,
) {
    tokio::select! {
        _ = tls.changed() => {}
        _ = stopped.changed() => {}
        () = sleep(life) => {}
    }
}

/// Answers the requests of one connection, until its peer is done or it is over.
async fn requests(
    Options { name, times, .. }: Options,
    peer: SocketAddr,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    over: impl Future<Output = ()>,
) {
    let named = from_fn(move |request, next| named::named(name, request, next));
    let router = router.layer(named);
    let mut http = Builder::new(TokioExecutor::new()).http1_only();
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(times.head);
    let service = TowerToHyperService::new(router);
    let stream = Paced::new(stream, times.answer);
    let serving = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let served = tokio::select! {
        served = &mut serving => served,
        () = over => {
            serving.as_mut().graceful_shutdown();
            match timeout(times.last, serving).await {
                Ok(served) => served,
                Err(_) => return tracing::info!(%peer, "{name}: the last request took too long"),
            }
        }
    };
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "{name}: the connection broke");
    }
}
