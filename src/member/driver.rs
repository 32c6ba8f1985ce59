//! Follows a group for its owner: runs the session machine on what the connection brings.
//!
//! ```text
//!   inbox (pushes) ----+                        +--> replies to pushes
//!   connection state --+--> Driver: session ----+--> requests: resume, pull, acknowledge
//!   answers -----------+                        +--> the owner: secrets, events
//!   clock -------------+
//! ```
//! One task a membership. It never waits for its owner, so keys are erased on time whatever the owner does.

mod answers;
mod channel;
mod heard;
mod parking;
mod pushes;

use std::sync::Arc;
use std::time::Duration;

use quinn::Connection;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use self::answers::{Asked, Requests};
use self::channel::OwnChannel;
use super::client::Registered;
use super::dispatch::Delivery;
use super::keys;
use super::link::State;
use super::membership::Shared;
use super::suite::{Ephemeral, SuiteKeys};
use super::{Client, End, Event, Fidelity, Observed, Ticket, Unusable};
use crate::group::edges::Edge;
use crate::group::ids::{Epoch, Time};
use crate::group::session::{MemberSession, SessionEffect, SessionError, SessionInput};
use crate::group::wire::{ChannelOpened, Grant, ParsedHeader, PathDelivery};

/// One registration at work.
pub(super) struct Driver {
    client: Client,
    ticket: Ticket,
    session: MemberSession<SuiteKeys>,
    known: Known,
    shared: Arc<Shared>,
    began: Instant,
    inbox: mpsc::Receiver<Delivery>,
    /// The live connection on which the gateway knows this registration, or is asked to.
    connection: Option<Connection>,
    channel: OwnChannel,
    requests: Requests,
    phase: Phase,
}

/// What is known of epochs besides what the session holds.
#[derive(Clone, Copy, Default)]
struct Known {
    /// The newest epoch that was acknowledged without being opened.
    unopened: Epoch,
    /// The newest epoch that the gateway was told to be held.
    told: Epoch,
    /// The epoch that the request for a channel tells it.
    telling: Epoch,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Member,
    /// The registration is over and a new one is asked for; pushes wait for it.
    Rejoining,
    Ended,
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.events.close();
        self.channel_forgotten();
        self.client.link.census().ends(self.channel.owner());
    }
}

impl Driver {
    /// With the epoch that the grant brought, which must install.
    pub(super) fn new(
        client: Client,
        registered: Registered,
        shared: Arc<Shared>,
    ) -> Result<Self, Unusable> {
        let Registered {
            ticket,
            connection,
            path,
            channel: granted,
            inbox,
            joining,
        } = registered;
        let session =
            MemberSession::joined(ticket.keys, ticket.membership(), ticket.leaf_key.clone());
        let owner = client.link.datagrams().owner(ticket.group_id);
        client.link.census().begins(owner);
        let channel = OwnChannel::new(owner);
        let mut driver = Self {
            client,
            ticket,
            session,
            known: Known::default(),
            shared,
            began: Instant::now(),
            inbox,
            connection: Some(connection),
            channel,
            requests: Requests::default(),
            phase: Phase::Member,
        };
        driver.path(path)?;
        driver.settle();
        driver.begin(granted);
        drop(joining); // from here on the inbox is read
        Ok(driver)
    }

