//! Handshakes that are begun and never gone on with, from many ports.
//!
//! Their packets are made by quinn before the flood, each with connection IDs and keys of its own, and kept: to send them costs
//! next to nothing, and to the gateway each is a new client.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, ClientConfig, Endpoint, EndpointConfig, TokioRuntime, UdpPoller};
use tokio::time::sleep;
use wardcast::group::wire::ALPN;
use wardcast::tls::{self, Credentials, Trust};

use crate::Failure;

/// Handshakes that are kept. Sent again after all others: by then the gateway has given the first ones up.
const KEPT: usize = 4_096;
/// Handshakes that are made at a time, and how long it takes until their first packets are there.
const AT_ONCE: usize = 256;
const FIRST_FLIGHT: Duration = Duration::from_millis(100);
/// Ports that they come from.
const PORTS: usize = 512;

/// What is sent.
pub(super) struct Hellos {
    handshakes: VecDeque<Vec<Vec<u8>>>,
    sockets: VecDeque<UdpSocket>,
}

impl Hellos {
    pub(super) async fn record(
        gateway: SocketAddr,
        credentials: &Credentials,
        trust: &Trust,
    ) -> Result<Self, Failure> {
        let crypto = tls::client_config(credentials.clone(), trust, &[ALPN])?;
        let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(crypto)?));
        let mut handshakes = VecDeque::with_capacity(KEPT);
        while handshakes.len() < KEPT {
            let recorder = Arc::new(Recorder::default());
            let endpoint = Endpoint::new_with_abstract_socket(
                EndpointConfig::default(),
                None,
                recorder.clone(),
                Arc::new(TokioRuntime),
            )?;
            let connect = |_| endpoint.connect_with(config.clone(), gateway, "localhost");
            let connecting: Vec<_> = (0..AT_ONCE).map(connect).collect::<Result<_, _>>()?;
            while recorder.count() < AT_ONCE {
                sleep(FIRST_FLIGHT).await;
            }
            handshakes.extend(recorder.take());
            drop(connecting);
        }
        let socket = |_| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.connect(gateway)?;
            socket.set_nonblocking(true)?;
            Ok::<_, io::Error>(socket)
        };
        Ok(Hellos {
            handshakes,
            sockets: (0..PORTS).map(socket).collect::<Result<_, _>>()?,
        })
    }

    /// Begins one from the next port; whether all of it was sent. Nobody reads what is answered.
    pub(super) fn send(&mut self) -> bool {
        self.handshakes.rotate_left(1);
        self.sockets.rotate_left(1);
        let (handshake, socket) = (&self.handshakes[0], &self.sockets[0]);
        handshake.iter().all(|packet| socket.send(packet).is_ok())
    }
}

/// A socket from which nothing leaves: the first packets of each handshake are kept, by the connection ID that they go to.
#[derive(Default)]
struct Recorder(Mutex<HashMap<Vec<u8>, Vec<Vec<u8>>>>);

impl Recorder {
    fn count(&self) -> usize {
        let handshakes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        handshakes.len()
    }

    fn take(&self) -> Vec<Vec<Vec<u8>>> {
        let mut handshakes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        handshakes.drain().map(|(_, packets)| packets).collect()
    }
}

/// Packets of a first flight: its keys for post-quantum agreement do not fit into one.
const FLIGHT: usize = 2;

/// The connection ID that a long header goes to (RFC 9000 section 17.2).
fn destination(packet: &[u8]) -> Option<&[u8]> {
    let length = usize::from(*packet.get(5)?);
    packet.get(6..6 + length)
}

impl AsyncUdpSocket for Recorder {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if let Some(destination) = destination(transmit.contents) {
            let mut handshakes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let packets = handshakes.entry(destination.to_vec()).or_default();
            if packets.len() < FLIGHT {
                packets.push(transmit.contents.to_vec());
            }
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        _: &mut Context<'_>,
        _: &mut [IoSliceMut<'_>],
        _: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorder(..)")
    }
}

#[derive(Debug)]
struct Writable;

impl UdpPoller for Writable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_told_apart_by_where_they_go() {
        let packet = [0xc0, 0, 0, 0, 1, 3, 7, 8, 9, 0];
        assert_eq!(destination(&packet), Some(&[7, 8, 9][..]));
        assert_eq!(destination(&packet[..8]), None);
        assert_eq!(destination(&[]), None);
    }
}
