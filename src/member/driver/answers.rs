//! What a membership asks the gateway by itself, and what it does with the answers.

use std::time::Duration;

use quinn::Connection;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Driver, Known, OwnChannel, Phase};
use crate::group::ids::{Epoch, Suites};
use crate::group::session::MemberSession;
use crate::group::wire::{PathDelivery, Refusal, RefusalCode, RemovalReason, Request, Response};
use crate::member::client::Registered;
use crate::member::exchange::{NoAnswer, ask};
use crate::member::pauses::{around, at_least};
use crate::member::suite::Ephemeral;
use crate::member::{End, Event, JoinError, Unusable};

/// The pause before something is asked again that was not answered, or refused without a time.
const PAUSE: Duration = Duration::from_secs(1);

/// What is asked: one of each kind at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Resume,
    Pull,
    Acknowledge,
    OpenChannel,
    Park,
}

/// What is under way.
#[derive(Default)]
pub(super) struct Requests {
    answers: JoinSet<Answer>,
    /// The number of the connection that each was sent on.
    sent: [Option<usize>; 5],
}

/// A request of the driver's own that came back.
pub(super) enum Answer {
    /// From the connection with this number.
    To(Asked, usize, Result<Response, NoAnswer>, Ephemeral),
    /// A join that took the place of a registration that ended so.
    Joined(End, Result<Box<Registered>, JoinError>),
}

impl Requests {
    /// Whether nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// The next answer; none while nothing is under way.
    pub(super) async fn next(&mut self) -> Option<Result<Answer, tokio::task::JoinError>> {
        self.answers.join_next().await
    }
}

impl Driver {
    /// Sends a request after a pause, unless one like it is under way on this connection; its answer comes back to the
    /// loop. Without a connection there is nothing to be asked: the next one begins with a resume, which brings the path.
    pub(super) fn ask(&mut self, asked: Asked, pause: Duration) -> bool {
        let Some(connection) = self.connection.clone() else {
            return false;
        };
        let number = connection.stable_id();
        if self.requests.sent[asked as usize].replace(number) == Some(number) {
            return false;
        }
        let held = self.newest();
        let suites = match asked {
            Asked::Resume | Asked::Pull => self.client.options.keys.suites,
            Asked::Acknowledge | Asked::OpenChannel | Asked::Park => Suites::default(),
        };
        let ephemeral = Ephemeral::generate(suites);
        let request = match asked {
            Asked::Resume => Request::Resume(self.ticket.resume(held, ephemeral.offer())),
            Asked::Pull => Request::Pull(self.ticket.pull(held, ephemeral.offer())),
            Asked::Acknowledge => Request::Acknowledge(self.ticket.acknowledge(held)),
            Asked::OpenChannel => {
                self.known.telling = held;
                Request::OpenChannel(self.ticket.open_channel(held))
            }
            Asked::Park => Request::Park(self.ticket.park()),
        };
        self.requests.answers.spawn(async move {
            sleep(pause).await;
            let answer = ask(&connection, &request).await;
            Answer::To(asked, number, answer, ephemeral)
        });
        true
    }

    pub(super) fn answered(&mut self, answer: Answer) {
        let (asked, from, answer, ephemeral) = match answer {
            Answer::To(asked, from, answer, ephemeral) => (asked, from, answer, ephemeral),
            Answer::Joined(end, joined) => return self.joined(end, joined),
        };
        let sent = &mut self.requests.sent[asked as usize];
        if *sent == Some(from) {
            *sent = None;
        }
        let current = self.connection.as_ref().map(Connection::stable_id) == Some(from);
        if self.phase != Phase::Member || !current {
            return; // of a registration or a connection that is over; the new one began with a request of its own
        }
        match (asked, answer) {
            (Asked::Acknowledge, Ok(Response::Acknowledged(ack))) => self.told(ack.epoch),
            (Asked::Resume, Ok(Response::Path(path))) => {
                let taken = self.caught_up(path);
                self.resumed(taken);
            }
            (Asked::Pull, Ok(Response::KeySet(keys))) => {
                if self.caught_up(keys.path) {
                    self.repaired();
                    self.acknowledge();
                }
            }
            (Asked::Resume | Asked::Pull, Ok(Response::Granted(grant))) => {
                let taken = self.renewed(*grant, &ephemeral);
                self.settle();
                let taken = self.is_taken(taken);
                match asked {
                    Asked::Resume => self.resumed(taken),
                    _ if taken => self.acknowledge(),
                    _ => {}
                }
            }
            (Asked::OpenChannel, Ok(Response::ChannelOpened(opened))) => {
                self.channel_opened(opened);
                self.told(self.known.telling);
            }
            (Asked::Park, answer) => self.park_answered(answer.ok()),
            (_, Ok(Response::Refused(refusal))) if refusal.code.passes() => {
                let asked_for = refusal.retry_after_ms.map(Duration::from_millis);
                self.ask_again(asked, asked_for.map_or(around(PAUSE), at_least));
            }
            // It is served by streams.
            (Asked::OpenChannel, Ok(_)) => self.acknowledge(),
            (_, Ok(Response::Refused(refusal))) => self.refused(asked, refusal),
            (_, Ok(_) | Err(_)) => self.ask_again(asked, around(PAUSE)),
        }
    }

