//! The datagrams of the push channel: what stands in them. The specification is [`spec::channel`](super::spec::channel).
//!
//! They share a socket with QUIC. The first byte tells them apart (RFC 9443): a QUIC packet has bit 0x40 set, or 0x80 in
//! its long header, where neither side greases; these begin with 4 to 15. Whatever is not understood is no datagram of the channel
//! and dropped without an answer.

use crate::group::ids::{Epoch, GroupId, MemberId};

/// The longest datagram, in bytes: what every path carries that carries QUIC (RFC 9000 section 14).
pub const MAX_DATAGRAM: usize = 1_200;
/// Bytes that a sealed push has besides its message: kind, key's name, nonce, and the tag at its end.
pub const SEALED_OVERHEAD: usize = SEALED_HEAD + 16;
/// Kind, key's name, nonce: authenticated, not encrypted.
pub const SEALED_HEAD: usize = 1 + 8 + 12;
/// Kind, channel, epoch or challenge, and the code over them.
pub const AUTHENTICATED: usize = UNAUTHENTICATED + 16;
const UNAUTHENTICATED: usize = 1 + 4 + 8;

const SEALED: u8 = 4;
const ACKNOWLEDGE: u8 = 5;
const PROBE: u8 = 6;
const REPORT: u8 = 7;
const ALIVE: u8 = 8;
const NEWEST: u8 = 9;
const GO_AWAY: u8 = 10;
const LEAVES: u8 = 11;

/// What stands before and behind the message of a go-away: kind and channel, and the code.
const GO_AWAY_OVERHEAD: usize = GO_AWAY_HEAD + 16;
const GO_AWAY_HEAD: usize = 1 + 4;
/// The longest message of a go-away by datagram, in bytes.
pub const MAX_GO_AWAY: usize = MAX_DATAGRAM - GO_AWAY_OVERHEAD;

/// The number of a member's channel, which the gateway gives; unique among those that it has open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub u32);

/// The name of a push key.
pub type PushKeyId = [u8; 8];
/// AES-CMAC with a channel's key.
pub type Code = [u8; 16];

/// One datagram, as it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// Gateway to members: a push, sealed once for many.
    Sealed {
        /// Which key opens it.
        key: PushKeyId,
        /// The nonce of AES-256-GCM.
        nonce: [u8; 12],
        /// What is authenticated with it.
        head: &'a [u8],
        /// The message, encrypted, and the tag.
        sealed: &'a [u8],
    },
    /// Member to gateway: the newest epoch that the member holds.
    Acknowledge(Said<'a, Epoch>),
    /// Member to gateway: the same, and that it hears the group's multicast, so that it needs no datagrams of its own for now.
    Report(Said<'a, Epoch>),
    /// Gateway to member: asks for an acknowledgement, to see whether datagrams get through. The number makes no two alike.
    Probe(Said<'a, u64>),
    /// Parked member to gateway: it is there. The number makes no two alike, and the answer is for this one alone.
    Alive(Said<'a, u64>),
    /// Gateway to parked member, the answer to that: the newest epoch. Its code is also over the number of what it answers:
    /// [`answered`].
    Newest(Said<'a, Epoch>),
    /// Gateway to parked member: the gateway goes. The message is that of [`Push::GoAway`](super::Push::GoAway), and is not read before
    /// its code was found right.
    GoAway(Said<'a, &'a [u8]>),
    /// Parked member to gateway, the answer to that: it knows, and the newest epoch that it holds.
    Leaves(Said<'a, Epoch>),
}

/// What one side says to the other on a member's own channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said<'a, T> {
    /// Whose channel.
    pub channel: ChannelId,
    /// What is said.
    pub what: T,
    /// The bytes that the code is over.
    pub covered: &'a [u8],
    /// To be compared in constant time.
    pub code: &'a Code,
}

impl<'a, T> Said<'a, T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Said<'a, U> {
        Said {
            channel: self.channel,
            what: change(self.what),
            covered: self.covered,
            code: self.code,
        }
    }
}

/// Whether a datagram that begins so is one of the channel, sound or not, and none of QUIC.
pub fn is_datagram(first: u8) -> bool {
    (4..16).contains(&first)
}

impl<'a> Datagram<'a> {
    /// Reads a datagram; nothing is verified yet. `None` for what is none.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        match *bytes.first()? {
            SEALED if bytes.len() > SEALED_OVERHEAD => {
                let (head, sealed) = bytes.split_at(SEALED_HEAD);
                Some(Datagram::Sealed {
                    key: head[1..9].try_into().ok()?,
                    nonce: head[9..].try_into().ok()?,
                    head,
                    sealed,
                })
            }
            ACKNOWLEDGE => said(bytes).map(|said| Datagram::Acknowledge(said.map(Epoch))),
            REPORT => said(bytes).map(|said| Datagram::Report(said.map(Epoch))),
            ALIVE => said(bytes).map(Datagram::Alive),
            NEWEST => said(bytes).map(|said| Datagram::Newest(said.map(Epoch))),
            PROBE => said(bytes).map(Datagram::Probe),
            GO_AWAY => told(bytes).map(Datagram::GoAway),
            LEAVES => said(bytes).map(|said| Datagram::Leaves(said.map(Epoch))),
            _ => None,
        }
    }
}

