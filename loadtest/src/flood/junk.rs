//! Garbage, as datagrams whose first byte looks like QUIC's or like the push channel's.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use fastrand::Rng;
use wardcast::group::ids::Epoch;
use wardcast::group::wire::datagram::{ChannelId, acknowledge};

use crate::Failure;

/// Channels that are acknowledged on, without their keys: those that a small group has open are among them.
const CHANNELS: u32 = 1_024;
/// A packet of QUIC's first kind is padded to this.
const PADDED: usize = 1_200;

/// Where garbage comes from.
pub(super) struct Junk {
    socket: UdpSocket,
    random: Rng,
}

impl Junk {
    pub(super) fn new(gateway: SocketAddr) -> Result<Self, Failure> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(gateway)?;
        socket.set_nonblocking(true)?;
        Ok(Junk {
            socket,
            random: Rng::with_seed(1),
        })
    }

    /// Whether it was sent.
    pub(super) fn send_like_quic(&mut self) -> bool {
        let garbage = like_quic(&mut self.random);
        self.socket.send(&garbage).is_ok()
    }

    /// Whether it was sent.
    pub(super) fn send_like_channel(&mut self) -> bool {
        let garbage = like_channel(&mut self.random);
        self.socket.send(&garbage).is_ok()
    }
}

/// A first packet that cannot be decrypted, one of an unknown version, or one of a connection that is not there.
fn like_quic(random: &mut Rng) -> Vec<u8> {
    let kind = random.u8(..3);
    let length = match kind {
        2 => random.usize(21..=PADDED),
        _ => PADDED,
    };
    let mut garbage: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
        .take(length)
        .collect();
    match kind {
        0 => garbage[..6].copy_from_slice(&[0xc0, 0, 0, 0, 1, 8]),
        1 => garbage[..6].copy_from_slice(&[0xc0, 0xff, 0xee, 0xdd, 0xcc, 8]),
        _ => garbage[0] = 0x40 | garbage[0] & 0x3f,
    }
    garbage
}

/// An acknowledgement without the right code, which the gateway has to verify, or something of a kind that there is not.
fn like_channel(random: &mut Rng) -> Vec<u8> {
    if random.bool() {
        let (channel, epoch) = (ChannelId(random.u32(..CHANNELS)), Epoch(random.u64(..100)));
        let code = random.u128(..).to_be_bytes();
        return acknowledge(channel, epoch, |_| code).to_vec();
    }
    let length = random.usize(1..=PADDED);
    let mut garbage: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
        .take(length)
        .collect();
    garbage[0] = random.u8(4..16);
    garbage
}

#[cfg(test)]
mod tests {
    use wardcast::group::wire::datagram::{Datagram, is_datagram};

    use super::*;

    #[test]
    fn each_kind_goes_to_its_own_reader() {
        let mut random = Rng::with_seed(7);
        let mut acknowledgements = 0;
        for _ in 0..500 {
            assert!(!is_datagram(like_quic(&mut random)[0]));
            let garbage = like_channel(&mut random);
            assert!(is_datagram(garbage[0]));
            let parsed = Datagram::parse(&garbage);
            acknowledgements += u32::from(matches!(parsed, Some(Datagram::Acknowledge(_))));
        }
        assert!(acknowledgements > 150, "{acknowledgements}");
    }
}
