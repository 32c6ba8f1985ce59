//! UDP sockets for QUIC and for the datagrams beside it: told apart by their first byte (RFC 9443).

pub(crate) mod multicast;

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use quinn::udp::{BATCH_SIZE, RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, EndpointConfig, Runtime, TokioRuntime, UdpPoller};
use rustix::net::sockopt::set_socket_reuseport;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
use smallvec::SmallVec;

use crate::group::wire::datagram::is_datagram;

/// Batches of datagrams alone that are taken before QUIC has another turn.
const BATCHES: usize = 16;

/// Takes the datagrams that are not QUIC's.
pub trait Sink: Send + Sync + fmt::Debug {
    /// Some that came together; called where QUIC's are read, so it must not wait.
    fn take(&self, datagrams: &[(SocketAddr, &[u8])]);

    /// All that had come is taken, or as much as is taken at once.
    fn done(&self) {}
}

/// How endpoints are configured that share their sockets: QUIC's fixed bit tells its packets, so it is not greased.
pub fn endpoint_config() -> EndpointConfig {
    let mut config = EndpointConfig::default();
    config.grease_quic_bit(false);
    config
}

/// So many sockets on one port, among which the system shares out what comes.
///
/// # Errors
/// When the port is in use, or the system has no such address.
pub(crate) fn bound(address: SocketAddr, count: usize) -> io::Result<Vec<UdpSocket>> {
    // The first one is bound alone, so that a port that is in use is an error. After that others of the same user may share it.
    let first = UdpSocket::bind(address)?;
    let address = first.local_addr()?;
    if count > 1 {
        set_socket_reuseport(&first, true)?;
    }
    let mut sockets = vec![first];
    while sockets.len() < count {
        let flags = SocketFlags::CLOEXEC;
        let next = socket_with(family(address), SocketType::DGRAM, flags, None)?;
        set_socket_reuseport(&next, true)?;
        bind(&next, &address)?;
        sockets.push(next.into());
    }
    Ok(sockets)
}

fn family(address: SocketAddr) -> AddressFamily {
    match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    }
}

/// A socket for quinn, whose other datagrams go to the sink.
#[derive(Debug)]
pub struct Shared {
    inner: Arc<dyn AsyncUdpSocket>,
    sink: Arc<dyn Sink>,
}

impl Shared {
    /// Needs a Tokio runtime.
    pub fn new(socket: UdpSocket, sink: Arc<dyn Sink>) -> io::Result<Arc<Self>> {
        let inner = TokioRuntime.wrap_udp_socket(socket)?;
        Ok(Arc::new(Self { inner, sink }))
    }

    /// Sends a datagram beside QUIC's; what cannot be sent at once is lost, as any datagram may be.
    pub fn send(&self, destination: SocketAddr, contents: &[u8]) {
        let _ = self.inner.try_send(&Transmit {
            destination,
            ecn: None,
            contents,
            segment_size: None,
            src_ip: None,
        });
    }
}

impl AsyncUdpSocket for Shared {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.inner.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        for _ in 0..BATCHES {
            let received = ready!(self.inner.poll_recv(cx, bufs, meta))?;
            let kept = sift(&*self.sink, bufs, meta, received);
            if kept > 0 || received == 0 {
                return Poll::Ready(Ok(kept));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

/// Gives the sink what is not QUIC's and moves the rest to the front; how many buffers are left.
pub(crate) fn sift(
    sink: &dyn Sink,
    bufs: &mut [IoSliceMut<'_>],
    meta: &mut [RecvMeta],
    received: usize,
) -> usize {
    let mut ours = SmallVec::<[(SocketAddr, &[u8]); BATCH_SIZE]>::new();
    for (buf, meta) in bufs.iter().zip(meta.iter()).take(received) {
        // The kernel may have put several of one sender into one buffer (GRO).
        let segments = buf[..meta.len].chunks(meta.stride.max(1));
        let found =
            segments.filter(|segment| segment.first().is_some_and(|byte| is_datagram(*byte)));
        ours.extend(found.map(|datagram| (meta.addr, datagram)));
    }
    if ours.is_empty() {
        return received;
    }
    sink.take(&ours);
    drop(ours);
    let mut kept = 0;
    for at in 0..received {
        let left = keep_quic(&mut bufs[at][..meta[at].len], meta[at].stride.max(1));
        if left == 0 {
            continue;
        }
        meta[at].len = left;
        bufs.swap(kept, at);
        meta.swap(kept, at);
        kept += 1;
    }
    kept
}

/// Moves QUIC's segments to the front; their length. All but the last are as long as the stride, and stay so.
fn keep_quic(buf: &mut [u8], stride: usize) -> usize {
    let (mut left, mut at) = (0, 0);
    while at < buf.len() {
        let end = (at + stride).min(buf.len());
        if !is_datagram(buf[at]) {
            buf.copy_within(at..end, left);
            left += end - at;
        }
        at = end;
    }
    left
}

#[cfg(test)]
mod tests;
