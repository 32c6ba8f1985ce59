//! The connection to a gateway: made again whenever it is lost, shared by all memberships of a client.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::{ClientConfig, ConnectError, Connection, Endpoint, TokioRuntime};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use super::census::Census;
use super::channel::Datagrams;
use super::dispatch::{self, Delivery, Dispatch, Joining};
use super::exchange::{code, configuration};
use super::pauses::{Pauses, at_least, is_refused};
use super::route::{Gateway, Route};
use super::{MemberError, Options};
use crate::group::ids::GroupId;
use crate::group::wire::CloseCode;
use crate::udp::{Shared, endpoint_config};

/// How long a handshake may take.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// A connection that lived so long was a good one: after it the pauses begin anew.
const GOOD: Duration = Duration::from_secs(5);
/// The longest time that a gateway can keep a member away.
pub(super) const LONGEST_AWAY: Duration = Duration::from_secs(300);
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// How the connection is.
#[derive(Clone)]
pub(super) enum State {
    /// Not made yet, or lost, and why.
    Down(String),
    /// Made; each new one has another number.
    Up(Connection),
    /// Given up, as nobody needs it.
    Parked,
    /// Closed by its owner, for good.
    Closed,
}

/// The shared part of a client.
pub(super) struct Link {
    publish: watch::Sender<State>,
    dispatch: Arc<Dispatch>,
    endpoint: Endpoint,
    /// Whether the endpoint is this link's alone.
    own: bool,
    task: AbortHandle,
}

impl Link {
    /// Begins to connect, and goes on until closed or dropped.
    pub(super) fn start(options: &Options) -> Result<Self, MemberError> {
        let config = configuration(options)?;
        let dispatch = Arc::<Dispatch>::default();
        let endpoint = match &options.sockets.shared {
            Some(shared) => shared.clone(),
            None => own_endpoint(options.address, &dispatch)?,
        };
        let publish = watch::Sender::new(State::Down("not connected yet".to_owned()));
        let own = options.sockets.shared.is_none();
        let supervisor = Supervisor {
            endpoint: endpoint.clone(),
            own,
            config,
            route: Route::new(Gateway::Home(options.address, options.server_name.clone())),
            publish: publish.clone(),
            dispatch: dispatch.clone(),
        };
        Ok(Self {
            publish,
            dispatch,
            own,
            endpoint,
            task: tokio::spawn(supervisor.run()).abort_handle(),
        })
    }

    /// The connection's state, to be watched; it counts as changed at first.
    pub(super) fn state(&self) -> watch::Receiver<State> {
        let mut state = self.publish.subscribe();
        state.mark_changed();
        state
    }

    /// Pushes for this group come to the returned inbox from now on.
    pub(super) fn register(&self, group: GroupId) -> mpsc::Receiver<Delivery> {
        self.dispatch.register(group)
    }

    /// What the link's datagrams are opened with.
    pub(super) fn datagrams(&self) -> &Datagrams {
        &self.dispatch.datagrams
    }

    /// Who needs the connection.
    pub(super) fn census(&self) -> &Census {
        &self.dispatch.census
    }

    /// Has the connection made that was given up.
    pub(super) fn ask(&self) {
        self.dispatch.census.ask();
    }

    /// Where what comes is handed to its membership.
    pub(super) fn dispatch(&self) -> &Arc<Dispatch> {
        &self.dispatch
    }

    /// A join is under way until the returned guard is dropped.
    pub(super) fn joining(&self) -> Joining {
        Joining::begin(self.dispatch.clone())
    }

    /// Says goodbye, and waits for a moment that it is heard.
    pub(super) async fn close(&self) {
        self.shut();
        if self.own {
            // Nothing depends on it: a gateway that did not hear it notices the silence.
            let _ = timeout(FAREWELL, self.endpoint.wait_idle()).await;
        }
    }

