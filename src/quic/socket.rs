//! The gateway's UDP socket, read by a thread of its own: acknowledgements end there, QUIC's packets go on to its driver.
//!
//! A runtime that watches this socket is woken by each acknowledgement that comes and, while a rekey is sent, by each
//! datagram that has left; for a few bytes that costs more than all that is done with them. The thread sleeps for a moment
//! after it has read acknowledgements, and then finds many; and so it does where packets keep coming, as when many connect at
//! once: to be woken by each of them, and to wake the driver for it, costs more than most of them do. While a rekey is sent it leaves
//! the socket to whoever sends, who reads between two batches: two threads at one socket slow each other down.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use quinn::udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::lanes::{Inbox, Lanes};
use crate::udp::{Sink, sift};

/// How long acknowledgements are gathered, and how often the thread wakes where packets keep coming.
const GATHER: Duration = Duration::from_millis(1);
/// So often it wakes at once after a pause: as many packets are few connections' handshakes and requests, which wait for nothing.
const AT_ONCE: u32 = 32;
/// The longest packet, in bytes; what coalesces in the kernel is so many of them.
const MAX_PACKET: usize = 1_500;
/// Batches that are read before whoever reads has something else to do: a flood must not keep rekeys from being sent.
const MAX_BATCHES: usize = 4;
/// When a full socket is tried again.
const FULL: Duration = Duration::from_millis(1);
const NOW: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// The socket as QUIC's driver has it. Dropping it ends the thread.
pub(super) struct Socket(Arc<Reader>);

/// Who reads the socket, and for whom.
pub(super) struct Reader {
    socket: UdpSocket,
    state: UdpSocketState,
    sink: Arc<dyn Sink>,
    lanes: Arc<Lanes>,
    lane: usize,
    /// Where datagrams are read to; whoever has it reads.
    storage: Mutex<Vec<u8>>,
    /// Whether the socket is the sender's.
    sending: Mutex<bool>,
    sent: Condvar,
    /// A packet of QUIC has met a full socket, and nobody has seen room since.
    full: AtomicBool,
    /// Tells the thread to end.
    ended: OwnedFd,
}

impl Socket {
    /// Begins to read; what is not QUIC's goes to the sink, and the rest to the lanes, of which this one is its own.
    pub(super) fn start(
        socket: UdpSocket,
        sink: Arc<dyn Sink>,
        (lanes, lane): (Arc<Lanes>, usize),
    ) -> io::Result<Arc<Self>> {
        let reader = Arc::new(Reader::new(socket, sink, (lanes, lane))?);
        let own = reader.clone();
        let thread = std::thread::Builder::new().name("datagrams".to_owned());
        thread.spawn(move || own.run())?;
        Ok(Arc::new(Socket(reader)))
    }

    /// For whoever sends beside QUIC, as long as there is a socket.
    pub(super) fn reader(&self) -> Weak<Reader> {
        Arc::downgrade(&self.0)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // An event's counter takes a one at any time.
        let _ = rustix::io::write(&self.0.ended, &1_u64.to_ne_bytes());
    }
}

impl Socket {
    /// Sends a packet, unless the socket is full: whether it is gone. One that cannot be sent at all is lost, as any packet may be.
    pub(super) fn send(&self, transmit: &Transmit<'_>) -> bool {
        let sent = self.0.state.send((&self.0.socket).into(), transmit);
        if sent.is_err() {
            self.0.full.store(true, Ordering::Relaxed);
        }
        sent.is_ok()
    }

    /// Whether a packet has met a full socket, and nobody has seen room since.
    pub(super) fn is_full(&self) -> bool {
        self.0.full.load(Ordering::Relaxed)
    }

    /// Whether it takes a packet: a call of the kernel only if it was full.
    pub(super) fn has_room(&self) -> bool {
        self.0.has_room()
    }

    /// What it has read.
    pub(super) fn inbox(&self) -> &Inbox {
        self.0.lanes.inbox(self.0.lane)
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.socket.local_addr()
    }

    /// Whether packets may be cut up on their way.
    pub(super) fn may_fragment(&self) -> bool {
        self.0.state.may_fragment()
    }
}

/// Somebody sends, and reads in between.
pub(super) struct Sending<'a>(&'a Reader);

impl Sending<'_> {
    pub(super) fn socket(&self) -> &UdpSocket {
        &self.0.socket
    }

    /// Takes what has come meanwhile.
    pub(super) fn read(&self) {
        self.0.drain();
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        *lock(&self.0.sending) = false;
        self.0.sent.notify_one();
    }
}

