//! Few sockets for many members, each of whom has an address of its own in 127.0.0.0/8.
//!
//! A socket for each member would be most of what it costs this process. And it would cost whoever sends to it: on one machine
//! the kernel runs the receiving half of a datagram, down to the wake-up of the reader, on the sender's time, which it does not
//! for members that are elsewhere.

mod answers;

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use quinn::udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::sockopt::set_ip_recvtos;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Failure;
pub(crate) use answers::Answers;

/// What waits to be read is bounded for each socket: a rekey of ten thousand members has room in so many.
const SOCKETS: usize = 8;
/// Room for datagrams that wait to be read, in bytes; the system gives less where its own limit is lower.
const RECEIVE_BUFFER: usize = 8 << 20;
/// The longest packet, in bytes; what coalesces in the kernel is so many of them.
const MAX_PACKET: usize = 1_500;
/// How long datagrams are gathered: whoever is woken for each takes the processor from whoever sends them.
const GATHER: Duration = Duration::from_micros(200);
/// How often it is looked whether to read again.
const LOOK: Duration = Duration::from_millis(5);
/// Addresses are not used again; so many there are.
const FIRST: u32 = u32::from_be_bytes([127, 1, 0, 0]);
const ADDRESSES: u32 = 1 << 23;

/// Who gets what comes to an address.
pub(crate) trait Watched: Send + Sync {
    /// Called on the thread that reads, so it must not wait. What it answers comes from that address.
    fn take(&self, datagram: &[u8], answers: &mut Answers);

    /// Called for all whom a read brought something before the first of them takes it: has the processor fetch what taking it
    /// needs. Of many thousands it is rarely at hand; so it is waited for once, and not for each.
    fn fetch(&self);
}

/// Where the threads run that read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Each on a processor of its own. They sleep and wake so often that the system finds none that waits when it looks, and lets two
    /// share one processor while another has nothing to do.
    Apart,
    /// Where the system puts them: whoever sends has one thread, which needs a processor for itself.
    Free,
}

/// The sockets, and the threads that read them until the process ends.
pub(crate) struct Sockets {
    sockets: Vec<Socket>,
    next: AtomicU32,
    /// By the number of the address.
    watched: RwLock<Vec<Option<Arc<dyn Watched>>>>,
    /// Nothing is read meanwhile.
    asleep: AtomicBool,
}

struct Socket {
    socket: UdpSocket,
    state: UdpSocketState,
    port: u16,
}

/// One address, to send from.
#[derive(Clone)]
pub(crate) struct Port {
    sockets: Arc<Sockets>,
    number: u32,
}

/// What comes to an address is read as long as this is there.
pub(crate) struct Watch {
    sockets: Weak<Sockets>,
    number: u32,
}

impl Port {
    /// What the other side sees.
    pub(crate) fn address(&self) -> SocketAddr {
        (self.ip(), self.socket().port).into()
    }

    /// Sends one datagram.
    pub(crate) fn send(&self, destination: SocketAddr, contents: &[u8]) -> io::Result<()> {
        let Socket { socket, state, .. } = self.socket();
        let transmit = Transmit {
            destination,
            ecn: None,
            contents,
            segment_size: None,
            src_ip: Some(IpAddr::V4(self.ip())),
        };
        state.try_send(socket.into(), &transmit)
    }

    /// Hands over what comes to it from now on.
    pub(crate) fn watch(&self, watched: Arc<dyn Watched>) -> Watch {
        self.sockets.set(self.number, Some(watched));
        let sockets = Arc::downgrade(&self.sockets);
        let number = self.number;
        Watch { sockets, number }
    }

    fn socket(&self) -> &Socket {
        &self.sockets.sockets[self.number as usize % SOCKETS]
    }

    fn ip(&self) -> Ipv4Addr {
        (FIRST + self.number).into()
    }
}

impl Sockets {
    /// Starts the threads.
    pub(crate) fn start(keep: Keep) -> Result<Arc<Self>, Failure> {
        let sockets = (0..SOCKETS).map(|_| Socket::bind());
        let sockets = Arc::new(Sockets {
            sockets: sockets.collect::<io::Result<_>>()?,
            next: AtomicU32::new(0),
            watched: RwLock::default(),
            asleep: AtomicBool::new(false),
        });
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        for first in 0..threads.min(SOCKETS) {
            let own = sockets.clone();
            let thread = std::thread::Builder::new().name(format!("members-{first}"));
            thread.spawn(move || {
                if keep == Keep::Apart {
                    stay(first);
                }
                own.run(first, threads);
            })?;
        }
        Ok(sockets)
    }

