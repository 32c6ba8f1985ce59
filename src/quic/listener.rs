//! Accepts connections, within bounds, and ends them in good order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use arc_swap::ArcSwap;
use dashmap::DashMap;
use quinn::udp::UdpSocketState;
use quinn_proto::crypto::rustls::NoInitialCipherSuite;
use quinn_proto::{ConnectionError, ServerConfig, VarInt};
use rustls::pki_types::CertificateDer;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use super::absence::Absence;
use super::acknowledgements::Acknowledgements;
use super::admission::{Admission, Entry, HEAD_START, Places};
use super::beats::{BEAT, Beats};
use super::connection::Served;
use super::driver::{Connection, Endpoint, Incoming};
use super::failures;
use super::fanout::Fanout;
use super::farewell;
use super::lanes::{Lanes, Names};
use super::multicast::Multicaster;
use super::pace::Pace;
use super::socket::Socket;
use super::transmit::Transmitter;
use super::transport::configuration;
use super::{HANDSHAKE_DEADLINE, Limits, MISSED, Multicast};
use crate::attributes::Sources;
use crate::audit::{self, Audit, Event};
use crate::engine::{Cast, Handle};
use crate::group::ids::Identity;
use crate::group::wire::CloseCode;
use crate::tls;
use crate::udp::multicast::Sender;
use crate::udp::{bound, endpoint_config};

/// Room for datagrams that wait to be read, in bytes; a datagram takes about 1 KiB of it. The members of a large group
/// acknowledge a rekey at the same moment: what does not fit is lost, and comes again only after a probe time-out.
const RECEIVE_BUFFER: usize = 8 << 20;

/// QUIC's error codes for TLS alerts (RFC 9001 section 4.8), and how much of such an error is put on record.
pub(super) const TLS_ALERTS: u64 = 0x100;
const MAX_REASON: usize = 256;

/// Why the listener could not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address cannot be bound.
    #[error(
        "cannot listen on {address} (UDP): {source}; free it, or set listen.address to another"
    )]
    Address {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The interface cannot be multicast on.
    #[error(
        "cannot multicast on {interface}: {source}; name another one of this machine in multicast.interface, or none"
    )]
    Multicast {
        /// Which.
        interface: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The TLS configuration does not serve QUIC.
    #[error("the TLS configuration does not serve QUIC: {0}")]
    Tls(#[from] NoInitialCipherSuite),
}

/// A bound endpoint.
pub struct Listener {
    /// One for each lane.
    endpoints: Vec<Endpoint>,
    front: Arc<Front>,
    megabits: Arc<AtomicU32>,
}

/// What a listener stands on.
pub struct Parts {
    /// What members ask.
    pub engine: Handle,
    /// Who knows more about those who want to join than their certificates say; replaced while it runs.
    pub sources: Arc<ArcSwap<Sources>>,
    /// Where it is put on record whose certificate is not taken, if anywhere.
    pub audit: Option<Audit>,
}

/// What all connections share.
pub(super) struct Front {
    pub(super) engine: Handle,
    pub(super) sources: Arc<ArcSwap<Sources>>,
    audit: Option<Audit>,
    pub(super) limits: Limits,
    admission: Admission,
    identities: DashMap<Arc<Identity>, usize>,
    beats: Beats,
    /// Nobody new is taken on any more.
    pub(super) closing: AtomicBool,
    /// When set: how long members are told to wait before they come back, and where to.
    pub(super) draining: watch::Sender<Option<Absence>>,
}

/// The place of one connection among its identity's; given back when dropped.
pub(super) struct Place {
    front: Arc<Front>,
    pub(super) identity: Arc<Identity>,
    _connection: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::gauge!("wardcast_connections").decrement(1.0);
        let identities = &self.front.identities;
        identities.remove_if_mut(&self.identity, |_, count| {
            *count -= 1;
            *count == 0
        });
    }
}

