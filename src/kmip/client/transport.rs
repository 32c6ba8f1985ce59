//! Bytes to a server and back: TTLV in TLS, or bodies of HTTPS.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use super::endpoint::{Endpoint, Kind};
use super::error::{SetupError, TransportError};
use super::options::Options;
use crate::causes::chain;
use crate::kmip::codec::limits::MAX_TEXT;
use crate::kmip::codec::{View, ttlv};

/// What the binary encoding of an item begins with: tag, type, length.
const HEADER: usize = 8;

/// The way to one address.
pub(super) enum Transport {
    Tls {
        host: String,
        port: u16,
        name: ServerName<'static>,
        tls: TlsConnector,
    },
    /// The HTTPS client keeps connections of its own.
    Https {
        url: reqwest::Url,
        encoding: View,
        http: reqwest::Client,
    },
}

/// A connection, and the way by which it was made: it is of no use for any other.
pub(super) struct Connection {
    transport: Arc<Transport>,
    /// None is the leave to use one of the HTTPS client's.
    stream: Option<Box<TlsStream<TcpStream>>>,
}

/// Bytes to be sent, and what is known about them.
pub(super) struct Outgoing<'r> {
    /// A request, encoded.
    pub(super) bytes: &'r [u8],
    /// The longest answer in its binary form.
    pub(super) limit: usize,
    /// Becomes true before the first byte is sent.
    pub(super) sent: &'r AtomicBool,
}

impl Transport {
    pub(super) fn new(
        endpoint: &Endpoint,
        tls: &Arc<ClientConfig>,
        options: &Options,
    ) -> Result<Self, SetupError> {
        match endpoint.0.clone() {
            Kind::Tls { host, port, name } => Ok(Self::Tls {
                host,
                port,
                name,
                tls: TlsConnector::from(tls.clone()),
            }),
            Kind::Https { url, encoding } => {
                let mut tls = ClientConfig::clone(tls);
                tls.alpn_protocols = vec![b"http/1.1".to_vec()];
                let http = reqwest::Client::builder()
                    .tls_backend_preconfigured(tls)
                    .https_only(true)
                    .no_proxy()
                    .redirect(reqwest::redirect::Policy::none())
                    // What may be repeated is known above, not there.
                    .retry(reqwest::retry::never())
                    .pool_max_idle_per_host(options.connections)
                    .pool_idle_timeout(options.idle)
                    // Before the attempt's own end, which cannot tell that nothing was sent.
                    .connect_timeout(options.attempt / 2);
                let http = http
                    .build()
                    .map_err(|error| SetupError::Https(chain(&error)))?;
                Ok(Self::Https {
                    url,
                    encoding,
                    http,
                })
            }
        }
    }

    fn encoding(&self) -> View {
        match self {
            Self::Tls { .. } => View::Ttlv,
            Self::Https { encoding, .. } => *encoding,
        }
    }

    pub(super) async fn connect(self: Arc<Self>) -> Result<Connection, TransportError> {
        let stream = self.open().await?.map(Box::new);
        Ok(Connection {
            transport: self,
            stream,
        })
    }

    async fn open(&self) -> Result<Option<TlsStream<TcpStream>>, TransportError> {
        let Self::Tls {
            host,
            port,
            name,
            tls,
        } = self
        else {
            return Ok(None);
        };
        let stream = TcpStream::connect((host.as_str(), *port)).await;
        let stream = stream.map_err(|error| TransportError::Connect(error.to_string()))?;
        // Each request is one write, and waits for its answer.
        stream
            .set_nodelay(true)
            .map_err(|error| TransportError::Connect(error.to_string()))?;
        let stream = tls.connect(name.clone(), stream).await;
        let stream = stream.map_err(|error| TransportError::Tls(error.to_string()))?;
        Ok(Some(stream))
    }
}

impl Connection {
    /// Whether it was made by this way, and shows what is shown by it.
    pub(super) fn is_by(&self, transport: &Arc<Transport>) -> bool {
        Arc::ptr_eq(&self.transport, transport)
    }