    /// An address that nobody had.
    pub(crate) fn port(self: &Arc<Self>) -> Result<Port, Failure> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= ADDRESSES {
            return Err("this run has had more members than there are loopback addresses".into());
        }
        let sockets = self.clone();
        Ok(Port { sockets, number })
    }

    /// Leaves what comes in the sockets, or reads again.
    pub(crate) fn sleep(&self, asleep: bool) {
        self.asleep.store(asleep, Ordering::Relaxed);
    }

    /// Reads every so many'th socket.
    fn run(&self, first: usize, step: usize) {
        let own: Vec<&Socket> = self.sockets.iter().skip(first).step_by(step).collect();
        let room = self.sockets[0].state.gro_segments() * MAX_PACKET;
        let mut storage = vec![0; room * BATCH_SIZE];
        let mut answers = Answers::new();
        loop {
            let polled = own.iter().map(|of| PollFd::new(&of.socket, PollFlags::IN));
            let mut polled: Vec<PollFd<'_>> = polled.collect();
            // An interrupted wait is as good as one that has ended.
            let _ = poll(&mut polled, None);
            if self.asleep.load(Ordering::Relaxed) {
                std::thread::sleep(LOOK);
                continue;
            }
            let mut full = false;
            for (polled, socket) in polled.iter().zip(&own) {
                if !polled.revents().is_empty() {
                    full |= self.read(socket, &mut storage, &mut answers) == BATCH_SIZE;
                    answers.leave(&socket.socket);
                }
            }
            if !full {
                std::thread::sleep(GATHER);
            }
        }
    }

    /// Hands some datagrams of a socket over; how many buffers they took.
    fn read(
        &self,
        Socket { socket, state, .. }: &Socket,
        storage: &mut [u8],
        answers: &mut Answers,
    ) -> usize {
        let mut chunks = storage
            .chunks_mut(storage.len() / BATCH_SIZE)
            .map(IoSliceMut::new);
        let mut buffers: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| chunks.next().expect("there is room for a batch"));
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        // An error is what an earlier datagram met: whoever waits for an answer to that one misses it.
        let count = state
            .recv(socket.into(), &mut buffers, &mut metas)
            .unwrap_or(0);
        let watched = self.watched.read().unwrap_or_else(PoisonError::into_inner);
        let at = |meta: &RecvMeta| {
            let Some(IpAddr::V4(to)) = meta.dst_ip else {
                return None;
            };
            let number = u32::from(to).wrapping_sub(FIRST) as usize;
            Some((to, watched.get(number)?.as_ref()?))
        };
        let some = metas.iter().take(count).filter_map(at);
        some.for_each(|(_, watched)| watched.fetch());
        for (buffer, meta) in buffers.iter().zip(&metas).take(count) {
            if let Some((to, watched)) = at(meta) {
                answers.from(to);
                let datagrams = buffer[..meta.len].chunks(meta.stride.max(1));
                datagrams.for_each(|datagram| watched.take(datagram, answers));
            }
        }
        count
    }

    fn set(&self, number: u32, to: Option<Arc<dyn Watched>>) {
        // Nothing panics while it holds it.
        let mut watched = self.watched.write().unwrap_or_else(PoisonError::into_inner);
        let place = number as usize;
        if place >= watched.len() {
            watched.resize(place + 1, None);
        }
        watched[place] = to;
    }
}

impl Socket {
    fn bind() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let state = UdpSocketState::new((&socket).into())?;
        state.set_recv_buffer_size((&socket).into(), RECEIVE_BUFFER)?;
        // Nobody here asks for what the network says of congestion.
        set_ip_recvtos(&socket, false)?;
        let port = socket.local_addr()?.port();
        Ok(Socket {
            socket,
            state,
            port,
        })
    }
}

