//! A member: the production session, and the little that the client library does around it.

use minicbor::Decoder;
use wardcast::group::edges::Edge;
use wardcast::group::ids::{Epoch, Identity, KeyRef, MemberId, Role, Suite, Time};
use wardcast::group::session::{
    MemberSession, Membership, SessionEffect, SessionError, SessionInput,
};
use wardcast::group::wire::{EpochHeader, Grant, Offer, ParsedHeader, PathDelivery, RefusalCode};

use crate::gateway::{Push, Request};
use crate::symbolic::{BAD_PUBLIC_KEY, Symbolic};

/// An unanswered request is asked again after this.
const PATIENCE: u64 = 4_000;
/// What was refused is asked again after this.
const RETRY: u64 = 1_500;

/// What the world makes of a client.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mood {
    /// Whether it wants to be in the group.
    pub(crate) wants: bool,
    /// It handles nothing before this time.
    pub(crate) frozen_until: u64,
    /// Whether it makes public keys that are no points.
    pub(crate) malicious: bool,
    /// Whether it asks for nothing more.
    pub(crate) rests: bool,
}

pub(crate) struct Client {
    pub(crate) identity: Identity,
    pub(crate) role: Role,
    number: u16,
    pub(crate) mood: Mood,
    /// The number of its connection, while it has one.
    pub(crate) connection: Option<u64>,
    pub(crate) session: Option<MemberSession<Symbolic>>,
    /// Whether the gateway answered its resume or join on this connection.
    attached: bool,
    /// When it asks (again), if it has reason to.
    ask_at: u64,
    keys: Keys,
    /// Of its leaf key.
    suite: Suite,
    /// Registrations that ended on this connection: a removal can overtake the grant.
    removed: Vec<MemberId>,
}

/// The public keys that a client makes.
#[derive(Default)]
struct Keys {
    made: u32,
    /// Those of what it asked last: an answer to anything before opens nothing.
    offered: Option<Offer>,
}

/// What a client did that the world checks.
pub(crate) enum Did {
    Ask(Request),
    Installed(Epoch),
    SendWith(Epoch),
}

impl Client {
    pub(crate) fn new(number: u16, identity: Identity, role: Role) -> Self {
        Client {
            identity,
            role,
            number,
            mood: Mood::default(),
            connection: None,
            session: None,
            attached: false,
            ask_at: 0,
            keys: Keys::default(),
            suite: Suite::One,
            removed: Vec::new(),
        }
    }

    pub(crate) fn member(&self) -> Option<MemberId> {
        self.session
            .as_ref()
            .map(|session| session.membership().member)
    }

    pub(crate) fn connect(&mut self, now: u64, connection: u64) {
        self.connection = Some(connection);
        self.attached = false;
        self.ask_at = now;
    }

    pub(crate) fn disconnect(&mut self) {
        self.removed.clear();
        self.connection = None;
        self.attached = false;
    }

    pub(crate) fn next_timeout(&self) -> Option<u64> {
        let session = self.session.as_ref().and_then(MemberSession::next_timeout);
        let asks = self.connection.is_some() && self.has_to_ask();
        let ask = asks.then_some(self.ask_at);
        let due = session.map(|at| at.0).into_iter().chain(ask).min();
        due.map(|at| at.max(self.mood.frozen_until))
    }

    fn has_to_ask(&self) -> bool {
        if self.mood.rests {
            return false;
        }
        match &self.session {
            Some(_) => !self.attached || !self.mood.wants,
            None => self.mood.wants,
        }
    }

    pub(crate) fn tick(&mut self, now: u64) -> Vec<Did> {
        let mut did = self.input(now, SessionInput::Tick);
        if self.connection.is_some() && self.has_to_ask() && self.ask_at <= now {
            self.ask_at = now + PATIENCE;
            did.push(Did::Ask(self.next_request()));
        }
        did
    }

    fn next_request(&mut self) -> Request {
        match self.session.as_ref().map(MemberSession::membership) {
            Some(&Membership { member, .. }) if !self.mood.wants => Request::Leave { member },
            Some(&Membership { member, leaf, .. }) => self.catch_up(member, leaf),
            None => Request::Join {
                role: self.role,
                offer: self.offer(self.mood.malicious),
            },
        }
    }

    fn catch_up(&mut self, member: MemberId, leaf: KeyRef) -> Request {
        let offer = self.offer(false);
        Request::CatchUp {
            member,
            leaf,
            offer,
        }
    }

    /// Fresh public keys of both suites.
    fn offer(&mut self, malicious: bool) -> Offer {
        self.keys.made += 1;
        let key = |suite: Suite| {
            let mut public = vec![0; suite.sizes().member];
            public[1..3].copy_from_slice(&self.number.to_be_bytes());
            public[3..7].copy_from_slice(&self.keys.made.to_be_bytes());
            if malicious {
                public[0] = BAD_PUBLIC_KEY;
            }
            public
        };
        let offer = Offer::of(Suite::One, key(Suite::One)).with(Suite::Two, key(Suite::Two));
        self.keys.offered = Some(offer.clone());
        offer
    }

