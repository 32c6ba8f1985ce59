//! From a committed change to a delivered epoch: wraps and a signed header from the token, then the push.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::GroupMachine;
use super::io::{Effect, Rekey};
use super::jobs::Work;
use super::timing::Timing;
use super::why::Why;
use crate::group::edges::{Edge, chunks};
use crate::group::ids::{Epoch, NodeId, Time};
use crate::group::index;
use crate::group::limits::WRAPS_PER_JOB;
use crate::group::operations::{Operation, Priority};
use crate::group::planner::PlannedEdge;
use crate::group::wire::{key_id, rekey_head};

/// A confirmation tag and a signature.
type Seal = ([u8; 16], Bytes);

/// The newest epoch's header and whom it was delivered to.
#[derive(Debug, Default)]
pub(super) struct Sealing {
    /// The newest header, once it is sealed.
    sealed: Option<(Epoch, Bytes)>,
    /// The one in the making.
    making: Option<Making>,
    /// Children whose up-edges members wait for since the last delivery. A change that overtakes one that was not
    /// delivered takes these along: members that hold the delivered epoch can always open the next.
    owed: BTreeSet<NodeId>,
    /// Until when members may take their time to ask for the leaf keys that they have since a rollover.
    granting_until: Time,
    /// When the changes came that were delivered last, and who holds them.
    pub(super) timing: Timing,
}

/// An epoch whose wraps and header are in the making.
#[derive(Debug)]
struct Making {
    epoch: Epoch,
    priority: Priority,
    /// Why it is delivered; not when a header is only sealed again after a restart: nobody lacks it.
    deliver: Option<Why>,
    /// Whether members are granted their leaf keys anew, since this epoch or one that it overtook.
    renewed: bool,
    /// Wraps that the token has not been asked for.
    wraps: Vec<PlannedEdge>,
    /// Whether the token has not been asked for the seal.
    unsealed: bool,
    /// Whether the token was asked for anything.
    tried: bool,
    in_flight: usize,
    made: Vec<Edge>,
    seal: Option<Seal>,
}

impl Sealing {
    /// Whether up-edges from this child come with the delivery in the making.
    pub(super) fn owes(&self, child: NodeId) -> bool {
        self.owed.contains(&child)
    }

    /// Whether an epoch is to be delivered.
    pub(super) fn delivers(&self) -> bool {
        self.making
            .as_ref()
            .is_some_and(|making| making.deliver.is_some())
    }

    /// Why an epoch is to be delivered, if one is.
    pub(super) fn why(&self) -> Option<Why> {
        self.making.as_ref().and_then(|making| making.deliver)
    }

    /// Whether the token is to be asked for something.
    pub(super) fn is_waiting(&self) -> bool {
        let waits = |making: &Making| making.unsealed || !making.wraps.is_empty();
        self.making.as_ref().is_some_and(waits)
    }

    /// Whether somebody is evicted at once and the token was not asked for that yet.
    fn is_untried_urgency(&self) -> bool {
        let untried = |making: &Making| making.priority == Priority::Urgent && !making.tried;
        self.making.as_ref().is_some_and(untried)
    }

    pub(super) fn clear(&mut self) {
        *self = Sealing::default();
    }
}

impl GroupMachine {
    /// A change is on record: its wraps and header are to be made, and delivered.
    pub(super) fn make_epoch(
        &mut self,
        rekey: &[PlannedEdge],
        priority: Priority,
        renews: bool,
        why: Why,
    ) {
        let priority = self.at_least_as_urgent(priority);
        let overtaken = self.sealing.making.as_ref();
        let renewed = renews || overtaken.is_some_and(|making| making.renewed);
        let why = why.and(self.sealing.why());
        let tree = self.state.tree();
        let owed = &mut self.sealing.owed;
        if renews {
            // Nobody holds a key that opens what was owed: members are granted their leaf keys instead.
            owed.clear();
        }
        owed.extend(rekey.iter().map(|edge| edge.child.node));
        // A child that nobody is below any more may be one whose key a member that left still holds.
        owed.retain(|&child| tree.population(child) > 0);
        let wraps = owed.iter().map(|&child| PlannedEdge {
            child: tree.key(child),
            parent: tree.key(index::parent(child)),
        });
        self.sealing.making = Some(Making {
            epoch: self.state.epoch(),
            priority,
            deliver: Some(why),
            renewed,
            wraps: wraps.collect(),
            unsealed: true,
            tried: false,
            in_flight: 0,
            made: Vec::new(),
            seal: None,
        });
    }

    /// An eviction that was not delivered yet lends its urgency to the change that overtakes it.
    fn at_least_as_urgent(&self, priority: Priority) -> Priority {
        match &self.sealing.making {
            Some(making) => making.priority.min(priority),
            None => priority,
        }
    }

    /// The newest epoch's header, when it is sealed.
    pub(super) fn newest_header(&self) -> Option<&Bytes> {
        let newest = self.state.epoch();
        let sealed = self.sealing.sealed.as_ref();
        sealed
            .filter(|(epoch, _)| *epoch == newest)
            .map(|(_, header)| header)
    }

