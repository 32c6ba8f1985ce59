//! The client side that all peers share: TLS over TCP with a member's certificate, and connecting many at a time.
//!
//! What is said on it is written by hand, a few messages of each protocol: the well-kept client libraries run tasks and keep
//! buffers for each connection, and with thousands of those this process would be what is measured.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use wardcast::tls::{self, Credentials, Trust};

use crate::Failure;
use crate::report::Progress;
use crate::site::Site;

/// Room for what is read at once: some payloads. Each connection of a run has one.
const BUFFER: usize = 2048;

/// A connection that is read by lines and counts, and written to through the buffer.
pub(super) type Stream = BufReader<TlsStream<TcpStream>>;

/// As whom to connect, and where.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) address: SocketAddr,
    pub(super) credentials: Credentials,
    pub(super) trust: Trust,
}

impl Caller {
    /// A TCP connection that sends at once what it is given.
    pub(super) async fn dial(&self) -> Result<TcpStream, Failure> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// The TLS handshake on a connection.
    pub(super) async fn secure(
        &self,
        stream: TcpStream,
        protocols: &[&[u8]],
    ) -> Result<TlsStream<TcpStream>, Failure> {
        let config = tls::client_config(self.credentials.clone(), &self.trust, protocols)?;
        let name = ServerName::try_from("localhost")?;
        let connector = TlsConnector::from(Arc::new(config));
        Ok(connector.connect(name, stream).await?)
    }
}

/// With room to read lines and packets.
pub(super) fn buffered(stream: TlsStream<TcpStream>) -> Stream {
    BufReader::with_capacity(BUFFER, stream)
}

/// Lets every member connect to a server, so many at a time.
pub(super) async fn connect_all<F>(
    phase: &'static str,
    site: &Site,
    address: SocketAddr,
    at_once: usize,
    connect: impl Fn(Caller) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let members = site.members().len();
    let mut progress = Progress::begin(phase);
    let mut connecting = JoinSet::new();
    let mut connected = 0;
    for credentials in site.members() {
        if connecting.len() >= at_once
            && let Some(one) = connecting.join_next().await
        {
            one??;
            connected += 1;
            progress.at(connected, members);
        }
        connecting.spawn(connect(Caller {
            address,
            credentials: credentials.clone(),
            trust: site.trust().clone(),
        }));
    }
    while let Some(one) = connecting.join_next().await {
        one??;
    }
    progress.end(&format!("{members} subscribers"));
    Ok(())
}