impl Reader {
    fn new(
        socket: UdpSocket,
        sink: Arc<dyn Sink>,
        (lanes, lane): (Arc<Lanes>, usize),
    ) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        let room = state.gro_segments() * MAX_PACKET * BATCH_SIZE;
        Ok(Reader {
            socket,
            state,
            sink,
            lanes,
            lane,
            storage: Mutex::new(vec![0; room]),
            sending: Mutex::default(),
            sent: Condvar::new(),
            full: AtomicBool::new(false),
            ended: eventfd(0, EventfdFlags::CLOEXEC)?,
        })
    }

    /// The socket is the caller's until he is done: the one thread that sends beside QUIC.
    pub(super) fn sending(&self) -> Sending<'_> {
        *lock(&self.sending) = true;
        Sending(self)
    }

    /// Whether the socket takes a packet, as far as is known.
    fn has_room(&self) -> bool {
        if !self.full.load(Ordering::Relaxed) {
            return true;
        }
        let mut room = [PollFd::new(&self.socket, PollFlags::OUT)];
        // An interrupted look is repeated like one that found no room.
        let found = poll(&mut room, Some(&NOW)).is_ok_and(|ready| ready > 0);
        if found {
            self.full.store(false, Ordering::Relaxed);
        }
        found
    }

    /// As after a packet that it did not take.
    #[cfg(test)]
    pub(super) fn fill(&self) {
        self.full.store(true, Ordering::Relaxed);
    }

    fn run(&self) {
        let mut looks = Looks::default();
        loop {
            let sending = lock(&self.sending);
            // Nothing panics while it holds the lock.
            drop(self.sent.wait_while(sending, |sending| *sending));
            let mut ready = [
                PollFd::new(&self.socket, PollFlags::IN),
                PollFd::from_borrowed_fd(self.ended.as_fd(), PollFlags::IN),
            ];
            // An interrupted wait is as good as one that has ended.
            let _ = poll(&mut ready, None);
            if !ready[1].revents().is_empty() {
                return;
            }
            match self.drain() {
                Drained::InPart => {}
                Drained::OfAcknowledgements => std::thread::sleep(GATHER),
                Drained::OfPackets => std::thread::sleep(looks.rest(Instant::now())),
            }
        }
    }

    /// Takes what has come.
    fn drain(&self) -> Drained {
        let drained = self.read();
        self.sink.done();
        drained
    }

    fn read(&self) -> Drained {
        let mut storage = lock(&self.storage);
        let room = storage.len() / BATCH_SIZE;
        let mut drained = Drained::OfPackets;
        for _ in 0..MAX_BATCHES {
            let mut chunks = storage.chunks_mut(room).map(IoSliceMut::new);
            let mut bufs: [IoSliceMut<'_>; BATCH_SIZE] =
                std::array::from_fn(|_| chunks.next().expect("there is room for a batch"));
            let mut meta = [RecvMeta::default(); BATCH_SIZE];
            let socket = (&self.socket).into();
            let received = match self.state.recv(socket, &mut bufs, &mut meta) {
                Ok(received) => received,
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        self.fail(error);
                    }
                    return drained;
                }
            };
            let kept = sift(&*self.sink, &mut bufs, &mut meta, received);
            if kept < received {
                drained = Drained::OfAcknowledgements;
            }
            self.hand_over(&bufs[..kept], &meta[..kept]);
            if received < BATCH_SIZE {
                return drained;
            }
        }
        Drained::InPart
    }

    fn hand_over(&self, bufs: &[IoSliceMut<'_>], metas: &[RecvMeta]) {
        if bufs.is_empty() {
            return;
        }
        let packets = bufs.iter().zip(metas).flat_map(|(buf, meta)| {
            let packets = buf[..meta.len].chunks(meta.stride.max(1));
            packets.map(|packet| (*meta, packet))
        });
        self.lanes.hand_over(self.lane, packets);
    }

    /// Ends the driver, unless the error is one that anybody on the way can cause.
    fn fail(&self, error: io::Error) {
        if error.kind() != io::ErrorKind::ConnectionReset {
            let mut queue = self.lanes.inbox(self.lane).queue();
            queue.failed = Some(error);
            queue.wake();
        }
        std::thread::sleep(FULL);
    }
}

/// How far the socket was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drained {
    /// There may be more.
    InPart,
    /// That was all, and acknowledgements were among it.
    OfAcknowledgements,
    /// That was all, and it was QUIC's, if there was any.
    OfPackets,
}

/// How often the thread has looked.
#[derive(Default)]
struct Looks {
    /// When the next look would be due if all were [`GATHER`] apart.
    due: Option<Instant>,
}

