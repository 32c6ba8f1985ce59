//! Freezing: nobody is admitted any more, and everything else goes on, until the group is thawed.
//!
//! It holds from the moment that it is asked for, and survives whatever happens once it is on record. Whoever is on record as a
//! member by then stays one, and is granted his keys. A thaw counts once it is on record.

use super::GroupMachine;
use super::io::Ticket;
use super::waiting::cut;
use crate::group::ids::Identity;
use crate::group::limits::FROZEN_RETRY_MS;
use crate::group::record::{Frozen, Record, Thawed};
use crate::group::wire::{Refusal, RefusalCode};

impl GroupMachine {
    /// Why nobody is admitted, if nobody is.
    pub fn frozen(&self) -> Option<&str> {
        let asked = match &self.waiting.gate {
            Some(Record::Frozen(frozen)) => Some(frozen.why.as_str()),
            _ => None,
        };
        self.state.frozen().or(asked)
    }

    /// Whether a freeze or a thaw waits to be put on record.
    pub fn is_gate_moving(&self) -> bool {
        self.waiting.gate.is_some()
    }

    /// Nobody is admitted from now on; whoever waits to join is told so.
    pub(super) fn freeze(&mut self, why: &str, by: Option<Identity>) {
        let why = cut(why);
        self.waiting.gate = Some(Record::Frozen(Frozen { why, by }));
        self.refuse_joins(&refusal());
    }

    /// Whoever the policy admits is admitted again, once that is on record.
    pub(super) fn thaw(&mut self, by: Option<Identity>) {
        self.waiting.gate = Some(Record::Thawed(Thawed { by }));
    }

    pub(super) fn refuse_frozen(&mut self, ticket: Ticket) {
        self.refuse(ticket, refusal());
    }

    /// The record of what waits, unless the group is so already: then nothing waits any more.
    pub(super) fn gate(&mut self) -> Option<Record> {
        let frozen = self.state.frozen().is_some();
        let changes = |gate: &mut Record| matches!(gate, Record::Frozen(_)) == frozen;
        self.waiting.gate.take_if(changes);
        self.waiting.gate.clone()
    }
}

fn refusal() -> Refusal {
    Refusal::retry(RefusalCode::Frozen, FROZEN_RETRY_MS)
}
