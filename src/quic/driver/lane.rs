//! What the connections of one lane share, and the task that drives them.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn::udp;
use quinn_proto::{
    ConnectionError, ConnectionEvent, ConnectionHandle, DatagramEvent, EcnCodepoint, EndpointEvent,
    Incoming, Transmit, TransportError, TransportErrorCode, VarInt,
};
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{Sleep, sleep};

use super::inner::Inner;
use super::work::{Ready, Unsent, Work};
use crate::quic::lanes::Packet;
use crate::quic::socket::Socket;

/// Packets that are handed out, and connections that are driven, before other tasks have their turn.
const AT_ONCE: usize = 32;
/// When a full socket is tried again.
const FULL: Duration = Duration::from_millis(1);
/// How long the driver waits when nothing is due.
const IDLE: Duration = Duration::from_secs(3_600);

/// What is shared.
pub(super) struct Lane {
    pub(super) socket: Arc<Socket>,
    table: Mutex<Table>,
    work: Mutex<Work>,
    /// Somebody wants to connect, or nobody will.
    pub(super) arrived: Notify,
    /// The last connection has gone.
    pub(super) idle: Notify,
    /// Nobody has the endpoint any more: the driver ends with the last connection.
    pub(super) abandoned: AtomicBool,
    /// The driver has gone round since it was last asked.
    pub(super) went_round: AtomicBool,
}

/// Whose packet is whose.
pub(super) struct Table {
    pub(super) endpoint: quinn_proto::Endpoint,
    /// By their handles, which are small numbers that are used again.
    connections: Vec<Option<Arc<Inner>>>,
    count: usize,
    /// Those who want to connect; how many wait is bounded by the server's configuration.
    pub(super) incoming: VecDeque<Incoming>,
    /// Nobody is taken on any more, and what connections were told.
    pub(super) closing: Option<(VarInt, Bytes)>,
    /// There is no driver any more.
    pub(super) over: bool,
}

impl Table {
    pub(super) fn insert(
        &mut self,
        lane: Arc<Lane>,
        handle: ConnectionHandle,
        proto: quinn_proto::Connection,
    ) -> Arc<Inner> {
        let inner = Inner::new(lane, handle, proto);
        if self.connections.len() <= handle.0 {
            self.connections.resize_with(handle.0 + 1, || None);
        }
        self.connections[handle.0] = Some(inner.clone());
        self.count += 1;
        inner
    }

    fn remove(&mut self, handle: ConnectionHandle) -> Option<Arc<Inner>> {
        let removed = self.connections.get_mut(handle.0)?.take();
        self.count -= usize::from(removed.is_some());
        removed
    }

