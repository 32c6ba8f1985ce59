//! Somebody who was in the group once and kept everything: keys, deliveries, and whatever was sent to others since.

use crate::group::ids::{Epoch, Time};
use crate::group::session::{MemberSession, SessionInput};
use crate::group::wire::EpochHeader;
use crate::member::{Observed, SuiteKeys, Ticket};

/// A member's own session machine that ignores that it was removed. It looks at the edges on its path only: no others are
/// wrapped under a key that it ever held.
pub(super) struct Outsider {
    session: MemberSession<SuiteKeys>,
    tried: usize,
    last_tried: Epoch,
}

impl Outsider {
    /// From what the member would resume with: its leaf key.
    pub(super) fn new(ticket: &Ticket) -> Self {
        let session =
            MemberSession::joined(ticket.keys, ticket.membership(), ticket.leaf_key.clone());
        Self {
            session,
            tried: 0,
            last_tried: Epoch(0),
        }
    }

    /// Tries these deliveries in order; signatures do not stop it.
    pub(super) fn replay(&mut self, deliveries: &[Observed]) {
        for Observed { header, edges } in deliveries {
            let Ok(header) = EpochHeader::parse(header) else {
                continue;
            };
            self.tried += 1;
            self.last_tried = self.last_tried.max(header.header.epoch);
            // It does not acknowledge, has no clock, and learns from what it holds after all whether it could open this one.
            let _ = self.session.handle(
                Time(0),
                SessionInput::Rekey {
                    header,
                    edges: edges.clone(),
                    active: Epoch(0),
                },
            );
            while self.session.poll().is_some() {}
        }
    }

    /// The newest epoch whose root it knows.
    pub(super) fn newest(&self) -> Epoch {
        self.session.newest()
    }

    /// The newest epoch that it tried.
    pub(super) fn last_tried(&self) -> Epoch {
        self.last_tried
    }

    /// How many deliveries it tried.
    pub(super) fn tried(&self) -> usize {
        self.tried
    }
}
