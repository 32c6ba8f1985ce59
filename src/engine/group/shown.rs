//! What a group shows of itself beside the others.

use super::Served;
use super::counted::Counted;
use super::course::Course;
use super::spans::Spans;
use crate::engine::standing::{Share, Standing};
use crate::group::ids::{Revision, Time};
use crate::group::machine::Input;

/// What metrics are made of, what operators are shown, and what is traced.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) course: Course,
    pub(super) counted: Counted,
    pub(super) spans: Spans,
    /// Of what all groups are together.
    share: Share,
}

impl Served {
    /// A record is durable.
    pub(in crate::engine) fn persisted(&mut self, now: Time, revision: Revision) {
        let before = self.machine.state().epoch();
        self.handle(now, Input::Persisted { revision });
        let leads_to_an_epoch = self.machine.state().epoch() != before;
        self.shown.spans.stored(leads_to_an_epoch);
    }

    /// A record was not written, and never will be.
    pub(in crate::engine) fn not_persisted(&mut self, now: Time) {
        self.shown.spans.not_stored();
        self.handle(now, Input::PersistFailed);
    }

    /// Its changes, for whoever traces them.
    pub(in crate::engine) fn spans(&self) -> &Spans {
        &self.shown.spans
    }

    /// Whether this is the first that happens to it since it was last shown.
    pub(in crate::engine) fn grows_stale(&mut self) -> bool {
        !std::mem::replace(&mut self.shown.share.stale, true)
    }

    /// Shows what it is now.
    pub(in crate::engine) fn show(&mut self, standing: &mut Standing) {
        self.shown.share.stale = false;
        standing.show(self.id(), &mut self.shown.share, Some(&self.machine));
    }

    /// It is no more.
    pub(in crate::engine) fn vanish(&mut self, standing: &mut Standing) {
        standing.show(self.id(), &mut self.shown.share, None);
    }
}
