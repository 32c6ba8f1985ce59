//! What is counted of a group for operators, and told to its shard's census.

use super::Served;
use crate::engine::census::Did;
use crate::engine::count;
use crate::group::machine::{Assurance, Held};

/// The group's own part of what is counted.
#[derive(Default)]
pub(super) struct Counted {
    /// Since the shard was told last.
    did: Did,
    /// As the shard was told last.
    told: Assurance,
}

/// What a group did since its shard looked last.
pub(in crate::engine) struct Seen {
    /// How it was then.
    pub(in crate::engine) before: Assurance,
    /// How it is.
    pub(in crate::engine) assurance: Assurance,
    pub(in crate::engine) did: Did,
    /// Who holds the newest epoch since then.
    pub(in crate::engine) held: Option<Held>,
}

impl Counted {
    pub(super) fn rekeyed(&mut self) {
        self.did.rekeys += 1;
    }

    pub(super) fn joined(&mut self) {
        count::joined();
        self.did.joins += 1;
    }
}

impl Served {
    /// What it did since this was asked last. Costs the same however many members there are.
    pub(in crate::engine) fn seen(&mut self) -> Seen {
        let assurance = self.machine.assurance();
        Seen {
            before: std::mem::replace(&mut self.shown.counted.told, assurance),
            assurance,
            did: std::mem::take(&mut self.shown.counted.did),
            held: self.machine.take_held(),
        }
    }

    /// As its shard was told last.
    pub(in crate::engine) fn told(&self) -> &Assurance {
        &self.shown.counted.told
    }
}
