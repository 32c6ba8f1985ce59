//! The socket of a member that only acknowledges, as quinn has it: whoever reads it hands QUIC's packets over.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

use super::datagrams::Line;
use crate::sockets::Watch;

/// Packets that wait for quinn; what comes beyond is lost, as it would be in a full socket.
const MAX_WAITING: usize = 1_024;

/// QUIC's packets on their way to quinn.
#[derive(Default)]
pub(super) struct Packets(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    packets: VecDeque<Box<[u8]>>,
    task: Option<Waker>,
}

impl Packets {
    /// One has come.
    pub(super) fn put(&self, packet: &[u8]) {
        let mut queue = self.queue();
        if queue.packets.len() < MAX_WAITING {
            queue.packets.push_back(packet.into());
        }
        let task = queue.task.take();
        drop(queue);
        if let Some(task) = task {
            task.wake();
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it holds it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What quinn sends with and reads from. The socket is read as long as this is there.
pub(super) struct Socket {
    pub(super) line: Arc<Line>,
    pub(super) _watch: Watch,
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable)
    }

    /// As with any datagram: what a full socket does not take is lost.
    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        match self
            .line
            .port()
            .send(transmit.destination, transmit.contents)
        {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            other => other,
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut queue = self.line.packets().queue();
        let count = queue.packets.len().min(bufs.len());
        if count == 0 {
            queue.task = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let packets = queue.packets.drain(..count);
        for ((buf, meta), packet) in bufs.iter_mut().zip(meta).zip(packets) {
            // One that quinn has no room for is one that it refuses anyway.
            let len = packet.len().min(buf.len());
            buf[..len].copy_from_slice(&packet[..len]);
            *meta = RecvMeta {
                addr: self.line.gateway(),
                len,
                stride: len,
                ecn: None,
                dst_ip: None,
            };
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.line.port().address())
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Socket({})", self.line.port().address())
    }
}

/// Nothing is waited for: what does not fit is lost.
#[derive(Debug)]
struct Writable;

impl UdpPoller for Writable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
