//! The driver, a client of quinn, and what may be between the two.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, TransportConfig};
use tokio::time::{sleep, timeout};

use crate::group::wire::ALPN;
use crate::pki::{Authority, Issued, Request};
use crate::quic::Limits;
use crate::quic::driver::{Connection, Endpoint, Incoming};
use crate::quic::lanes::Lanes;
use crate::quic::socket::{Reader, Socket};
use crate::quic::transport::configuration;
use crate::tls::{Credentials, Trust, client_config, server_config};
use crate::udp::{Sink, endpoint_config};

/// Nothing in these tests takes longer.
pub(super) const LONG: Duration = Duration::from_secs(20);
pub(super) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = timeout(LONG, future).await;
    done.unwrap_or_else(|_| panic!("{what}: nothing within {} s", LONG.as_secs()))
}

#[derive(Debug)]
struct Nobody;

impl Sink for Nobody {
    fn take(&self, _: &[(SocketAddr, &[u8])]) {}
}

/// The driver, and a client of it.
pub(super) struct Site {
    pub(super) endpoint: Endpoint,
    pub(super) client: quinn::Endpoint,
    pub(super) socket: Weak<Reader>,
}

impl Site {
    pub(super) fn start() -> Self {
        Self::with(|_| {})
    }

    /// With a client of that kind.
    pub(super) fn with(kind: impl FnOnce(&mut TransportConfig)) -> Self {
        let authority = Authority::new("test").expect("an authority");
        let trust = Trust::new([authority.certificate().clone()], vec![]).expect("a certificate");
        let issued = |request: Request| -> Credentials {
            let own: Issued = authority.issue(&request).expect("a certificate");
            Credentials::new(own.chain(), own.key())
        };
        let own = issued(Request::server("gateway").host("localhost"));
        let limits = Limits {
            connections: 1_000,
            connections_per_identity: 1_000,
            handshakes: 1_000,
            alive: LONG,
            pace_mbit_s: 0,
        };
        let tls = server_config(own, &trust, &[ALPN]).expect("TLS");
        let config = configuration(tls, limits).expect("TLS 1.3");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("binds");
        let socket = Socket::start(socket, Arc::new(Nobody), (Lanes::new(1), 0)).expect("starts");
        let reader = socket.reader();
        let endpoint = Endpoint::start(endpoint_config(), config, socket);
        let tls = client_config(issued(Request::client("anna")), &trust, &[ALPN]).expect("TLS");
        let tls = QuicClientConfig::try_from(tls).expect("TLS 1.3");
        let mut transport = TransportConfig::default();
        kind(&mut transport);
        let mut config = ClientConfig::new(Arc::new(tls));
        config.transport_config(Arc::new(transport));
        let mut client = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("binds");
        client.set_default_client_config(config);
        Site {
            endpoint,
            client,
            socket: reader,
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.endpoint.local_addr().expect("it is bound")
    }

    pub(super) fn connecting(&self) -> quinn::Connecting {
        let connecting = self.client.connect(self.address(), "localhost");
        connecting.expect("is well-formed")
    }

    pub(super) async fn incoming(&self) -> Incoming {
        let incoming = within("somebody", self.endpoint.accept()).await;
        incoming.expect("it listens")
    }

    pub(super) async fn accepted(&self) -> Connection {
        let connecting = self.incoming().await.accept().expect("it may");
        within("a handshake", connecting)
            .await
            .expect("a connection")
    }

    pub(super) async fn connected(&self) -> (Connection, quinn::Connection) {
        let client = async { self.connecting().await.expect("a connection") };
        within("a connection", async {
            tokio::join!(self.accepted(), client)
        })
        .await
    }

    /// Nothing of any connection is left.
    pub(super) async fn is_freed(&self) {
        within("its end", self.endpoint.wait_idle()).await;
        let lane = self.endpoint.lane();
        assert!(lane.table().is_empty());
        within("its end", async {
            while !lane.work().is_empty() {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
}

/// Where a packet goes next, and from whom it came.
type Next = Box<dyn FnMut(&[u8], SocketAddr) + Send>;

/// Passes packets on between clients and a server, but not each of them.
pub(super) fn lossy(server: SocketAddr) -> SocketAddr {
    let [front, back] = [0, 1].map(|_| UdpSocket::bind("127.0.0.1:0").expect("binds"));
    let address = front.local_addr().expect("is bound");
    let client = Arc::new(OnceLock::new());
    let known = client.clone();
    let [other_front, other_back] = [&front, &back].map(|own| own.try_clone().expect("a socket"));
    let pass = |from: UdpSocket, mut to: Next| {
        std::thread::spawn(move || {
            from.set_read_timeout(Some(LONG)).expect("is a socket");
            let mut buffer = [0; 2_000];
            for number in 1.. {
                let Ok((length, peer)) = from.recv_from(&mut buffer) else {
                    return;
                };
                if number % 5 != 0 {
                    to(&buffer[..length], peer);
                }
            }
        })
    };
    pass(
        front,
        Box::new(move |packet, peer| {
            known.get_or_init(|| peer);
            let _ = other_back.send_to(packet, server);
        }),
    );
    pass(
        back,
        Box::new(move |packet, _| {
            let client = client.get().expect("it has begun");
            let _ = other_front.send_to(packet, client);
        }),
    );
    address
}
