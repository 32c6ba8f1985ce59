//! The listener with what it serves.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use tokio::sync::watch;

use super::overview::Board;
use super::routes::{Shared, router};
use super::{Options, health};
use crate::engine::Handle;
use crate::https::{self, ALPN, Certificates, HttpsListener, StartError};
use crate::tls;

/// Connections at a time: operators are few.
const LISTENER: https::Options = https::Options {
    name: "admin",
    connections: 64,
    times: https::Times::STANDARD,
};

/// Where health is asked for without a certificate.
const HEALTH: https::Options = https::Options {
    name: "health",
    connections: 64,
    times: https::Times::STANDARD,
};

/// The listener of the admin interface.
pub struct AdminServer {
    listener: HttpsListener,
    router: Router,
    /// What is asked without a certificate, if anything is.
    health: Option<(HttpsListener, Router)>,
}

impl AdminServer {
    /// Listens, for health without a certificate as well if there is an address for it; nothing is answered before
    /// [`serve`](Self::serve).
    pub async fn bind(
        address: SocketAddr,
        health: Option<SocketAddr>,
        options: Options,
        engine: Handle,
    ) -> Result<Self, StartError> {
        let tls = tls::server_config(options.credentials, &options.trust, &[ALPN])?;
        let listener = HttpsListener::bind(address, tls, LISTENER).await?;
        let shared = Arc::new(Shared {
            engine,
            appointments: options.appointments,
            book: options.book,
            audit: options.audit,
            metrics: options.metrics,
            upstream: options.upstream,
            siem: options.siem,
            control: options.control,
            board: Board::default(),
        });
        let health = match health {
            Some(address) => {
                let listener = HttpsListener::bind_plainly(address, HEALTH).await?;
                Some((listener, health::plain(shared.clone())))
            }
            None => None,
        };
        Ok(Self {
            listener,
            router: router(shared),
            health,
        })
    }

    /// Where it listens, with the port that the system chose if none was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Where health is asked for without a certificate, if anywhere.
    pub fn health_addr(&self) -> Option<SocketAddr> {
        Some(self.health.as_ref()?.0.local_addr())
    }

    /// What replaces its certificates while it serves.
    pub fn certificates(&self) -> Certificates {
        self.listener.certificates()
    }

    /// Serves until `stop` is done; what is under way then is finished.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let (stopping, mut stopped) = watch::channel(());
        let admin = async {
            self.listener.serve(self.router, stop).await;
            drop(stopping);
        };
        let health = async {
            if let Some((listener, router)) = self.health {
                let stop = async {
                    let _ = stopped.changed().await;
                };
                listener.serve(router, stop).await;
            }
        };
        tokio::join!(admin, health);
    }
}