    /// Whether it is this one that has its handle, which may be another's by now.
    fn has(&self, inner: &Arc<Inner>) -> bool {
        let own = self.connections.get(inner.handle.0);
        own.is_some_and(|own| own.as_ref().is_some_and(|own| Arc::ptr_eq(own, inner)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn connections(&self) -> Vec<Arc<Inner>> {
        self.connections.iter().flatten().cloned().collect()
    }
}

impl Lane {
    pub(super) fn new(endpoint: quinn_proto::Endpoint, socket: Arc<Socket>) -> Arc<Self> {
        Arc::new(Lane {
            socket,
            table: Mutex::new(Table {
                endpoint,
                connections: Vec::new(),
                count: 0,
                incoming: VecDeque::new(),
                closing: None,
                over: false,
            }),
            work: Mutex::default(),
            arrived: Notify::new(),
            idle: Notify::new(),
            abandoned: AtomicBool::new(false),
            went_round: AtomicBool::new(true),
        })
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn work(&self) -> MutexGuard<'_, Work> {
        // Nothing panics while it holds the lock.
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the endpoint what a connection has to say, and perhaps the connection what it answers.
    pub(super) fn tell(&self, inner: &Arc<Inner>, event: EndpointEvent) -> Option<ConnectionEvent> {
        let mut table = self.table();
        if !table.has(inner) {
            return None;
        }
        if event.is_drained() {
            let removed = table.remove(inner.handle);
            // Whoever tells holds it too: it is not freed with the table locked.
            drop(removed);
            if table.is_empty() {
                self.idle.notify_waiters();
                self.work().wake();
            }
        }
        table.endpoint.handle_event(inner.handle, event)
    }

    /// A connection is no more, and did not end as connections do.
    pub(super) fn forget(&self, inner: &Arc<Inner>) {
        self.tell(inner, EndpointEvent::drained());
    }

    /// Sends a packet, at once or when the socket has room again.
    pub(super) fn send(&self, transmit: Transmit, packet: &[u8]) {
        let bytes = &packet[..transmit.size];
        if !self.try_send(&transmit, bytes) {
            let bytes = bytes.into();
            self.work().keep(Unsent { transmit, bytes });
        }
    }

    /// Sends what has no connection, if the socket has room: whoever gets no answer asks again.
    pub(super) fn respond(&self, transmit: &Transmit, packet: &[u8]) {
        self.try_send(transmit, &packet[..transmit.size]);
    }

    fn try_send(&self, transmit: &Transmit, contents: &[u8]) -> bool {
        self.socket.send(&udp::Transmit {
            destination: transmit.destination,
            ecn: transmit
                .ecn
                .and_then(|bits| udp::EcnCodepoint::from_bits(bits as u8)),
            contents,
            segment_size: transmit.segment_size,
            src_ip: transmit.src_ip,
        })
    }

    /// Sends what waited for room; whether there is room now.
    fn catch_up(&self) -> bool {
        while self.socket.has_room() {
            let Some(unsent) = self.work().unsent() else {
                return true;
            };
            if !self.try_send(&unsent.transmit, &unsent.bytes) {
                self.work().put_back(unsent);
                return false;
            }
        }
        false
    }

    fn is_over(&self) -> bool {
        self.abandoned.load(Ordering::Acquire) && self.table().is_empty()
    }

    /// There is no driver any more: nobody connects, and whoever is connected is not from now on.
    fn end(&self) {
        let mut table = self.table();
        table.over = true;
        for incoming in std::mem::take(&mut table.incoming) {
            table.endpoint.ignore(incoming);
        }
        let connections = std::mem::take(&mut table.connections);
        table.count = 0;
        drop(table);
        let ended = self.work().end();
        for inner in connections.iter().flatten() {
            inner.lose(own_fault("the socket is lost"));
        }
        drop(ended);
        self.arrived.notify_one();
        self.idle.notify_waiters();
    }
}

/// Why a connection is over that its peer did nothing wrong on.
pub(super) fn own_fault(why: &str) -> ConnectionError {
    ConnectionError::TransportError(TransportError {
        code: TransportErrorCode::INTERNAL_ERROR,
        frame: None,
        reason: why.to_owned(),
    })
}

/// The task of a lane.
pub(super) struct Driver {
    lane: Arc<Lane>,
    packets: Vec<Packet>,
    /// Connections that are to be driven, or woken.
    turns: Vec<Arc<Inner>>,
    /// What is being sent.
    packet: Vec<u8>,
    sleep: Pin<Box<Sleep>>,
}

impl Driver {
    /// Needs a Tokio runtime.
    pub(super) fn new(lane: Arc<Lane>) -> Self {
        Driver {
            lane,
            packets: Vec::with_capacity(AT_ONCE),
            turns: Vec::with_capacity(AT_ONCE),
            packet: Vec::new(),
            sleep: Box::pin(sleep(IDLE)),
        }
    }

    /// Drives until nobody has the endpoint or a connection of it, or the socket fails.
    pub(super) async fn run(mut self) {
        while !self.lane.is_over() {
            match self.round() {
                Ok(true) => yield_now().await,
                Ok(false) => self.wait().await,
                Err(error) => {
                    tracing::error!(%error, "the socket of QUIC failed");
                    return;
                }
            }
        }
    }

    /// Does a bounded part of what there is to do; whether there is more.
    fn round(&mut self) -> io::Result<bool> {
        self.lane.went_round.store(true, Ordering::Relaxed);
        let more_packets = self.hand_out()?;
        self.ring(Instant::now());
        let mut more = false;
        if self.lane.catch_up() {
            more = self.lane.work().take(AT_ONCE, &mut self.turns);
        }
        for inner in self.turns.drain(..) {
            let packet = &mut self.packet;
            // What a peer may make go wrong in its connection is not to end the others.
            let turn = AssertUnwindSafe(|| inner.turn(packet));
            if catch_unwind(turn).is_err() {
                inner.schedule();
            }
        }
        Ok(more || more_packets)
    }

    /// Packets to their connections; whether there are more.
    fn hand_out(&mut self) -> io::Result<bool> {
        let lane = &*self.lane;
        let mut queue = lane.socket.inbox().queue();
        if let Some(error) = queue.failed.take() {
            return Err(error);
        }
        let count = queue.packets.len().min(AT_ONCE);
        self.packets.extend(queue.packets.drain(..count));
        let more = !queue.packets.is_empty();
        drop(queue);
        if self.packets.is_empty() {
            return Ok(more);
        }
        let (now, mut arrived) = (Instant::now(), false);
        let mut table = lane.table();
        for Packet { meta, bytes } in self.packets.drain(..) {
            let ecn = meta
                .ecn
                .and_then(|bits| EcnCodepoint::from_bits(bits as u8));
            let answer = &mut self.packet;
            answer.clear();
            let to = meta.dst_ip;
            match table
                .endpoint
                .handle(now, meta.addr, to, ecn, bytes, answer)
            {
                Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                    if let Some(Some(inner)) = table.connections.get(handle.0) {
                        inner.arrived(event);
                    }
                }
                Some(DatagramEvent::NewConnection(incoming)) if table.closing.is_some() => {
                    let refusal = table.endpoint.refuse(incoming, answer);
                    lane.respond(&refusal, answer);
                }
                Some(DatagramEvent::NewConnection(incoming)) => {
                    table.incoming.push_back(incoming);
                    arrived = true;
                }
                Some(DatagramEvent::Response(response)) => lane.respond(&response, answer),
                None => {}
            }
        }
        drop(table);
        if arrived {
            lane.arrived.notify_one();
        }
        Ok(more)
    }

    /// Connections whose deadlines have passed are to look.
    fn ring(&self, now: Instant) {
        loop {
            let due = self.lane.work().due(now);
            let Some(inner) = due else {
                return;
            };
            inner.schedule();
        }
    }

    /// Until there is something to do.
    async fn wait(&mut self) {
        // A full socket is all that matters then, besides what comes in.
        let full = self.lane.socket.is_full();
        let again = full.then(|| Instant::now() + FULL);
        let (mut first, mut ready) = (true, false);
        poll_fn(|cx| {
            ready = ready || self.poll_wait(cx, again).is_ready();
            // Where there always is something to do, other tasks have their turn in between.
            let yields = std::mem::take(&mut first) && ready;
            if yields {
                cx.waker().wake_by_ref();
            }
            match ready && !yields {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    fn poll_wait(&mut self, cx: &mut Context<'_>, again: Option<Instant>) -> Poll<()> {
        if self.lane.socket.inbox().queue().wait(cx.waker()) {
            return Poll::Ready(());
        }
        let until = match again {
            Some(again) => again,
            None => match self.lane.work().wait(cx.waker()) {
                Ok(due) => due.unwrap_or_else(|| Instant::now() + IDLE),
                Err(Ready) => return Poll::Ready(()),
            },
        };
        if self.sleep.deadline() != until.into() {
            self.sleep.as_mut().reset(until.into());
        }
        self.sleep.as_mut().poll(cx)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.lane.end();
    }
}
