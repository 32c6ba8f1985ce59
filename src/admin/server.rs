//! The listener: TLS, who the caller is, and bounds on connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::Options;
use super::routes::{Caller, Shared, router};
use crate::engine::Handle;
use crate::tls::{self, TlsError};

/// Connections at a time; more wait in the kernel's queue. HTTP/1.1 has one request at a time on each.
const MAX_CONNECTIONS: usize = 64;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a connection may stay without a request, and a request's head may take.
const IDLE: Duration = Duration::from_secs(30);
/// The pause after the system refused to accept, which it does when it is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the admin interface could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address} (TCP): {source}; free it, or set admin.address to another")]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The listener of the admin interface.
pub struct AdminServer {
    listener: TcpListener,
    address: SocketAddr,
    tls: TlsAcceptor,
    router: Router,
}

impl AdminServer {
    /// Listens; nothing is answered before [`serve`](Self::serve).
    pub async fn bind(
        address: SocketAddr,
        options: Options,
        engine: Handle,
    ) -> Result<Self, StartError> {
        let tls = tls::server_config(options.credentials, &options.trust, &[b"http/1.1"])?;
        let bind = |source| StartError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let shared = Shared {
            engine,
            operators: options.operators,
            default_policy: options.default_policy,
            audit: options.audit,
            metrics: options.metrics,
        };
        Ok(Self {
            address: listener.local_addr().map_err(bind)?,
            listener,
            tls: TlsAcceptor::from(Arc::new(tls)),
            router: router(Arc::new(shared)),
        })
    }

    /// Where it listens, with the port that the system chose if none was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is done; what is under way then is finished.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = watch::channel(());
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
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
                    let (tls, router) = (self.tls.clone(), self.router.clone());
                    let stopped = stopped.clone();
                    connections.spawn(async move {
                        connection(stream, peer, tls, router, stopped).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "admin: cannot accept");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        drop(stopping);
        while connections.join_next().await.is_some() {}
    }
}

/// Serves one connection until its peer or the gateway is done with it.
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: TlsAcceptor,
    router: Router,
    mut stopped: watch::Receiver<()>,
) {
    let stream = match timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::info!(%peer, %error, "admin: handshake failed"),
        Err(_) => return tracing::info!(%peer, "admin: handshake took too long"),
    };
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let caller = match certificates.first().map(|own| tls::identity(own)) {
        Some(Ok(identity)) => Some(Arc::new(identity)),
        Some(Err(error)) => {
            tracing::info!(%peer, %error, "admin: the certificate names nobody");
            None
        }
        None => None,
    };
    let router = router.layer(Extension(Caller(caller)));
    let mut http = Builder::new(TokioExecutor::new()).http1_only();
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE);
    let service = TowerToHyperService::new(router);
    let serving = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let served = tokio::select! {
        served = &mut serving => served,
        _ = stopped.changed() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "admin: the connection broke");
    }
}
