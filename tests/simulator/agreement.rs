//! Invariants 4 and 5 on random histories that shrink: whoever received the newest delivery, or pulled its path,
//! computes the same root, and all who were not in an epoch, together, do not.

use std::collections::BTreeMap;

use bytes::Bytes;
use minicbor::Decoder;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use wardcast::group::edges::Edge;
use wardcast::group::ids::{
    Epoch, GroupNonce, Identity, KeyRef, MasterId, MemberId, Revision, Role, Suite, Time,
};
use wardcast::group::machine::{Claim, Effect, GroupMachine, Input, Rekey, Rollover, Ticket};
use wardcast::group::policy::GroupPolicy;
use wardcast::group::session::{
    MemberSession, Membership, SessionEffect, SessionError, SessionInput,
};
use wardcast::group::wire::{EpochHeader, Grant, Offer, ParsedHeader, PathDelivery};

use crate::ledger::Ledger;
use crate::symbolic::{Symbolic, SymbolicToken, created, issuers};

/// What happens in one epoch.
#[derive(Clone, Debug)]
struct Step {
    joins: u8,
    /// Who leaves, by place among the members.
    leaves: Vec<u8>,
    rotate: bool,
    /// Whether the keys come from another seed from then on, and in which suite.
    rolls: Option<Suite>,
    /// Who does not receive the delivery, by place among the members: bit by bit.
    deaf: u64,
    /// Who of those pulls its path after it.
    pulls: u64,
    restarts: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (
        0..6_u8,
        vec(any::<u8>(), 0..4),
        any::<bool>(),
        any::<u64>(),
        any::<u64>(),
        0..8_u8,
        0..12_u8,
    );
    let step = step.prop_map(
        |(joins, leaves, rotate, deaf, pulls, restarts, rolls)| Step {
            joins,
            leaves,
            rotate,
            rolls: Suite::ALL.get(usize::from(rolls)).copied(),
            // Most receive most.
            deaf: deaf & deaf.rotate_left(17),
            pulls,
            restarts: restarts == 0,
        },
    );
    // A large first group now and then, so that trees have several levels.
    let first = prop_oneof![4 => 0..4_u8, 1 => 4..40_u8];
    (first, vec(step, 1..10)).prop_map(|(first, mut steps)| {
        steps[0].joins += first;
        steps
    })
}

/// A group whose effects are carried out at once.
struct Group {
    machine: GroupMachine,
    records: Vec<Vec<u8>>,
    token: SymbolicToken,
    ledger: Ledger,
    sessions: BTreeMap<MemberId, MemberSession<Symbolic>>,
    now: u64,
    tickets: u64,
    /// The newest delivery, and the paths and grants that were asked for.
    delivery: Option<std::sync::Arc<Rekey>>,
    paths: Vec<(MemberId, PathDelivery)>,
    /// Leaf keys that members were granted anew.
    renewals: Vec<(MemberId, Box<Grant>)>,
    /// The header that was read last: it is the same for everyone.
    header: Option<(Bytes, ParsedHeader)>,
}

impl Group {
    fn new() -> Self {
        let policy = GroupPolicy {
            batch_interval_ms: 10,
            activation_delay_ms: 50,
            rekey_period_s: 0,
            sender_id_bits: 6,
            registrations_per_identity: u32::MAX,
            ..GroupPolicy::default()
        };
        let machine = GroupMachine::create(created(policy), Some(issuers()));
        let mut group = Group {
            machine,
            records: Vec::new(),
            token: SymbolicToken::default(),
            ledger: Ledger::default(),
            sessions: BTreeMap::new(),
            now: 0,
            tickets: 0,
            delivery: None,
            paths: Vec::new(),
            renewals: Vec::new(),
            header: None,
        };
        group.handle(Input::Tick);
        group
    }

