//! The connection to a gateway: made again whenever it is lost, shared by all memberships of a client.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection, Endpoint, IdleTimeout, RecvStream, SendStream, TransportConfig,
    VarInt,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::{MemberError, Options};
use crate::crypto::random;
use crate::group::ids::{Epoch, GroupId};
use crate::group::wire::{
    ALPN, Activate, CloseCode, GoAway, Message, NackCode, Push, PushReply, RekeyDelivery, Removed,
    Request, Response,
};
use crate::tls;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long one request may take on a live connection: the gateway may be waiting for a batch, its store or its token.
const REQUEST: Duration = Duration::from_secs(40);
/// How long a push waits for a membership to take it.
const PUSH: Duration = Duration::from_secs(10);
/// The first pause before connecting again; it doubles, up to the longest, and is spread at random.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The longest time that a gateway can keep a member away.
const LONGEST_AWAY: Duration = Duration::from_secs(300);
/// How long the answer to the gateway's goodbye may take to arrive.
const GOODBYE: Duration = Duration::from_secs(1);
/// Streams that the gateway may have open: a few for each group on the connection.
const STREAMS: u32 = 128;
/// A connection without a sign of life is lost after so many keep-alives.
const MISSED: u32 = 3;
/// Pushes that wait for one membership. The gateway has at most a rekey, an activation and a removal under way.
const INBOX: usize = 8;

/// A push on its way to a membership, and where its answer goes.
pub(super) struct Delivery {
    pub(super) push: Push,
    pub(super) reply: oneshot::Sender<PushReply>,
}

/// How the connection is.
#[derive(Clone)]
pub(super) enum State {
    /// Not made yet, or lost, and why.
    Down(String),
    /// Made; each new one has another number.
    Up(Connection),
}

/// Why there was no answer: another connection, or a later time, may bring one.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NoAnswer(pub(super) String);

type Inboxes = Mutex<HashMap<GroupId, mpsc::Sender<Delivery>>>;

/// The shared part of a client.
pub(super) struct Link {
    state: watch::Receiver<State>,
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    inboxes: Inboxes,
    /// Joins whose group the gateway may know before this side does: a push for an unknown group waits for them.
    joining: watch::Sender<u32>,
    /// How long the gateway asked to stay away, in milliseconds; 0 for not at all.
    away: AtomicU64,
}

impl Link {
    /// Begins to connect, and goes on until dropped.
    pub(super) fn start(options: &Options) -> Result<Self, MemberError> {
        let unspecified: SocketAddr = match options.address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let mut endpoint = Endpoint::client(unspecified)?;
        endpoint.set_default_client_config(configuration(options)?);
        let (publish, state) = watch::channel(State::Down("not connected yet".to_owned()));
        let shared = Arc::new(Shared {
            inboxes: Mutex::default(),
            joining: watch::Sender::new(0),
            away: AtomicU64::new(0),
        });
        let supervisor = Supervisor {
            endpoint,
            options: options.clone(),
            publish,
            shared: shared.clone(),
        };
        let task = tokio::spawn(supervisor.run()).abort_handle();
        Ok(Self {
            state,
            shared,
            task,
        })
    }

    /// The connection's state, to be watched.
    pub(super) fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Pushes for this group come to the returned inbox from now on.
    pub(super) fn register(&self, group: GroupId) -> mpsc::Receiver<Delivery> {
        let (sender, inbox) = mpsc::channel(INBOX);
        self.shared.inboxes().insert(group, sender);
        inbox
    }

    /// A join is under way until the returned guard is dropped.
    pub(super) fn joining(&self) -> Joining {
        self.shared.joining.send_modify(|count| *count += 1);
        Joining(self.shared.clone())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let State::Up(connection) = &*self.state.borrow() {
            connection.close(code(CloseCode::Done), b"");
        }
        self.task.abort();
    }
}

/// While it lives, pushes for unknown groups wait.
pub(super) struct Joining(Arc<Shared>);

impl Drop for Joining {
    fn drop(&mut self) {
        self.0.joining.send_modify(|count| *count -= 1);
    }
}

impl Shared {
    fn inboxes(&self) -> MutexGuard<'_, HashMap<GroupId, mpsc::Sender<Delivery>>> {
        // Nothing panics while it holds the lock, and a map of senders is whole after any of its operations.
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The inbox of a group; waits for a join that may be about to register it.
    async fn inbox(&self, group: GroupId) -> Option<mpsc::Sender<Delivery>> {
        let mut joining = self.joining.subscribe();
        loop {
            if let Some(inbox) = self.inboxes().get(&group) {
                return Some(inbox.clone());
            }
            if *joining.borrow_and_update() == 0 {
                return None;
            }
            joining.changed().await.ok()?;
        }
    }
}

impl Shared {
    /// Has a membership do a push; without an answer the membership ended meanwhile.
    async fn hand_over(&self, push: Push) -> Option<PushReply> {
        let group = match &push {
            Push::Rekey(RekeyDelivery { group, .. }) | Push::Activate(Activate { group, .. }) => {
                *group
            }
            Push::Removed(Removed { group, .. }) => *group,
            Push::GoAway(_) => return None,
        };
        let unknown = PushReply::nack(NackCode::UnknownGroup, Epoch(0));
        let Some(inbox) = self.inbox(group).await else {
            return Some(unknown);
        };
        let (reply, answer) = oneshot::channel();
        match inbox.send(Delivery { push, reply }).await {
            Ok(()) => answer.await.ok(),
            Err(_) => {
                // The membership is over; only its own inbox goes, not that of a later one.
                let mut inboxes = self.inboxes();
                if inboxes.get(&group).is_some_and(mpsc::Sender::is_closed) {
                    inboxes.remove(&group);
                }
                Some(unknown)
            }
        }
    }
}

