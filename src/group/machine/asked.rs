//! Who waits for keys, what each asked for, and what of it is made.

use bytes::Bytes;

use super::io::Ticket;
use crate::group::ids::{KeyRef, MemberId, Time};
use crate::group::operations::{Output, WrappedKey};

/// What a member asked for, until it is answered: one for each member at most.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) ticket: Ticket,
    pub(super) since: Time,
    /// The leaf key that it holds, as it says.
    pub(super) held: Option<KeyRef>,
    /// What to wrap another leaf key for, of the suite that was the group's when it asked.
    pub(super) public: Option<Bytes>,
}

/// Somebody who waits for keys. Only while the member has asked for something: one that left is forgotten there.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) member: MemberId,
    /// The grant that the token was asked for.
    pub(super) asking: Option<(KeyRef, Bytes)>,
    pub(super) made: Option<Made>,
}

/// A leaf key that was wrapped.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) leaf: KeyRef,
    /// For this key of the member's.
    public: Bytes,
    pub(super) wrapped: WrappedKey,
    pub(super) encapsulated: Bytes,
}

/// What a waiter needs besides its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// It holds its leaf key, or has to make do with the one that it holds.
    Nothing,
    /// This leaf key, wrapped for this public key.
    Grant(KeyRef, Bytes),
    /// The group's suite changed while it waited: its public key is of another one.
    OtherSuite,
}

impl Waiter {
    pub(super) fn new(member: MemberId) -> Self {
        Waiter {
            member,
            asking: None,
            made: None,
        }
    }

    /// Whether what it needs is not made. A grant of before a rollover is of no use after it.
    pub(super) fn lacks(&self, need: &Need) -> bool {
        let Need::Grant(leaf, public) = need else {
            return false;
        };
        let made = self.made.as_ref();
        made.is_none_or(|made| (made.leaf, &made.public) != (*leaf, public))
    }

    /// The token's answer to what it was asked; false when the member's public key is none.
    pub(super) fn take(&mut self, output: Option<&Output>) -> bool {
        let Some((leaf, public)) = self.asking.take() else {
            return true;
        };
        let Some(Output::Granted {
            wrapped,
            encapsulated,
        }) = output
        else {
            return false;
        };
        self.made = Some(Made {
            leaf,
            public,
            wrapped: *wrapped,
            encapsulated: encapsulated.clone(),
        });
        true
    }
}
