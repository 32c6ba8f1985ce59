//! Answers that leave together: one call of the kernel for all that one read brought, each from an address of its own.
//!
//! # Why this may be `unsafe`
//!
//! The source of a datagram is a control message (`IP_PKTINFO`), and `rustix`, whose `sendmmsg` is safe, has no word for that one.
//!
//! - *Pointers are valid for the call.* The kernel's headers point into vectors that have their full length before the first
//!   pointer is taken, are not touched until the call is over, and are borrowed by the function that makes it.
//! - *The kernel writes to nothing but the headers*, how much was sent, and is given them as what may be written to. What else they
//!   point to it reads.
//! - *Lengths are those of what is pointed to*, and a control message is laid out as the kernel's macros say, which is checked when
//!   this is compiled.

#![allow(unsafe_code)]

use std::io;
use std::mem::{offset_of, size_of, zeroed};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;

/// The longest answer, in bytes.
const LONGEST: usize = 32;

/// What is answered to what one read brought.
pub(crate) struct Answers {
    /// Where the datagram came to that is answered now.
    from: Ipv4Addr,
    waiting: Vec<Answer>,
}

struct Answer {
    from: Ipv4Addr,
    to: SocketAddrV4,
    contents: [u8; LONGEST],
    length: usize,
}

/// The source of a datagram, as the kernel takes it.
#[repr(C)]
struct Source {
    header: libc::cmsghdr,
    information: libc::in_pktinfo,
}

const INFORMATION: u32 = size_of::<libc::in_pktinfo>() as u32;
// SAFETY: both are arithmetic.
const _: () = unsafe {
    assert!(size_of::<Source>() == libc::CMSG_SPACE(INFORMATION) as usize);
    assert!(offset_of!(Source, information) == libc::CMSG_LEN(0) as usize);
};

impl Answers {
    pub(super) fn new() -> Self {
        Answers {
            from: Ipv4Addr::UNSPECIFIED,
            waiting: Vec::new(),
        }
    }

    /// What is answered from now on comes from this address.
    pub(super) fn from(&mut self, address: Ipv4Addr) {
        self.from = address;
    }

    /// Answers the datagram that is being taken. What cannot be sent is lost, as any datagram may be.
    pub(crate) fn add<const LENGTH: usize>(&mut self, to: SocketAddr, answer: &[u8; LENGTH]) {
        const { assert!(LENGTH <= LONGEST) };
        // The sockets know no others, so nothing came from one.
        let SocketAddr::V4(to) = to else {
            return;
        };
        let mut contents = [0; LONGEST];
        contents[..LENGTH].copy_from_slice(answer);
        self.waiting.push(Answer {
            from: self.from,
            to,
            contents,
            length: LENGTH,
        });
    }

    /// Sends them all.
    pub(super) fn leave(&mut self, socket: &UdpSocket) {
        send(socket, &mut self.waiting);
        self.waiting.clear();
    }
}

fn send(socket: &UdpSocket, answers: &mut [Answer]) {
    let mut targets: Vec<libc::sockaddr_in> = answers.iter().map(|of| target(of.to)).collect();
    let mut sources: Vec<Source> = answers.iter().map(|of| source(of.from)).collect();
    let slices = answers.iter_mut().map(|of| libc::iovec {
        iov_base: of.contents.as_mut_ptr().cast(),
        iov_len: of.length,
    });
    let mut slices: Vec<libc::iovec> = slices.collect();
    let parts = targets.iter_mut().zip(&mut sources).zip(&mut slices);
    let headers = parts.map(|((target, source), slice)| header(target, source, slice));
    let mut headers: Vec<libc::mmsghdr> = headers.collect();
    let mut sent = 0;
    while sent < headers.len() {
        let rest = &mut headers[sent..];
        let count = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        let (socket, flags) = (socket.as_raw_fd(), libc::MSG_DONTWAIT);
        // SAFETY: there are so many headers, and all that they point to is there until this function returns (see above).
        let done = unsafe { libc::sendmmsg(socket, rest.as_mut_ptr(), count, flags) };
        match usize::try_from(done) {
            Ok(done) => sent += done.max(1),
            Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            // That one is lost; the others may get through.
            Err(_) => sent += 1,
        }
    }
}

fn target(to: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: to.port().to_be(),
        sin_addr: address(*to.ip()),
        sin_zero: [0; 8],
    }
}

fn source(from: Ipv4Addr) -> Source {
    // SAFETY: it is made of numbers, for which zeros are good.
    let mut source: Source = unsafe { zeroed() };
    source.header.cmsg_level = libc::IPPROTO_IP;
    source.header.cmsg_type = libc::IP_PKTINFO;
    // SAFETY: arithmetic.
    source.header.cmsg_len = unsafe { libc::CMSG_LEN(INFORMATION) } as _;
    source.information.ipi_spec_dst = address(from);
    source
}

fn header(
    target: &mut libc::sockaddr_in,
    source: &mut Source,
    slice: &mut libc::iovec,
) -> libc::mmsghdr {
    // SAFETY: it is made of numbers and pointers, for which zeros are good.
    let mut header: libc::mmsghdr = unsafe { zeroed() };
    header.msg_hdr.msg_name = ptr::from_mut(target).cast();
    header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    header.msg_hdr.msg_control = ptr::from_mut(source).cast();
    header.msg_hdr.msg_controllen = size_of::<Source>() as _;
    header.msg_hdr.msg_iov = slice;
    header.msg_hdr.msg_iovlen = 1;
    header
}

fn address(of: Ipv4Addr) -> libc::in_addr {
    libc::in_addr {
        s_addr: u32::from_ne_bytes(of.octets()),
    }
}