    fn handle(&mut self, input: Input) {
        self.machine.handle(Time(self.now), input);
        while let Some(effect) = self.machine.poll() {
            match effect {
                Effect::Persist { expected, record } => {
                    self.ledger.append(expected, &record);
                    self.records.push(record);
                    let revision = Revision(self.records.len() as u64);
                    self.handle(Input::Persisted { revision });
                }
                Effect::Token { job, batch, .. } => {
                    let outputs = self.token.execute(&batch);
                    self.handle(Input::TokenDone { job, outputs });
                }
                Effect::Deliver(rekey) => self.delivery = Some(rekey),
                Effect::Granted { member, grant, .. } if self.sessions.contains_key(&member) => {
                    self.renewals.push((member, grant));
                }
                Effect::Granted { member, grant, .. } => {
                    let membership = Membership {
                        group: grant.group,
                        member,
                        role: grant.role,
                        leaf: grant.leaf,
                        seed: member.0,
                    };
                    let session = MemberSession::joined(Symbolic, membership, grant.leaf);
                    self.sessions.insert(member, session);
                    self.paths.push((member, grant.path));
                }
                Effect::Path { member, path, .. } => self.paths.push((member, path)),
                Effect::Removed { member, .. } => {
                    self.sessions.remove(&member);
                }
                Effect::Refused { refusal, .. } => panic!("{refusal}"),
                Effect::RolloverRefused(why) => panic!("{why}"),
                Effect::Activate { .. } | Effect::Destroyed => {}
            }
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    fn step(&mut self, step: &Step) {
        if step.restarts {
            let records = self.records.iter().map(Vec::as_slice);
            let restored = GroupMachine::restore(None, records, Some(issuers()));
            self.machine = restored.expect("the log is whole");
            self.handle(Input::Tick);
        }
        let members: Vec<MemberId> = self.sessions.keys().copied().collect();
        let leaving = step.leaves.iter().filter_map(|&at| {
            let place = usize::from(at).checked_rem(members.len())?;
            members.get(place).copied()
        });
        self.handle(Input::Evict {
            members: leaving.collect(),
            urgent: false,
            reason: String::new(),
            by: None,
        });
        if step.rotate {
            self.handle(Input::Rotate);
        }
        for _ in 0..step.joins {
            let ticket = self.ticket();
            self.handle(Input::Join {
                ticket,
                identity: Identity("cn:anyone".into()),
                role: if ticket.0.is_multiple_of(3) {
                    Role::Both
                } else {
                    Role::Receiver
                },
                offer: offer(),
            });
        }
        if let Some(suite) = step.rolls {
            let number = self.machine.state().rollovers() as u8 + 1;
            self.handle(Input::Rollover(Rollover {
                master: MasterId(2),
                nonce: GroupNonce([number; 32]),
                suite,
            }));
        }
        // The batch closes, and what was delivered before becomes active.
        self.now += 1_000;
        self.handle(Input::Tick);
        self.deliver(step);
    }

    /// Everyone takes what it receives; whoever held the epoch delivered before must open it.
    fn deliver(&mut self, step: &Step) {
        let places: BTreeMap<MemberId, usize> = self.sessions.keys().copied().zip(0..).collect();
        let among = |set: u64, member: &MemberId| {
            places
                .get(member)
                .is_some_and(|place| set >> (place % 64) & 1 == 1)
        };
        // Joiners first open what they were granted.
        self.take_paths();
        if let Some(rekey) = self.delivery.take() {
            let hearing = self
                .sessions
                .keys()
                .filter(|member| !among(step.deaf, member));
            for member in hearing.copied().collect::<Vec<_>>() {
                self.hear(member, &rekey);
            }
        }
        let pulling = places.keys().filter(|member| among(step.pulls, member));
        for &member in pulling {
            self.catch_up(member);
        }
        self.take_paths();
    }

    fn catch_up(&mut self, member: MemberId) {
        let ticket = self.ticket();
        let session = self.sessions.get(&member);
        let claim = session.map(|session| Claim {
            leaf: Some(session.membership().leaf),
            offer: Some(offer()),
        });
        self.handle(Input::CatchUp {
            ticket,
            member,
            claim,
        });
    }

    fn take_paths(&mut self) {
        for (member, grant) in std::mem::take(&mut self.renewals) {
            let header = self.parse(&grant.path.header);
            let leaf = Symbolic::open_grant(&offer().key(grant.suite).expect("a key")[..], &grant);
            let leaf = leaf.expect("it is wrapped for what was offered");
            let Some(session) = self.sessions.get_mut(&member) else {
                continue;
            };
            let path = input_of(header, grant.path);
            let taken = session.regranted(Time(self.now), Symbolic, (leaf, leaf), path);
            assert_eq!(taken, Ok(()), "a new leaf key opens its path");
            self.settle(member);
        }
        for (member, path) in std::mem::take(&mut self.paths) {
            self.take_path(member, path);
        }
    }

    fn parse(&mut self, bytes: &Bytes) -> ParsedHeader {
        if self.header.as_ref().is_none_or(|(known, _)| known != bytes) {
            let header = EpochHeader::parse(bytes).expect("headers are well-formed");
            self.header = Some((bytes.clone(), header));
        }
        let known = self.header.as_ref().expect("it was read just now");
        known.1.clone()
    }

    fn hear(&mut self, member: MemberId, rekey: &Rekey) {
        let header = self.parse(&rekey.header);
        let leaf = self.machine.member(member).map(|m| m.leaf);
        let Some((leaf, session)) = leaf.zip(self.sessions.get_mut(&member)) else {
            return;
        };
        let edges: Vec<Edge> = Decoder::new(rekey.chunk_for(leaf))
            .decode()
            .expect("chunks are well-formed");
        let held = session.newest();
        let input = SessionInput::Rekey {
            header,
            edges,
            active: rekey.active,
        };
        let outcome = session.handle(Time(self.now), input);
        match outcome {
            Ok(()) | Err(SessionError::OldEpoch { .. }) => {}
            Err(SessionError::Renewed(_)) => {
                // No edge helps: it is granted its new leaf key.
                self.catch_up(member);
            }
            Err(SessionError::CannotOpen(_)) if held < rekey.previous => {
                // It missed something before: only its path helps.
                self.catch_up(member);
            }
            Err(error) => panic!("member {member}, which held {held}: {error}"),
        }
        self.settle(member);
    }

    fn take_path(&mut self, member: MemberId, path: PathDelivery) {
        let header = self.parse(&path.header);
        let Some(session) = self.sessions.get_mut(&member) else {
            return;
        };
        let taken = session.handle(Time(self.now), input_of(header, path));
        assert_eq!(taken, Ok(()), "a path opens, whatever was missed");
        assert_eq!(session.newest(), self.machine.state().epoch());
        self.settle(member);
    }

    fn settle(&mut self, member: MemberId) {
        let Some(session) = self.sessions.get_mut(&member) else {
            return;
        };
        let mut acknowledged = None;
        while let Some(effect) = session.poll() {
            match effect {
                SessionEffect::Installed { epoch } => {
                    let root: Option<KeyRef> = session.root(epoch).copied();
                    self.ledger.check_installed(member, epoch, root);
                }
                SessionEffect::Acknowledge { epoch } => acknowledged = Some(epoch),
                _ => {}
            }
        }
        if let Some(epoch) = acknowledged {
            self.handle(Input::Acks(vec![(member, epoch)]));
        }
    }

    /// Whoever pulls at the end agrees, and nobody from outside an epoch ever computed its root.
    fn finish(mut self) -> Result<(), TestCaseError> {
        for member in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.catch_up(member);
        }
        self.take_paths();
        let newest = self.machine.state().epoch();
        let root = self.machine.state().tree().root();
        for (member, session) in &self.sessions {
            prop_assert_eq!(session.root(newest), Some(&root), "member {}", member);
        }
        let status = self.machine.status();
        prop_assert_eq!(status.assurance.members as usize, self.sessions.len());
        prop_assert_eq!(status.assurance.acknowledged, status.assurance.members);
        let broken = self.ledger.history.broken_by(&self.token);
        prop_assert_eq!(broken, None::<Epoch>);
        Ok(())
    }
}

fn offer() -> Offer {
    Offer::of(Suite::One, vec![1; 65]).with(Suite::Two, vec![2; 1_216])
}

fn input_of(header: ParsedHeader, path: PathDelivery) -> SessionInput {
    SessionInput::Path {
        header,
        edges: path.edges,
        active: path.active,
        sender_ids: path.sender_ids,
        sender_space: path.sender_space,
    }
}

/// Histories of an ordinary run; `WARDCAST_HISTORIES` asks for more.
const HISTORIES: u32 = 12_000;

#[test]
fn members_agree_and_outsiders_learn_nothing() {
    let histories = crate::number("WARDCAST_HISTORIES").map(|number| number as u32);
    let config = Config {
        cases: histories.unwrap_or(HISTORIES),
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&steps(), |steps| {
        let mut group = Group::new();
        for step in &steps {
            group.step(step);
        }
        group.finish()
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
