//! The world around a gateway and its members: time, a bad network, a token that fails, a disk, and crashes.
//!
//! A run has two parts. While it is stormy everything goes wrong that can. Then it is calm, and everything must come
//! right: every member that wants to be in the group is, holds its newest root, and nobody waits for anything.

mod carriage;
mod storm;
mod verdict;

use std::collections::BTreeMap;

use wardcast::group::ids::{Identity, MemberId, Revision, Role};
use wardcast::group::machine::{GroupMachine, Input, JobId};
use wardcast::group::operations::Batch;

use crate::client::Client;
use crate::gateway::{Connection, Gateway, Push, Request, Want};
use crate::ledger::Ledger;
use crate::random::Random;
use crate::symbolic::{SymbolicToken, created, issuers};
use storm::policy;

/// How long it is calm at the end, in milliseconds: longer than every delay of the policies below together.
const CALM: u64 = 90_000;

/// What happens later.
enum Event {
    ToGateway(Connection, Request),
    ToClient(Connection, Push),
    /// A connection is lost; the client notices.
    Reset(Connection),
    /// The gateway notices.
    Lost(Connection, u64),
    Connect(usize),
    /// A record reaches the disk, or does not.
    Written {
        life: u64,
        expected: Revision,
        record: Vec<u8>,
        fails: bool,
    },
    /// The gateway is told.
    WriteAnswered {
        life: u64,
        revision: Option<Revision>,
    },
    TokenAnswered {
        life: u64,
        job: JobId,
        batch: Batch,
        fails: bool,
    },
    /// The token's first session opens, in this life.
    TokenFound(u64),
    Crash,
    Restart,
    Whim,
}

/// What goes wrong how often, in a thousand.
struct Weather {
    loss: u64,
    duplication: u64,
    slowness: u64,
    token_failure: u64,
    store_failure: u64,
    crash: u64,
    storm_ends: u64,
}

/// What a run amounted to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) epochs: u64,
    pub(crate) crashes: u64,
    pub(crate) events: u64,
    pub(crate) installed: u64,
    pub(crate) rollovers: u64,
}

/// What is to happen, in the order of time.
#[derive(Default)]
struct Agenda {
    now: u64,
    queue: BTreeMap<(u64, u64), Event>,
    sequence: u64,
}

/// What a crash leaves.
#[derive(Default)]
struct Disk {
    snapshot: Option<(Revision, Vec<u8>)>,
    records: Vec<(Revision, Vec<u8>)>,
}

/// What a crash ends.
struct Life {
    number: u64,
    gateway: Option<Gateway>,
    /// Evictions that were asked for in this life.
    evicting: Vec<MemberId>,
}

pub(crate) struct World {
    random: Random,
    agenda: Agenda,
    weather: Weather,
    life: Life,
    disk: Disk,
    token: SymbolicToken,
    ledger: Ledger,
    clients: Vec<Client>,
    connections: u64,
    outcome: Outcome,
    trace: bool,
}

impl World {
    pub(crate) fn new(seed: u64, trace: bool) -> Self {
        let mut random = Random::new(seed);
        let weather = Weather {
            loss: [0, 5, 50][random.within(0, 2) as usize],
            duplication: [0, 100][random.within(0, 1) as usize],
            slowness: [0, 20, 100][random.within(0, 2) as usize],
            token_failure: [0, 100, 500][random.within(0, 2) as usize],
            store_failure: [0, 50, 300][random.within(0, 2) as usize],
            crash: [0, 30, 120][random.within(0, 2) as usize],
            storm_ends: random.within(3_000, 15_000),
        };
        let policy = policy(&mut random);
        let clients = (0..random.within(3, 12)).map(|number| {
            // Some share an identity, so that registrations replace each other.
            let identity = Identity(format!("cn:{}", number - number % random.within(1, 2)));
            let role = [Role::Receiver, Role::Sender, Role::Both][random.within(0, 2) as usize];
            Client::new(number as u16, identity, role)
        });
        let clients = clients.collect();
        // The token's keys come later, as they do at a start.
        let machine = GroupMachine::create(created(policy), None);
        World {
            random,
            agenda: Agenda::default(),
            weather,
            life: Life {
                number: 1,
                gateway: Some(Gateway::new(machine)),
                evicting: Vec::new(),
            },
            disk: Disk::default(),
            token: SymbolicToken::default(),
            ledger: Ledger::default(),
            clients,
            connections: 0,
            outcome: Outcome::default(),
            trace,
        }
    }