impl Listener {
    /// Binds the address; nothing is accepted before [`run`](Self::run).
    pub fn bind(
        address: SocketAddr,
        tls: rustls::ServerConfig,
        limits: Limits,
        multicast: Option<&Multicast>,
        parts: Parts,
    ) -> Result<Self, BindError> {
        let Parts {
            engine,
            sources,
            audit,
        } = parts;
        let multicaster = multicast.map(multicaster).transpose()?;
        let config = configuration(tls, limits)?;
        let megabits = Arc::new(AtomicU32::new(limits.pace_mbit_s));
        let report = multicast.map_or(Duration::ZERO, |times| times.report);
        let bound = endpoints(address, config, (report, &megabits), &engine);
        let (endpoints, casts) = bound.map_err(|source| BindError::Address { address, source })?;
        if let Some((multicaster, casts)) = multicaster.zip(casts) {
            let thread = std::thread::Builder::new().name("multicast".to_owned());
            let started = thread.spawn(move || multicaster.run(&casts));
            started.map_err(|source| BindError::Address { address, source })?;
        }
        let front = Front {
            engine,
            sources,
            audit,
            limits,
            admission: Admission::new(limits),
            identities: DashMap::new(),
            beats: Beats::new(endpoints.len()),
            closing: AtomicBool::new(false),
            draining: watch::Sender::new(None),
        };
        Ok(Self {
            endpoints,
            front: Arc::new(front),
            megabits,
        })
    }

    /// Takes other certificates from now on. Connections stay; whoever comes back shows a certificate anew, for no ticket from before
    /// is good any more.
    pub fn reconfigure(&self, tls: rustls::ServerConfig) -> Result<(), BindError> {
        let config = configuration(tls, self.front.limits)?;
        for endpoint in &self.endpoints {
            endpoint.set_server_config(config.clone());
        }
        Ok(())
    }

    /// Sends datagrams with so many megabits a second at most from now on; no limit if 0.
    pub fn pace(&self, mbit_s: u32) {
        self.megabits.store(mbit_s, Ordering::Relaxed);
    }

    /// Whether its loops go round.
    pub fn beats(&self) -> Beats {
        self.front.beats.clone()
    }

    /// Takes nobody on any more: handshakes and joins are refused, all else goes on.
    pub fn close(&self) {
        self.front.closing.store(true, Ordering::Relaxed);
    }

    /// The bound address, with the port that was chosen.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.endpoints[0].local_addr()
    }

    /// Accepts connections, until [`close`](Self::close) refuses them, and as long as it is waited for.
    pub async fn run(&self) {
        let mut accepting = JoinSet::new();
        for (lane, endpoint) in (0..).zip(&self.endpoints) {
            accepting.spawn(accept(self.front.clone(), endpoint.clone(), lane));
        }
        let mut look = interval(self.front.limits.alive);
        loop {
            tokio::select! {
                _ = look.tick() => drop(tokio::spawn(silent(self.front.clone()))),
                _ = accepting.join_next() => return,
            }
        }
    }

    /// Tells all members to come back after a pause, each at another time when there are many, and to which gateways (here if
    /// none is named), closes their connections, and waits for their end, and until those who are parked know.
    pub async fn drain(&self, pause: Duration, to: &[String]) {
        let (admission, channels) = (&self.front.admission, self.front.engine.channels());
        let members = admission.connected() + channels.staying().len();
        let members = u32::try_from(members).unwrap_or(u32::MAX);
        let absence = Absence::of_all(pause, members, to);
        self.front.draining.send_replace(Some(absence.clone()));
        tokio::join!(admission.all_over(), farewell::tell(channels, absence));
        let code = VarInt::from(CloseCode::Draining.number());
        for endpoint in &self.endpoints {
            endpoint.close(code, CloseCode::Draining.text().as_bytes());
        }
        for endpoint in &self.endpoints {
            endpoint.wait_idle().await;
        }
    }
}

