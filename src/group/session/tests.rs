//! The session step by step, on symbolic keys: a key is its name, and a wrapped key says what it is.

mod hearing;
mod lacking;
mod rollover;

use super::*;
use crate::group::ids::{NodeId, Suite};

/// Computes with names.
#[derive(Clone, Copy, Debug)]
struct Names;

impl KeyOperations for Names {
    type Key = KeyRef;

    fn ratchet(&self, key: &KeyRef) -> KeyRef {
        KeyRef {
            step: key.step + 1,
            ..*key
        }
    }

    fn unwrap(&self, child: &KeyRef, wrapped: &WrappedKey) -> Option<KeyRef> {
        let (kek, key) = read(wrapped)?;
        (kek == *child).then_some(key)
    }

    fn confirms(&self, root: &KeyRef, header: &ParsedHeader) -> bool {
        header.tag[0] == 1 && *root == header.header.root
    }
}

fn read(wrapped: &WrappedKey) -> Option<(KeyRef, KeyRef)> {
    minicbor::decode(wrapped).ok()
}

fn key(level: u8, index: u32, generation: u32, step: u16) -> KeyRef {
    KeyRef {
        node: NodeId { level, index },
        generation,
        step,
    }
}

fn edge(child: KeyRef, parent: KeyRef) -> Edge {
    let mut wrapped = [0; 40];
    minicbor::encode((child, parent), &mut wrapped[..]).expect("names are short");
    Edge {
        child,
        parent,
        wrapped,
    }
}

const LEAF: KeyRef = KeyRef {
    node: NodeId { level: 0, index: 6 },
    generation: 1,
    step: 0,
};
const GROUP: GroupId = GroupId([1; 16]);

fn header(epoch: u64, root: KeyRef) -> ParsedHeader {
    ParsedHeader {
        header: EpochHeader {
            suite: Suite::One,
            group: GROUP,
            epoch: Epoch(epoch),
            root,
            activation_delay_ms: 1_000,
            retirement_delay_ms: 5_000,
            sender_space: 0,
            members: 7,
            rollover: 0,
        },
        tag: [1; 16],
        signed: vec![0; 16],
        signature: Default::default(),
        key_id: [0; 8],
    }
}

struct Bench {
    session: MemberSession<Names>,
    now: u64,
}

impl Bench {
    fn new(role: Role) -> Self {
        let membership = Membership {
            group: GROUP,
            member: MemberId(9),
            role,
            leaf: LEAF,
            seed: 7,
        };
        let session = MemberSession::joined(Names, membership, LEAF);
        Bench { session, now: 0 }
    }

    /// In epoch 1, which is active: the leaf, its parent and the root at level 2.
    fn joined(role: Role) -> Self {
        let mut bench = Bench::new(role);
        let taken = bench.path(1, key(2, 0, 1, 0), 1, 0);
        assert_eq!(taken, Ok(()));
        bench.drain();
        bench
    }

    fn input(&mut self, input: SessionInput) -> Result<(), SessionError> {
        let taken = self.session.handle(Time(self.now), input);
        let next = self.session.next_timeout();
        assert!(
            next.is_none_or(|at| at > Time(self.now)),
            "{next:?} at {}",
            self.now
        );
        taken
    }

    fn path(
        &mut self,
        epoch: u64,
        root: KeyRef,
        active: u64,
        space: u32,
    ) -> Result<(), SessionError> {
        let mut header = header(epoch, root);
        header.header.sender_space = space;
        let middle = key(1, 1, 1, 0);
        self.input(SessionInput::Path {
            header,
            edges: vec![edge(LEAF, middle), edge(middle, root)],
            active: Epoch(active),
            sender_ids: vec![SenderId(40 + space)],
            sender_space: space,
        })
    }

    fn rekey(&mut self, header: ParsedHeader, edges: Vec<Edge>) -> Result<(), SessionError> {
        let active = Epoch(0); // as if senders had never switched
        self.input(SessionInput::Rekey {
            header,
            edges,
            active,
        })
    }