fn said(bytes: &[u8]) -> Option<Said<'_, u64>> {
    let bytes: &[u8; AUTHENTICATED] = bytes.try_into().ok()?;
    let (covered, code) = bytes.split_at(UNAUTHENTICATED);
    Some(Said {
        channel: ChannelId(u32::from_be_bytes(covered[1..5].try_into().ok()?)),
        what: u64::from_be_bytes(covered[5..].try_into().ok()?),
        covered,
        code: code.try_into().ok()?,
    })
}

fn told(bytes: &[u8]) -> Option<Said<'_, &[u8]>> {
    if bytes.len() <= GO_AWAY_OVERHEAD || bytes.len() > MAX_DATAGRAM {
        return None;
    }
    let (covered, code) = bytes.split_last_chunk()?;
    let (head, message) = covered.split_at(GO_AWAY_HEAD);
    Some(Said {
        channel: ChannelId(u32::from_be_bytes(head[1..].try_into().ok()?)),
        what: message,
        covered,
        code,
    })
}

/// The head of a sealed push.
pub fn sealed_head(key: PushKeyId, nonce: [u8; 12]) -> [u8; SEALED_HEAD] {
    let mut head = [SEALED; SEALED_HEAD];
    head[1..9].copy_from_slice(&key);
    head[9..].copy_from_slice(&nonce);
    head
}

/// An acknowledgement, authenticated by `code`.
pub fn acknowledge(
    channel: ChannelId,
    held: Epoch,
    code: impl FnOnce(&[u8]) -> Code,
) -> [u8; AUTHENTICATED] {
    say(ACKNOWLEDGE, channel, held.0, code)
}

/// A report, authenticated by `code`.
pub fn report(
    channel: ChannelId,
    held: Epoch,
    code: impl FnOnce(&[u8]) -> Code,
) -> [u8; AUTHENTICATED] {
    say(REPORT, channel, held.0, code)
}

/// A probe, authenticated by `code`.
pub fn probe(
    channel: ChannelId,
    number: u64,
    code: impl FnOnce(&[u8]) -> Code,
) -> [u8; AUTHENTICATED] {
    say(PROBE, channel, number, code)
}

/// A sign of life, authenticated by `code`.
pub fn alive(
    channel: ChannelId,
    number: u64,
    code: impl FnOnce(&[u8]) -> Code,
) -> [u8; AUTHENTICATED] {
    say(ALIVE, channel, number, code)
}

/// The answer to the sign of life with that number, authenticated by `code`.
pub fn newest(
    channel: ChannelId,
    epoch: Epoch,
    number: u64,
    code: impl FnOnce(&[u8]) -> Code,
) -> [u8; AUTHENTICATED] {
    say(NEWEST, channel, epoch.0, |covered| {
        code(&answered(covered, number))
    })
}

/// The gateway goes: a message of [`MAX_GO_AWAY`] bytes at most, authenticated by `code`.
pub fn go_away(channel: ChannelId, message: &[u8], code: impl FnOnce(&[u8]) -> Code) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(message.len() + GO_AWAY_OVERHEAD);
    bytes.push(GO_AWAY);
    bytes.extend_from_slice(&channel.0.to_be_bytes());
    bytes.extend_from_slice(message);
    let code = code(&bytes);
    bytes.extend_from_slice(&code);
    bytes
}

/// The answer to that, authenticated by `code`.
pub fn leaves(
    channel: ChannelId,
    held: Epoch,
    code: impl FnOnce(&[u8]) -> Code,
) -> [u8; AUTHENTICATED] {
    say(LEAVES, channel, held.0, code)
}

/// What the code of an answer is over: what stands before it, and the number of what is answered, which is not sent again.
pub fn answered(covered: &[u8], number: u64) -> Vec<u8> {
    [covered, &number.to_be_bytes()].concat()
}

fn say(
    kind: u8,
    channel: ChannelId,
    what: u64,
    code: impl FnOnce(&[u8]) -> Code,
) -> [u8; AUTHENTICATED] {
    let mut bytes = [kind; AUTHENTICATED];
    bytes[1..5].copy_from_slice(&channel.0.to_be_bytes());
    bytes[5..UNAUTHENTICATED].copy_from_slice(&what.to_be_bytes());
    let code = code(&bytes[..UNAUTHENTICATED]);
    bytes[UNAUTHENTICATED..].copy_from_slice(&code);
    bytes
}

