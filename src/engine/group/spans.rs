//! The course of a group's changes as spans, for those who watch. A change is stored, the
//! token executes what it needs, it is pushed, members acknowledge it.
//!
//! A span is made for each of these, whatever the group's size, and none where nobody is told of them.

use tracing::{Span, debug_span, field};

use crate::group::ids::{Epoch, GroupId, Revision};
use crate::group::request::{RequestId, Requests};
use crate::trace::TARGET;

/// The change that is under way, and the epoch that is not used yet.
pub(in crate::engine) struct Spans {
    change: Span,
    /// An epoch that was pushed, and its spans: the whole, and the wait for acknowledgements.
    pushed: Option<(Epoch, Span, Span)>,
    /// What was asked since a change was planned, and leads to the next.
    asked: Requests,
    /// What led to the newest change.
    requests: Requests,
    /// The newest change is not pushed yet, nor over.
    under_way: bool,
}

impl Default for Spans {
    fn default() -> Self {
        Spans {
            change: Span::none(),
            pushed: None,
            asked: Requests::default(),
            requests: Requests::default(),
            under_way: false,
        }
    }
}

impl Spans {
    /// A request leads to a change, soon.
    pub(super) fn asked(&mut self, request: Option<&RequestId>) {
        if let Some(request) = request {
            self.asked.add(request.clone());
        }
    }

    /// The requests that led to the newest change.
    pub(super) fn requests(&self) -> &Requests {
        &self.requests
    }

    /// A change is planned: it is about to be stored.
    pub(in crate::engine) fn planned(&mut self, group: GroupId, at: Revision) {
        if self.under_way {
            // What is stored while an epoch is made, as another policy is, is told as a part of that.
            self.requests.append(std::mem::take(&mut self.asked));
            return;
        }
        self.under_way = true;
        self.requests = std::mem::take(&mut self.asked);
        self.change = debug_span!(
            target: TARGET,
            parent: None,
            "change",
            %group,
            revision = at.0 + 1,
            epoch = field::Empty,
            requests = field::Empty,
        );
        if !self.requests.is_empty() {
            self.change
                .record("requests", field::display(&self.requests));
        }
    }

    /// The change led to no epoch: what the token is asked for later is not for it.
    pub(super) fn over(&mut self) {
        self.change = Span::none();
        self.under_way = false;
    }

    /// For the append to the store, and what is put on record with it.
    pub(in crate::engine) fn store(&self) -> Span {
        debug_span!(target: TARGET, parent: &self.change, "store")
    }

    /// For a batch of the token, of the change that is under way; none where there is no such change.
    pub(in crate::engine) fn token(&self, operations: usize) -> Span {
        match self.change.is_none() {
            true => Span::none(),
            false => debug_span!(target: TARGET, parent: &self.change, "token", operations),
        }
    }

    /// For handing an epoch to whoever sends it: the change is a rekey.
    pub(in crate::engine) fn push(&self, epoch: Epoch) -> Span {
        self.change.record("epoch", epoch.0);
        debug_span!(target: TARGET, parent: &self.change, "push")
    }

    /// An epoch is on its way; now it waits until enough members have it, or long enough.
    pub(in crate::engine) fn pushed(&mut self, epoch: Epoch) {
        self.under_way = false;
        let change = std::mem::replace(&mut self.change, Span::none());
        let waits = debug_span!(target: TARGET, parent: &change, "acknowledgements");
        self.pushed = Some((epoch, change, waits));
    }

    /// An epoch is used from here on: it, and what came before it, are over.
    pub(in crate::engine) fn activated(&mut self, epoch: Epoch) {
        self.pushed.take_if(|(pushed, ..)| *pushed <= epoch);
    }
}
