//! A server of one's own behaviour: it reads a request over TLS and does what the test says.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use wardcast::kmip::codec::{Item, tag, ttlv, values};
use wardcast::kmip::message::{Field, Structure};
use wardcast::pki::Request;
use wardcast::tls::{self, Credentials, identity};

use crate::Site;

/// What a stub does with a request.
pub(crate) enum Reaction {
    /// Sends these bytes.
    Answer(Vec<u8>),
    /// Sends them after a while.
    Later(Duration, Vec<u8>),
    /// Sends them once it is told to.
    Told(Arc<Notify>, Vec<u8>),
    /// Sends them and closes the connection.
    Last(Vec<u8>),
    /// Closes the connection.
    Close,
    /// Never answers.
    Silence,
}

type React = dyn Fn(&Item) -> Reaction + Send + Sync;

/// A stub. It ends with the test's runtime.
pub(crate) struct Stub {
    address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    operations: Mutex<Vec<u32>>,
    callers: Mutex<Vec<String>>,
    open: AtomicUsize,
    most: AtomicUsize,
}

impl Stub {
    pub(crate) async fn start(
        site: &Site,
        react: impl Fn(&Item) -> Reaction + Send + Sync + 'static,
    ) -> Self {
        let request = Request::server("stub").host("127.0.0.1");
        let issued = site.authority.issue(&request).expect("a certificate");
        let credentials = Credentials::new(issued.chain(), issued.key());
        let tls = tls::server_config(credentials, &site.trust(), &[]);
        let tls = TlsAcceptor::from(Arc::new(tls.expect("a TLS configuration")));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Seen::default());
        let react: Arc<React> = Arc::new(react);
        let shared = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(tls.clone(), stream, react.clone(), shared.clone()));
            }
        });
        Self { address, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("kmips://{}", self.address)
    }

    /// The operations of all items that it was sent.
    pub(crate) fn operations(&self) -> Vec<u32> {
        self.seen.operations.lock().expect("no panic").clone()
    }

    /// Who sent each request.
    pub(crate) fn callers(&self) -> Vec<String> {
        self.seen.callers.lock().expect("no panic").clone()
    }

    /// The most connections that were open at a time.
    pub(crate) fn most_connections(&self) -> usize {
        self.seen.most.load(Ordering::Relaxed)
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.open.load(Ordering::Relaxed)
    }
}

async fn serve(tls: TlsAcceptor, stream: TcpStream, react: Arc<React>, seen: Arc<Seen>) {
    // A client may go away at any time.
    let Ok(mut stream) = tls.accept(stream).await else {
        return;
    };
    let chain = stream.get_ref().1.peer_certificates();
    let caller = identity(&chain.expect("a certificate")[0]);
    let caller = caller.expect("a name").0.to_string();
    let open = seen.open.fetch_add(1, Ordering::Relaxed) + 1;
    seen.most.fetch_max(open, Ordering::Relaxed);
    let mut header = [0; 8];
    while stream.read_exact(&mut header).await.is_ok() {
        let length = ttlv::announced(&header).expect("a header");
        let mut message = vec![0; length];
        message[..8].copy_from_slice(&header);
        if stream.read_exact(&mut message[8..]).await.is_err() {
            break;
        }
        let message = ttlv::decode(&message).expect("a request");
        let asked = operations(&message);
        seen.callers.lock().expect("no panic").push(caller.clone());
        seen.operations.lock().expect("no panic").extend(asked);
        let (bytes, last) = match react(&message) {
            Reaction::Answer(bytes) => (bytes, false),
            Reaction::Last(bytes) => (bytes, true),
            Reaction::Later(after, bytes) => {
                tokio::time::sleep(after).await;
                (bytes, false)
            }
            Reaction::Told(told, bytes) => {
                told.notified().await;
                (bytes, false)
            }
            Reaction::Close => break,
            Reaction::Silence => std::future::pending().await,
        };
        if stream.write_all(&bytes).await.is_err() || last {
            break;
        }
    }
    let _ = stream.shutdown().await;
    seen.open.fetch_sub(1, Ordering::Relaxed);
}

/// The operations of a request.
pub(crate) fn operations(message: &Item) -> Vec<u32> {
    let message = Field::of(message, tag::RequestMessage).expect("a request");
    let items = message.children(tag::BatchItem).expect("items");
    let operation = |item: Field<'_>| item.child(tag::Operation)?.enumeration();
    let found: Result<Vec<u32>, _> = items.map(operation).collect();
    found.expect("operations")
}

/// An answer to a request: its version and, for each item, what `done` makes of the item and of a response item that has the
/// operation and the identifier already.
pub(crate) fn respond(
    message: &Item,
    mut done: impl FnMut(&Field<'_>, Structure) -> Structure,
) -> Item {
    let message = Field::of(message, tag::RequestMessage).expect("a request");
    let header = message.child(tag::RequestHeader).expect("a header");
    let version = header.child(tag::ProtocolVersion).expect("a version");
    let items = message.children(tag::BatchItem).expect("items");
    let items: Vec<Item> = items
        .map(|item| {
            let kept = |tag| {
                item.optional(tag)
                    .expect("a structure")
                    .map(|kept| kept.item())
            };
            let begun = Structure::new(tag::BatchItem)
                .items(kept(tag::Operation).cloned())
                .items(kept(tag::UniqueBatchItemID).cloned());
            done(&item, begun).into()
        })
        .collect();
    let header = Structure::new(tag::ResponseHeader)
        .items([version.item().clone()])
        .date_time(tag::TimeStamp, 1_700_000_000)
        .integer(tag::BatchCount, items.len() as i32);
    let response = Structure::new(tag::ResponseMessage).structure(header);
    response.items(items).into()
}

/// A success with a payload that every operation of these tests can read.
pub(crate) fn success(message: &Item) -> Vec<u8> {
    let response = respond(message, |_, begun| {
        let payload = Structure::new(tag::ResponsePayload).text(tag::UniqueIdentifier, "1");
        begun
            .enumeration(tag::ResultStatus, values::ResultStatus::Success)
            .structure(payload)
    });
    encoded(&response)
}

pub(crate) fn encoded(item: &Item) -> Vec<u8> {
    ttlv::encode(item).expect("encoded").to_vec()
}
