//! How QUIC is set up for those who connect.

use std::sync::Arc;

use quinn_proto::crypto::rustls::NoInitialCipherSuite;
use quinn_proto::{ServerConfig, TransportConfig};

use super::session::Sessions;
use super::{IDLE, Limits, MAX_REQUESTS};
use crate::group::limits::MAX_REQUEST;

/// Bytes that a handshake may have sent while it waits for its turn, besides its first packet: a greeting with a key of ML-KEM is
/// two packets, and comes a few times.
const WAITING_BYTES: u64 = 16 << 10;
/// Requests that may be on their way at a time on one connection, in bytes: few are as large as one with a token can be.
const RECEIVE_WINDOW: u32 = 64 << 10;

pub(super) fn configuration(
    tls: rustls::ServerConfig,
    limits: Limits,
) -> Result<ServerConfig, NoInitialCipherSuite> {
    let mut config = ServerConfig::with_crypto(Arc::new(Sessions::try_from(tls)?));
    config.transport_config(Arc::new(transport()));
    config
        .max_incoming(limits.handshakes)
        .incoming_buffer_size(WAITING_BYTES)
        .incoming_buffer_size_total(WAITING_BYTES * limits.handshakes as u64);
    Ok(config)
}

/// Small windows: requests are small, and what a peer may make the gateway hold is bounded by them. There is little to send that is more
/// than one packet, so packets stay small and leave one by one.
fn transport() -> TransportConfig {
    let request = MAX_REQUEST as u32 + 1;
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(MAX_REQUESTS.into())
        .max_concurrent_uni_streams(0_u32.into())
        .stream_receive_window(request.into())
        .receive_window(RECEIVE_WINDOW.into())
        .datagram_receive_buffer_size(None)
        .enable_segmentation_offload(false)
        .mtu_discovery_config(None)
        .max_idle_timeout(IDLE.try_into().ok());
    transport
}
