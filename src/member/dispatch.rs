//! What the gateway pushes on a connection, handed to the membership that it is for.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::census::Census;
use super::channel::{Datagrams, Sound};
use super::exchange::{Unread, code, read};
use crate::group::ids::{Epoch, GroupId};
use crate::group::wire::datagram::PushKeyId;
use crate::group::wire::{
    Activate, CloseCode, GoAway, Message, NackCode, Push, PushReply, RekeyDelivery, Removed,
};
use crate::udp::Sink;

/// How long a push waits for a membership to take it: one that is only just being granted, say.
const PUSH: Duration = Duration::from_secs(10);
/// How long the answer to the gateway's goodbye may take to arrive.
const GOODBYE: Duration = Duration::from_secs(1);
/// Pushes that wait for one membership. The gateway has at most a rekey, an activation and a removal under way.
const INBOX: usize = 8;

/// What is on its way to a membership.
pub(super) enum Delivery {
    /// A push on a stream, and where its answer goes.
    Push(Push, oneshot::Sender<PushReply>),
    /// A push by datagram, and the name of the key that opened it.
    Datagram(Push, PushKeyId),
    /// A push by multicast, and the name of the key that opened it.
    Heard(Push, PushKeyId),
    /// The gateway asks whether datagrams come through.
    Probe,
    /// The newest epoch, in answer to a sign of life.
    Newest(Epoch),
    /// The gateway of a parked member goes.
    GoAway(GoAway),
}

/// Which membership gets what.
#[derive(Debug, Default)]
pub(super) struct Dispatch {
    pub(super) datagrams: Datagrams,
    inboxes: Mutex<HashMap<GroupId, mpsc::Sender<Delivery>>>,
    /// Joins whose group the gateway may know before this side does: a push for an unknown group waits for them.
    joining: watch::Sender<u32>,
    pub(super) census: Census,
    /// How long the gateway asked to stay away, and where to go then.
    away: Mutex<Option<GoAway>>,
}

/// While it lives, pushes for unknown groups wait.
pub(super) struct Joining(Arc<Dispatch>);

impl Joining {
    pub(super) fn begin(dispatch: Arc<Dispatch>) -> Self {
        dispatch.joining.send_modify(|count| *count += 1);
        Self(dispatch)
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        self.0.joining.send_modify(|count| *count -= 1);
    }
}

impl Dispatch {
    pub(super) fn register(&self, group: GroupId) -> mpsc::Receiver<Delivery> {
        let (sender, inbox) = mpsc::channel(INBOX);
        let mut inboxes = self.inboxes();
        inboxes.retain(|_, sender| !sender.is_closed());
        inboxes.insert(group, sender);
        inbox
    }

    pub(super) fn ask_away(&self, away: GoAway) {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = Some(away);
    }

    /// What the gateway asked for as it went, if it did; it is told once.
    pub(super) fn asked_away(&self) -> Option<GoAway> {
        self.away
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn inboxes(&self) -> MutexGuard<'_, HashMap<GroupId, mpsc::Sender<Delivery>>> {
        // Nothing panics while it holds the lock, and a map of senders is whole after any of its operations.
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody needs the connection, as long as the returned future waits: all memberships are parked, and nothing is asked.
    pub(super) async fn unneeded(&self) {
        let (mut census, mut joining) = (self.census.watch(), self.joining.subscribe());
        loop {
            let joins = *joining.borrow_and_update() > 0;
            if census.borrow_and_update().is_unneeded() && !joins {
                return;
            }
            tokio::select! {
                _ = census.changed() => {}
                _ = joining.changed() => {}
            }
        }
    }

    /// The inbox of a group; waits for a join that may be about to register it.
    async fn inbox(&self, group: GroupId) -> Option<mpsc::Sender<Delivery>> {
        let mut joining = self.joining.subscribe();
        loop {
            let inbox = self.inboxes().get(&group).cloned();
            if let Some(inbox) = inbox.filter(|inbox| !inbox.is_closed()) {
                return Some(inbox);
            }
            if *joining.borrow_and_update() == 0 {
                return None;
            }
            joining.changed().await.ok()?;
        }
    }

    /// Has a membership do a push; without an answer the membership ended meanwhile.
    async fn hand_over(&self, group: GroupId, push: Push) -> Option<PushReply> {
        let unknown = PushReply::nack(NackCode::UnknownGroup, Epoch(0));
        let Some(inbox) = self.inbox(group).await else {
            return Some(unknown);
        };
        let (reply, answer) = oneshot::channel();
        match inbox.send(Delivery::Push(push, reply)).await {
            Ok(()) => answer.await.ok(),
            Err(_) => Some(unknown),
        }
    }
}

impl Dispatch {
    /// Something came to a group's multicast address.
    pub(super) fn heard(&self, group: GroupId, bytes: &[u8]) {
        if let Some(Sound::Push(of, push, key)) = self.datagrams.read(bytes)
            && of == group
            && !matches!(push, Push::Rekey(_))
        {
            self.offer(group, Delivery::Heard(push, key));
        }
    }

