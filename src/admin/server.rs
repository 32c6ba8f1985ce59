//! The listener with what it serves.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;

use super::Options;
use super::routes::{Shared, router};
use crate::engine::Handle;
use crate::https::{self, ALPN, HttpsListener, StartError};
use crate::tls;

/// Connections at a time: operators are few.
const LISTENER: https::Options = https::Options {
    name: "admin",
    connections: 64,
    times: https::Times::STANDARD,
};

/// The listener of the admin interface.
pub struct AdminServer {
    listener: HttpsListener,
    router: Router,
}

impl AdminServer {
    /// Listens; nothing is answered before [`serve`](Self::serve).
    pub async fn bind(
        address: SocketAddr,
        options: Options,
        engine: Handle,
    ) -> Result<Self, StartError> {
        let tls = tls::server_config(options.credentials, &options.trust, &[ALPN])?;
        let listener = HttpsListener::bind(address, tls, LISTENER).await?;
        let shared = Shared {
            engine,
            operators: options.operators,
            book: options.book,
            audit: options.audit,
            metrics: options.metrics,
            upstream: options.upstream,
            siem: options.siem,
        };
        Ok(Self {
            listener,
            router: router(Arc::new(shared)),
        })
    }

    /// Where it listens, with the port that the system chose if none was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Serves until `stop` is done; what is under way then is finished.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        self.listener.serve(self.router, stop).await;
    }
}
