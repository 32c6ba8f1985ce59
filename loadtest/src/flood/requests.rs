//! Hostile requests from somebody with a certificate: what is malformed, too large, never finished, or about groups that
//! there are not.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, TransportConfig};
use tokio::sync::Semaphore;
use wardcast::crypto::EphemeralKey;
use wardcast::group::ids::{MemberId, Role, Suite};
use wardcast::group::limits::MAX_REQUEST;
use wardcast::group::wire::{
    ALPN, Acknowledge, Join, Message, Offer, OpenChannel, Pull, Request, Status,
};
use wardcast::tls::{self, Credentials, Trust};

use crate::Failure;
use crate::operator::GROUP;

/// Connections of one identity; the gateway allows more.
const CONNECTIONS: usize = 4;
/// Requests that are under way at a time: as many as all connections may have. What comes beyond is not sent.
const AT_ONCE: usize = 16 * CONNECTIONS;
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How long a request is left unfinished; meanwhile it takes one of the connection's places.
const UNFINISHED: Duration = Duration::from_millis(200);

/// Who makes them.
pub(super) struct Requests {
    connections: Vec<Connection>,
    places: Arc<Semaphore>,
    kinds: Vec<Hostility>,
    next: usize,
}

/// What is wrong with a request.
#[derive(Clone)]
enum Hostility {
    /// It is sent as it is.
    Whole(Vec<u8>),
    /// It is not finished.
    Half(Vec<u8>),
}

impl Requests {
    pub(super) async fn connect(
        gateway: SocketAddr,
        credentials: &Credentials,
        trust: &Trust,
    ) -> Result<Self, Failure> {
        let crypto = tls::client_config(credentials.clone(), trust, &[ALPN])?;
        let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(crypto)?));
        let mut transport = TransportConfig::default();
        transport.keep_alive_interval(Some(KEEP_ALIVE));
        config.transport_config(Arc::new(transport));
        let endpoint = Endpoint::client(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))?;
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            let connecting = endpoint.connect_with(config.clone(), gateway, "localhost")?;
            connections.push(connecting.await?);
        }
        Ok(Requests {
            connections,
            places: Arc::new(Semaphore::new(AT_ONCE)),
            kinds: kinds(),
            next: 0,
        })
    }

    /// Whether one was sent: not while as many are under way as may be, nor when the gateway has closed the connection.
    pub(super) fn send(&mut self) -> bool {
        self.next += 1;
        let connection = &self.connections[self.next % self.connections.len()];
        if connection.close_reason().is_some() {
            return false;
        }
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            return false;
        };
        let hostility = self.kinds[self.next % self.kinds.len()].clone();
        let connection = connection.clone();
        tokio::spawn(async move {
            // Whatever comes of it: the next one is made in any case.
            let _ = make(&connection, &hostility).await;
            drop(place);
        });
        true
    }
}

async fn make(connection: &Connection, hostility: &Hostility) -> Result<(), Failure> {
    let (mut send, mut receive) = connection.open_bi().await?;
    match hostility {
        Hostility::Whole(bytes) => {
            send.write_all(bytes).await?;
            send.finish()?;
            receive.read_to_end(MAX_REQUEST).await?;
        }
        Hostility::Half(bytes) => {
            send.write_all(bytes).await?;
            tokio::time::sleep(UNFINISHED).await;
        }
    }
    Ok(())
}

fn kinds() -> Vec<Hostility> {
    let group = GROUP.to_owned();
    let offer = Offer::of(Suite::One, EphemeralKey::generate().public().to_vec());
    let member = MemberId(1);
    let join = Request::Join(Join {
        group: "there is no such group".to_owned(),
        role: Role::Both,
        offer,
        token: None,
        channel: false,
    });
    let join = join.to_bytes().to_vec();
    let of_others = [
        Request::Status(Status {
            group: group.clone(),
        }),
        Request::OpenChannel(OpenChannel {
            group: group.clone(),
            member,
            epoch: None,
        }),
        Request::Acknowledge(Acknowledge {
            group: group.clone(),
            member,
            epoch: wardcast::group::ids::Epoch(u64::MAX),
        }),
        Request::Pull(Pull {
            group,
            member,
            epoch: wardcast::group::ids::Epoch(0),
            offer: None,
            leaf: None,
        }),
    ];
    let mut kinds = vec![
        Hostility::Half(join[..join.len() / 2].to_vec()),
        Hostility::Whole(join[..join.len() / 2].to_vec()),
        Hostility::Whole(join),
        Hostility::Whole(vec![0xff; MAX_REQUEST]),
        Hostility::Whole(vec![0x9f; MAX_REQUEST]), // nested as deeply as it is long
        Hostility::Whole(vec![0; MAX_REQUEST + 1]),
    ];
    kinds.extend(of_others.map(|request| Hostility::Whole(request.to_bytes().to_vec())));
    kinds
}
