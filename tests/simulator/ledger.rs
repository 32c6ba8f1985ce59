//! What was persisted, told by replaying it, and what must follow from that.

use std::collections::{BTreeMap, BTreeSet};

use wardcast::group::ids::{Epoch, KeyRef, MemberId, Revision, SenderId};
use wardcast::group::record::Record;
use wardcast::group::state::State;

use crate::adversary::{History, Past};

/// An independent reader of the group's log.
#[derive(Default)]
pub(crate) struct Ledger {
    state: Option<State>,
    pub(crate) history: History,
    /// Every member's leaf key since each rollover.
    leaves: BTreeMap<(MemberId, u64), KeyRef>,
    /// Who was given a sender identifier in each space: for good.
    senders: BTreeMap<(u32, SenderId), MemberId>,
}

impl Ledger {
    /// A record became durable.
    pub(crate) fn append(&mut self, expected: Revision, bytes: &[u8]) {
        let record = Record::from_bytes(bytes).expect("records are well-formed");
        let state = match (&mut self.state, &record) {
            (Some(state), _) => state,
            (none, Record::Created(created)) => none.insert(State::begin(created.clone())),
            (None, other) => panic!("the log begins with {other:?}"),
        };
        assert_eq!(state.revision(), expected, "a second writer");
        state
            .apply(record)
            .expect("every record follows the one before");
        let members: BTreeSet<MemberId> = state.roster().iter().map(|(id, _)| id).collect();
        for (id, member) in state.roster().iter() {
            if let Some(leaf) = state.leaf_key(id) {
                let registration = (id, state.rollovers());
                let earlier = *self.leaves.entry(registration).or_insert(leaf);
                assert_eq!(earlier, leaf, "a leaf key changes by a rollover alone");
                self.history.leaves.entry(id).or_default().insert(leaf);
            }
            let Some(sender) = member.sender else {
                continue;
            };
            let owner = *self
                .senders
                .entry((state.sender_space(), sender))
                .or_insert(id);
            assert_eq!(owner, id, "{sender:?} has two owners in one sender space");
        }
        let root = state.tree().root();
        if state.epoch() > Epoch(0) {
            let epoch = self.history.epochs.entry(state.epoch());
            let origin = (state.master(), state.nonce().0, state.suite());
            epoch.or_insert(Past {
                root,
                members,
                origin,
            });
        }
    }

    pub(crate) fn revision(&self) -> Revision {
        self.state.as_ref().map_or(Revision(0), State::revision)
    }

    /// The newest durable epoch and its root.
    pub(crate) fn newest(&self) -> Option<(Epoch, KeyRef)> {
        let (&epoch, past) = self.history.epochs.last_key_value()?;
        Some((epoch, past.root))
    }

    /// A member says that it holds an epoch: it must be on record, with that root and that member.
    pub(crate) fn check_installed(&self, member: MemberId, epoch: Epoch, root: Option<KeyRef>) {
        let Some(Past {
            root: on_record,
            members,
            ..
        }) = self.history.epochs.get(&epoch)
        else {
            panic!("member {member} holds epoch {epoch}, which is not on record");
        };
        assert_eq!(
            root,
            Some(*on_record),
            "member {member} has another root of epoch {epoch}"
        );
        assert!(
            members.contains(&member),
            "member {member} opened epoch {epoch} from outside"
        );
    }

    /// A member sends with these identifiers.
    pub(crate) fn check_sending(&self, member: MemberId, space: u32, ids: &[SenderId]) {
        assert!(
            !ids.is_empty(),
            "member {member} sends without an identifier"
        );
        for &id in ids {
            let owner = self.senders.get(&(space, id));
            assert_eq!(owner, Some(&member), "member {member} sends as {id:?}");
        }
    }
}