    /// Runs to the end and checks everything on the way.
    pub(crate) fn run(mut self) -> Outcome {
        self.gateway_gets(Input::Tick);
        self.find_the_token();
        for client in 0..self.clients.len() {
            self.clients[client].mood.wants = true;
            let at = self.random.within(1, 2_000);
            self.later(at, Event::Connect(client));
        }
        self.later(500, Event::Whim);
        while self.agenda.now < self.weather.storm_ends {
            self.step(self.weather.storm_ends);
        }
        self.calm_down();
        let end = self.agenda.now + CALM;
        while self.agenda.now < end {
            self.step(end);
        }
        // Whoever was refused again and again asks no more, so that the end is not in the middle of something.
        for client in &mut self.clients {
            client.mood.rests = true;
        }
        while self.agenda.now < end + CALM / 8 {
            self.step(end + CALM / 8);
        }
        self.check_the_end();
        self.outcome.epochs = self.ledger.newest().map_or(0, |(epoch, _)| epoch.0);
        self.outcome
    }

    fn stormy(&self) -> bool {
        self.agenda.now < self.weather.storm_ends
    }

    fn log(&self, what: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{:>7} {}", self.agenda.now, what());
        }
    }

    fn later(&mut self, after: u64, event: Event) {
        self.agenda.sequence += 1;
        self.agenda
            .queue
            .insert((self.agenda.now + after, self.agenda.sequence), event);
    }

    /// The next thing happens, or time passes up to the limit.
    fn step(&mut self, limit: u64) {
        self.outcome.events += 1;
        assert!(self.outcome.events < 1_000_000, "the run does not end");
        let event = self.agenda.queue.first_key_value().map(|(&(at, _), _)| at);
        let gateway = self
            .life
            .gateway
            .as_ref()
            .and_then(|gateway| gateway.machine.next_timeout());
        let clients = self.clients.iter().filter_map(Client::next_timeout).min();
        let gateway = gateway.map(|at| at.0);
        let Some(at) = event.into_iter().chain(gateway).chain(clients).min() else {
            self.agenda.now = limit;
            return;
        };
        if at >= limit {
            self.agenda.now = limit;
            return;
        }
        self.agenda.now = self.agenda.now.max(at);
        if event == Some(at) {
            if let Some((_, event)) = self.agenda.queue.pop_first() {
                self.happen(event);
            }
        } else if gateway == Some(at) {
            self.gateway_gets(Input::Tick);
        } else {
            for client in 0..self.clients.len() {
                if self.clients[client]
                    .next_timeout()
                    .is_some_and(|due| due <= self.agenda.now)
                {
                    let did = self.clients[client].tick(self.agenda.now);
                    self.follow(client, did);
                }
            }
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::ToGateway(from, request) => self.ask_gateway(from, request),
            Event::ToClient(to, push) => self.tell_client(to, push),
            Event::Reset(connection) => self.reset(connection),
            Event::Lost(connection, life) if life == self.life.number => {
                let wants = self
                    .life
                    .gateway
                    .as_mut()
                    .map(|g| g.lost(self.agenda.now, connection));
                self.fulfil(wants.unwrap_or_default());
            }
            Event::Connect(client) => self.connect(client),
            Event::Written {
                life,
                expected,
                record,
                fails,
            } => self.write(life, expected, record, fails),
            Event::WriteAnswered { life, revision } if life == self.life.number => {
                if let Some(gateway) = &mut self.life.gateway {
                    gateway.persisting = false;
                }
                self.gateway_gets(match revision {
                    Some(revision) => Input::Persisted { revision },
                    None => Input::PersistFailed,
                });
            }
            Event::TokenAnswered {
                life,
                job,
                batch,
                fails,
            } if life == self.life.number => {
                // It may have done the work and failed only then.
                let outputs = self.token.execute(&batch);
                let retry_ms = self.random.permille(300).then_some(2_000);
                self.gateway_gets(if fails {
                    Input::TokenFailed { job, retry_ms }
                } else {
                    Input::TokenDone { job, outputs }
                });
            }
            Event::TokenFound(life) if life == self.life.number => {
                self.gateway_gets(Input::TokenKnown(issuers()));
            }
            // The answers to an earlier life.
            Event::Lost(..)
            | Event::WriteAnswered { .. }
            | Event::TokenAnswered { .. }
            | Event::TokenFound(_) => {}
            Event::Crash => self.crash(),
            Event::Restart => self.restart(),
            Event::Whim => self.whim(),
        }
    }

    /// A gateway starts without its token, and finds it sooner or later.
    fn find_the_token(&mut self) {
        let most = if self.random.permille(100) {
            40_000
        } else {
            500
        };
        let after = self.random.within(0, most);
        self.later(after, Event::TokenFound(self.life.number));
    }

    fn gateway_gets(&mut self, input: Input) {
        self.log(|| format!("gateway <- {input:?}"));
        let wants = self
            .life
            .gateway
            .as_mut()
            .map(|gateway| gateway.handle(self.agenda.now, input));
        self.fulfil(wants.unwrap_or_default());
    }

    fn fulfil(&mut self, wants: Vec<Want>) {
        for want in wants {
            match want {
                Want::Send(to, push) => {
                    self.log(|| format!("gateway -> {to:?} {push:?}"));
                    self.send(to, |to| Event::ToClient(to, push.clone()));
                }
                Want::Effect(effect) => self.carry_out(effect),
            }
        }
    }
}