/// What the TLS exporter (RFC 8446 section 7.5) binds a channel's key to: with the label [`CHANNEL_LABEL`].
pub fn channel_context(group: &GroupId, member: MemberId, channel: ChannelId) -> [u8; 28] {
    let mut context = [0; 28];
    context[..16].copy_from_slice(&group.0);
    context[16..24].copy_from_slice(&member.0.to_be_bytes());
    context[24..].copy_from_slice(&channel.0.to_be_bytes());
    context
}

/// The label under which both ends of a connection export a channel's key, 32 bytes.
pub const CHANNEL_LABEL: &[u8] = b"EXPORTER-wardcast/1 channel";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let said = acknowledge(ChannelId(0x01020304), Epoch(7), |covered| {
            assert_eq!(covered, [5, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 7]);
            [9; 16]
        });
        let Some(Datagram::Acknowledge(read)) = Datagram::parse(&said) else {
            panic!("it is an acknowledgement");
        };
        assert_eq!(
            (read.channel, read.what, *read.code),
            (ChannelId(0x01020304), Epoch(7), [9; 16])
        );
        assert_eq!(read.covered, &said[..13]);
        let said = report(ChannelId(8), Epoch(9), |_| [1; 16]);
        let Some(Datagram::Report(read)) = Datagram::parse(&said) else {
            panic!("it is a report");
        };
        assert_eq!((read.channel, read.what), (ChannelId(8), Epoch(9)));
        let asked = probe(ChannelId(8), 9, |_| [1; 16]);
        let Some(Datagram::Probe(read)) = Datagram::parse(&asked) else {
            panic!("it is a probe");
        };
        assert_eq!((read.channel, read.what), (ChannelId(8), 9));
        let said = alive(ChannelId(8), 9, |_| [1; 16]);
        let Some(Datagram::Alive(read)) = Datagram::parse(&said) else {
            panic!("it is a sign of life");
        };
        assert_eq!((read.channel, read.what), (ChannelId(8), 9));
        let said = newest(ChannelId(8), Epoch(7), 9, |covered| {
            assert_eq!(covered[..13], [9, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7]);
            assert_eq!(covered[13..], [0, 0, 0, 0, 0, 0, 0, 9]);
            [1; 16]
        });
        let Some(Datagram::Newest(read)) = Datagram::parse(&said) else {
            panic!("it is an answer");
        };
        assert_eq!((read.channel, read.what), (ChannelId(8), Epoch(7)));
        let told = go_away(ChannelId(8), b"go", |covered| {
            assert_eq!(covered, [10, 0, 0, 0, 8, b'g', b'o']);
            [1; 16]
        });
        let Some(Datagram::GoAway(read)) = Datagram::parse(&told) else {
            panic!("it is a go-away");
        };
        assert_eq!((read.channel, read.what), (ChannelId(8), &b"go"[..]));
        assert_eq!((read.covered, *read.code), (&told[..7], [1; 16]));
        let said = leaves(ChannelId(8), Epoch(9), |_| [1; 16]);
        let Some(Datagram::Leaves(read)) = Datagram::parse(&said) else {
            panic!("it is the answer to that");
        };
        assert_eq!((read.channel, read.what), (ChannelId(8), Epoch(9)));
        let head = sealed_head([3; 8], [4; 12]);
        let whole = [&head[..], &[0; 17]].concat();
        let Some(Datagram::Sealed {
            key,
            nonce,
            head,
            sealed,
        }) = Datagram::parse(&whole)
        else {
            panic!("it is a sealed push");
        };
        assert_eq!(
            (key, nonce, head, sealed),
            ([3; 8], [4; 12], &whole[..21], &[0; 17][..])
        );
    }

    #[test]
    fn what_has_another_length_or_kind_is_none() {
        let said = acknowledge(ChannelId(1), Epoch(7), |_| [9; 16]);
        assert_eq!(Datagram::parse(&said[..28]), None);
        assert_eq!(Datagram::parse(&[&said[..], &[0]].concat()), None);
        assert_eq!(Datagram::parse(&[]), None);
        assert_eq!(Datagram::parse(&[4; SEALED_OVERHEAD]), None);
        let longest = go_away(ChannelId(1), &[7; MAX_GO_AWAY], |_| [9; 16]);
        assert_eq!(longest.len(), MAX_DATAGRAM);
        assert!(Datagram::parse(&longest).is_some());
        assert_eq!(Datagram::parse(&[&longest[..], &[0]].concat()), None);
        assert_eq!(Datagram::parse(&longest[..GO_AWAY_OVERHEAD]), None);
        for kind in (0..4).chain(12..=255) {
            assert_eq!(Datagram::parse(&[kind; AUTHENTICATED]), None);
        }
    }

    #[test]
    fn no_packet_of_quic_is_taken_for_one() {
        assert!((0x40..=0xff).all(|first| !is_datagram(first)));
        assert!(
            [
                SEALED,
                ACKNOWLEDGE,
                PROBE,
                REPORT,
                ALIVE,
                NEWEST,
                GO_AWAY,
                LEAVES
            ]
            .into_iter()
            .all(is_datagram)
        );
    }
}