    /// Somebody needs the newest header: after a restart it is sealed again.
    pub(super) fn need_header(&mut self) {
        if self.newest_header().is_some() || self.sealing.making.is_some() {
            return;
        }
        self.sealing.making = Some(Making {
            epoch: self.state.epoch(),
            priority: Priority::Grant,
            deliver: None,
            renewed: false,
            wraps: Vec::new(),
            unsealed: true,
            tried: false,
            in_flight: 0,
            made: Vec::new(),
            seal: None,
        });
    }

    /// Asks the token for what the epoch in the making lacks; an urgent one does not wait for a pause to end.
    pub(super) fn issue_sealing(&mut self) {
        if !self.sealing.is_waiting() {
            return;
        }
        if !self.token.backoff.is_over(self.now) && !self.sealing.is_untried_urgency() {
            return;
        }
        let Some(issuer) = self.issuer() else {
            return;
        };
        let header = self.state.header();
        let prefix = header.prefix(key_id(&issuer.signing));
        let Some(making) = &mut self.sealing.making else {
            return;
        };
        making.tried = true;
        let (epoch, priority) = (making.epoch, making.priority);
        let mut wraps = std::mem::take(&mut making.wraps).into_iter();
        let mut unsealed = std::mem::take(&mut making.unsealed);
        let mut jobs = Vec::new();
        loop {
            let edges: Vec<PlannedEdge> = wraps.by_ref().take(WRAPS_PER_JOB).collect();
            // The seal goes with the first wraps: it is the one thing that every member needs.
            let seal = std::mem::take(&mut unsealed);
            if edges.is_empty() && !seal {
                break;
            }
            jobs.push(Work::Rekey { epoch, edges, seal });
        }
        making.in_flight += jobs.len();
        for work in jobs {
            let Work::Rekey { edges, seal, .. } = &work else {
                continue;
            };
            let mut operations: Vec<Operation> = edges.iter().map(wrap).collect();
            operations.extend(seal.then(|| Operation::Seal {
                root: header.root,
                prefix: prefix.clone(),
            }));
            self.ask(priority, operations, work);
        }
    }

    /// The token made a share of a rekey.
    pub(super) fn rekey_done(&mut self, epoch: Epoch, edges: Vec<Edge>, seal: Option<Seal>) {
        for edge in &edges {
            self.keys.cache.insert(self.state.tree(), edge);
        }
        let Some(making) = self.sealing.making.as_mut().filter(|m| m.epoch == epoch) else {
            // Overtaken by a newer change, which makes its own.
            return;
        };
        making.in_flight -= 1;
        making.made.extend(edges);
        making.seal = making.seal.take().or(seal);
        if making.in_flight == 0 && making.wraps.is_empty() {
            self.finish_epoch();
        }
    }

    /// The token did not make a share of a rekey: it is asked for again.
    pub(super) fn rekey_failed(&mut self, epoch: Epoch, edges: Vec<PlannedEdge>, seal: bool) {
        if let Some(making) = self.sealing.making.as_mut().filter(|m| m.epoch == epoch) {
            making.in_flight -= 1;
            making.wraps.extend(edges);
            making.unsealed |= seal;
        }
    }

    fn finish_epoch(&mut self) {
        let Some(kid) = self.issuer().map(|issuer| key_id(&issuer.signing)) else {
            return;
        };
        let sealed = |m: &mut Making| m.seal.is_some();
        let Some(making) = self.sealing.making.take_if(sealed) else {
            return;
        };
        let Some((tag, signature)) = making.seal else {
            return;
        };
        let content = self.state.header();
        let header = content.assemble(kid, tag, &signature);
        self.sealing.sealed = Some((making.epoch, header.clone()));
        if let Some(why) = making.deliver {
            self.sealing.owed.clear();
            let active = self.epochs.active();
            self.effects.push_back(Effect::Deliver(Arc::new(Rekey {
                group: content.group,
                epoch: making.epoch,
                previous: self.epochs.delivered(),
                active,
                why,
                head: rekey_head(content.group, &header, active),
                header,
                chunks: chunks(self.state.tree(), &making.made),
            })));
            let delay = u64::from(content.activation_delay_ms);
            self.epochs
                .deliver(making.epoch, content.suite, self.now, delay);
            self.sealing.timing.delivers(why);
            if making.renewed {
                self.sealing.granting_until = self.now.after(delay);
            }
            let (silence, from) = (self.silence_ms(), self.sealing.granting_until.max(self.now));
            self.state
                .roster_mut()
                .delivered(making.epoch, from, silence);
            self.activate_when_due();
        }
        self.answer_ready();
    }
}

/// The token's operation for a planned edge.
pub(super) fn wrap(edge: &PlannedEdge) -> Operation {
    Operation::Wrap {
        child: edge.child,
        parent: edge.parent,
    }
}