    /// A full inbox loses it, as the network may: it is sent again.
    fn offer(&self, group: GroupId, delivery: Delivery) {
        if let Some(inbox) = self.inboxes().get(&group) {
            let _ = inbox.try_send(delivery);
        }
    }
}

impl Sink for Dispatch {
    fn take(&self, datagrams: &[(SocketAddr, &[u8])]) {
        for (_, bytes) in datagrams {
            let (group, delivery) = match self.datagrams.read(bytes) {
                Some(Sound::Push(group, push @ (Push::Rekey(_) | Push::Activate(_)), key)) => {
                    (group, Delivery::Datagram(push, key))
                }
                Some(Sound::Probe(group)) => (group, Delivery::Probe),
                Some(Sound::Newest(group, epoch)) => (group, Delivery::Newest(epoch)),
                Some(Sound::GoAway(group, away)) => (group, Delivery::GoAway(away)),
                // The others are for many, and come by multicast.
                Some(Sound::Push(..)) | None => continue,
            };
            self.offer(group, delivery);
        }
    }
}

/// Takes the gateway's pushes until the connection is lost; returns why it was.
pub(super) async fn serve(connection: &Connection, dispatch: &Arc<Dispatch>) -> String {
    loop {
        match connection.accept_bi().await {
            Ok((send, receive)) => {
                // As many tasks as streams are allowed.
                let (connection, dispatch) = (connection.clone(), dispatch.clone());
                tokio::spawn(deliver(connection, dispatch, send, receive));
            }
            Err(error) => return error.to_string(),
        }
    }
}

/// Reads one push, has it done, answers.
async fn deliver(
    connection: Connection,
    dispatch: Arc<Dispatch>,
    mut send: SendStream,
    mut receive: RecvStream,
) {
    let push = match read::<Push>(&connection, &mut receive).await {
        Ok(push) => push,
        Err(Unread::Lost(_)) => return, // with the connection, or given up by the gateway
        Err(Unread::Faulty(_)) => return give_up(&mut send, CloseCode::Malformed),
    };
    let group = match &push {
        Push::Rekey(RekeyDelivery { group, .. })
        | Push::Activate(Activate { group, .. })
        | Push::Removed(Removed { group, .. }) => *group,
        // They are for many, and come by multicast alone.
        Push::Packet(_) | Push::Heartbeat(_) => return give_up(&mut send, CloseCode::Malformed),
        Push::GoAway(away) => {
            dispatch.ask_away(away.clone());
            answer(&mut send, PushReply::ack(Epoch(0))).await;
            // The gateway may be gone before it acknowledges the last bytes: then nobody misses them.
            let _ = timeout(GOODBYE, send.stopped()).await;
            connection.close(code(CloseCode::Done), b"asked to go away");
            return;
        }
    };
    match timeout(PUSH, dispatch.hand_over(group, push)).await {
        Ok(Some(reply)) => answer(&mut send, reply).await,
        Ok(None) => give_up(&mut send, CloseCode::Done),
        Err(_) => give_up(&mut send, CloseCode::Timeout),
    }
}

/// A reply that cannot be written belongs to a connection that is lost: the gateway will see that too.
async fn answer(send: &mut SendStream, reply: PushReply) {
    if send.write_all(&reply.to_bytes()).await.is_ok() {
        let _ = send.finish();
    }
}

/// Resets the stream: without that it would end as an empty answer. Fails only on a stream that is over.
fn give_up(send: &mut SendStream, why: CloseCode) {
    let _ = send.reset(code(why));
}
