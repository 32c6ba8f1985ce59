//! Follows a group for its owner: runs the session machine on what the connection brings.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use quinn::Connection;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::keys::{self, SuiteOne};
use super::link::{self, Delivery, NoAnswer, State};
use super::membership::{Held, Ticket, lock};
use super::{Client, End, Event, Observed};
use crate::crypto::EpochSecret;
use crate::group::edges::Edge;
use crate::group::ids::{Epoch, Time};
use crate::group::session::{MemberSession, SessionEffect, SessionError, SessionInput};
use crate::group::wire::{
    Acknowledge, NackCode, PathDelivery, Push, PushReply, Removed, Request, Response,
};

/// The pause after a resume that was not answered, or refused without a time.
const PAUSE: Duration = Duration::from_millis(500);

/// A request of the driver's own that came back.
enum Answer {
    Resume(Result<Response, NoAnswer>),
    Pull(Result<Response, NoAnswer>),
    /// Nothing depends on it: an acknowledgement that is lost is asked for again.
    Acknowledge,
}

/// One registration at work.
pub(super) struct Driver {
    client: Client,
    ticket: Ticket,
    session: MemberSession<SuiteOne>,
    held: Arc<Mutex<Held>>,
    events: mpsc::Sender<Event>,
    began: Instant,
    /// The live connection on which the gateway knows this registration, or is asked to.
    connection: Option<Connection>,
    asked: JoinSet<Answer>,
    ended: bool,
}

impl Driver {
    /// With the epoch that the grant brought, which must install.
    pub(super) fn new(
        client: Client,
        ticket: Ticket,
        held: Arc<Mutex<Held>>,
        events: mpsc::Sender<Event>,
        path: PathDelivery,
    ) -> Result<Self, String> {
        let session = MemberSession::joined(SuiteOne, ticket.membership(), ticket.leaf_key.clone());
        let (began, asked) = (Instant::now(), JoinSet::new());
        let mut driver = Self {
            client,
            ticket,
            session,
            held,
            events,
            began,
            connection: None,
            asked,
            ended: false,
        };
        driver.path(path)?;
        match driver.session.newest() {
            Epoch(0) => Err("its path does not lead to the group's key".to_owned()),
            _ => Ok(driver),
        }
    }

