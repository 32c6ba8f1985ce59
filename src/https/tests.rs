//! Peers that hold a connection for nothing: each loses its place to somebody else.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;

use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::pki::{Authority, Request as Asked};
use crate::tls::{Credentials, Trust};

/// By when anything happens that has to.
const SOON: Duration = Duration::from_secs(60);
/// Longer than any test.
const NEVER: Duration = Duration::from_secs(3_600);
/// What a peer must not hold a place for.
const SHORT: Duration = Duration::from_millis(500);
/// More than the buffers of two systems take.
const LONG: usize = 64 << 20;

const PATIENT: Times = Times {
    head: NEVER,
    answer: NEVER,
    life: NEVER,
    last: NEVER,
};

struct Site {
    authority: Authority,
    address: SocketAddr,
    /// Dropped, it stops.
    _stop: oneshot::Sender<Infallible>,
}

impl Site {
    async fn start(connections: usize, times: Times) -> Self {
        let authority = Authority::new("test").expect("an authority");
        let issued = authority.issue(&Asked::server("here").host("127.0.0.1"));
        let issued = issued.expect("a certificate");
        let trust = Trust::new([authority.certificate().clone()], Vec::new()).expect("trust");
        let credentials = Credentials::new(issued.chain(), issued.key());
        let tls = tls::open_server_config(credentials, &trust, &[ALPN]).expect("a configuration");
        let options = Options {
            name: "test",
            connections,
            times,
        };
        let listener = HttpsListener::bind("127.0.0.1:0".parse().expect("one"), tls, options);
        let listener = listener.await.expect("listens");
        let address = listener.local_addr();
        let read = async |request: Request| match body(request, SHORT).await {
            Ok(_) => StatusCode::OK,
            Err((status, _)) => status,
        };
        let router = Router::new()
            .route("/short", get(async || "short"))
            .route("/long", get(async || "x".repeat(LONG)))
            .route("/read", post(read));
        let (stop, stopped) = oneshot::channel::<Infallible>();
        tokio::spawn(listener.serve(router, async {
            let _ = stopped.await;
        }));
        Self {
            authority,
            address,
            _stop: stop,
        }
    }

    /// A connection from this address of the machine's own.
    async fn try_connect(&self, from: [u8; 4]) -> io::Result<TlsStream<TcpStream>> {
        let trust = Trust::new([self.authority.certificate().clone()], Vec::new());
        let tls = tls::anonymous_client_config(&trust.expect("trust"), &[ALPN]);
        let socket = TcpSocket::new_v4()?;
        socket.bind((IpAddr::from(from), 0).into())?;
        let stream = socket.connect(self.address).await?;
        let name = "127.0.0.1".try_into().expect("a name");
        TlsConnector::from(Arc::new(tls.expect("a configuration")))
            .connect(name, stream)
            .await
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let connected = timeout(SOON, self.try_connect([127, 0, 0, 1])).await;
        connected.expect("there is a place").expect("connects")
    }

    /// Somebody else is served: the only place is free again. On a busy machine he may be too slow himself at first.
    async fn serves(&self) {
        let served = async {
            loop {
                let mut other = self.connect().await;
                ask(&mut other, "GET /short").await;
                if until(&mut other, b"short").await.is_ok() {
                    break;
                }
            }
        };
        timeout(SOON, served)
            .await
            .expect("somebody else is served");
    }
}

async fn ask(stream: &mut TlsStream<TcpStream>, what: &str) {
    let request = format!("{what} HTTP/1.1\r\nhost: x\r\n\r\n");
    // Where the connection is over already, its end is what is read.
    let _ = stream.write_all(request.as_bytes()).await;
}

/// Reads up to this.
async fn until(stream: &mut TlsStream<TcpStream>, end: &[u8]) -> io::Result<()> {
    let mut read = Vec::new();
    while !read.ends_with(end) {
        read.push(stream.read_u8().await?);
    }
    Ok(())
}

/// Reads up to the end of the connection.
async fn ends(stream: &mut TlsStream<TcpStream>) {
    let mut rest = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut rest))
        .await
        .expect("the connection ends");
}

#[tokio::test]
async fn who_asks_for_nothing_has_no_place() {
    let times = Times {
        head: SHORT,
        ..PATIENT
    };
    let site = Site::start(1, times).await;
    let mut silent = site.connect().await;
    ends(&mut silent).await;
    site.serves().await;
    // After an answer as well.
    let mut silent = site.connect().await;
    ask(&mut silent, "GET /short").await;
    ends(&mut silent).await;
    site.serves().await;
}