/// Keeps this thread on one of the processors, by its number among those that there are.
fn stay(number: usize) {
    // Where it is not allowed, that is how it is.
    let Ok(allowed) = sched_getaffinity(None) else {
        return;
    };
    let mut those = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
    if let Some(cpu) = those.nth(number) {
        let mut one = CpuSet::new();
        one.set(cpu);
        let _ = sched_setaffinity(None, &one);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(sockets) = self.sockets.upgrade() {
            sockets.set(self.number, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    struct Told(Sender<Vec<u8>>);

    impl Watched for Told {
        fn take(&self, datagram: &[u8], _: &mut Answers) {
            // The test may be over.
            let _ = self.0.send(datagram.to_vec());
        }

        fn fetch(&self) {}
    }

    fn watched(port: &Port) -> (Watch, Arc<Told>, Receiver<Vec<u8>>) {
        let (told, came) = channel();
        let told = Arc::new(Told(told));
        (port.watch(told.clone()), told, came)
    }

    #[test]
    fn each_gets_all_of_its_own_until_it_is_not_watched_any_more() {
        let sockets = Sockets::start(Keep::Free).expect("starts");
        let peer = UdpSocket::bind("127.0.0.1:0").expect("there is a port");
        let ports: Vec<Port> = (0..SOCKETS + 1)
            .map(|_| sockets.port().expect("there are addresses"))
            .collect();
        // These two share a socket.
        let (one, other) = (&ports[0], &ports[SOCKETS]);
        assert_eq!(one.address().port(), other.address().port());
        let (watch, told, came_to_one) = watched(one);
        let (_watch, _, came_to_other) = watched(other);
        for number in 0..50 {
            for (first, port) in [(1, one), (2, other)] {
                peer.send_to(&[first, number], port.address())
                    .expect("is sent");
            }
        }
        for number in 0..50 {
            let next = |came: &Receiver<Vec<u8>>| came.recv_timeout(SOON).expect("it comes");
            assert_eq!(next(&came_to_one), [1, number]);
            assert_eq!(next(&came_to_other), [2, number]);
        }
        drop(watch);
        assert_eq!(Arc::strong_count(&told), 1);
    }

    #[test]
    fn what_is_sent_comes_from_the_address() {
        let sockets = Sockets::start(Keep::Free).expect("starts");
        let peer = UdpSocket::bind("127.0.0.1:0").expect("there is a port");
        peer.set_read_timeout(Some(SOON)).expect("is a socket");
        let to = peer.local_addr().expect("is bound");
        for _ in 0..2 {
            let port = sockets.port().expect("there are addresses");
            port.send(to, b"hello").expect("is sent");
            let mut buffer = [0; 10];
            let (length, from) = peer.recv_from(&mut buffer).expect("it comes");
            assert_eq!((&buffer[..length], from), (&b"hello"[..], port.address()));
        }
    }

    /// Answers with what it gets, and to one who cannot be reached as well.
    struct Echo(SocketAddr);

    impl Watched for Echo {
        fn take(&self, datagram: &[u8], answers: &mut Answers) {
            let datagram: &[u8; 3] = datagram.try_into().expect("so long they are");
            answers.add((Ipv4Addr::BROADCAST, 9).into(), datagram);
            answers.add(self.0, datagram);
        }

        fn fetch(&self) {}
    }

    #[test]
    fn each_answer_comes_from_where_the_datagram_went() {
        let sockets = Sockets::start(Keep::Free).expect("starts");
        let peer = UdpSocket::bind("127.0.0.1:0").expect("there is a port");
        peer.set_read_timeout(Some(SOON)).expect("is a socket");
        let to = peer.local_addr().expect("is bound");
        let ports: Vec<Port> = (0..5 * SOCKETS)
            .map(|_| sockets.port().expect("there are addresses"))
            .collect();
        let echo = |port: &Port| port.watch(Arc::new(Echo(to)));
        let _watches: Vec<Watch> = ports.iter().map(echo).collect();
        // Many wait for one read.
        sockets.sleep(true);
        let mut expected = Vec::new();
        for number in 0..4 {
            for (place, port) in ports.iter().enumerate() {
                let said = [number, place as u8, 7];
                peer.send_to(&said, port.address()).expect("is sent");
                expected.push((port.address(), said));
            }
        }
        sockets.sleep(false);
        let mut came: Vec<(SocketAddr, [u8; 3])> = (0..expected.len())
            .map(|_| {
                let mut buffer = [0; 3];
                let (_, from) = peer.recv_from(&mut buffer).expect("it comes");
                (from, buffer)
            })
            .collect();
        came.sort();
        expected.sort();
        assert_eq!(came, expected);
    }
}