    /// Runs until the registration is over.
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Delivery>, connection: Connection) {
        let mut state = self.client.link.state();
        self.connection = Some(connection);
        self.settle_path().await;
        while !self.ended {
            let tick = self
                .session
                .next_timeout()
                .map(|Time(at)| self.began + Duration::from_millis(at));
            tokio::select! {
                Some(delivery) = inbox.recv() => self.deliver(delivery).await,
                Ok(()) = state.changed() => {
                    let now = state.borrow_and_update().clone();
                    self.connected(now).await;
                }
                Some(Ok(answer)) = self.asked.join_next() => self.answered(answer).await,
                () = sleep_until(tick.unwrap_or_else(Instant::now)), if tick.is_some() => {
                    // A tick is always taken.
                    let _ = self.session.handle(self.now(), SessionInput::Tick);
                    self.settle().await;
                }
                else => break,
            }
        }
    }

    fn now(&self) -> Time {
        let milliseconds = self.began.elapsed().as_millis();
        Time(u64::try_from(milliseconds).unwrap_or(u64::MAX))
    }

    /// An owner that went away wants to know nothing; the task is about to be aborted.
    async fn tell(&self, event: Event) {
        let _ = self.events.send(event).await;
    }

    /// Shows a copy of an epoch to whoever asked for it.
    fn observe(&self, header: &bytes::Bytes, edges: &[Edge]) {
        if let Some(tap) = &self.client.tap {
            // A full channel misses some: that is its owner's choice.
            let _ = tap.try_send(Observed {
                header: header.clone(),
                edges: edges.to_vec(),
            });
        }
    }

    async fn end(&mut self, end: End) {
        // The session takes this always; its keys are erased with it.
        let _ = self.session.handle(self.now(), SessionInput::Evicted);
        *lock(&self.held) = Held::default();
        self.ended = true;
        self.tell(Event::Ended(end)).await;
    }

    /// Does what the session asks for; returns the epoch that is to be acknowledged, if any.
    async fn settle(&mut self) -> Option<Epoch> {
        let mut acknowledge = None;
        while let Some(effect) = self.session.poll() {
            match effect {
                SessionEffect::Installed { epoch } => {
                    // A root may be dropped again before this is reached: then there is nothing to install.
                    let Some(root) = self.session.root(epoch) else {
                        continue;
                    };
                    let secret = EpochSecret::of(root, self.ticket.group_id, epoch);
                    lock(&self.held).secrets.insert(epoch, secret);
                    self.tell(Event::Installed { epoch }).await;
                }
                SessionEffect::Acknowledge { epoch } => acknowledge = Some(epoch),
                SessionEffect::NeedPath { held } => {
                    let request = Request::Pull(self.ticket.pull(held));
                    self.ask(request, Duration::ZERO, Answer::Pull);
                }
                SessionEffect::SendWith { epoch } => {
                    let sender_ids = self.session.sender_ids(epoch).to_vec();
                    {
                        let mut held = lock(&self.held);
                        held.sending = Some(epoch);
                        held.sender_ids = sender_ids;
                    }
                    self.tell(Event::Send { epoch }).await;
                }
                SessionEffect::Retired { epoch } => {
                    if lock(&self.held).secrets.remove(&epoch).is_some() {
                        self.tell(Event::Retired { epoch }).await;
                    }
                }
                SessionEffect::Ended => {}
            }
        }
        acknowledge
    }

    /// After a path: what is held is acknowledged by a request of its own.
    async fn settle_path(&mut self) {
        self.settle().await;
        let Ticket { group, member, .. } = &self.ticket;
        let epoch = self.session.newest();
        let acknowledge = Acknowledge {
            group: group.clone(),
            member: *member,
            epoch,
        };
        self.ask(Request::Acknowledge(acknowledge), Duration::ZERO, |_| {
            Answer::Acknowledge
        });
    }

    /// Sends a request after a pause, if there is a connection; its answer comes back to the loop.
    fn ask(
        &mut self,
        request: Request,
        pause: Duration,
        answer: fn(Result<Response, NoAnswer>) -> Answer,
    ) {
        let Some(connection) = self.connection.clone() else {
            return;
        };
        self.asked.spawn(async move {
            sleep(pause).await;
            answer(link::ask(&connection, &request).await)
        });
    }

    /// Takes a path; one that brings nothing new is fine.
    fn path(&mut self, path: PathDelivery) -> Result<(), String> {
        self.observe(&path.header, &path.edges);
        let header = keys::verified(
            &path.header,
            self.ticket.group_id,
            &self.ticket.issuer.signing,
        )?;
        let PathDelivery {
            edges,
            active,
            sender_ids,
            sender_space,
            ..
        } = path;
        let input = SessionInput::Path {
            header,
            edges,
            active,
            sender_ids,
            sender_space,
        };
        match self.session.handle(self.now(), input) {
            Ok(()) | Err(SessionError::OldEpoch { .. }) => {}
            Err(error) => return Err(error.to_string()),
        }
        let newest = self.session.newest();
        lock(&self.held).sender_ids = self.session.sender_ids(newest).to_vec();
        Ok(())
    }

    async fn deliver(&mut self, Delivery { push, reply }: Delivery) {
        let answer = match push {
            Push::Rekey(rekey) => self.rekey(&rekey.header, rekey.edges).await,
            Push::Activate(activate) => {
                // Refused only after the end, which is not here.
                let _ = self.session.handle(
                    self.now(),
                    SessionInput::Activate {
                        epoch: activate.epoch,
                    },
                );
                self.settle().await;
                match self.session.newest() {
                    held if held >= activate.epoch => PushReply::ack(held),
                    held => PushReply::nack(NackCode::NeedPath, held),
                }
            }
            Push::Removed(Removed { member, reason, .. }) => {
                let held = self.session.newest();
                if member == self.ticket.member {
                    self.end(End::Removed(reason)).await;
                }
                PushReply::ack(held)
            }
            Push::GoAway(_) => PushReply::ack(self.session.newest()),
        };
        // Nobody waits where the connection is lost.
        let _ = reply.send(answer);
    }

    async fn rekey(&mut self, header: &bytes::Bytes, edges: Vec<Edge>) -> PushReply {
        self.observe(header, &edges);
        let verified = keys::verified(header, self.ticket.group_id, &self.ticket.issuer.signing);
        let Ok(header) = verified else {
            return PushReply::nack(NackCode::BadHeader, self.session.newest());
        };
        let taken = self
            .session
            .handle(self.now(), SessionInput::Rekey { header, edges });
        self.settle().await;
        let held = self.session.newest();
        match taken {
            Ok(()) | Err(SessionError::OldEpoch { .. }) => PushReply::ack(held),
            Err(SessionError::CannotOpen(_)) => PushReply::nack(NackCode::NeedPath, held),
            Err(_) => PushReply::nack(NackCode::BadHeader, held),
        }
    }

    async fn connected(&mut self, state: State) {
        match state {
            State::Down(reason) => {
                if self.connection.take().is_some() {
                    self.tell(Event::Disconnected { reason }).await;
                }
            }
            State::Up(connection) => {
                let known = self.connection.as_ref().map(Connection::stable_id);
                if known != Some(connection.stable_id()) {
                    self.connection = Some(connection);
                    self.resume(Duration::ZERO);
                }
            }
        }
    }

    fn resume(&mut self, pause: Duration) {
        let request = Request::Resume(self.ticket.resume(self.session.newest()));
        self.ask(request, pause, Answer::Resume);
    }

    async fn answered(&mut self, answer: Answer) {
        let path = match answer {
            Answer::Acknowledge => return,
            Answer::Pull(Ok(Response::KeySet(keys))) => self.path(keys.path),
            // The session asks again by itself.
            Answer::Pull(_) => return,
            Answer::Resume(Ok(Response::Path(path))) => {
                let path = self.path(path);
                if path.is_ok() {
                    let epoch = self.session.newest();
                    self.tell(Event::Resumed { epoch }).await;
                }
                path
            }
            Answer::Resume(Ok(Response::Refused(refusal))) if !refusal.code.passes() => {
                return self.end(End::Forgotten(refusal)).await;
            }
            Answer::Resume(Ok(Response::Refused(refusal))) => {
                let pause = refusal.retry_after_ms.map_or(PAUSE, Duration::from_millis);
                return self.resume(pause);
            }
            // On a connection that is lost nothing is asked again: the next one begins with a resume.
            Answer::Resume(_) => return self.resume(PAUSE),
        };
        match path {
            Ok(()) => self.settle_path().await,
            // What does not verify is as good as no answer; the session goes on asking if it lacks something.
            Err(_) => drop(self.settle().await),
        }
    }
}
