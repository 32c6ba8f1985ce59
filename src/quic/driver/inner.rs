//! What there is of a connection, and how it is driven.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use bytes::Bytes;
use quinn_proto::{
    ConnectionError, ConnectionEvent, ConnectionHandle, Event, StreamEvent, StreamId, VarInt,
};
use smallvec::SmallVec;
use tokio::sync::Notify;

use super::lane::{Lane, own_fault};

/// Packets that wait for a connection; what comes beyond is lost, as it would be in a full socket.
const MAX_WAITING: usize = 256;
/// After so many packets the peer is asked to confirm one, if it does not by itself. Packets are kept until it does, and those that
/// answer signs of life alone it never would confirm.
const UNCONFIRMED: u8 = 16;
/// Packets that a connection sends before others have their turn.
const MAX_PACKETS: usize = 20;

/// One connection.
pub(super) struct Inner {
    pub(super) lane: Arc<Lane>,
    pub(super) handle: ConnectionHandle,
    state: Mutex<State>,
    arrivals: Mutex<Arrivals>,
    /// It is in the lane's list of those that have something to do.
    scheduled: AtomicBool,
    /// Who holds it, besides the lane: see [`Held`].
    holders: AtomicUsize,
}

/// What has come for a connection, and who is to look at it.
struct Arrivals {
    events: Vec<ConnectionEvent>,
    driven: Driven,
}

/// Who drives a connection.
pub(super) enum Driven {
    ByLane,
    /// Whoever waits for the end of the handshake, if it waits already.
    ByHandshake(Option<Waker>),
}

/// A connection's state of QUIC, and who waits for what.
pub(super) struct State {
    pub(super) proto: quinn_proto::Connection,
    /// Why it is over, once it is.
    pub(super) error: Option<ConnectionError>,
    /// Who waits for the peer to open a stream: one task does.
    pub(super) acceptor: Option<Waker>,
    streams: Vec<(Waits, Waker)>,
    /// Those who wait until they may open a stream, if ever anybody did.
    opening: Option<Arc<Notify>>,
    /// When the lane looks at it by itself; not after the deadline that it has.
    due: Option<Instant>,
    /// Packets sent since the peer was asked to confirm one.
    unconfirmed: u8,
}

/// What a task waits for that uses a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    Reading(StreamId),
    Writing(StreamId),
}

/// Those who are woken once no lock is held.
type Woken = SmallVec<[Waker; 4]>;

impl Inner {
    pub(super) fn new(
        lane: Arc<Lane>,
        handle: ConnectionHandle,
        proto: quinn_proto::Connection,
    ) -> Arc<Self> {
        Arc::new(Inner {
            lane,
            handle,
            state: Mutex::new(State {
                proto,
                error: None,
                acceptor: None,
                streams: Vec::new(),
                opening: None,
                due: None,
                unconfirmed: 0,
            }),
            arrivals: Mutex::new(Arrivals {
                events: Vec::new(),
                driven: Driven::ByHandshake(None),
            }),
            scheduled: AtomicBool::new(false),
            holders: AtomicUsize::new(0),
        })
    }

