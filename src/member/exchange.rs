//! One exchange on a connection, and how connections are set up.

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection, IdleTimeout, ReadToEndError, RecvStream, TransportConfig, VarInt,
};
use tokio::time::timeout;

use super::{MemberError, Options};
use crate::group::limits::MAX_MESSAGE;
use crate::group::wire::{ALPN, CloseCode, Fault, Message, Request, Response};
use crate::tls;

/// How long one request may take on a live connection: the gateway may be waiting for a batch, its store or its
/// token, and gives up by itself after a minute.
const REQUEST: Duration = Duration::from_secs(70);
/// Streams that the gateway may have open: a few for each group on the connection.
const STREAMS: u32 = 128;
/// What the gateway may have sent on a connection without its being read: a few of the greatest messages.
const WINDOW: u32 = 4 * MAX_MESSAGE as u32;
/// A connection without a sign of life is lost after so many keep-alives.
const MISSED: u32 = 3;

/// Why there was no answer: another connection, or a later time, may bring one.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NoAnswer(pub(super) String);

pub(super) fn code(code: CloseCode) -> VarInt {
    VarInt::from_u32(code.number().into())
}

/// How this client connects.
pub(super) fn configuration(options: &Options) -> Result<ClientConfig, MemberError> {
    let tls = tls::client_config(options.credentials.clone(), &options.trust, &[ALPN])?;
    let tls = QuicClientConfig::try_from(tls)
        .expect("TLS 1.3 on aws-lc-rs has the cipher suite that QUIC begins with");
    let mut transport = TransportConfig::default();
    let idle = IdleTimeout::try_from(options.keep_alive * MISSED);
    transport.max_idle_timeout(idle.ok());
    transport.keep_alive_interval(Some(options.keep_alive));
    transport.max_concurrent_bidi_streams(VarInt::from_u32(STREAMS));
    transport.max_concurrent_uni_streams(VarInt::from_u32(0));
    transport.datagram_receive_buffer_size(None);
    // A member sends little that is more than one small packet: the search for larger ones would be most of what it sends.
    transport.mtu_discovery_config(None);
    transport.receive_window(VarInt::from_u32(WINDOW));
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// One request on a connection.
pub(super) async fn ask(connection: &Connection, request: &Request) -> Result<Response, NoAnswer> {
    let late = |_| NoAnswer(format!("no answer within {} s", REQUEST.as_secs()));
    timeout(REQUEST, exchange(connection, request))
        .await
        .map_err(late)?
}

async fn exchange(connection: &Connection, request: &Request) -> Result<Response, NoAnswer> {
    let lost =
        |error: &dyn std::error::Error| NoAnswer(format!("the connection was lost: {error}"));
    let (mut send, mut receive) = connection.open_bi().await.map_err(|error| lost(&error))?;
    send.write_all(&request.to_bytes())
        .await
        .map_err(|error| lost(&error))?;
    send.finish().map_err(|error| lost(&error))?;
    read(connection, &mut receive)
        .await
        .map_err(|error| match error {
            Unread::Lost(error) => lost(&error),
            Unread::Faulty(why) => NoAnswer(why),
        })
}

/// Why a message of the gateway was not read.
pub(super) enum Unread {
    /// The stream or the connection is over.
    Lost(quinn::ReadError),
    /// It does not follow the protocol.
    Faulty(String),
}

/// Reads one message to the end of its stream. A gateway that sends what no version of the protocol has is faulty: the
/// connection to it is closed.
pub(super) async fn read<M: Message>(
    connection: &Connection,
    receive: &mut RecvStream,
) -> Result<M, Unread> {
    let faulty = |why: String| {
        tracing::warn!(gateway = %connection.remote_address(), %why, "the gateway does not follow the protocol");
        Unread::Faulty(why)
    };
    let bytes = match receive.read_to_end(M::LIMIT).await {
        Ok(bytes) => bytes,
        Err(ReadToEndError::Read(error)) => return Err(Unread::Lost(error)),
        Err(ReadToEndError::TooLong) => {
            connection.close(code(CloseCode::Malformed), b"a message is too long");
            return Err(faulty(format!(
                "a {} is longer than {} bytes",
                M::WHAT,
                M::LIMIT
            )));
        }
    };
    M::from_bytes(&bytes).map_err(|error| {
        // A kind that this version does not know may be of a later one: that costs the one stream only.
        if error.fault != Fault::UnknownVariant {
            connection.close(code(CloseCode::Malformed), b"a message is malformed");
        }
        faulty(error.to_string())
    })
}
