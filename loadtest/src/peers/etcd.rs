//! etcd: one key, and a watch of it for each member, on a connection of its own.
//!
//! A put is on disk before it is answered, as an epoch of ours is. The client side is gRPC over HTTP/2, as much as that takes.

mod wire;

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::Request;

use super::client::Caller;
use super::program::{Wanted, free_port};
use super::tally::Tally;
use crate::Failure;

pub(super) const SERVER: Wanted = Wanted {
    program: "etcd",
    package: "etcd-server",
};
const KEY: &[u8] = b"keys";
const PUT: &str = "https://localhost/etcdserverpb.KV/Put";
const WATCH: &str = "https://localhost/etcdserverpb.Watch/Watch";
/// A gRPC message begins with whether it is compressed, and its length.
const PREFIX: usize = 5;

/// The server's arguments; its data are in the run's folder.
pub(super) fn configure(folder: &Path, port: u16) -> Result<Vec<OsString>, Failure> {
    let client = format!("https://127.0.0.1:{port}");
    let peer = format!("http://127.0.0.1:{}", free_port()?);
    let file = |name: &str| folder.join(name).into_os_string();
    let text = |text: &str| OsString::from(text);
    Ok(vec![
        text("--data-dir"),
        file("etcd"),
        text("--listen-client-urls"),
        text(&client),
        text("--advertise-client-urls"),
        text(&client),
        text("--listen-peer-urls"),
        text(&peer),
        text("--initial-advertise-peer-urls"),
        text(&peer),
        text("--initial-cluster"),
        text(&format!("default={peer}")),
        text("--cert-file"),
        file("server.pem"),
        text("--key-file"),
        file("server.key"),
        text("--trusted-ca-file"),
        file("ca.pem"),
        text("--client-cert-auth"),
        text("--logger=zap"),
        text("--log-level=error"),
    ])
}

/// Who sends.
pub(super) struct Publisher(SendRequest<Bytes>);

impl Publisher {
    pub(super) async fn connect(caller: &Caller) -> Result<Self, Failure> {
        Ok(Publisher(open(caller).await?))
    }

    /// Puts the key and waits for the answer.
    pub(super) async fn publish(&mut self, payload: &[u8]) -> Result<(), Failure> {
        let (_request, mut answer) = call(&mut self.0, PUT, wire::put(KEY, payload), true).await?;
        let answered = next(&mut answer, &mut BytesMut::new()).await?;
        answered
            .map(drop)
            .ok_or_else(|| "etcd refuses a put".into())
    }
}

/// Watches the key, and counts what comes from then on.
pub(super) async fn subscribe(caller: Caller, tally: Arc<Tally>) -> Result<(), Failure> {
    let mut connection = open(&caller).await?;
    let (request, mut events) = call(&mut connection, WATCH, wire::watch(KEY), false).await?;
    let mut buffer = BytesMut::new();
    let created = next(&mut events, &mut buffer).await?;
    if !created.is_some_and(|message| wire::is_created(&message)) {
        return Err("etcd does not answer a watch with its creation".into());
    }
    tokio::spawn(async move {
        // The watch lives as long as its connection and the request's own half of the stream.
        let _held = (connection, request);
        let error = follow(&mut events, &mut buffer, &tally).await.err();
        let error = error.map_or("the stream ended".to_owned(), |error| error.to_string());
        tally.trouble(format!("a watch of etcd was lost: {error}"));
    });
    Ok(())
}

async fn open(caller: &Caller) -> Result<SendRequest<Bytes>, Failure> {
    let tls = caller.secure(caller.dial().await?, &[b"h2"]).await?;
    let (requests, connection) = h2::client::handshake(tls).await?;
    // What ends it is seen where its streams are read.
    tokio::spawn(connection);
    Ok(requests.ready().await?)
}

/// Begins a call with its first message, which may be its last.
async fn call(
    connection: &mut SendRequest<Bytes>,
    method: &str,
    message: Vec<u8>,
    last: bool,
) -> Result<(SendStream<Bytes>, RecvStream), Failure> {
    let head = Request::post(method)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    let (answer, mut request) = connection.send_request(head, false)?;
    let mut framed = vec![0];
    framed.extend(u32::try_from(message.len())?.to_be_bytes());
    framed.extend(message);
    request.send_data(framed.into(), last)?;
    let answer = answer.await?;
    match answer.headers().get("grpc-status") {
        // With a status in place of an answer it is refused.
        Some(_) => Err(format!("etcd refuses {method}: {:?}", answer.headers()).into()),
        None => Ok((request, answer.into_body())),
    }
}

async fn follow(
    events: &mut RecvStream,
    buffer: &mut BytesMut,
    tally: &Tally,
) -> Result<(), Failure> {
    while let Some(message) = next(events, buffer).await? {
        for value in wire::values(&message) {
            tally.took(value);
        }
    }
    Ok(())
}

/// The next message; none at the end.
async fn next(stream: &mut RecvStream, buffer: &mut BytesMut) -> Result<Option<Bytes>, Failure> {
    loop {
        if let Some(message) = take(buffer) {
            return Ok(Some(message));
        }
        match stream.data().await {
            Some(data) => {
                let data = data?;
                stream.flow_control().release_capacity(data.len())?;
                buffer.extend_from_slice(&data);
            }
            None => return Ok(None),
        }
    }
}

/// A message from the beginning of what was read, if all of it is there.
fn take(buffer: &mut BytesMut) -> Option<Bytes> {
    let (_, length) = buffer.first_chunk::<PREFIX>()?.split_first()?;
    let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
    if buffer.len() < PREFIX + length {
        return None;
    }
    buffer.advance(PREFIX);
    Some(buffer.split_to(length).freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_when_they_are_whole() {
        let mut buffer = BytesMut::from(&[0, 0, 0, 0, 2, b'a', b'b', 0, 0, 0, 0, 1][..]);
        assert_eq!(take(&mut buffer).as_deref(), Some(&b"ab"[..]));
        assert_eq!(take(&mut buffer), None);
        buffer.extend_from_slice(b"c");
        assert_eq!(take(&mut buffer).as_deref(), Some(&b"c"[..]));
        assert!(buffer.is_empty() && take(&mut buffer).is_none());
    }
}