    /// The gateway knows that this epoch is held.
    fn told(&mut self, epoch: Epoch) {
        self.known.told = self.known.told.max(epoch);
        // What came by another path while it was told.
        if self.known.told < self.newest() {
            self.ask(Asked::Acknowledge, around(PAUSE));
        }
    }

    fn ask_again(&mut self, asked: Asked, pause: Duration) {
        match asked {
            // The session asks again by itself, with pauses of its own.
            Asked::Pull => {}
            Asked::Resume | Asked::Acknowledge | Asked::OpenChannel | Asked::Park => {
                self.ask(asked, pause);
            }
        }
    }

    fn refused(&mut self, asked: Asked, refusal: Refusal) {
        let over = matches!(
            refusal.code,
            RefusalCode::UnknownMember | RefusalCode::UnknownGroup | RefusalCode::Destroyed
        );
        if over || asked == Asked::Resume {
            self.removed(End::Forgotten(refusal));
        }
    }

    fn resumed(&mut self, taken: bool) {
        if taken {
            self.shared.held().counters.resumes += 1;
            let epoch = self.newest();
            self.tell(Event::Resumed { epoch });
            self.begin(None);
        } else {
            self.resume(around(PAUSE));
        }
    }

    /// Takes a path. One that does not verify is as good as no answer.
    fn caught_up(&mut self, path: PathDelivery) -> bool {
        let taken = self.path(path);
        self.settle();
        self.is_taken(taken)
    }

    fn is_taken(&self, taken: Result<(), Unusable>) -> bool {
        if let Err(why) = &taken {
            tracing::warn!(group = %self.ticket.group, %why, "a path came that cannot be used");
            self.shared.held().counters.rejected += 1;
        }
        taken.is_ok()
    }

    /// The registration is over: for good, or until a new one takes its place.
    pub(super) fn removed(&mut self, end: End) {
        let afresh = match &end {
            End::Forgotten(refusal) => refusal.code == RefusalCode::UnknownMember,
            End::Removed(reason) => *reason == RemovalReason::NotGranted,
            End::Closed => false,
        };
        if !(afresh && self.client.options.presence.rejoin) {
            return self.end(end);
        }
        let epochs: Vec<Epoch> = self.shared.held().secrets.keys().copied().collect();
        self.erase();
        for epoch in epochs {
            self.tell(Event::Retired { epoch });
        }
        self.phase = Phase::Rejoining;
        self.rejoin(end, Duration::ZERO);
    }

    fn rejoin(&mut self, end: End, pause: Duration) {
        let (client, group, role) = (
            self.client.clone(),
            self.ticket.group.clone(),
            self.ticket.role,
        );
        self.requests.answers.spawn(async move {
            sleep(pause).await;
            let joined = client.register(&group, role).await;
            Answer::Joined(end, joined.map(Box::new))
        });
    }

    fn joined(&mut self, end: End, joined: Result<Box<Registered>, JoinError>) {
        let registered = match joined {
            Ok(registered) => *registered,
            // It stays out until the gateway can be asked.
            Err(JoinError::GaveUp { .. }) => return self.rejoin(end, around(PAUSE)),
            Err(JoinError::Closed) => return self.end(End::Closed),
            Err(JoinError::Refused(refusal)) => return self.end(End::Forgotten(refusal)),
            Err(JoinError::Unusable(why)) => {
                tracing::warn!(group = %self.ticket.group, %why, "a grant came that cannot be used");
                return self.end(end);
            }
        };
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
        (self.session, self.known) = (session, Known::default());
        let (link, before) = (&self.client.link, self.channel.owner());
        let owner = link.datagrams().owner(ticket.group_id);
        link.census().ends(before);
        link.census().begins(owner);
        self.channel = OwnChannel::new(owner);
        (self.ticket, self.inbox) = (ticket, inbox);
        self.connection = Some(connection);
        self.phase = Phase::Member;
        {
            let mut held = self.shared.held();
            held.ticket = self.ticket.clone();
            held.counters.joins += 1;
        }
        let member = self.ticket.member;
        self.tell(Event::Rejoined { member });
        if self.caught_up(path) {
            self.begin(granted);
        } else {
            self.resume(around(PAUSE));
        }
        drop(joining); // from here on the inbox is read
        // Another connection may have come up meanwhile.
        let state = self.client.link.state().borrow().clone();
        self.connected(state);
    }
}