    /// Its state; one that a panic has left is over. Whether it is one is asked with the lock held.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| {
            let mut state = poisoned.into_inner();
            state.error.get_or_insert_with(panicked);
            state
        })
    }

    /// Whether quinn-proto has panicked in it: the connection is given up, and its state of QUIC is not touched any more.
    pub(super) fn is_poisoned(&self) -> bool {
        self.state.is_poisoned()
    }

    fn arrivals(&self) -> MutexGuard<'_, Arrivals> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something has come for it.
    pub(super) fn arrived(self: &Arc<Self>, event: ConnectionEvent) {
        let mut arrivals = self.arrivals();
        if arrivals.events.len() < MAX_WAITING {
            arrivals.events.push(event);
        }
        drop(arrivals);
        self.schedule();
    }

    /// It has something to do: the lane sees to it.
    pub(super) fn schedule(self: &Arc<Self>) {
        if !self.scheduled.swap(true, Ordering::AcqRel) {
            self.lane.work().push(self.clone());
        }
    }

    /// Its turn in the lane's list.
    pub(super) fn turn(self: &Arc<Self>, packet: &mut Vec<u8>) {
        // What is noted from now on needs another turn; what was noted before is seen in this one.
        self.scheduled.swap(false, Ordering::AcqRel);
        let waiting = match &mut self.arrivals().driven {
            Driven::ByLane => None,
            Driven::ByHandshake(task) => Some(task.take()),
        };
        match waiting {
            None => self.drive(packet),
            Some(Some(task)) => task.wake(),
            // It is about to look.
            Some(None) => {}
        }
    }

    pub(super) fn driven(&self, driven: Driven) {
        self.arrivals().driven = driven;
    }

    /// Takes what has come and what is due, sends what there is to send, and tells who waits for it.
    pub(super) fn drive(self: &Arc<Self>, packet: &mut Vec<u8>) {
        let mut woken = Woken::new();
        let mut state = match self.state.lock() {
            Ok(state) => state,
            Err(poisoned) => {
                drop(poisoned);
                return self.give_up();
            }
        };
        let now = Instant::now();
        // Bound to a name first: the list's lock is not held while they are worked on.
        let events = std::mem::take(&mut self.arrivals().events);
        let answers = !events.is_empty();
        for event in events {
            state.proto.handle_event(event);
        }
        if answers && state.unconfirmed >= UNCONFIRMED {
            // It goes with what is sent in answer.
            state.proto.ping();
            state.unconfirmed = 0;
        }
        self.tell_endpoint(&mut state);
        let mut more = self.send(&mut state, now, packet);
        // After what there was to send: a path that is new has no packets that could be late.
        if !more && state.proto.poll_timeout().is_some_and(|due| due <= now) {
            state.proto.handle_timeout(now);
            more = self.send(&mut state, now, packet);
        }
        more |= self.tell_endpoint(&mut state);
        state.tell(&mut woken);
        self.set_deadline(&mut state, now);
        drop(state);
        for task in woken {
            task.wake();
        }
        if more {
            self.schedule();
        }
    }

    /// What drove it panicked: it is not touched again, and its peer gets no answer any more.
    fn give_up(self: &Arc<Self>) {
        self.lane.forget(self);
        let due = self.state().due.take();
        self.lane.work().set(self, (due, None));
        self.lose(panicked());
    }

    /// Sends what there is; whether there is more.
    fn send(&self, state: &mut State, now: Instant, packet: &mut Vec<u8>) -> bool {
        for _ in 0..MAX_PACKETS {
            if self.lane.socket.is_full() {
                return true;
            }
            packet.clear();
            let Some(transmit) = state.proto.poll_transmit(now, 1, packet) else {
                return false;
            };
            state.unconfirmed = state.unconfirmed.saturating_add(1);
            self.lane.send(transmit, packet);
        }
        true
    }

    /// Tells the endpoint what it is to know, such as names that are no longer used; whether it answered.
    fn tell_endpoint(self: &Arc<Self>, state: &mut State) -> bool {
        let mut answered = false;
        while let Some(event) = state.proto.poll_endpoint_events() {
            if let Some(answer) = self.lane.tell(self, event) {
                state.proto.handle_event(answer);
                answered = true;
            }
        }
        answered
    }

    fn set_deadline(self: &Arc<Self>, state: &mut State, now: Instant) {
        let is_drained = state.proto.is_drained();
        let next = state.proto.poll_timeout().filter(|_| !is_drained);
        // To look too early once costs less than to move a deadline with each packet.
        let keeps = match (state.due, next) {
            (Some(due), Some(next)) => due > now && due <= next,
            (due, next) => due == next,
        };
        if !keeps {
            self.lane.work().set(self, (state.due, next));
            state.due = next;
        }
    }

    /// Closes it from this side, if it is not over.
    pub(super) fn close(self: &Arc<Self>, code: VarInt, reason: Bytes) {
        let mut state = self.state();
        if self.is_poisoned() {
            drop(state);
            return self.schedule();
        }
        state.proto.close(Instant::now(), code, reason);
        let woken = state.over(ConnectionError::LocallyClosed);
        drop(state);
        for task in woken {
            task.wake();
        }
        self.schedule();
    }

    /// Nothing drives it any more.
    pub(super) fn lose(&self, error: ConnectionError) {
        let mut woken = self.state().over(error);
        if let Driven::ByHandshake(task) = &mut self.arrivals().driven {
            woken.extend(task.take());
        }
        for task in woken {
            task.wake();
        }
    }
}

