//! What carries: the network between clients and gateway, the disk, the way to the token.

use wardcast::group::ids::Revision;
use wardcast::group::machine::Effect;

use super::{Event, World};
use crate::client::Did;
use crate::gateway::{Connection, Push, Request};

impl World {
    pub(super) fn carry_out(&mut self, effect: Effect) {
        self.log(|| format!("gateway does {effect:?}"));
        match effect {
            Effect::Persist { expected, record } => {
                let fails = self.stormy() && self.random.permille(self.weather.store_failure);
                let after = self.random.within(0, 20);
                self.later(
                    after,
                    Event::Written {
                        life: self.life.number,
                        expected,
                        record,
                        fails,
                    },
                );
            }
            Effect::Token { job, batch, .. } => {
                let fails = self.stormy() && self.random.permille(self.weather.token_failure);
                let most = if self.random.permille(50) { 2_000 } else { 40 };
                let after = self.random.within(0, most);
                self.later(
                    after,
                    Event::TokenAnswered {
                        life: self.life.number,
                        job,
                        batch,
                        fails,
                    },
                );
            }
            // Whoever asked for it asks again, or not.
            Effect::RolloverRefused(_) => {}
            other => panic!("the engine leaves {other:?} to nobody"),
        }
    }

    /// Carries a message, badly while it is stormy. A connection that lost one breaks, sooner or later.
    pub(super) fn send(&mut self, connection: Connection, message: impl Fn(Connection) -> Event) {
        let stormy = self.stormy();
        let copies = 1 + u64::from(stormy && self.random.permille(self.weather.duplication));
        if stormy && self.random.permille(self.weather.loss) {
            let after = self.random.within(100, 2_000);
            return self.later(after, Event::Reset(connection));
        }
        for _ in 0..copies {
            let most = if stormy && self.random.permille(self.weather.slowness) {
                3_000
            } else {
                30
            };
            let after = self.random.within(1, most);
            self.later(after, message(connection));
        }
    }

    pub(super) fn ask_gateway(&mut self, from: Connection, request: Request) {
        let Some(gateway) = &mut self.life.gateway else {
            return;
        };
        if self.clients[from.client].connection != Some(from.number) {
            return;
        }
        let identity = self.clients[from.client].identity.clone();
        let wants = gateway.request(self.agenda.now, from, &identity, request);
        self.fulfil(wants);
    }

    pub(super) fn tell_client(&mut self, to: Connection, push: Push) {
        let client = &mut self.clients[to.client];
        if client.connection != Some(to.number) {
            return;
        }
        if client.mood.frozen_until > self.agenda.now {
            let after = client.mood.frozen_until - self.agenda.now;
            return self.later(after, Event::ToClient(to, push));
        }
        let did = client.receive(self.agenda.now, push);
        self.follow(to.client, did);
    }

    pub(super) fn follow(&mut self, client: usize, did: Vec<Did>) {
        for did in did {
            let actor = &self.clients[client];
            match did {
                Did::Ask(request) => {
                    self.log(|| format!("client {client} -> {request:?}"));
                    if let Some(number) = actor.connection {
                        let from = Connection { client, number };
                        self.send(from, |from| Event::ToGateway(from, request.clone()));
                    }
                }
                Did::Installed(epoch) => {
                    self.outcome.installed += 1;
                    if let (Some(session), Some(member)) = (&actor.session, actor.member()) {
                        let root = session.root(epoch).copied();
                        self.log(|| format!("client {client} installed {epoch}: {root:?}"));
                        self.ledger.check_installed(member, epoch, root);
                    }
                }
                Did::SendWith(epoch) => {
                    if let (Some(session), Some(member)) = (&actor.session, actor.member()) {
                        let header = session.held().find(|header| header.epoch == epoch);
                        let space = header.map(|header| header.sender_space);
                        let ids = session.sender_ids(epoch);
                        self.ledger
                            .check_sending(member, space.unwrap_or(u32::MAX), ids);
                    }
                }
            }
        }
    }

    pub(super) fn connect(&mut self, client: usize) {
        if self.clients[client].connection.is_some() {
            return;
        }
        self.connections += 1;
        self.clients[client].connect(self.agenda.now, self.connections);
    }

    pub(super) fn reset(&mut self, connection: Connection) {
        let client = &mut self.clients[connection.client];
        if client.connection != Some(connection.number) {
            return;
        }
        self.log(|| format!("{connection:?} is lost"));
        self.clients[connection.client].disconnect();
        let (noticed, back) = (self.random.within(0, 2_000), self.random.within(1, 3_000));
        self.later(noticed, Event::Lost(connection, self.life.number));
        self.later(back, Event::Connect(connection.client));
    }

    pub(super) fn write(&mut self, life: u64, expected: Revision, record: Vec<u8>, fails: bool) {
        let mut revision = None;
        if !fails {
            self.ledger.append(expected, &record);
            self.disk.records.push((expected, record));
            revision = Some(self.ledger.revision());
        }
        if life == self.life.number {
            let after = self.random.within(0, 20);
            self.later(after, Event::WriteAnswered { life, revision });
        }
    }
}
