//! Mosquitto: MQTT 3.1.1, one topic, quality of service 0 or 1.
//!
//! The client side is as much of the protocol as that takes: CONNECT, SUBSCRIBE, PUBLISH and its acknowledgement.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::{self, Caller, Stream};
use super::program::Wanted;
use super::tally::Tally;
use crate::Failure;

pub(super) const SERVER: Wanted = Wanted {
    program: "mosquitto",
    package: "mosquitto",
};
const TOPIC: &str = "keys";
/// The first byte of a packet; the type is in its upper half, flags in the lower one.
const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
/// A packet's length takes four bytes at most, of seven bits each.
const LENGTH_BYTES: u32 = 4;

/// Writes the configuration; returns the server's arguments.
pub(super) fn configure(folder: &Path, port: u16) -> Result<Vec<OsString>, Failure> {
    let file = folder.join("mosquitto.conf");
    // Started by root it would become another user, who cannot read the key. Who has a certificate may do all.
    let settings = format!(
        "user root\npersistence false\nlog_dest stderr\nlog_type error\nlog_type warning\n\
         allow_anonymous true\nset_tcp_nodelay true\n\
         listener {port} 127.0.0.1\nrequire_certificate true\n\
         certfile {}\nkeyfile {}\ncafile {}\n",
        folder.join("server.pem").display(),
        folder.join("server.key").display(),
        folder.join("ca.pem").display(),
    );
    std::fs::write(&file, settings)?;
    Ok(vec!["-c".into(), file.into()])
}

/// Who sends.
pub(super) struct Publisher {
    stream: Stream,
    quality: u8,
    sent: u16,
}

impl Publisher {
    pub(super) async fn connect(caller: &Caller, quality: u8) -> Result<Self, Failure> {
        Ok(Publisher {
            stream: open(caller, "publisher").await?,
            quality,
            sent: 0,
        })
    }

    /// Sends, and with quality 1 waits for the server's acknowledgement, which says nothing of the subscribers'.
    pub(super) async fn publish(&mut self, payload: &[u8]) -> Result<(), Failure> {
        let mut body = text(TOPIC);
        if self.quality > 0 {
            self.sent = self.sent.wrapping_add(1).max(1);
            body.extend(self.sent.to_be_bytes());
        }
        body.extend_from_slice(payload);
        let first = PUBLISH | self.quality << 1;
        self.stream.write_all(&packet(first, &body)).await?;
        self.stream.flush().await?;
        if self.quality > 0 {
            expect(&mut self.stream, PUBACK).await?;
        }
        Ok(())
    }
}

/// Subscribes, and counts what comes from then on.
pub(super) async fn subscribe(
    caller: Caller,
    quality: u8,
    tally: Arc<Tally>,
) -> Result<(), Failure> {
    // Its port is no other subscriber's: the server takes two of the same name for one.
    let tcp = caller.dial().await?;
    let name = format!("member-{}", tcp.local_addr()?.port());
    let mut stream = client::buffered(caller.secure(tcp, &[]).await?);
    greet(&mut stream, &name).await?;
    let mut body = 1_u16.to_be_bytes().to_vec();
    body.extend(text(TOPIC));
    body.push(quality);
    stream.write_all(&packet(SUBSCRIBE, &body)).await?;
    stream.flush().await?;
    let granted = expect(&mut stream, SUBACK).await?;
    if granted.last() != Some(&quality) {
        return Err(format!("mosquitto answers a subscription with {granted:?}").into());
    }
    tokio::spawn(async move {
        if let Err(error) = follow(&mut stream, &tally).await {
            tally.trouble(format!("a subscriber of mosquitto was lost: {error}"));
        }
    });
    Ok(())
}

async fn open(caller: &Caller, name: &str) -> Result<Stream, Failure> {
    let tcp = caller.dial().await?;
    let mut stream = client::buffered(caller.secure(tcp, &[]).await?);
    greet(&mut stream, name).await?;
    Ok(stream)
}

async fn greet(stream: &mut Stream, name: &str) -> Result<(), Failure> {
    let mut body = text("MQTT");
    // Version 3.1.1, a clean session, no keep-alive.
    body.extend([4, 0b10, 0, 0]);
    body.extend(text(name));
    stream.write_all(&packet(CONNECT, &body)).await?;
    stream.flush().await?;
    match expect(stream, CONNACK).await?.as_slice() {
        [_, 0] => Ok(()),
        other => Err(format!("mosquitto answers a connection with {other:?}").into()),
    }
}

async fn follow(stream: &mut Stream, tally: &Tally) -> Result<(), Failure> {
    loop {
        let (first, body) = read_packet(stream).await?;
        if first & 0xf0 != PUBLISH {
            continue;
        }
        let (number, payload) = published(first, &body).ok_or("a PUBLISH that is too short")?;
        tally.took(payload);
        if let Some(number) = number {
            stream.write_all(&packet(PUBACK, number)).await?;
            stream.flush().await?;
        }
    }
}

/// The packet's number, if it wants to be acknowledged, and the payload.
fn published(first: u8, body: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (length, rest) = body.split_first_chunk::<2>()?;
    let rest = rest.get(usize::from(u16::from_be_bytes(*length))..)?;
    if first & 0b110 == 0 {
        return Some((None, rest));
    }
    let (number, payload) = rest.split_at_checked(2)?;
    Some((Some(number), payload))
}

async fn expect(stream: &mut Stream, wanted: u8) -> Result<Vec<u8>, Failure> {
    let (first, body) = read_packet(stream).await?;
    if first == wanted {
        Ok(body)
    } else {
        Err(format!("mosquitto sends a packet of type {first:#x} in place of {wanted:#x}").into())
    }
}

async fn read_packet(stream: &mut Stream) -> Result<(u8, Vec<u8>), Failure> {
    let first = stream.read_u8().await?;
    let mut length = 0;
    for place in 0..LENGTH_BYTES {
        let byte = stream.read_u8().await?;
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok((first, body))
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut length = body.len();
    loop {
        let more = length >= 0x80;
        packet.push((length & 0x7f) as u8 | u8::from(more) << 7);
        length >>= 7;
        if !more {
            break;
        }
    }
    packet.extend_from_slice(body);
    packet
}

fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_as_many_bytes_as_they_need() {
        assert_eq!(packet(PUBLISH, &[7; 3]), [0x30, 3, 7, 7, 7]);
        assert_eq!(packet(PUBLISH, &[0; 127])[..2], [0x30, 127]);
        assert_eq!(packet(PUBLISH, &[0; 128])[..3], [0x30, 0x80, 1]);
        assert_eq!(packet(PUBLISH, &[0; 321])[..3], [0x30, 0xc1, 2]);
    }

    #[test]
    fn the_payload_is_behind_topic_and_number() {
        let body = [&text(TOPIC)[..], b"payload"].concat();
        assert_eq!(published(PUBLISH, &body), Some((None, &b"payload"[..])));
        let body = [&text(TOPIC)[..], &[0, 9], b"payload"].concat();
        let numbered = (Some(&[0, 9][..]), &b"payload"[..]);
        assert_eq!(published(PUBLISH | 0b10, &body), Some(numbered));
        assert_eq!(published(PUBLISH, &[0]), None);
        assert_eq!(published(PUBLISH, &[0, 9, 1]), None);
    }
}