fn panicked() -> ConnectionError {
    own_fault("its driver panicked")
}

impl State {
    /// Tells those who wait what has happened.
    fn tell(&mut self, woken: &mut Woken) {
        while let Some(event) = self.proto.poll() {
            match event {
                Event::ConnectionLost { reason } => woken.extend(self.over(reason)),
                Event::Stream(StreamEvent::Opened { .. }) => woken.extend(self.acceptor.take()),
                Event::Stream(StreamEvent::Readable { id }) => {
                    woken.extend(self.waiting(Waits::Reading(id)));
                }
                Event::Stream(StreamEvent::Writable { id } | StreamEvent::Stopped { id, .. }) => {
                    woken.extend(self.waiting(Waits::Writing(id)));
                }
                Event::Stream(StreamEvent::Available { .. }) => self.may_open(),
                // Whoever waits for the handshake drives it, and sees its end. Nobody waits until a stream is acknowledged.
                Event::HandshakeDataReady
                | Event::Connected
                | Event::Stream(StreamEvent::Finished { .. })
                | Event::DatagramReceived
                | Event::DatagramsUnblocked => {}
            }
        }
    }

    /// The connection is over, and why; the first reason counts. All who wait for something are to look.
    fn over(&mut self, error: ConnectionError) -> Woken {
        self.error.get_or_insert(error);
        self.may_open();
        let streams = std::mem::take(&mut self.streams);
        let waiting = streams.into_iter().map(|(_, task)| task);
        waiting.chain(self.acceptor.take()).collect()
    }

    fn may_open(&self) {
        if let Some(opening) = &self.opening {
            opening.notify_waiters();
        }
    }

    /// What tells when it may be possible to open a stream.
    pub(super) fn opening(&mut self) -> Arc<Notify> {
        self.opening.get_or_insert_default().clone()
    }

    /// A task waits for something; one alone does for each.
    pub(super) fn wait(&mut self, what: Waits, task: &Waker) {
        match self.streams.iter_mut().find(|(waits, _)| *waits == what) {
            Some((_, waiting)) => waiting.clone_from(task),
            None => self.streams.push((what, task.clone())),
        }
    }

    /// Who waits for it, and does no longer.
    pub(super) fn waiting(&mut self, what: Waits) -> Option<Waker> {
        let at = self.streams.iter().position(|(waits, _)| *waits == what)?;
        let (_, task) = self.streams.swap_remove(at);
        if self.streams.is_empty() {
            // Most connections rest: they keep no room.
            self.streams = Vec::new();
        }
        Some(task)
    }
}

/// A connection that somebody uses. With the last of them it is closed, if it is not over.
pub(super) struct Held(Arc<Inner>);

impl Held {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        inner.holders.fetch_add(1, Ordering::Relaxed);
        Held(inner)
    }
}

impl Clone for Held {
    fn clone(&self) -> Self {
        Self::new(self.0.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.0.holders.fetch_sub(1, Ordering::AcqRel) == 1 && !self.0.state().proto.is_closed() {
            self.0.close(0_u32.into(), Bytes::new());
        }
    }
}

impl std::ops::Deref for Held {
    type Target = Arc<Inner>;

    fn deref(&self) -> &Arc<Inner> {
        &self.0
    }
}
