//! A peer that speaks the wire protocol by hand, to do what the client library never does.

use std::net::SocketAddr;
use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use tokio::time::timeout;
use wardcast::crypto::EphemeralKey;
use wardcast::group::ids::{Role, Suite};
use wardcast::group::limits::MAX_MESSAGE;
use wardcast::group::wire::{ALPN, Grant, Join, Message, Offer, Push, Refusal, Request, Response};
use wardcast::tls;

use super::{GROUP, SOON, Site};

/// A connection with a certificate of this name; none if the gateway closes it at once.
pub(crate) async fn connect(site: &Site, name: &str) -> Result<Connection, ConnectionError> {
    connect_by(site, name, site.quic).await
}

/// The same, to the gateway by way of this address.
pub(crate) async fn connect_by(
    site: &Site,
    name: &str,
    address: SocketAddr,
) -> Result<Connection, ConnectionError> {
    let tls = tls::client_config(site.credentials(name), &site.trust(), &[ALPN]);
    let tls = QuicClientConfig::try_from(tls.expect("a TLS configuration"));
    let config = ClientConfig::new(Arc::new(tls.expect("TLS 1.3")));
    let endpoint = Endpoint::client(([127, 0, 0, 1], 0).into()).expect("a socket");
    let connecting = endpoint.connect_with(config, address, "localhost");
    let connected = timeout(SOON, connecting.expect("an address"));
    connected.await.expect("an answer in time")
}

/// A join as the client library sends it.
pub(crate) fn join(group: &str) -> Join {
    Join {
        group: group.to_owned(),
        role: Role::Both,
        offer: Offer::of(Suite::One, EphemeralKey::generate().public().to_vec()),
        token: None,
        channel: false,
    }
}

/// One request on a stream of its own.
pub(crate) async fn ask(connection: &Connection, request: &Request) -> Response {
    ask_bytes(connection, &request.to_bytes()).await
}

/// The same with any bytes.
pub(crate) async fn ask_bytes(connection: &Connection, request: &[u8]) -> Response {
    let (mut send, receive) = connection.open_bi().await.expect("a stream");
    // The gateway stops reading what is too long, and answers all the same.
    let _ = send.write_all(request).await;
    let _ = send.finish();
    answer(receive).await
}

/// What the gateway answers on a stream.
pub(crate) async fn answer(mut receive: RecvStream) -> Response {
    let bytes = timeout(SOON, receive.read_to_end(MAX_MESSAGE)).await;
    let bytes = bytes.expect("an answer in time").expect("an answer");
    Response::from_bytes(&bytes).expect("a response")
}

/// Joins the group of most tests.
pub(crate) async fn joined(connection: &Connection) -> Box<Grant> {
    match ask(connection, &Request::Join(join(GROUP))).await {
        Response::Granted(grant) => grant,
        other => panic!("not granted: {other:?}"),
    }
}

/// A request that must be refused.
pub(crate) async fn refused(connection: &Connection, request: &Request) -> Refusal {
    match ask(connection, request).await {
        Response::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// The next push, and where to answer it.
pub(crate) async fn push(connection: &Connection) -> (Push, SendStream) {
    let opened = timeout(SOON, connection.accept_bi()).await;
    let (send, mut receive) = opened.expect("a push in time").expect("a stream");
    let bytes = receive.read_to_end(MAX_MESSAGE).await.expect("a push");
    (Push::from_bytes(&bytes).expect("a push"), send)
}

impl Site {
    /// Where operators connect.
    pub(crate) fn admin_address(&self) -> String {
        format!("localhost:{}", self.admin.port())
    }
}