    /// A join somewhere: the root is ratcheted.
    fn ratcheted(&mut self, epoch: u64, step: u16) -> Result<(), SessionError> {
        self.rekey(header(epoch, key(2, 0, 1, step)), Vec::new())
    }

    fn drain(&mut self) -> Vec<SessionEffect> {
        std::iter::from_fn(|| self.session.poll()).collect()
    }

    fn after(&mut self, milliseconds: u64) -> Vec<SessionEffect> {
        let end = self.now + milliseconds;
        let mut effects = Vec::new();
        while let Some(Time(at)) = self.session.next_timeout().filter(|at| at.0 <= end) {
            self.now = at;
            self.input(SessionInput::Tick).expect("a tick is taken");
            effects.extend(self.drain());
        }
        self.now = end;
        effects
    }
}

fn installed(epoch: u64) -> [SessionEffect; 2] {
    let epoch = Epoch(epoch);
    [
        SessionEffect::Installed { epoch },
        SessionEffect::Acknowledge { epoch },
    ]
}

fn send_with(epoch: u64) -> SessionEffect {
    SessionEffect::SendWith {
        epoch: Epoch(epoch),
    }
}

fn need_path(held: u64) -> SessionEffect {
    SessionEffect::NeedPath { held: Epoch(held) }
}

#[test]
fn a_path_brings_a_joiner_to_the_active_epoch() {
    let mut bench = Bench::new(Role::Both);
    assert_eq!(bench.path(1, key(2, 0, 1, 0), 1, 0), Ok(()));
    let [first, second] = installed(1);
    assert_eq!(bench.drain(), [first, second, send_with(1)]);
    assert_eq!(bench.session.root(Epoch(1)), Some(&key(2, 0, 1, 0)));
    assert_eq!(bench.session.sender_ids(Epoch(1)), [SenderId(40)]);
}

#[test]
fn joins_elsewhere_are_followed_by_ratcheting_alone_however_many_were_missed() {
    let mut bench = Bench::joined(Role::Receiver);
    assert_eq!(bench.ratcheted(9, 8), Ok(()));
    assert_eq!(bench.drain(), installed(9));
    assert_eq!(bench.session.root(Epoch(9)), Some(&key(2, 0, 1, 8)));
}

#[test]
fn the_two_clocks_of_senders_and_receivers() {
    let mut bench = Bench::joined(Role::Both);
    assert_eq!(bench.ratcheted(2, 1), Ok(()));
    bench.drain();
    // Receivers may open epoch 2 from now on; senders wait.
    assert!(bench.session.root(Epoch(2)).is_some());
    assert!(bench.after(999).is_empty());
    assert_eq!(bench.after(1), [send_with(2)]);
    assert!(
        bench.session.root(Epoch(1)).is_some(),
        "what is under way can be opened"
    );
    assert!(bench.after(4_999).is_empty());
    assert_eq!(bench.after(1), [SessionEffect::Retired { epoch: Epoch(1) }]);
    assert_eq!(bench.ratcheted(3, 2), Ok(()));
    bench.drain();
    bench
        .input(SessionInput::Activate { epoch: Epoch(3) })
        .expect("it is held");
    assert_eq!(
        bench.drain(),
        [send_with(3)],
        "the gateway may say so earlier"
    );
}

#[test]
fn epochs_that_keep_coming_do_not_put_activation_off_and_only_three_are_held() {
    let mut bench = Bench::joined(Role::Both);
    let mut effects = Vec::new();
    for number in 2..=30 {
        assert_eq!(bench.ratcheted(number, number as u16), Ok(()));
        effects.extend(bench.drain());
        effects.extend(bench.after(100));
        assert!(bench.session.held().count() <= 3);
        assert!(bench.session.root(bench.session.active()).is_some());
    }
    let first = effects
        .iter()
        .find(|effect| matches!(effect, SessionEffect::SendWith { .. }));
    assert_eq!(
        first,
        Some(&send_with(21)),
        "two delays after the first that waited"
    );
}

