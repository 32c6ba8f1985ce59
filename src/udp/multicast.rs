//! Sockets for IP multicast: one that receives what is sent to a group on one interface, and ones that send there.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

use super::family;
use crate::group::multicast::MulticastAddress;

/// How long a full socket is waited for.
const FULL: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// A socket that gets what is sent to this group on this interface, and nothing else. Others on this machine may listen to the
/// same group; it does not block. The membership ends with the socket.
pub(crate) fn listen(address: MulticastAddress, interface: &str) -> io::Result<UdpSocket> {
    let to = address.socket();
    let socket = datagram(family(to))?;
    let index = name_to_index(&socket, interface)?;
    // Before it is bound: each member on a machine has a socket of its own.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    // Bound to the group and not to any address: what is sent elsewhere is not for this socket.
    match to {
        SocketAddr::V4(four) => {
            bind(&socket, &four)?;
            let any = Ipv4Addr::UNSPECIFIED;
            sockopt::set_ip_add_membership_with_ifindex(&socket, four.ip(), &any, index)?;
        }
        SocketAddr::V6(six) => {
            bind(&socket, &SocketAddrV6::new(*six.ip(), six.port(), 0, index))?;
            sockopt::set_ipv6_add_membership(&socket, six.ip(), index)?;
        }
    }
    Ok(socket.into())
}

/// Sends to multicast groups on one interface.
#[derive(Debug)]
pub(crate) struct Sender {
    four: Option<UdpSocket>,
    six: Option<UdpSocket>,
    index: u32,
}

impl Sender {
    /// `ttl` is how many networks a datagram may cross, itself counted: 1 stays on the interface's own.
    ///
    /// # Errors
    /// When there is no such interface, or it can be sent on by neither version of IP.
    pub(crate) fn new(interface: &str, ttl: u8) -> io::Result<Self> {
        let (hops, any) = (u32::from(ttl), Ipv4Addr::UNSPECIFIED);
        let four = datagram(AddressFamily::INET).and_then(|socket| {
            let index = name_to_index(&socket, interface)?;
            sockopt::set_ip_multicast_if_with_ifindex(&socket, &any, &any, index)?;
            sockopt::set_ip_multicast_ttl(&socket, hops)?;
            Ok((socket, index))
        });
        let six = datagram(AddressFamily::INET6).and_then(|socket| {
            let index = name_to_index(&socket, interface)?;
            sockopt::set_ipv6_multicast_if(&socket, index)?;
            sockopt::set_ipv6_multicast_hops(&socket, hops)?;
            Ok((socket, index))
        });
        let index = match (&four, &six) {
            (Ok((_, index)), _) | (_, Ok((_, index))) => *index,
            (Err(_), Err(error)) => return Err(io::Error::from(error.kind())),
        };
        let made =
            |socket: io::Result<(OwnedFd, u32)>| socket.ok().map(|(socket, _)| socket.into());
        Ok(Sender {
            four: made(four),
            six: made(six),
            index,
        })
    }

    /// Sends one datagram, and waits for a moment where the socket is full.
    ///
    /// # Errors
    /// Those of the system; the socket stays usable.
    pub(crate) fn send(&self, to: MulticastAddress, datagram: &[u8]) -> io::Result<()> {
        let (socket, to) = match to.socket() {
            to @ SocketAddr::V4(_) => (&self.four, to),
            // Addresses that hold on one link only say nothing without it.
            SocketAddr::V6(six) => {
                let scoped = SocketAddrV6::new(*six.ip(), six.port(), 0, self.index);
                (&self.six, scoped.into())
            }
        };
        let socket = socket
            .as_ref()
            .ok_or(io::Error::from(io::ErrorKind::Unsupported))?;
        match socket.send_to(datagram, to) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut room = [PollFd::new(socket, PollFlags::OUT)];
                // Whatever it says, the next try shows.
                let _ = poll(&mut room, Some(&FULL));
                socket.send_to(datagram, to)
            }
            sent => sent,
        }
        .map(drop)
    }
}

fn datagram(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(family, SocketType::DGRAM, flags, None)?)
}

/// The loopback interface, which multicasts to this machine alone. For tests.
#[cfg(test)]
pub(crate) const LOOPBACK: &str = "lo";

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn received(socket: &UdpSocket) -> Option<Vec<u8>> {
        let mut buffer = [0; 100];
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(5) {
            match socket.recv(&mut buffer) {
                Ok(length) => return Some(buffer[..length].to_vec()),
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        None
    }

    #[test]
    fn all_who_listen_hear_what_is_sent_to_their_group_alone() {
        let sender = Sender::new(LOOPBACK, 1).expect("a loopback interface");
        let address = |text: &str| text.parse::<MulticastAddress>().expect("is one");
        let (own, other) = (address("239.77.3.1:7451"), address("239.77.3.2:7451"));
        let listeners = [(); 2].map(|()| listen(own, LOOPBACK).expect("listens"));
        sender.send(other, b"others'").expect("is sent");
        sender.send(own, b"own").expect("is sent");
        for socket in &listeners {
            assert_eq!(received(socket).as_deref(), Some(&b"own"[..]));
        }
    }

    #[test]
    fn an_interface_that_is_not_there_is_an_error() {
        let address = "239.77.3.3:7451".parse().expect("is one");
        assert!(listen(address, "nowhere0").is_err());
        assert!(Sender::new("nowhere0", 1).is_err());
    }
}