    /// Runs until the registration is over.
    pub(super) async fn run(mut self) {
        let mut state = self.client.link.state();
        while self.phase != Phase::Ended {
            let timeout = self.session.next_timeout();
            let due = self.parking_is_due_at();
            let at = |Time(at)| self.began + Duration::from_millis(at);
            let (tick, channel) = (timeout.map(at), self.channel.next_timeout().map(at));
            tokio::select! {
                Some(delivery) = self.inbox.recv(), if self.phase == Phase::Member => self.deliver(delivery),
                Ok(()) = state.changed() => {
                    let state = state.borrow_and_update().clone();
                    self.connected(state);
                }
                Some(Ok(answer)) = self.requests.next() => self.answered(answer),
                () = sleep_until(tick.unwrap_or_else(Instant::now)), if tick.is_some() => {
                    // A tick is always taken while the registration lasts.
                    let _ = self.session.handle(self.now(), SessionInput::Tick);
                    self.settle();
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.parking_due(),
                () = sleep_until(channel.unwrap_or_else(Instant::now)), if channel.is_some() => self.channel_due(),
                else => break,
            }
        }
    }

    fn now(&self) -> Time {
        let milliseconds = self.began.elapsed().as_millis();
        Time(u64::try_from(milliseconds).unwrap_or(u64::MAX))
    }

    fn tell(&self, event: Event) {
        self.shared.events.tell(event);
    }

    /// Shows a copy of an epoch to whoever asked for it.
    fn observe(&self, header: &bytes::Bytes, edges: &[Edge]) {
        if let Some(tap) = &self.client.options.tap {
            // A full channel misses some: that is its owner's choice.
            let _ = tap.try_send(Observed {
                header: header.clone(),
                edges: edges.to_vec(),
            });
        }
    }

    /// Whether epochs are acknowledged without being opened. The first one is opened like any member's.
    fn only_acknowledges(&self) -> bool {
        self.client.options.presence.fidelity == Fidelity::AcknowledgeOnly
            && self.session.newest() > Epoch(0)
    }

    /// The newest epoch that is acknowledged.
    fn newest(&self) -> Epoch {
        self.session.newest().max(self.known.unopened)
    }

    fn end(&mut self, end: End) {
        self.erase();
        self.phase = Phase::Ended;
        self.tell(Event::Ended(end));
    }

    /// Erases every key of the registration.
    fn erase(&mut self) {
        // The session takes this always; its keys are erased with it.
        let _ = self.session.handle(self.now(), SessionInput::Evicted);
        self.channel_forgotten();
        let mut held = self.shared.held();
        held.secrets.clear();
        held.push_cipher = None;
        held.sending = None;
        held.sender_ids.clear();
    }

    /// Takes a path; one that brings nothing new is fine.
    fn path(&mut self, path: PathDelivery) -> Result<(), Unusable> {
        self.observe(&path.header, &path.edges);
        let issuer = (self.ticket.keys, &self.ticket.issuer.signing[..]);
        let header = keys::verified(&path.header, self.ticket.group_id, issuer)?;
        if self.only_acknowledges() {
            self.known.unopened = self.known.unopened.max(header.header.epoch);
            return Ok(());
        }
        match self.session.handle(self.now(), input_of(header, path)) {
            Ok(()) | Err(SessionError::OldEpoch { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the leaf key that the registration has since a rollover, and the path from it.
    fn renewed(&mut self, grant: Grant, ephemeral: &Ephemeral) -> Result<(), Unusable> {
        let (suite, leaf_key) = self.client.renewed(&self.ticket, &grant, ephemeral)?;
        self.observe(&grant.path.header, &grant.path.edges);
        let issuer = (suite, &grant.signing[..]);
        let header = keys::verified(&grant.path.header, self.ticket.group_id, issuer)?;
        if self.only_acknowledges() {
            self.known.unopened = self.known.unopened.max(header.header.epoch);
        } else {
            let path = input_of(header, grant.path.clone());
            let leaf = (grant.leaf, leaf_key.clone());
            self.session.regranted(self.now(), suite, leaf, path)?;
        }
        self.ticket.renew(&grant, suite, leaf_key);
        let mut held = self.shared.held();
        held.ticket = self.ticket.clone();
        held.counters.renewals += 1;
        Ok(())
    }

    /// Does what the session asks for. What it acknowledges is told by the caller: in the answer to a push, or by a request.
    fn settle(&mut self) {
        while let Some(effect) = self.session.poll() {
            match effect {
                SessionEffect::Installed { epoch } => {
                    // A root may be dropped again before this is reached: then there is nothing to install.
                    let Some(root) = self.session.root(epoch) else {
                        continue;
                    };
                    let header = self.session.held().find(|header| header.epoch == epoch);
                    let Some((keys, header)) =
                        header.and_then(|header| Some((SuiteKeys::of(header.suite)?, header)))
                    else {
                        continue;
                    };
                    let (secret, push_key) = (keys.secret(root, header), keys.push_key(root));
                    self.hold_push_key(epoch, &push_key);
                    self.shared.held().secrets.insert(epoch, secret);
                    self.tell(Event::Installed { epoch });
                }
                SessionEffect::Acknowledge { .. } => self.shared.held().counters.acknowledged += 1,
                SessionEffect::NeedPath { .. } => self.pull(),
                SessionEffect::SendWith { epoch } => {
                    let sender_ids = self.session.sender_ids(epoch).to_vec();
                    {
                        let mut held = self.shared.held();
                        (held.sending, held.sender_ids) = (Some(epoch), sender_ids);
                    }
                    self.tell(Event::Send { epoch });
                }
                SessionEffect::Retired { epoch } => {
                    self.drop_push_key(epoch);
                    let retired = self.shared.held().secrets.remove(&epoch);
                    if retired.is_some() {
                        self.tell(Event::Retired { epoch });
                    }
                }
                SessionEffect::Ended => {}
            }
        }
        let mut held = self.shared.held();
        if held.sending.is_none() {
            let newest = self.session.newest();
            held.sender_ids = self.session.sender_ids(newest).to_vec();
        }
    }

    fn connected(&mut self, state: State) {
        match state {
            State::Closed => self.end(End::Closed),
            // Whoever is parked has given it up already.
            State::Parked => self.connection = None,
            State::Down(reason) => {
                self.channel_lost();
                if self.connection.take().is_some() {
                    self.tell(Event::Disconnected { reason });
                }
            }
            State::Up(connection) => {
                let known = self.connection.as_ref().map(Connection::stable_id);
                if known != Some(connection.stable_id()) {
                    self.channel_lost();
                    self.connection = Some(connection);
                    if self.phase == Phase::Member {
                        self.resume(Duration::ZERO);
                    }
                }
            }
        }
    }

    fn resume(&mut self, pause: Duration) {
        self.ask(Asked::Resume, pause);
    }

    fn pull(&mut self) {
        if self.come_back() {
            return; // what it resumes with brings the path
        }
        if self.ask(Asked::Pull, Duration::ZERO) {
            self.shared.held().counters.pulls += 1;
        }
    }

    /// A connection has brought a path: what is held is acknowledged, on the channel that was granted besides, or by the request
    /// for one where there is to be one.
    fn begin(&mut self, granted: Option<ChannelOpened>) {
        match granted {
            Some(opened) => self.channel_granted(opened),
            None if self.client.wants_channels() => {
                self.ask(Asked::OpenChannel, Duration::ZERO);
            }
            None => self.acknowledge(),
        }
    }

    /// After a path: what is held is acknowledged by a request of its own.
    fn acknowledge(&mut self) {
        self.ask(Asked::Acknowledge, Duration::ZERO);
    }
}

fn input_of(header: ParsedHeader, path: PathDelivery) -> SessionInput {
    let PathDelivery {
        edges,
        active,
        sender_ids,
        sender_space,
        ..
    } = path;
    SessionInput::Path {
        header,
        edges,
        active,
        sender_ids,
        sender_space,
    }
}
