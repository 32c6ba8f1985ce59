//! What members report, and how.

use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;
use wardcast::group::ids::Epoch;

/// What a member saw, and when.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) member: usize,
    pub(super) at: Instant,
    pub(super) what: What,
}

/// What there is to be seen.
#[derive(Debug)]
pub(super) enum What {
    /// It holds this epoch.
    Holds(Epoch),
    /// It sends with this epoch.
    Sends(Epoch),
    /// Its registration, or its connection, is over.
    Over(String),
}

/// How members report.
#[derive(Clone)]
pub(super) struct Reporter {
    pub(super) member: usize,
    pub(super) seen: UnboundedSender<Seen>,
}

impl Reporter {
    pub(super) fn tell(&self, what: What) {
        let at = Instant::now();
        let member = self.member;
        // The run may be over already.
        let _ = self.seen.send(Seen { member, at, what });
    }
}
