//! Many datagrams to many addresses in one call of the kernel (sendmmsg).

use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Weak;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::addr::SocketAddrArg;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};

use super::pace::Pace;
use super::socket::{Reader, Sending};

/// Datagrams of one call; what has come meanwhile is read before the next one.
const BATCH: usize = 128;
/// How long a full socket is waited for, again and again; what it then does not take is lost like any datagram.
const FULL: Duration = Duration::from_millis(20);
const PATIENCE: u32 = 50;
/// Shorter pauses are not made: they add up to one that is.
const SHORTEST: Duration = Duration::from_micros(200);
/// After so much of a pause it is looked what has come: nobody else reads the socket meanwhile.
const LONGEST: Duration = Duration::from_millis(2);

/// Sends on the socket of the listener, as long as there is one.
pub(super) struct Transmitter {
    reader: Weak<Reader>,
    pace: Pace,
}

impl Transmitter {
    pub(super) fn new(reader: Weak<Reader>, pace: Pace) -> Self {
        Transmitter { reader, pace }
    }

    /// Sends them all, no faster than the pace; what cannot be sent is lost, as any datagram may be.
    pub(super) fn send<'a>(&mut self, datagrams: impl Iterator<Item = (SocketAddr, &'a [u8])>) {
        let Some(reader) = self.reader.upgrade() else {
            return;
        };
        let sending = reader.sending();
        let six = sending.socket().local_addr().is_ok_and(|own| own.is_ipv6());
        let mut datagrams = datagrams.peekable();
        let mut addresses: Vec<SocketAddrAny> = Vec::with_capacity(BATCH);
        while datagrams.peek().is_some() {
            addresses.clear();
            let mut slices = Vec::with_capacity(BATCH);
            for (address, datagram) in datagrams.by_ref().take(BATCH) {
                addresses.push(mapped(address, six).as_any());
                slices.push([IoSlice::new(datagram)]);
            }
            let bytes = slices.iter().map(|[slice]| slice.len()).sum();
            let mut wait = self.pace.wait(slices.len(), bytes, Instant::now());
            while wait >= SHORTEST {
                let some = wait.min(LONGEST);
                std::thread::sleep(some);
                sending.read();
                wait -= some;
            }
            call(&sending, &addresses, &slices);
            if datagrams.peek().is_some() {
                sending.read();
            }
        }
    }
}

/// An address as a socket of that family takes it.
fn mapped(address: SocketAddr, six: bool) -> SocketAddr {
    match address {
        SocketAddr::V4(four) if six => (four.ip().to_ipv6_mapped(), four.port()).into(),
        other => other,
    }
}

fn call(sending: &Sending<'_>, addresses: &[SocketAddrAny], slices: &[[IoSlice<'_>; 1]]) {
    let mut controls: Vec<_> = addresses
        .iter()
        .map(|_| SendAncillaryBuffer::default())
        .collect();
    let whole = addresses.iter().zip(slices).zip(&mut controls);
    let mut headers: Vec<MMsgHdr<'_>> = whole
        .map(|((address, slice), control)| MMsgHdr::new_with_addr(address, slice, control))
        .collect();
    let socket = sending.socket();
    let (mut sent, mut waits) = (0, 0);
    while sent < headers.len() {
        match sendmmsg(socket, &mut headers[sent..], SendFlags::DONTWAIT) {
            Ok(count) => sent += count.max(1),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN | Errno::NOBUFS) if waits < PATIENCE => {
                waits += 1;
                let mut writable = [PollFd::new(socket, PollFlags::OUT)];
                let timeout = FULL.try_into().ok();
                // Whatever it says, the next try shows.
                let _ = poll(&mut writable, timeout.as_ref());
                sending.read();
            }
            // That one cannot be sent: no route, a firewall. The others may.
            Err(_) => sent += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::sync::Arc;

    use super::super::lanes::Lanes;
    use super::super::socket::Socket;
    use super::*;
    use crate::udp::Sink;

    #[derive(Debug)]
    struct Nobody;

    impl Sink for Nobody {
        fn take(&self, _: &[(SocketAddr, &[u8])]) {}
    }

    #[test]
    fn each_gets_its_own_and_an_address_that_cannot_be_sent_to_holds_nobody_up() {
        let own = UdpSocket::bind("127.0.0.1:0").expect("binds");
        let address = own.local_addr().expect("is bound");
        let own = Socket::start(own, Arc::new(Nobody), (Lanes::new(1), 0)).expect("starts");
        let mut transmitter = Transmitter::new(own.reader(), Pace::of(0, 1));
        let members: Vec<UdpSocket> = (0..150)
            .map(|_| UdpSocket::bind("127.0.0.1:0").expect("binds"))
            .collect();
        let datagrams: Vec<(SocketAddr, Vec<u8>)> = members
            .iter()
            .enumerate()
            .map(|(at, member)| (member.local_addr().expect("is bound"), vec![at as u8; 3]))
            .collect();
        let unreachable = (SocketAddr::from(([127, 0, 0, 1], 0)), &b"nobody"[..]);
        let all = datagrams
            .iter()
            .map(|(address, bytes)| (*address, &bytes[..]));
        transmitter.send(std::iter::once(unreachable).chain(all));
        for (at, member) in members.iter().enumerate() {
            member
                .set_read_timeout(Some(Duration::from_secs(5)))
                .expect("is a socket");
            let mut buffer = [0; 10];
            let (length, from) = member.recv_from(&mut buffer).expect("gets one");
            assert_eq!((&buffer[..length], from), (&[at as u8; 3][..], address));
        }
        drop(own);
        transmitter.send(std::iter::once(unreachable)); // there is no socket any more
    }

    #[test]
    fn a_pace_is_kept() {
        let own = UdpSocket::bind("127.0.0.1:0").expect("binds");
        let own = Socket::start(own, Arc::new(Nobody), (Lanes::new(1), 0)).expect("starts");
        let peer = UdpSocket::bind("127.0.0.1:0").expect("binds");
        let to = peer.local_addr().expect("is bound");
        // Three batches; the third waits for the time of two: 128 datagrams of 500 bytes in all each, at four megabits a second.
        let mut transmitter = Transmitter::new(own.reader(), Pace::of(4, 1));
        let (bytes, began) = ([0; 414], Instant::now());
        transmitter.send((0..300).map(|_| (to, &bytes[..])));
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(240), "{took:?}");
    }

    #[test]
    fn a_socket_of_version_6_reaches_addresses_of_version_4() {
        let four = SocketAddr::from(([127, 0, 0, 1], 9));
        assert_eq!(mapped(four, false), four);
        assert_eq!(mapped(four, true).to_string(), "[::ffff:127.0.0.1]:9");
    }
}
