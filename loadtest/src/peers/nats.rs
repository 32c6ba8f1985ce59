//! NATS: core publish on one subject, without persistence or acknowledgement.
//!
//! The client side is as much of the protocol as that takes: INFO, the upgrade to TLS, CONNECT, SUB, MSG, PING and PONG.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::client::{self, Caller, Stream};
use super::program::Wanted;
use super::tally::Tally;
use crate::Failure;

pub(super) const SERVER: Wanted = Wanted {
    program: "nats-server",
    package: "nats-server",
};
const SUBJECT: &str = "keys";
/// What a client says of itself: it wants no answer to each of its lines.
const CONNECT: &str = concat!(
    r#"CONNECT {"verbose":false,"pedantic":false,"tls_required":true,"#,
    r#""lang":"rust","version":"1","protocol":0}"#,
    "\r\n"
);
/// What ends a payload.
const END: usize = 2;

/// Writes the configuration; returns the server's arguments.
pub(super) fn configure(folder: &Path, port: u16) -> Result<Vec<OsString>, Failure> {
    let file = folder.join("nats.conf");
    // Handshakes of many members at once take longer than the usual two seconds. No pings: nothing but pushes is measured.
    let settings = format!(
        "listen: \"127.0.0.1:{port}\"\nping_interval: \"1h\"\nmax_connections: 1000000\n\
         tls {{\n  cert_file: {:?}\n  key_file: {:?}\n  ca_file: {:?}\n  verify: true\n  timeout: 30\n}}\n",
        folder.join("server.pem"),
        folder.join("server.key"),
        folder.join("ca.pem"),
    );
    std::fs::write(&file, settings)?;
    Ok(vec!["-c".into(), file.into()])
}

/// Who sends.
pub(super) struct Publisher(Stream);

impl Publisher {
    pub(super) async fn connect(caller: &Caller) -> Result<Self, Failure> {
        Ok(Publisher(open(caller).await?))
    }

    pub(super) async fn publish(&mut self, payload: &[u8]) -> Result<(), Failure> {
        let mut message = format!("PUB {SUBJECT} {}\r\n", payload.len()).into_bytes();
        message.extend_from_slice(payload);
        message.extend_from_slice(b"\r\n");
        self.0.write_all(&message).await?;
        Ok(self.0.flush().await?)
    }
}

/// Subscribes, and counts what comes from then on.
pub(super) async fn subscribe(caller: Caller, tally: Arc<Tally>) -> Result<(), Failure> {
    let mut stream = open(&caller).await?;
    // The answer to a ping comes after the subscription is in force.
    let lines = format!("SUB {SUBJECT} 1\r\nPING\r\n");
    stream.write_all(lines.as_bytes()).await?;
    stream.flush().await?;
    let line = read_line(&mut stream).await?;
    if line != "PONG" {
        return Err(format!("NATS answers a subscription with {line:?}").into());
    }
    tokio::spawn(async move {
        if let Err(error) = follow(&mut stream, &tally).await {
            tally.trouble(format!("a subscriber of NATS was lost: {error}"));
        }
    });
    Ok(())
}

async fn open(caller: &Caller) -> Result<Stream, Failure> {
    let mut plain = BufReader::new(caller.dial().await?);
    let mut info = String::new();
    plain.read_line(&mut info).await?;
    if !info.starts_with("INFO ") || !plain.buffer().is_empty() {
        return Err(format!("NATS begins with {info:?}").into());
    }
    let mut stream = client::buffered(caller.secure(plain.into_inner(), &[]).await?);
    stream.write_all(CONNECT.as_bytes()).await?;
    stream.flush().await?;
    Ok(stream)
}

async fn follow(stream: &mut Stream, tally: &Tally) -> Result<(), Failure> {
    loop {
        let line = read_line(stream).await?;
        if let Some(length) = message_length(&line) {
            let mut payload = vec![0; length + END];
            stream.read_exact(&mut payload).await?;
            tally.took(&payload[..length]);
        } else if line == "PING" {
            stream.write_all(b"PONG\r\n").await?;
            stream.flush().await?;
        } else if line.starts_with("-ERR") || line.is_empty() {
            return Err(format!("the server says {line:?}").into());
        }
    }
}

/// A line without its end; empty at the end of the stream. The server says how it is by INFO at any time.
async fn read_line(stream: &mut Stream) -> Result<String, Failure> {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        if !line.starts_with("INFO ") {
            return Ok(line.trim_end().to_owned());
        }
    }
}

/// `MSG subject sid [reply-to] length`
fn message_length(line: &str) -> Option<usize> {
    let rest = line.strip_prefix("MSG ")?;
    rest.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_message_is_the_last_word() {
        assert_eq!(message_length("MSG keys 1 431"), Some(431));
        assert_eq!(message_length("MSG keys 1 answers 0"), Some(0));
        assert_eq!(message_length("PING"), None);
        assert_eq!(message_length("MSG keys 1 many"), None);
    }
}