    /// Something came from the gateway.
    pub(crate) fn receive(&mut self, now: u64, push: Push) -> Vec<Did> {
        match push {
            Push::Granted(grant) => self.granted(now, *grant),
            Push::Path(member, path) if self.member() == Some(member) => {
                self.attached = true;
                self.path(now, path)
            }
            Push::Path(..) => Vec::new(),
            Push::Refused(RefusalCode::UnknownMember, about) if about.is_some() => {
                if about == self.member() {
                    self.end(now);
                }
                Vec::new()
            }
            Push::Refused(code, _) => {
                assert_ne!(code, RefusalCode::Destroyed, "nobody destroyed the group");
                self.ask_at = self.ask_at.min(now + RETRY);
                Vec::new()
            }
            Push::Rekey {
                header,
                edges,
                active,
            } => {
                let (header, edges) = (parse(&header), read_edges(&edges));
                // Of another suite it could not be verified.
                let input = match header.header.suite == self.suite {
                    true => SessionInput::Rekey {
                        header,
                        edges,
                        active,
                    },
                    false => SessionInput::OtherSuite {
                        activation_delay_ms: header.header.activation_delay_ms,
                    },
                };
                self.input(now, input)
            }
            Push::Activate(epoch) => self.input(now, SessionInput::Activate { epoch }),
            Push::Removed(member) if self.member() == Some(member) => {
                self.end(now);
                Vec::new()
            }
            Push::Removed(member) => {
                self.removed.push(member);
                Vec::new()
            }
        }
    }

    /// A grant for a key that was given up meanwhile, or a repetition, opens nothing new.
    fn granted(&mut self, now: u64, grant: Grant) -> Vec<Did> {
        let public = self
            .keys
            .offered
            .as_ref()
            .and_then(|offer| offer.key(grant.suite));
        let opened = public.and_then(|public| Symbolic::open_grant(public, &grant));
        let Some(leaf) = opened else {
            return Vec::new();
        };
        assert_eq!(leaf, grant.leaf);
        // An ephemeral key opens one grant, whatever is repeated.
        self.keys.offered = None;
        if self.session.is_some() {
            return self.renewed(now, grant);
        }
        if self.removed.contains(&grant.member) {
            self.ask_at = now + RETRY;
            return Vec::new();
        }
        let membership = Membership {
            group: grant.group,
            member: grant.member,
            role: grant.role,
            leaf,
            seed: u64::from(self.number) << 32 | u64::from(self.keys.made),
        };
        self.suite = grant.suite;
        self.session = Some(MemberSession::joined(Symbolic, membership, leaf));
        self.attached = true;
        self.path(now, grant.path)
    }

    /// The leaf key of a registration that it has.
    fn renewed(&mut self, now: u64, grant: Grant) -> Vec<Did> {
        let Some(session) = &mut self.session else {
            return Vec::new();
        };
        if session.membership().member != grant.member {
            return Vec::new();
        }
        self.attached = true;
        self.suite = grant.suite;
        let leaf = (grant.leaf, grant.leaf);
        let taken = session.regranted(Time(now), Symbolic, leaf, path_input(grant.path));
        self.after(now, taken)
    }

    fn path(&mut self, now: u64, path: PathDelivery) -> Vec<Did> {
        self.input(now, path_input(path))
    }

    fn input(&mut self, now: u64, input: SessionInput) -> Vec<Did> {
        let Some(session) = &mut self.session else {
            return Vec::new();
        };
        let taken = session.handle(Time(now), input);
        self.after(now, taken)
    }

    /// Does what the session asks for.
    fn after(&mut self, now: u64, taken: Result<(), SessionError>) -> Vec<Did> {
        let Some(session) = &mut self.session else {
            return Vec::new();
        };
        let Membership { member, leaf, .. } = *session.membership();
        let mut did = Vec::new();
        let mut needs_path = false;
        match taken {
            Err(SessionError::OldEpoch { held, .. }) => {
                did.push(Did::Ask(Request::Ack {
                    member,
                    epoch: held,
                }));
            }
            Err(
                error @ (SessionError::Forked(_)
                | SessionError::ForeignGroup(_)
                | SessionError::NoRoot(_)),
            ) => {
                panic!("{error}")
            }
            Ok(()) | Err(_) => {}
        }
        while let Some(effect) = session.poll() {
            match effect {
                SessionEffect::Installed { epoch } => did.push(Did::Installed(epoch)),
                SessionEffect::SendWith { epoch } => did.push(Did::SendWith(epoch)),
                SessionEffect::Acknowledge { epoch } => {
                    did.push(Did::Ask(Request::Ack { member, epoch }));
                }
                SessionEffect::NeedPath { .. } => needs_path = true,
                SessionEffect::Retired { epoch } => assert!(session.root(epoch).is_none()),
                SessionEffect::Ended => {}
            }
        }
        assert!(
            session.held().count() <= 3,
            "a member holds three epochs at most"
        );
        let timeout = session.next_timeout();
        assert!(
            timeout.is_none_or(|at| at > Time(now)),
            "{timeout:?} at {now}: {session:?}"
        );
        if needs_path {
            let pull = self.catch_up(member, leaf);
            did.push(Did::Ask(pull));
        }
        did
    }

    fn end(&mut self, now: u64) {
        // Nothing that was asked for this registration begins another one.
        self.keys.offered = None;
        self.input(now, SessionInput::Evicted);
        if let Some(session) = self.session.take() {
            assert_eq!(session.held().count(), 0, "an ended session holds nothing");
            assert_eq!(session.next_timeout(), None);
        }
        self.attached = false;
        self.ask_at = now + RETRY;
    }

    /// What it can read the group's newest traffic with.
    pub(crate) fn newest_root(&self) -> Option<(Epoch, KeyRef)> {
        let session = self.session.as_ref()?;
        let newest = session.newest();
        Some((newest, *session.root(newest)?))
    }
}

fn path_input(path: PathDelivery) -> SessionInput {
    SessionInput::Path {
        header: parse(&path.header),
        edges: path.edges,
        active: path.active,
        sender_ids: path.sender_ids,
        sender_space: path.sender_space,
    }
}

fn parse(header: &[u8]) -> ParsedHeader {
    EpochHeader::parse(header).expect("the gateway's headers are well-formed")
}

fn read_edges(bytes: &[u8]) -> Vec<Edge> {
    Decoder::new(bytes)
        .decode()
        .expect("the gateway's chunks are well-formed")
}