#[test]
fn a_receiver_keeps_what_senders_use_though_nobody_tells_it_that_they_switch() {
    let mut bench = Bench::joined(Role::Receiver);
    let mut rekey = |epoch, active| {
        bench.input(SessionInput::Rekey {
            header: header(epoch, key(2, 0, 1, epoch as u16)),
            edges: Vec::new(),
            active: Epoch(active),
        })
    };
    // 2 was activated before 3 was made; 3 and 4 were not.
    for (epoch, active) in [(2, 1), (3, 2), (4, 2), (5, 2)] {
        assert_eq!(rekey(epoch, active), Ok(()));
    }
    let held: Vec<u64> = bench.session.held().map(|header| header.epoch.0).collect();
    assert_eq!((held, bench.session.active()), (vec![2, 4, 5], Epoch(2)));
    // What no sender can use yet is not believed to be active.
    let early = bench.input(SessionInput::Rekey {
        header: header(6, key(2, 0, 1, 6)),
        edges: Vec::new(),
        active: Epoch(6),
    });
    assert_eq!((early, bench.session.active()), (Ok(()), Epoch(2)));
}

#[test]
fn what_cannot_be_opened_is_asked_for_with_growing_pauses_that_differ() {
    let mut bench = Bench::joined(Role::Receiver);
    let regenerated = key(2, 0, 2, 0);
    let refused = bench.rekey(header(5, regenerated), Vec::new());
    assert_eq!(refused, Err(SessionError::CannotOpen(Epoch(5))));
    assert_eq!(bench.drain(), [need_path(1)]);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let before = bench.now;
        let next = bench.session.next_timeout().expect("it asks again");
        assert_eq!(bench.after(next.0 - before), [need_path(1)]);
        pauses.push(next.0 - before);
    }
    assert!((250..500).contains(&pauses[0]), "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause < 20_000), "{pauses:?}");
    assert!(pauses[7] >= 10_000, "{pauses:?}");
    assert_eq!(bench.path(5, regenerated, 5, 0), Ok(()));
    bench.drain();
    assert!(
        bench
            .after(60_000)
            .iter()
            .all(|effect| *effect != need_path(5))
    );
}

#[test]
fn nothing_is_taken_over_unless_the_tag_holds() {
    let mut bench = Bench::joined(Role::Receiver);
    let mut forged = header(2, key(2, 0, 1, 1));
    forged.tag = [0; 16];
    assert_eq!(
        bench.rekey(forged, Vec::new()),
        Err(SessionError::CannotOpen(Epoch(2)))
    );
    assert_eq!(bench.session.newest(), Epoch(1));
    assert_eq!(bench.ratcheted(2, 1), Ok(()), "the keys are as they were");
}

#[test]
fn damaged_and_foreign_edges_cost_nothing_but_a_path() {
    let mut bench = Bench::joined(Role::Receiver);
    let root = key(2, 0, 2, 0);
    let mut damaged = edge(key(1, 1, 1, 0), root);
    damaged.wrapped[3] ^= 1;
    let foreign = edge(key(1, 0, 1, 0), root);
    let refused = bench.rekey(header(2, root), vec![damaged, foreign]);
    assert_eq!(refused, Err(SessionError::CannotOpen(Epoch(2))));
    let good = edge(key(1, 1, 1, 0), root);
    assert_eq!(bench.rekey(header(2, root), vec![damaged, good]), Ok(()));
}