    /// The encoding of requests and answers.
    pub(super) fn encoding(&self) -> View {
        self.transport.encoding()
    }

    /// Sends a request and reads its answer.
    pub(super) async fn exchange(
        &mut self,
        outgoing: Outgoing<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, TransportError> {
        match (&*self.transport, &mut self.stream) {
            (
                Transport::Https {
                    url,
                    encoding,
                    http,
                },
                _,
            ) => post(http, url, *encoding, outgoing).await,
            (Transport::Tls { .. }, Some(stream)) => over_tls(stream, outgoing).await,
            (Transport::Tls { .. }, None) => Err(TransportError::Closed),
        }
    }

    /// Whether the server has neither closed it nor said what nobody asked for.
    pub(super) async fn is_quiet(&mut self) -> bool {
        match &mut self.stream {
            None => true,
            Some(stream) => {
                let mut byte = [0; 1];
                let read = stream.read(&mut byte);
                tokio::time::timeout(Duration::ZERO, read).await.is_err()
            }
        }
    }
}

async fn over_tls(
    stream: &mut TlsStream<TcpStream>,
    outgoing: Outgoing<'_>,
) -> Result<Zeroizing<Vec<u8>>, TransportError> {
    outgoing.sent.store(true, Ordering::Relaxed);
    stream.write_all(outgoing.bytes).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut header = [0; HEADER];
    stream.read_exact(&mut header).await.map_err(broken)?;
    let length = ttlv::announced(&header).unwrap_or(usize::MAX);
    let limit = outgoing.limit;
    if length > limit {
        return Err(TransportError::TooLong { length, limit });
    }
    let mut answer = Zeroizing::new(vec![0; length.max(HEADER)]);
    answer[..HEADER].copy_from_slice(&header);
    let rest = &mut answer[HEADER..];
    stream.read_exact(rest).await.map_err(broken)?;
    Ok(answer)
}

fn broken(error: io::Error) -> TransportError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => TransportError::Closed,
        _ => TransportError::Broken(error.to_string()),
    }
}

async fn post(
    http: &reqwest::Client,
    url: &reqwest::Url,
    encoding: View,
    outgoing: Outgoing<'_>,
) -> Result<Zeroizing<Vec<u8>>, TransportError> {
    let request = http
        .post(url.clone())
        .header(CONTENT_TYPE, encoding.content_type())
        .body(outgoing.bytes.to_vec());
    outgoing.sent.store(true, Ordering::Relaxed);
    let answer = request.send().await;
    let mut answer = answer.map_err(|error| match error.is_connect() {
        true => {
            outgoing.sent.store(false, Ordering::Relaxed);
            TransportError::Connect(chain(&error.without_url()))
        }
        false => TransportError::Broken(chain(&error.without_url())),
    })?;
    if answer.status() != reqwest::StatusCode::OK {
        return Err(TransportError::Status(answer.status().as_u16()));
    }
    let limit = match encoding {
        View::Ttlv => outgoing.limit,
        View::Json | View::Xml => MAX_TEXT,
    };
    let mut read = Zeroizing::new(Vec::new());
    loop {
        let chunk = answer.chunk().await;
        let chunk = chunk.map_err(|error| TransportError::Broken(chain(&error.without_url())))?;
        let Some(chunk) = chunk else {
            return Ok(read);
        };
        let length = read.len() + chunk.len();
        if length > limit {
            return Err(TransportError::TooLong { length, limit });
        }
        extend(&mut read, &chunk);
    }
}

/// Appends; what is left behind when the buffer grows is overwritten.
fn extend(read: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) {
    let needed = read.len() + chunk.len();
    if needed > read.capacity() {
        let mut grown = Zeroizing::new(Vec::with_capacity(needed.next_power_of_two()));
        grown.extend_from_slice(read);
        *read = grown;
    }
    read.extend_from_slice(chunk);
}