/// Accepts what comes in by one lane.
async fn accept(front: Arc<Front>, endpoint: Endpoint, lane: u8) {
    let mut beat = interval(BEAT);
    loop {
        let incoming = tokio::select! {
            incoming = endpoint.accept() => incoming,
            _ = beat.tick() => {
                if endpoint.goes_round() {
                    front.beats.beat(lane);
                }
                continue;
            }
        };
        let Some(incoming) = incoming else {
            return;
        };
        if front.closing.load(Ordering::Relaxed) {
            refuse(incoming, "draining");
            continue;
        }
        match front.admission.enter(incoming.may_retry()) {
            Entry::Admitted(places) => {
                // A handshake's future is large, a connection lives long: boxed, it is freed between the two.
                let handshake = Box::pin(handshake(front.clone(), incoming, places, lane));
                tokio::spawn(async {
                    if let Some(served) = handshake.await {
                        served.run().await;
                    }
                });
            }
            Entry::Prove => {
                metrics::counter!("wardcast_handshakes_retried_total").increment(1);
                incoming.retry();
            }
            Entry::Refused(reason) => refuse(incoming, reason),
        }
    }
}

fn refuse(incoming: Incoming, reason: &'static str) {
    metrics::counter!("wardcast_handshakes_refused_total", "reason" => reason).increment(1);
    incoming.refuse();
}

/// Parked members that were not heard of count as absent.
async fn silent(front: Arc<Front>) {
    let patience = front.limits.alive * MISSED;
    for channel in front.engine.channels().silent(patience) {
        front.engine.silent(&channel).await;
    }
}

/// A handshake and who the peer is; none when there is nothing to be served.
async fn handshake(
    front: Arc<Front>,
    incoming: Incoming,
    places: Places,
    lane: u8,
) -> Option<Arc<Served>> {
    let address = incoming.remote_address();
    let Some(turn) = front.admission.turn().await else {
        refuse(incoming, "wait");
        return None;
    };
    let connection = match timeout(HANDSHAKE_DEADLINE, shaken(incoming, turn)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "handshake failed");
            failures::count(failures::kind(&error));
            front.unauthenticated(address, &error);
            return None;
        }
        Err(_) => {
            tracing::debug!(%address, "handshake took too long");
            failures::count("timeout");
            return None;
        }
    };
    drop(places.handshake);
    let close = |code: CloseCode| connection.close(code.number().into(), code.text().as_bytes());
    let identity = match identity(&connection) {
        Ok(identity) => Arc::new(identity),
        Err(error) => {
            tracing::info!(%address, %error, "connection refused");
            failures::count("identity");
            close(CloseCode::NotAuthenticated);
            return None;
        }
    };
    let Some(place) = place(&front, identity, places.connection) else {
        tracing::info!(%address, "connection refused: its identity has too many");
        failures::count("identity_limit");
        close(CloseCode::Overloaded);
        return None;
    };
    metrics::counter!("wardcast_handshakes_total").increment(1);
    Some(Served::new(front, connection, place, lane))
}

impl Front {
    /// Puts on record why a certificate was not taken: revoked, expired, of nobody that is trusted. Whose it was is not known, for
    /// nobody vouches for what it says.
    fn unauthenticated(&self, address: SocketAddr, error: &ConnectionError) {
        let (Some(trail), ConnectionError::TransportError(error)) = (&self.audit, error) else {
            return;
        };
        if (TLS_ALERTS..TLS_ALERTS + 0x100).contains(&u64::from(error.code)) {
            // What follows is when it was looked at, which is never the same.
            let parts: Vec<&str> = error.reason.split(": ").take(2).collect();
            let why = parts.join(": ").chars().take(MAX_REASON).collect();
            let address = address.ip().to_string();
            let times = 1;
            let event = Event::Unauthenticated {
                address,
                why,
                times,
            };
            trail.keep(vec![audit::Entry::of_gateway(event)], || {});
        }
    }
}

