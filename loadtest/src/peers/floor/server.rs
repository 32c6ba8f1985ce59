//! The bare loop: sends with sendmmsg, takes acknowledgements with recvmmsg, when it is told to on standard input.
//!
//! It says its address on standard output first, then how many receivers it has, or who acknowledged a push.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use quinn::udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::addr::SocketAddrArg;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};

use super::super::tally;
use super::ANSWER;
use crate::Failure;

/// Datagrams of one system call; acknowledgements are taken in between, before they fill the socket.
const SENT_AT_ONCE: usize = 128;
/// Room for acknowledgements that wait, in bytes; as much as the gateway asks for.
const RECEIVE_BUFFER: usize = 8 << 20;
/// Where nothing comes for so long, nothing will.
const PATIENCE: Timespec = Timespec {
    tv_sec: 2,
    tv_nsec: 0,
};

/// Serves until standard input ends.
pub(crate) fn serve() -> Result<(), Failure> {
    let mut server = Loop::bind()?;
    println!("{}", server.socket.local_addr()?);
    for line in io::stdin().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["member", address] => server.add(address.parse()?),
            ["count"] => println!("{}", server.members.len()),
            ["push", round, bytes] => println!("{}", server.push(round.parse()?, bytes.parse()?)?),
            _ => return Err(format!("the bare loop does not know {line:?}").into()),
        }
    }
    Ok(())
}

struct Loop {
    socket: UdpSocket,
    state: UdpSocketState,
    members: Vec<SocketAddrAny>,
    /// The last round that each acknowledged.
    acked: Vec<u64>,
}

impl Loop {
    fn bind() -> Result<Self, Failure> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let state = UdpSocketState::new((&socket).into())?;
        // The kernel gives what it allows; a loss is noticed.
        state.set_recv_buffer_size((&socket).into(), RECEIVE_BUFFER)?;
        Ok(Loop {
            socket,
            state,
            members: Vec::new(),
            acked: Vec::new(),
        })
    }

    fn add(&mut self, member: SocketAddr) {
        self.members.push(member.as_any());
        self.acked.push(0);
    }

    /// Sends to all; how many acknowledged.
    fn push(&mut self, round: u64, bytes: usize) -> io::Result<usize> {
        let payload = tally::payload(round, bytes);
        let mut acked = 0;
        for start in (0..self.members.len()).step_by(SENT_AT_ONCE) {
            let end = self.members.len().min(start + SENT_AT_ONCE);
            self.send(start..end, &payload)?;
            acked += self.take(round)?;
        }
        while acked < self.members.len() && self.wait(PollFlags::IN)? {
            acked += self.take(round)?;
        }
        Ok(acked)
    }

    fn send(&self, members: std::ops::Range<usize>, payload: &[u8]) -> io::Result<()> {
        let slices = [IoSlice::new(payload)];
        let mut controls: Vec<SendAncillaryBuffer<'_, '_, '_>> = Vec::new();
        controls.resize_with(members.len(), Default::default);
        let members = self.members[members].iter().zip(&mut controls);
        let mut messages: Vec<MMsgHdr<'_>> = members
            .map(|(member, control)| MMsgHdr::new_with_addr(member, &slices, control))
            .collect();
        let mut sent = 0;
        while sent < messages.len() {
            match sendmmsg(&self.socket, &mut messages[sent..], SendFlags::empty()) {
                Ok(count) => sent += count,
                Err(Errno::AGAIN) => {
                    self.wait(PollFlags::OUT)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Takes what has come; how many of it acknowledge this round for the first time.
    fn take(&mut self, round: u64) -> io::Result<usize> {
        let mut acked = 0;
        let mut room = [[0; ANSWER]; BATCH_SIZE];
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        loop {
            let mut buffers = room.each_mut().map(|buffer| IoSliceMut::new(buffer));
            let socket = (&self.socket).into();
            let count = match self.state.recv(socket, &mut buffers, &mut metas) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(acked),
                Err(error) => return Err(error),
            };
            for answer in &room[..count] {
                acked += usize::from(self.note(round, answer));
            }
        }
    }

    fn note(&mut self, round: u64, answer: &[u8; ANSWER]) -> bool {
        let member = tally::number(&answer[tally::NUMBER..]).unwrap_or(u64::MAX);
        let last = usize::try_from(member)
            .ok()
            .and_then(|member| self.acked.get_mut(member));
        match last {
            Some(last) if tally::number(answer) == Some(round) => {
                std::mem::replace(last, round) != round
            }
            _ => false,
        }
    }

    /// Waits until the socket is ready; whether it came to be.
    fn wait(&self, readiness: PollFlags) -> io::Result<bool> {
        let mut polled = [PollFd::new(&self.socket, readiness)];
        Ok(poll(&mut polled, Some(&PATIENCE))? > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_reaches_all_and_counts_each_once() {
        let mut server = Loop::bind().expect("there is a port");
        let address = server.socket.local_addr().expect("it is bound");
        let receivers = (0..300_u64).map(|index| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a port");
            server.add(socket.local_addr().expect("it is bound"));
            std::thread::spawn(move || {
                let mut payload = [0; 500];
                assert_eq!(socket.recv(&mut payload).expect("it comes"), 400);
                let mut answer = [0; ANSWER];
                answer[..8].copy_from_slice(&payload[..8]);
                answer[8..16].copy_from_slice(&index.to_be_bytes());
                for _ in 0..2 {
                    socket.send_to(&answer, address).expect("it is sent");
                }
            })
        });
        let receivers: Vec<_> = receivers.collect();
        assert_eq!(server.push(7, 400).expect("it is sent"), 300);
        for receiver in receivers {
            receiver.join().expect("it got the payload");
        }
    }
}
