//! Many sockets that one thread reads.
//!
//! A runtime has a task for each, wakes it for each datagram, and asks the socket once more before it goes to sleep again:
//! with thousands of members that is most of what the generator costs, and it shares the processors with what is measured.

use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use crate::Failure;

/// Sockets that are asked for at once.
const AT_ONCE: usize = 1024;
/// More than any datagram of the push channel, and any packet of QUIC.
const LARGEST: usize = 2048;
/// How long datagrams are gathered: whoever is woken for each takes the processor from whoever sends them.
const GATHER: Duration = Duration::from_micros(200);

/// A socket, and what is done with what comes on it.
pub(crate) trait Watched: Send + Sync {
    /// It must not block.
    fn socket(&self) -> &UdpSocket;

    /// Called on the thread that reads, so it must not wait.
    fn take(&self, datagram: &[u8]);
}

/// The sockets, and the thread that reads them until the process ends.
pub(crate) struct Sockets {
    epoll: OwnedFd,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    watched: Vec<Option<Arc<dyn Watched>>>,
    free: Vec<usize>,
}

/// A socket is read as long as this is there.
pub(crate) struct Watch {
    sockets: Weak<Sockets>,
    place: usize,
}

impl Sockets {
    /// Starts the thread.
    pub(crate) fn start() -> Result<Arc<Self>, Failure> {
        let sockets = Arc::new(Sockets {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            table: Mutex::default(),
        });
        let own = sockets.clone();
        let thread = std::thread::Builder::new().name("members".to_owned());
        thread.spawn(move || own.run())?;
        Ok(sockets)
    }

    /// Reads one more socket.
    pub(crate) fn watch(self: &Arc<Self>, watched: Arc<dyn Watched>) -> Result<Watch, Failure> {
        let mut table = self.table();
        let place = table.free.pop().unwrap_or(table.watched.len());
        epoll::add(
            &self.epoll,
            watched.socket(),
            EventData::new_u64(place as u64),
            EventFlags::IN,
        )?;
        if place == table.watched.len() {
            table.watched.push(None);
        }
        table.watched[place] = Some(watched);
        let sockets = Arc::downgrade(self);
        Ok(Watch { sockets, place })
    }

    fn run(&self) {
        let mut events: Vec<Event> = Vec::with_capacity(AT_ONCE);
        let mut datagram = [0; LARGEST];
        loop {
            events.clear();
            // An interrupted wait is as good as one that has ended.
            let _ = epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                None,
            );
            let table = self.table();
            for event in &events {
                let place = event.data.u64() as usize;
                if let Some(Some(watched)) = table.watched.get(place) {
                    read(&**watched, &mut datagram);
                }
            }
            drop(table);
            if events.len() < AT_ONCE {
                std::thread::sleep(GATHER);
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing panics while it holds it.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One datagram: where more wait, the next look finds the socket ready again, which is cheaper than to try in vain.
fn read(watched: &dyn Watched, datagram: &mut [u8]) {
    let received = rustix::net::recv(
        watched.socket(),
        &mut *datagram,
        rustix::net::RecvFlags::DONTWAIT,
    );
    // An error is what an earlier datagram met: whoever waits for an answer to that one misses it.
    if let Ok((length, _)) = received {
        watched.take(&datagram[..length]);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Some(sockets) = self.sockets.upgrade() else {
            return;
        };
        let mut table = sockets.table();
        if let Some(watched) = table.watched[self.place].take() {
            // It cannot fail for a socket that was added.
            let _ = epoll::delete(&sockets.epoll, watched.socket());
            table.free.push(self.place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    struct Told(UdpSocket, Sender<Vec<u8>>);

    impl Watched for Told {
        fn socket(&self) -> &UdpSocket {
            &self.0
        }

        fn take(&self, datagram: &[u8]) {
            // The test may be over.
            let _ = self.1.send(datagram.to_vec());
        }
    }

    fn told() -> (Arc<Told>, Receiver<Vec<u8>>) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("there is a port");
        let (told, came) = channel();
        (Arc::new(Told(socket, told)), came)
    }

    #[test]
    fn each_gets_all_of_its_own_until_it_is_not_watched_any_more() {
        let sockets = Sockets::start().expect("starts");
        let peer = UdpSocket::bind("127.0.0.1:0").expect("there is a port");
        let (one, came_to_one) = told();
        let (other, came_to_other) = told();
        let watch = sockets.watch(one.clone()).expect("is watched");
        let _other = sockets.watch(other.clone()).expect("is watched");
        for number in 0..50 {
            for (first, socket) in [(1, &one.0), (2, &other.0)] {
                let to = socket.local_addr().expect("is bound");
                peer.send_to(&[first, number], to).expect("is sent");
            }
        }
        for number in 0..50 {
            let next = |came: &Receiver<Vec<u8>>| came.recv_timeout(SOON).expect("it comes");
            assert_eq!(next(&came_to_one), [1, number]);
            assert_eq!(next(&came_to_other), [2, number]);
        }
        drop(watch);
        assert_eq!(Arc::strong_count(&one), 1);
        let (third, came_to_third) = told();
        let _third = sockets.watch(third.clone()).expect("takes the place");
        let to = third.0.local_addr().expect("is bound");
        peer.send_to(&[3], to).expect("is sent");
        assert_eq!(came_to_third.recv_timeout(SOON).expect("it comes"), [3]);
    }
}