    fn shut(&self) {
        self.task.abort();
        let before = self.publish.send_replace(State::Closed);
        if let State::Up(connection) = before {
            connection.close(code(CloseCode::Done), b"");
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shut();
    }
}

/// A socket of this link's own, whose datagrams go to its memberships.
fn own_endpoint(gateway: SocketAddr, dispatch: &Arc<Dispatch>) -> io::Result<Endpoint> {
    let socket = UdpSocket::bind(unspecified(gateway))?;
    let shared = Shared::new(socket, dispatch.clone())?;
    dispatch.datagrams.bind(&shared);
    let runtime = Arc::new(TokioRuntime);
    Endpoint::new_with_abstract_socket(endpoint_config(), None, shared, runtime)
}

/// The local address to speak to such a peer from.
fn unspecified(peer: SocketAddr) -> SocketAddr {
    match peer {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

/// Why there is no connection.
struct Unreached {
    reason: String,
    /// Whether the gateway has no room for it now.
    refused: bool,
}

/// Keeps the connection up.
struct Supervisor {
    endpoint: Endpoint,
    own: bool,
    config: ClientConfig,
    route: Route,
    publish: watch::Sender<State>,
    dispatch: Arc<Dispatch>,
}

impl Supervisor {
    async fn run(mut self) {
        let mut pauses = Pauses::default();
        loop {
            let began = Instant::now();
            let (reason, pause) = match self.connect().await {
                Ok(connection) => {
                    self.dispatch.census.connected();
                    // Whoever was sent away is there, or elsewhere.
                    let _ = self.dispatch.asked_away();
                    self.publish.send_replace(State::Up(connection.clone()));
                    let Some(reason) = self.serve(&connection).await else {
                        self.publish.send_replace(State::Parked);
                        self.dispatch.census.needed().await;
                        // Its memberships have stayed away for as long as they were told to.
                        self.sent_away();
                        continue;
                    };
                    if began.elapsed() > GOOD {
                        pauses = Pauses::default();
                    }
                    (reason, pauses.failed())
                }
                Err(unreached) => {
                    self.route.failed();
                    let pause = match unreached.refused {
                        true => pauses.refused(),
                        false => pauses.failed(),
                    };
                    (unreached.reason, pause)
                }
            };
            tracing::debug!(%reason, "no connection");
            self.publish.send_replace(State::Down(reason));
            let away = self.sent_away();
            sleep(pause.max(at_least(away.min(LONGEST_AWAY)))).await;
        }
    }

    /// Goes from now on where the last gateway has sent it, if it has; how long to stay away before.
    fn sent_away(&mut self) -> Duration {
        let away = self.dispatch.asked_away().unwrap_or_default();
        self.route.sent(away.to.as_deref().unwrap_or_default());
        Duration::from_millis(away.retry_after_ms)
    }

    /// Serves a connection until it is lost, and says why it was; or until nobody needs it.
    async fn serve(&self, connection: &Connection) -> Option<String> {
        tokio::select! {
            reason = dispatch::serve(connection, &self.dispatch) => Some(reason),
            () = self.dispatch.unneeded() => {
                connection.close(code(CloseCode::Done), b"parked");
                None
            }
        }
    }

    async fn connect(&mut self) -> Result<Connection, Unreached> {
        let gateway = self.route.next().clone();
        let failed = |error: &dyn std::error::Error| Unreached {
            reason: format!("cannot connect to {gateway}: {error}"),
            refused: false,
        };
        let own = self.endpoint.local_addr().map_err(|e| failed(&e))?;
        let resolved = timeout(HANDSHAKE, gateway.resolve(own)).await;
        let resolved = resolved.map_err(|late| failed(&late))?;
        let (address, name) = resolved.map_err(|e| failed(&e))?;
        if self.own && address.is_ipv4() != own.is_ipv4() {
            self.endpoint = own_endpoint(address, &self.dispatch).map_err(|e| failed(&e))?;
        }
        let connecting = self
            .endpoint
            .connect_with(self.config.clone(), address, &name);
        if self.own && matches!(connecting, Err(ConnectError::EndpointStopping)) {
            // The socket failed for good: the next try has another one.
            self.endpoint = own_endpoint(address, &self.dispatch).map_err(|e| failed(&e))?;
        }
        let connecting = connecting.map_err(|error| failed(&error))?;
        match timeout(HANDSHAKE, connecting).await {
            Ok(done) => done.map_err(|error| Unreached {
                refused: is_refused(&error),
                ..failed(&error)
            }),
            Err(late) => Err(failed(&late)),
        }
    }
}
