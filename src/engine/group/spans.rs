//! The course of a group's changes as spans, for those who watch. A change is stored, the
//! token executes what it needs, it is pushed, members acknowledge it.
//!
//! A span is made for each of these, whatever the group's size, and none where nobody is told of them.

use tracing::{Span, debug_span, field};

use crate::group::ids::{Epoch, GroupId, Revision};
use crate::group::request::{RequestId, Requests};
use crate::trace::TARGET;

/// What is being stored, the epoch that is in the making, and the one that is not used yet.
#[derive(Default)]
pub(in crate::engine) struct Spans {
    /// The record that is under way.
    stored: Change,
    /// What an epoch is made for: its record is stored.
    making: Change,
    /// An epoch that was pushed, and its spans: the whole, and the wait for acknowledgements.
    pushed: Option<(Epoch, Span, Span)>,
    /// What was asked, besides joins, since an epoch was planned, and leads to the next.
    asked: Requests,
}

/// A change, and what led to it.
struct Change {
    span: Span,
    requests: Requests,
    /// Those of them that are not over where it cannot be stored: joins are refused then.
    kept: Requests,
}

impl Default for Change {
    fn default() -> Self {
        Change {
            span: Span::none(),
            requests: Requests::default(),
            kept: Requests::default(),
        }
    }
}

impl Spans {
    /// A request leads to an epoch, soon.
    pub(super) fn asked(&mut self, request: Option<&RequestId>) {
        if let Some(request) = request {
            self.asked.add(request);
        }
    }

    /// The requests that led to the epoch in the making.
    pub(super) fn requests(&self) -> &Requests {
        &self.making.requests
    }

    /// A change is planned: it is about to be stored. Where it leads to an epoch, these join with it.
    pub(super) fn planned<'r>(
        &mut self,
        group: GroupId,
        at: Revision,
        joining: Option<impl Iterator<Item = &'r RequestId>>,
    ) {
        let span = debug_span!(
            target: TARGET,
            parent: None,
            "change",
            %group,
            revision = at.0 + 1,
            epoch = field::Empty,
            requests = field::Empty,
        );
        self.stored = Change {
            span,
            ..Change::default()
        };
        let Some(joining) = joining else {
            return;
        };
        let change = &mut self.stored;
        change.kept = std::mem::take(&mut self.asked);
        // Operators before joiners, of whom there are many: few are named.
        change.requests = change.kept.clone();
        joining.for_each(|request| change.requests.add(request));
        if !change.requests.is_empty() {
            let requests = field::display(&change.requests);
            change.span.record("requests", requests);
        }
    }

    /// What was planned is on record. Where it led to no epoch, it is over with that.
    pub(super) fn stored(&mut self, leads_to_an_epoch: bool) {
        let stored = std::mem::take(&mut self.stored);
        if leads_to_an_epoch {
            // What an epoch that it overtakes had not delivered is made with it.
            let overtaken = std::mem::replace(&mut self.making, stored);
            self.making.requests.append(&overtaken.requests);
        }
    }

    /// What was planned is not on record, and is planned again.
    pub(super) fn not_stored(&mut self) {
        let mut asked = std::mem::take(&mut self.stored).kept;
        asked.append(&self.asked);
        self.asked = asked;
    }

    /// For the append to the store, and what is put on record with it.
    pub(in crate::engine) fn store(&self) -> Span {
        debug_span!(target: TARGET, parent: &self.stored.span, "store")
    }

    /// For a batch of the token while an epoch is in the making; none where none is.
    pub(in crate::engine) fn token(&self, operations: usize) -> Span {
        match self.making.span.is_none() {
            true => Span::none(),
            false => debug_span!(target: TARGET, parent: &self.making.span, "token", operations),
        }
    }

    /// For handing an epoch to whoever sends it: the change is a rekey.
    pub(in crate::engine) fn push(&self, epoch: Epoch) -> Span {
        self.making.span.record("epoch", epoch.0);
        debug_span!(target: TARGET, parent: &self.making.span, "push")
    }

    /// An epoch is on its way; now it waits until enough members have it, or long enough.
    pub(in crate::engine) fn pushed(&mut self, epoch: Epoch) {
        let change = std::mem::take(&mut self.making).span;
        let waits = debug_span!(target: TARGET, parent: &change, "acknowledgements");
        self.pushed = Some((epoch, change, waits));
    }

    /// An epoch is used from here on: it, and what came before it, are over.
    pub(in crate::engine) fn activated(&mut self, epoch: Epoch) {
        self.pushed.take_if(|(pushed, ..)| *pushed <= epoch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: GroupId = GroupId([1; 16]);

    fn planned(spans: &mut Spans, joining: Option<&[u64]>) {
        let joining = joining.map(|all| all.iter().map(|number| RequestId::from(*number)));
        let joining = joining.map(Vec::from_iter);
        let joining = joining.as_ref().map(|all| all.iter());
        spans.planned(GROUP, Revision(1), joining);
    }

    fn named(spans: &Spans) -> String {
        let named = spans.requests().to_string();
        named.replace("000000000000000", "")
    }

    #[test]
    fn an_epoch_is_named_after_what_led_to_it_and_nothing_else_is() {
        let mut spans = Spans::default();
        spans.asked(Some(&RequestId::from(1)));
        // A policy comes first: it is no epoch, and takes nothing away from the one that comes.
        planned(&mut spans, None);
        spans.stored(false);
        assert_eq!(named(&spans), "");
        planned(&mut spans, Some(&[2, 3]));
        assert_eq!(named(&spans), "", "it is not on record yet");
        spans.stored(true);
        assert_eq!(named(&spans), "1 2 3");
        // An eviction overtakes it, and is made with it.
        spans.asked(Some(&RequestId::from(4)));
        planned(&mut spans, Some(&[]));
        spans.stored(true);
        assert_eq!(named(&spans), "4 1 2 3");
        spans.pushed(Epoch(2));
        assert_eq!(named(&spans), "");
    }

    #[test]
    fn what_cannot_be_stored_is_named_when_it_can_but_joins_are_over() {
        let mut spans = Spans::default();
        spans.asked(Some(&RequestId::from(1)));
        planned(&mut spans, Some(&[2]));
        spans.asked(Some(&RequestId::from(3)));
        spans.not_stored();
        assert_eq!(named(&spans), "");
        planned(&mut spans, Some(&[4]));
        spans.stored(true);
        assert_eq!(named(&spans), "1 3 4");
    }
}