fn code(code: CloseCode) -> VarInt {
    VarInt::from_u32(code.number().into())
}

fn configuration(options: &Options) -> Result<ClientConfig, MemberError> {
    let tls = tls::client_config(options.credentials.clone(), &options.trust, &[ALPN])?;
    let tls = QuicClientConfig::try_from(tls)
        .expect("TLS 1.3 on aws-lc-rs has the cipher suite that QUIC begins with");
    let mut transport = TransportConfig::default();
    let idle = IdleTimeout::try_from(options.keep_alive * MISSED);
    transport.max_idle_timeout(idle.ok());
    transport.keep_alive_interval(Some(options.keep_alive));
    transport.max_concurrent_bidi_streams(VarInt::from_u32(STREAMS));
    transport.max_concurrent_uni_streams(VarInt::from_u32(0));
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// Keeps the connection up.
struct Supervisor {
    endpoint: Endpoint,
    options: Options,
    publish: watch::Sender<State>,
    shared: Arc<Shared>,
}

impl Supervisor {
    async fn run(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.connect().await {
                Ok(connection) => {
                    pause = FIRST_PAUSE;
                    self.publish.send_replace(State::Up(connection.clone()));
                    let reason = self.serve(&connection).await;
                    self.publish.send_replace(State::Down(reason));
                }
                Err(NoAnswer(reason)) => {
                    self.publish.send_replace(State::Down(reason));
                }
            }
            let away = Duration::from_millis(self.shared.away.swap(0, Ordering::Relaxed));
            sleep(spread(pause.max(away.min(LONGEST_AWAY)))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn connect(&self) -> Result<Connection, NoAnswer> {
        let connecting = self
            .endpoint
            .connect(self.options.address, &self.options.server_name);
        let connecting =
            connecting.map_err(|error| NoAnswer(format!("cannot connect: {error}")))?;
        match timeout(HANDSHAKE, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(NoAnswer(format!(
                "cannot connect to {}: {error}",
                self.options.address
            ))),
            Err(_) => Err(NoAnswer(format!(
                "no handshake with {} within {} s",
                self.options.address,
                HANDSHAKE.as_secs()
            ))),
        }
    }

    /// Takes the gateway's pushes until the connection is lost; returns why it was.
    async fn serve(&self, connection: &Connection) -> String {
        loop {
            match connection.accept_bi().await {
                Ok((send, receive)) => {
                    tokio::spawn(deliver(
                        connection.clone(),
                        self.shared.clone(),
                        send,
                        receive,
                    ));
                }
                Err(error) => return error.to_string(),
            }
        }
    }
}

/// Half to one and a half times the pause, so that members that lost a gateway together do not come back together.
fn spread(pause: Duration) -> Duration {
    let fraction = f64::from(u16::from_be_bytes(random())) / f64::from(u16::MAX);
    pause.mul_f64(0.5 + fraction)
}

/// Reads one push, has it done, answers.
async fn deliver(
    connection: Connection,
    shared: Arc<Shared>,
    mut send: SendStream,
    mut receive: RecvStream,
) {
    let Ok(bytes) = receive.read_to_end(Push::LIMIT).await else {
        return; // the connection is lost, or the gateway gave this push up, or it is too long to be one
    };
    let Ok(push) = Push::from_bytes(&bytes) else {
        let _ = send.reset(code(CloseCode::Malformed)); // fails only on a stream that is over
        return;
    };
    if let Push::GoAway(GoAway { retry_after_ms }) = push {
        shared.away.store(retry_after_ms, Ordering::Relaxed);
        answer(&mut send, PushReply::ack(Epoch(0))).await;
        let _ = timeout(GOODBYE, send.stopped()).await;
        connection.close(code(CloseCode::Done), b"asked to go away");
        return;
    }
    // An application that reads no events gets no answer sent: the gateway keeps the newest epoch for it.
    if let Ok(Some(reply)) = timeout(PUSH, shared.hand_over(push)).await {
        answer(&mut send, reply).await;
    }
}

/// A reply that cannot be written belongs to a connection that is lost: the gateway will see that too.
async fn answer(send: &mut SendStream, reply: PushReply) {
    if send.write_all(&reply.to_bytes()).await.is_ok() {
        let _ = send.finish();
    }
}

/// One request on a connection.
pub(super) async fn ask(connection: &Connection, request: &Request) -> Result<Response, NoAnswer> {
    let exchange = async {
        let lost =
            |error: &dyn std::error::Error| NoAnswer(format!("the connection was lost: {error}"));
        let (mut send, mut receive) = connection.open_bi().await.map_err(|error| lost(&error))?;
        send.write_all(&request.to_bytes())
            .await
            .map_err(|error| lost(&error))?;
        send.finish().map_err(|error| lost(&error))?;
        let bytes = receive
            .read_to_end(Response::LIMIT)
            .await
            .map_err(|error| lost(&error))?;
        Response::from_bytes(&bytes).map_err(|error| NoAnswer(error.to_string()))
    };
    let late = |_| NoAnswer(format!("no answer within {} s", REQUEST.as_secs()));
    timeout(REQUEST, exchange).await.map_err(late)?
}