impl Looks {
    /// It has looked: how long it rests before the next time.
    fn rest(&mut self, now: Instant) -> Duration {
        let due = self.due.map_or(now, |due| due.max(now)) + GATHER;
        self.due = Some(due);
        due.saturating_duration_since(now + GATHER * AT_ONCE)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Poll;
    use std::time::Instant;

    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    #[derive(Debug, Default)]
    struct Count(AtomicUsize);

    impl Sink for Count {
        fn take(&self, datagrams: &[(SocketAddr, &[u8])]) {
            self.0.fetch_add(datagrams.len(), Ordering::SeqCst);
        }
    }

    fn alone() -> (Arc<Lanes>, usize) {
        (Lanes::new(1), 0)
    }

    fn bound() -> UdpSocket {
        UdpSocket::bind("127.0.0.1:0").expect("binds")
    }

    async fn received(socket: &Socket) -> Vec<Vec<u8>> {
        let next = std::future::poll_fn(|cx| {
            let mut queue = socket.inbox().queue();
            if !queue.wait(cx.waker()) {
                return Poll::Pending;
            }
            assert!(queue.failed.is_none(), "it is a socket");
            let packets = queue.packets.drain(..);
            Poll::Ready(packets.map(|packet| packet.bytes.to_vec()).collect())
        });
        timeout(SOON, next).await.expect("something comes")
    }

    #[tokio::test]
    async fn quics_packets_come_in_their_order_and_others_go_to_the_sink() {
        let (own, peer, count) = (bound(), bound(), Arc::<Count>::default());
        let to = own.local_addr().expect("is bound");
        let socket = Socket::start(own, count.clone(), alone()).expect("starts");
        for number in 0..100 {
            for first in [5, 0x40] {
                peer.send_to(&[first, number], to).expect("is sent");
            }
        }
        let mut packets = Vec::new();
        while packets.len() < 100 {
            packets.extend(received(&socket).await);
        }
        let expected: Vec<_> = (0..100).map(|number| vec![0x40, number]).collect();
        assert_eq!(packets, expected);
        let began = Instant::now();
        while count.0.load(Ordering::SeqCst) < 100 {
            assert!(began.elapsed() < SOON, "all are taken");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_flood_keeps_nobody_from_sending() {
        let (own, peer, count) = (bound(), bound(), Arc::<Count>::default());
        let to = own.local_addr().expect("is bound");
        let reader = Reader::new(own, count.clone(), alone()).expect("a socket");
        for _ in 0..200 {
            peer.send_to(&[5], to).expect("is sent");
        }
        let most = MAX_BATCHES * BATCH_SIZE;
        let taken = || count.0.load(Ordering::SeqCst);
        assert_eq!(reader.drain(), Drained::InPart);
        assert_eq!(taken(), most);
        assert_eq!(reader.drain(), Drained::OfAcknowledgements);
        assert_eq!(taken(), 200);
        assert_eq!(reader.drain(), Drained::OfPackets, "nothing has come");
    }

    #[test]
    fn whoever_looks_often_rests_and_a_pause_makes_up_for_it() {
        let (mut looks, mut now) = (Looks::default(), Instant::now());
        for _ in 0..AT_ONCE {
            assert_eq!(looks.rest(now), Duration::ZERO);
        }
        for _ in 0..100 {
            let rest = looks.rest(now);
            assert_eq!(rest, GATHER);
            now += rest;
        }
        now += 3 * GATHER;
        let rests: Vec<_> = (0..5).map(|_| looks.rest(now)).collect();
        let expected = [0, 0, 0, 1, 2].map(|rests| GATHER * rests);
        assert_eq!(rests, expected);
        now += 10_000 * GATHER;
        assert_eq!(looks.rest(now), Duration::ZERO);
    }

    #[test]
    fn a_socket_that_was_full_is_looked_at_until_it_has_room() {
        let reader = Reader::new(bound(), Arc::<Count>::default(), alone()).expect("a socket");
        assert!(reader.has_room());
        reader.full.store(true, Ordering::Relaxed);
        assert!(reader.has_room(), "it is empty");
        assert!(!reader.full.load(Ordering::Relaxed));
    }

    #[test]
    fn the_thread_ends_with_the_socket() {
        let socket = Socket::start(bound(), Arc::<Count>::default(), alone()).expect("starts");
        let reader = socket.reader();
        drop(socket);
        let began = Instant::now();
        while reader.strong_count() > 0 {
            assert!(began.elapsed() < SOON, "the thread lets go of it");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
