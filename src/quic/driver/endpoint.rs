//! Where connections come in.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use quinn_proto::{ConnectionError, EndpointConfig, ServerConfig, VarInt};

use super::connection::Connecting;
use super::lane::{Driver, Lane};
use crate::quic::socket::Socket;

/// One socket's end of QUIC. Its connections outlive it.
#[derive(Clone)]
pub(in crate::quic) struct Endpoint(Arc<Owner>);

/// The driver ends when this is dropped, and all connections are over.
struct Owner(Arc<Lane>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.abandoned.store(true, Ordering::Release);
        self.0.work().wake();
    }
}

impl Endpoint {
    /// Begins to drive it; needs a Tokio runtime.
    pub(in crate::quic) fn start(
        config: EndpointConfig,
        server: ServerConfig,
        socket: Arc<Socket>,
    ) -> Self {
        let server = Some(Arc::new(server));
        let finds_mtu = !socket.may_fragment();
        let endpoint = quinn_proto::Endpoint::new(Arc::new(config), server, finds_mtu, None);
        let lane = Lane::new(endpoint, socket);
        tokio::spawn(Driver::new(lane.clone()).run());
        Endpoint(Arc::new(Owner(lane)))
    }

    /// The next one who wants to connect; none once it is closed. One task waits for it.
    pub(in crate::quic) async fn accept(&self) -> Option<Incoming> {
        let lane = &self.0.0;
        loop {
            {
                let mut table = lane.table();
                if let Some(incoming) = table.incoming.pop_front() {
                    return Some(Incoming(Some((incoming, lane.clone()))));
                }
                if table.closing.is_some() || table.over {
                    return None;
                }
            }
            lane.arrived.notified().await;
        }
    }

    /// Who connects from now on is served like this.
    pub(in crate::quic) fn set_server_config(&self, config: ServerConfig) {
        let mut table = self.0.0.table();
        table.endpoint.set_server_config(Some(Arc::new(config)));
    }

    /// Closes all connections, and takes nobody on any more.
    pub(in crate::quic) fn close(&self, code: VarInt, reason: &[u8]) {
        let lane = &self.0.0;
        let reason = Bytes::copy_from_slice(reason);
        let mut table = lane.table();
        table.closing = Some((code, reason.clone()));
        let connections = table.connections();
        drop(table);
        for inner in connections {
            inner.close(code, reason.clone());
        }
        lane.arrived.notify_one();
    }

    /// Waits until all connections are over, and their peers have had the time to hear of it.
    pub(in crate::quic) async fn wait_idle(&self) {
        let lane = &self.0.0;
        loop {
            let idle = {
                let table = lane.table();
                if table.is_empty() {
                    return;
                }
                // Made while the table is locked, so that nothing is missed.
                lane.idle.notified()
            };
            idle.await;
        }
    }

    /// The socket's address.
    pub(in crate::quic) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.0.socket.local_addr()
    }

    #[cfg(test)]
    pub(super) fn lane(&self) -> &Arc<Lane> {
        &self.0.0
    }

    /// Whether its driver has gone round since this was asked before, and has it go round before it is asked again.
    pub(in crate::quic) fn goes_round(&self) -> bool {
        let lane = &self.0.0;
        let went = lane.went_round.swap(false, Ordering::Relaxed);
        lane.work().wake();
        went
    }
}

/// Somebody who wants to connect; refused when dropped.
pub(in crate::quic) struct Incoming(Option<(quinn_proto::Incoming, Arc<Lane>)>);

impl Incoming {
    /// Where it comes from, or says that it does.
    pub(in crate::quic) fn remote_address(&self) -> SocketAddr {
        self.incoming().remote_address()
    }

    /// Whether it can be asked to prove its address.
    pub(in crate::quic) fn may_retry(&self) -> bool {
        self.incoming().may_retry()
    }

    fn incoming(&self) -> &quinn_proto::Incoming {
        let (incoming, _) = self.0.as_ref().expect("what ends it takes it");
        incoming
    }

    /// Begins the handshake.
    pub(in crate::quic) fn accept(mut self) -> Result<Connecting, ConnectionError> {
        let (incoming, lane) = self.0.take().expect("what ends it takes it");
        let (now, mut answer) = (Instant::now(), Vec::new());
        let mut table = lane.table();
        if table.over {
            table.endpoint.ignore(incoming);
            return Err(ConnectionError::LocallyClosed);
        }
        match table.endpoint.accept(incoming, now, &mut answer, None) {
            Ok((handle, proto)) => {
                let inner = table.insert(lane.clone(), handle, proto);
                let closing = table.closing.clone();
                drop(table);
                if let Some((code, reason)) = closing {
                    inner.close(code, reason);
                }
                Ok(Connecting::new(inner))
            }
            Err(error) => {
                drop(table);
                if let Some(response) = error.response {
                    lane.respond(&response, &answer);
                }
                Err(error.cause)
            }
        }
    }

    /// Tells it to go away.
    pub(in crate::quic) fn refuse(self) {
        drop(self);
    }

    /// Asks it to prove its address, if it has not done so.
    pub(in crate::quic) fn retry(mut self) {
        let (incoming, lane) = self.0.take().expect("what ends it takes it");
        let mut answer = Vec::new();
        let retried = lane.table().endpoint.retry(incoming, &mut answer);
        match retried {
            Ok(response) => lane.respond(&response, &answer),
            Err(error) => self.0 = Some((error.into_incoming(), lane)),
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some((incoming, lane)) = self.0.take() {
            let mut answer = Vec::new();
            let refusal = lane.table().endpoint.refuse(incoming, &mut answer);
            lane.respond(&refusal, &answer);
        }
    }
}