#[tokio::test]
async fn a_head_that_comes_in_drops_is_not_waited_for() {
    let times = Times {
        head: SHORT,
        ..PATIENT
    };
    let site = Site::start(1, times).await;
    let mut slow = site.connect().await;
    let dripping = async {
        for letter in b"GET /short HTTP/1.1\r\nx: "
            .iter()
            .chain([b'y'; 10_000].iter())
        {
            if slow.write_all(&[*letter]).await.is_err() || slow.flush().await.is_err() {
                break;
            }
            sleep(SHORT / 20).await;
        }
    };
    tokio::select! {
        () = dripping => {}
        () = site.serves() => {}
    }
}

#[tokio::test]
async fn who_does_not_read_its_answer_loses_it() {
    let times = Times {
        answer: SHORT,
        ..PATIENT
    };
    let site = Site::start(1, times).await;
    let mut deaf = site.connect().await;
    ask(&mut deaf, "GET /long").await;
    site.serves().await;
    // Nor does a drop now and then keep it.
    let mut slow = site.connect().await;
    ask(&mut slow, "GET /long").await;
    let sipping = async {
        while slow.read_u8().await.is_ok() {
            sleep(SHORT / 20).await;
        }
    };
    tokio::select! {
        () = sipping => {}
        () = site.serves() => {}
    }
}

#[tokio::test]
async fn who_reads_has_as_long_as_it_needs() {
    let times = Times {
        answer: SOON,
        ..PATIENT
    };
    let site = Site::start(1, times).await;
    let mut stream = site.connect().await;
    ask(&mut stream, "GET /long").await;
    let mut left = LONG;
    let mut buffer = vec![0; 1 << 20];
    while left > 0 {
        let read = stream.read(&mut buffer).await.expect("there is more");
        assert!(read > 0, "{left} bytes are missing");
        left = left.saturating_sub(read);
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let site = Site::start(1, PATIENT).await;
    let mut stream = site.connect().await;
    let request = b"POST /read HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n1234";
    stream.write_all(request).await.expect("sends");
    let told = timeout(SOON, until(&mut stream, b"408")).await;
    told.expect("it is told").expect("before the end");
    ends(&mut stream).await;
    site.serves().await;
}

#[tokio::test]
async fn however_busy_a_connection_is_it_ends() {
    let times = Times {
        life: SHORT,
        ..PATIENT
    };
    let site = Site::start(1, times).await;
    let mut busy = site.connect().await;
    let asking = async {
        loop {
            let request = b"GET /short HTTP/1.1\r\nhost: x\r\n\r\n";
            let mut answer = [0; 4_096];
            if busy.write_all(request).await.is_err() {
                return;
            }
            if !matches!(busy.read(&mut answer).await, Ok(1..)) {
                return;
            }
            sleep(SHORT / 50).await;
        }
    };
    timeout(SOON, asking).await.expect("the connection ends");
    site.serves().await;
}

#[tokio::test]
async fn the_last_request_has_a_bound_too() {
    let times = Times {
        life: SHORT,
        last: SHORT,
        ..PATIENT
    };
    let site = Site::start(1, times).await;
    let mut deaf = site.connect().await;
    ask(&mut deaf, "GET /long").await;
    site.serves().await;
}

#[tokio::test]
async fn one_address_leaves_places_for_others() {
    let site = Site::start(4, PATIENT).await;
    let mut held = vec![site.connect().await, site.connect().await];
    let beyond = site.try_connect([127, 0, 0, 1]);
    let beyond = timeout(SOON, beyond).await.expect("it is told");
    assert!(beyond.is_err(), "half of the places are for others");
    let other = timeout(SOON, site.try_connect([127, 0, 0, 2]));
    let mut other = other.await.expect("there is a place").expect("connects");
    ask(&mut other, "GET /short").await;
    let served = timeout(SOON, until(&mut other, b"short")).await;
    served.expect("it is served").expect("to the end");
    held.pop();
    let again = async {
        while site.try_connect([127, 0, 0, 1]).await.is_err() {
            sleep(SHORT / 50).await;
        }
    };
    timeout(SOON, again).await.expect("a place is free again");
}