#[test]
fn repetitions_other_groups_and_forks_are_told_apart() {
    let mut bench = Bench::joined(Role::Receiver);
    assert_eq!(bench.ratcheted(3, 2), Ok(()));
    let (got, held) = (Epoch(2), Epoch(3));
    assert_eq!(
        bench.ratcheted(2, 1),
        Err(SessionError::OldEpoch { got, held })
    );
    let got = Epoch(3);
    assert_eq!(
        bench.ratcheted(3, 2),
        Err(SessionError::OldEpoch { got, held })
    );
    assert_eq!(bench.ratcheted(3, 4), Err(SessionError::Forked(held)));
    let mut other = header(4, key(2, 0, 1, 3));
    other.header.group = GroupId([2; 16]);
    let foreign = SessionError::ForeignGroup(GroupId([2; 16]));
    assert_eq!(bench.rekey(other, Vec::new()), Err(foreign));
    for odd in [
        key(2, 1, 1, 3),
        key(0, 0, 1, 0),
        key(99, 0, 1, 0),
        key(2, 0, 1, u16::MAX),
    ] {
        assert_eq!(
            bench.rekey(header(4, odd), Vec::new()),
            Err(SessionError::NoRoot(odd))
        );
    }
    assert_eq!(bench.session.newest(), held);
}

#[test]
fn a_path_to_what_is_held_is_acknowledged_again() {
    let mut bench = Bench::joined(Role::Receiver);
    assert_eq!(bench.path(1, key(2, 0, 1, 0), 1, 0), Ok(()));
    assert_eq!(
        bench.drain(),
        [SessionEffect::Acknowledge { epoch: Epoch(1) }]
    );
}

#[test]
fn an_edge_that_asks_for_endless_ratcheting_is_passed_over() {
    let mut bench = Bench::joined(Role::Receiver);
    let root = key(2, 0, 2, 0);
    let endless = edge(key(1, 1, 1, u16::MAX), root);
    let refused = bench.rekey(header(2, root), vec![endless]);
    assert_eq!(refused, Err(SessionError::CannotOpen(Epoch(2))));
}

#[test]
fn a_new_sender_space_is_not_sent_in_before_its_identifiers_are_known() {
    let mut bench = Bench::joined(Role::Both);
    let mut rolled = header(2, key(2, 0, 1, 1));
    rolled.header.sender_space = 1;
    assert_eq!(bench.rekey(rolled, Vec::new()), Ok(()));
    assert!(bench.drain().contains(&need_path(2)));
    bench
        .input(SessionInput::Activate { epoch: Epoch(2) })
        .expect("it is held");
    assert!(bench.drain().is_empty(), "nothing to send under yet");
    assert_eq!(bench.session.sender_ids(Epoch(1)), [SenderId(40)]);
    assert_eq!(bench.path(2, key(2, 0, 1, 1), 2, 1), Ok(()));
    assert!(bench.drain().contains(&send_with(2)));
    assert_eq!(bench.session.sender_ids(Epoch(2)), [SenderId(41)]);
    assert_eq!(
        bench.session.sender_ids(Epoch(1)),
        [SenderId(40)],
        "each in its own epoch"
    );
}

#[test]
fn an_activation_of_what_is_not_held_asks_for_the_path() {
    let mut bench = Bench::joined(Role::Both);
    bench
        .input(SessionInput::Activate { epoch: Epoch(4) })
        .expect("it is noted");
    assert_eq!(bench.drain(), [need_path(1)]);
    assert_eq!(bench.path(4, key(2, 0, 4, 0), 4, 0), Ok(()));
    assert!(bench.drain().contains(&send_with(4)));
}

#[test]
fn an_end_leaves_nothing() {
    let mut bench = Bench::joined(Role::Both);
    bench.ratcheted(2, 1).expect("it opens");
    bench.input(SessionInput::Evicted).expect("it is taken");
    assert_eq!(bench.drain(), [SessionEffect::Ended]);
    assert_eq!(bench.session.held().count(), 0);
    assert_eq!(bench.session.next_timeout(), None);
    assert_eq!(format!("{:?}", bench.session.keyring), "[]");
    assert!(bench.session.sender_ids(Epoch(1)).is_empty());
    assert_eq!(bench.ratcheted(3, 2), Err(SessionError::Ended));
}
