//! A gateway's life: the production machine, and the little that the engine does around it. All of it is lost in a
//! crash; only the disk, which is the world's, stays.

use std::collections::BTreeMap;

use wardcast::group::ids::{Epoch, Identity, KeyRef, MemberId, Role, Time};
use wardcast::group::machine::{Claim, Effect, GroupMachine, Input, Ticket};
use wardcast::group::wire::{Grant, Offer, PathDelivery, RefusalCode};

use bytes::Bytes;

/// What a client asks.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Join {
        role: Role,
        offer: Offer,
    },
    /// Resume or pull: a leaf key that is held, and keys for another.
    CatchUp {
        member: MemberId,
        leaf: KeyRef,
        offer: Offer,
    },
    Leave {
        member: MemberId,
    },
    Ack {
        member: MemberId,
        epoch: Epoch,
    },
}

/// What a gateway answers or pushes.
#[derive(Clone, Debug)]
pub(crate) enum Push {
    Granted(Box<Grant>),
    /// For a registration: a client may have another one by the time that it comes.
    Path(MemberId, PathDelivery),
    /// About a registration, when the request was about one.
    Refused(RefusalCode, Option<MemberId>),
    Rekey {
        header: Bytes,
        edges: Bytes,
        active: Epoch,
    },
    Activate(Epoch),
    Removed(MemberId),
}

/// A client's connection, by client and by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Connection {
    pub(crate) client: usize,
    pub(crate) number: u64,
}

pub(crate) struct Gateway {
    pub(crate) machine: GroupMachine,
    /// Who waits, and the registration that it asked about.
    tickets: BTreeMap<Ticket, (Connection, Option<MemberId>)>,
    next_ticket: u64,
    /// Which connection a member is on.
    attached: BTreeMap<MemberId, Connection>,
    /// Whether a record is being persisted: there is never a second.
    pub(crate) persisting: bool,
}

/// What a gateway wants of the world.
pub(crate) enum Want {
    Send(Connection, Push),
    Effect(Effect),
}

impl Gateway {
    pub(crate) fn new(machine: GroupMachine) -> Self {
        Gateway {
            machine,
            tickets: BTreeMap::new(),
            next_ticket: 0,
            attached: BTreeMap::new(),
            persisting: false,
        }
    }

    /// Hands the machine an input and carries out what is the engine's to do.
    pub(crate) fn handle(&mut self, now: u64, input: Input) -> Vec<Want> {
        self.machine.handle(Time(now), input);
        let mut wants = Vec::new();
        let mut gone = Vec::new();
        while let Some(effect) = self.machine.poll() {
            self.carry_out(effect, &mut wants, &mut gone);
        }
        for member in gone {
            wants.extend(self.handle(now, Input::Absent { member }));
        }
        let timeout = self.machine.next_timeout();
        assert!(
            timeout.is_none_or(|at| at > Time(now)),
            "the machine asks to be called at {timeout:?}, and it is {now} already: {:?}",
            self.machine.status()
        );
        wants
    }

    fn carry_out(&mut self, effect: Effect, wants: &mut Vec<Want>, gone: &mut Vec<MemberId>) {
        match effect {
            Effect::Deliver(rekey) => {
                for (&member, &connection) in &self.attached {
                    let leaf = self.machine.member(member).map(|m| m.leaf);
                    let edges = leaf.map(|leaf| rekey.chunk_for(leaf).clone());
                    let (header, active) = (rekey.header.clone(), rekey.active);
                    let push = edges.map(|edges| Push::Rekey {
                        header,
                        edges,
                        active,
                    });
                    wants.extend(push.map(|push| Want::Send(connection, push)));
                }
            }
            Effect::Activate { epoch } => {
                for (&member, &connection) in &self.attached {
                    let role = self.machine.member(member).map(|m| m.role);
                    if role.is_some_and(Role::sends) {
                        wants.push(Want::Send(connection, Push::Activate(epoch)));
                    }
                }
            }
            Effect::Granted {
                ticket,
                member,
                grant,
            } => {
                let connection = self.answered(ticket);
                match connection {
                    Some((to, about)) => {
                        if about.is_none() {
                            self.attached.insert(member, to);
                        }
                        wants.push(Want::Send(to, Push::Granted(grant)));
                    }
                    None if self.attached.contains_key(&member) => {}
                    None => gone.push(member),
                }
            }
            Effect::Path {
                ticket,
                member,
                path,
            } => {
                let to = self.answered(ticket);
                wants.extend(to.map(|(to, _)| Want::Send(to, Push::Path(member, path))));
            }
            Effect::Refused { ticket, refusal } => {
                let to = self.answered(ticket);
                let refused = |about| Push::Refused(refusal.code, about);
                wants.extend(to.map(|(to, about)| Want::Send(to, refused(about))));
            }
            Effect::Removed { member, .. } => {
                let to = self.attached.remove(&member);
                wants.extend(to.map(|to| Want::Send(to, Push::Removed(member))));
            }
            Effect::Persist { .. } => {
                assert!(!self.persisting, "two records are under way");
                self.persisting = true;
                wants.push(Want::Effect(effect));
            }
            other => wants.push(Want::Effect(other)),
        }
    }

