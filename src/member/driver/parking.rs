//! Doing without a connection: when it is given up, how the gateway is told that the member is there, and when it is needed again.

use std::time::Duration;

use tokio::time::Instant;

use super::answers::Asked;
use super::{Driver, Fidelity};
use crate::crypto::fraction;
use crate::group::ids::{Epoch, Role};
use crate::group::wire::{GoAway, Parked as Terms, Response};
use crate::member::link::LONGEST_AWAY;
use crate::member::pauses::{around, at_least};

/// How long the answer to a sign of life is waited for, before it is given again; doubled each time.
const ANSWER: Duration = Duration::from_secs(1);
/// Signs of life that are not answered before the member connects again.
const TRIES: u32 = 3;
/// Signs of life are not given more often, whatever a gateway says.
const LEAST_ALIVE: Duration = Duration::from_millis(50);
/// When a gateway that refused is asked again: first, for a rekey may only have been under way, and at most; doubled each time.
const REFUSED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// When it is looked again whether anything else is under way.
const BUSY: Duration = Duration::from_secs(1);

/// How far a membership does without its connection.
#[derive(Clone, Copy, Default)]
pub(super) enum Parking {
    /// It needs it.
    #[default]
    No,
    /// It will ask then.
    At(Instant),
    /// It has asked.
    Asked,
    /// It has none.
    Parked(Parked),
    /// It connects again then.
    ReturnsAt(Instant),
    /// It waits for the connection.
    Returns,
}

/// A membership without a connection.
#[derive(Clone, Copy)]
pub(super) struct Parked {
    alive: Duration,
    spread: Duration,
    next: Instant,
    unanswered: u32,
}

impl Driver {
    /// When something is to be done.
    pub(super) fn parking_is_due_at(&self) -> Option<Instant> {
        match self.channel.parking {
            Parking::At(time) | Parking::ReturnsAt(time) => Some(time),
            Parking::Parked(Parked { next, .. }) => Some(next),
            Parking::No | Parking::Asked | Parking::Returns => None,
        }
    }

    /// Datagrams get through: the connection may be given up after a while. Who may send keeps it, to be told when to switch.
    pub(super) fn park_later(&mut self) {
        let options = &self.client.options;
        let may = self.ticket.role == Role::Receiver && options.presence.fidelity == Fidelity::Full;
        let after = options.presence.park_after;
        if let (Some(pause), Parking::No, true) = (after, self.channel.parking, may) {
            self.channel.parking = Parking::At(Instant::now() + around(pause));
        }
    }

    pub(super) fn parking_due(&mut self) {
        match self.channel.parking {
            Parking::At(_) if !self.requests.is_empty() => {
                self.channel.parking = Parking::At(Instant::now() + BUSY);
            }
            Parking::At(_) => {
                self.channel.parking = match self.ask(Asked::Park, Duration::ZERO) {
                    true => Parking::Asked,
                    false => Parking::No,
                };
            }
            Parking::Parked(parked) => self.show_life(parked),
            Parking::ReturnsAt(_) => self.connect_again(),
            Parking::No | Parking::Asked | Parking::Returns => {}
        }
    }

    /// What the gateway said to being asked; none if nothing.
    pub(super) fn park_answered(&mut self, answer: Option<Response>) {
        let Some(Response::Parked(terms)) = answer else {
            let doubled = REFUSED.0.saturating_mul(1 << self.channel.refusals.min(16));
            self.channel.refusals += 1;
            let pause = around(doubled.min(REFUSED.1));
            self.channel.parking = Parking::At(Instant::now() + pause);
            return;
        };
        self.channel.refusals = 0;
        let Terms {
            alive_ms,
            spread_ms,
        } = terms;
        let alive = Duration::from_millis(alive_ms.into()).max(LEAST_ALIVE);
        self.channel.parking = Parking::Parked(Parked {
            alive,
            spread: Duration::from_millis(spread_ms.into()),
            next: Instant::now() + alive.mul_f64(fraction()),
            unanswered: 0,
        });
        self.connection = None;
        self.shared.held().counters.parkings += 1;
        self.client.link.census().parks(self.channel.owner());
    }

    fn show_life(&mut self, mut parked: Parked) {
        if parked.unanswered == TRIES || !self.say_alive() {
            // The gateway does not know it any more, or knows it elsewhere.
            self.come_back();
            return;
        }
        parked.next = Instant::now() + ANSWER * (1 << parked.unanswered);
        parked.unanswered += 1;
        self.channel.parking = Parking::Parked(parked);
    }

    /// The gateway has answered a sign of life.
    pub(super) fn heard_newest(&mut self, newest: Epoch) {
        let Parking::Parked(mut parked) = self.channel.parking else {
            return;
        };
        if newest > self.newest() {
            self.come_back();
            return;
        }
        parked.unanswered = 0;
        // Never later than it has to be.
        parked.next = Instant::now() + parked.alive.mul_f64(1.0 - fraction() / 4.0);
        self.channel.parking = Parking::Parked(parked);
    }

    /// The gateway goes: the membership comes back when it was told to, where it was told to. Told again it says again that it knows.
    /// Whoever has a connection is told on that one, and by datagram only what was for the time before.
    pub(super) fn sent_away(&mut self, away: GoAway) {
        match self.channel.parking {
            Parking::Parked(_) => {
                let pause = Duration::from_millis(away.retry_after_ms);
                let pause = at_least(pause.min(LONGEST_AWAY));
                self.channel.parking = Parking::ReturnsAt(Instant::now() + pause);
            }
            // It was about to, or was told already: it knows where to now, and the time stays.
            Parking::ReturnsAt(_) => {}
            Parking::No | Parking::At(_) | Parking::Asked | Parking::Returns => return,
        }
        self.leave_by_datagram();
        self.client.link.dispatch().ask_away(away);
    }

    /// A parked membership needs something that only a connection brings; false when it is not parked. Others may need it at the
    /// same time, so it waits as the gateway said.
    pub(super) fn come_back(&mut self) -> bool {
        match self.channel.parking {
            Parking::Parked(Parked { spread, .. }) => {
                let pause = spread.mul_f64(fraction());
                self.channel.parking = Parking::ReturnsAt(Instant::now() + pause);
                true
            }
            Parking::ReturnsAt(_) | Parking::Returns => true,
            Parking::No | Parking::At(_) | Parking::Asked => false,
        }
    }

    fn connect_again(&mut self) {
        self.channel.parking = Parking::Returns;
        let link = &self.client.link;
        link.census().returns(self.channel.owner());
        // Another membership may have kept the connection, or have had it made.
        let state = link.state().borrow().clone();
        self.connected(state);
    }
}