/// A handshake, which gives up its turn as soon as it is done, or goes on for long.
async fn shaken(
    incoming: Incoming,
    turn: OwnedSemaphorePermit,
) -> Result<Connection, ConnectionError> {
    let mut handshake = incoming.accept()?;
    tokio::select! {
        done = &mut handshake => return done,
        () = sleep(HEAD_START) => drop(turn),
    }
    handshake.await
}

fn identity(connection: &Connection) -> Result<Identity, tls::IdentityError> {
    tls::peer(&certificate(connection)?)
}

/// The certificate of a connected peer.
pub(super) fn certificate(
    connection: &Connection,
) -> Result<CertificateDer<'static>, tls::IdentityError> {
    let chain = connection
        .peer_identity()
        .ok_or(tls::IdentityError::NoName)?;
    let chain = chain.downcast::<Vec<CertificateDer<'static>>>();
    let chain = chain.map_err(|_| tls::IdentityError::Malformed)?;
    chain.into_iter().next().ok_or(tls::IdentityError::NoName)
}

/// A place for one more connection of this identity, if it may have one.
fn place(
    front: &Arc<Front>,
    identity: Arc<Identity>,
    permit: OwnedSemaphorePermit,
) -> Option<Place> {
    let mut count = front.identities.entry(identity.clone()).or_insert(0);
    if *count >= front.limits.connections_per_identity {
        return None;
    }
    *count += 1;
    drop(count);
    metrics::gauge!("wardcast_connections").increment(1.0);
    Some(Place {
        front: front.clone(),
        identity,
        _connection: permit,
    })
}

/// An endpoint for each lane, with the thread that sends datagrams on the same socket; and what is to be multicast.
fn endpoints(
    address: SocketAddr,
    config: ServerConfig,
    (report, megabits): (Duration, &Arc<AtomicU32>),
    engine: &Handle,
) -> io::Result<(Vec<Endpoint>, Option<Receiver<Cast>>)> {
    let channels = engine.channels();
    let outbound = channels.outbound();
    let (volleys, casts) = outbound.map(|own| (own.lanes, own.casts)).unzip();
    let mut volleys = volleys.into_iter().flatten();
    let sockets = bound(address, channels.lanes())?;
    let lanes = Lanes::new(sockets.len());
    let mut endpoints = Vec::with_capacity(sockets.len());
    for (lane, socket) in sockets.into_iter().enumerate() {
        let state = UdpSocketState::new((&socket).into())?;
        // The system gives less where its own limit is lower: it then works as before, with more lost and sent again.
        state.set_recv_buffer_size((&socket).into(), RECEIVE_BUFFER)?;
        let acknowledgements = Acknowledgements::start(engine.clone(), lane);
        let own = Socket::start(socket, acknowledgements, (lanes.clone(), lane))?;
        let reader = own.reader();
        let mut naming = endpoint_config();
        let lanes = lanes.clone();
        naming.cid_generator(move || {
            let lanes = lanes.clone();
            Box::new(Names { lanes, lane })
        });
        endpoints.push(Endpoint::start(naming, config.clone(), own));
        if let Some(volleys) = volleys.next() {
            let pace = Pace::new(megabits.clone(), channels.lanes());
            let transmitter = Transmitter::new(reader, pace);
            let fanout = Fanout::new(transmitter, channels.clone(), report);
            let thread = std::thread::Builder::new().name(format!("fan-out-{lane}"));
            thread.spawn(move || fanout.run(&volleys))?;
        }
    }
    Ok((endpoints, casts))
}

fn multicaster(multicast: &Multicast) -> Result<Multicaster, BindError> {
    match Sender::new(&multicast.interface, multicast.ttl) {
        Ok(sender) => Ok(Multicaster::new(sender, multicast)),
        Err(source) => Err(BindError::Multicast {
            interface: multicast.interface.clone(),
            source,
        }),
    }
}