    /// The connection of whoever waits; none when it was lost meanwhile. Each ticket is answered once.
    fn answered(&mut self, ticket: Ticket) -> Option<(Connection, Option<MemberId>)> {
        let waiting = self.tickets.remove(&ticket);
        let (to, about) = waiting.unwrap_or_else(|| panic!("{ticket:?} is answered twice"));
        (to.number != LOST).then_some((to, about))
    }

    /// A client asks.
    pub(crate) fn request(
        &mut self,
        now: u64,
        from: Connection,
        identity: &Identity,
        request: Request,
    ) -> Vec<Want> {
        match request {
            Request::Join { role, offer } => {
                let ticket = self.ticket(from, None);
                let identity = identity.clone();
                self.handle(
                    now,
                    Input::Join {
                        ticket,
                        identity,
                        role,
                        offer,
                    },
                )
            }
            Request::CatchUp { member, .. } if !self.owns(identity, member) => {
                vec![Want::Send(
                    from,
                    Push::Refused(RefusalCode::UnknownMember, Some(member)),
                )]
            }
            // The member is on this connection from now on.
            Request::CatchUp {
                member,
                leaf,
                offer,
            } => {
                self.attached.insert(member, from);
                let mut wants = self.handle(now, Input::Present { member });
                let ticket = self.ticket(from, Some(member));
                let claim = Some(Claim {
                    leaf: Some(leaf),
                    offer: Some(offer),
                });
                let input = Input::CatchUp {
                    ticket,
                    member,
                    claim,
                };
                wants.extend(self.handle(now, input));
                wants
            }
            Request::Leave { member } if self.owns(identity, member) => {
                self.handle(now, Input::Leave { member })
            }
            Request::Ack { member, epoch } if self.owns(identity, member) => {
                self.handle(now, Input::Acks(vec![(member, epoch)]))
            }
            Request::Leave { member } => {
                vec![Want::Send(from, Push::Removed(member))]
            }
            Request::Ack { .. } => Vec::new(),
        }
    }

    fn owns(&self, identity: &Identity, member: MemberId) -> bool {
        let known = self.machine.member(member);
        known.is_some_and(|m| *m.identity == *identity)
    }

    fn ticket(&mut self, from: Connection, about: Option<MemberId>) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.tickets.insert(ticket, (from, about));
        ticket
    }

    /// The gateway notices that a connection is lost.
    pub(crate) fn lost(&mut self, now: u64, connection: Connection) -> Vec<Want> {
        for (waiting, _) in self.tickets.values_mut() {
            if *waiting == connection {
                waiting.number = LOST;
            }
        }
        let on_it = self.attached.iter().filter(|(_, on)| **on == connection);
        let members: Vec<MemberId> = on_it.map(|(&member, _)| member).collect();
        let mut wants = Vec::new();
        for member in members {
            self.attached.remove(&member);
            wants.extend(self.handle(now, Input::Absent { member }));
        }
        wants
    }

    /// Tickets that were not answered.
    pub(crate) fn unanswered(&self) -> usize {
        self.tickets.len()
    }
}

/// The number of a connection that is no more.
const LOST: u64 = u64::MAX;
