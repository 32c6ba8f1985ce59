//! What the engine puts on the audit trail, if the gateway keeps one; and what keeps anybody from being admitted besides the policy.

use std::sync::Arc;

use tokio::sync::mpsc::WeakSender;

use super::event::{Asker, Event, Reply, What};
use super::gate::Gate;
use super::outbox::Outbox;
use crate::audit::{self, Actor, Audit, Entry, Group, Unwritable};
use crate::group::ids::{Epoch, GroupId, Identity, MemberId, Revision};
use crate::group::record::Record;
use crate::group::request::RequestId;
use crate::group::wire::{Grant, Refusal, RefusalCode, Response};
use crate::store::StoredGroup;

/// When whoever was not admitted because of the trail may ask again.
const RETRY_MS: u64 = 5_000;

/// The trail, or none; and how the key store is that it goes to.
#[derive(Clone, Debug)]
pub(super) struct Trail {
    audit: Option<Audit>,
    gate: Gate,
}

/// The trail, and the group that it is told of.
#[derive(Clone, Debug)]
pub(super) struct GroupTrail {
    trail: Trail,
    id: GroupId,
    group: Arc<Group>,
}

/// Keys for a member, which it is handed once that is on record.
pub(super) struct Granting {
    pub(super) member: MemberId,
    pub(super) identity: Identity,
    /// What asked for them.
    pub(super) request: Option<RequestId>,
    /// The newest epoch.
    pub(super) epoch: Epoch,
    pub(super) grant: Box<Grant>,
    pub(super) to: Grantee,
}

/// Who waits for keys.
pub(super) enum Grantee {
    /// Somebody who joins, with his connection (what it was told to listen to ends if he is not granted keys) and the rule that
    /// admitted him.
    Joiner(Arc<Outbox>, String, Reply<Grant>),
    /// A member that lost them.
    Member(Reply<Response>),
}

impl Trail {
    pub(super) fn new(audit: Option<Audit>, gate: Gate) -> Self {
        Trail { audit, gate }
    }

    /// For what happens to a group.
    pub(super) fn of(&self, id: GroupId, name: &str) -> GroupTrail {
        GroupTrail {
            trail: self.clone(),
            id,
            group: Group::new(id, name).into(),
        }
    }

    /// Whether it has all that there is in the store: only then may the store forget anything.
    pub(super) fn is_current(&self) -> bool {
        let audit = self.audit.as_ref();
        audit.is_none_or(|audit| !audit.status().is_failing())
    }

    /// Waits until what was to be put on record before is, or waits for the disk.
    pub(super) async fn settled(&self) {
        self.note(Vec::new()).await;
    }

    /// Puts these on record; done when they are, or wait in memory because the disk takes nothing.
    pub(super) async fn note(&self, entries: Vec<Entry>) {
        if let Some(audit) = &self.audit {
            audit.note(entries).await;
        }
    }
}

impl GroupTrail {
    pub(super) fn trail(&self) -> &Trail {
        &self.trail
    }

    /// Refuses to admit anybody while it cannot be put on record.
    pub(super) fn admits(&self) -> Result<(), Refusal> {
        match &self.trail.audit {
            Some(audit) if !audit.admits() => Err(refusal()),
            _ => Ok(()),
        }
    }

    /// Why nobody is admitted to a group that goes on admitting for so many seconds after the key store upstream was lost.
    pub(super) fn outage(&self, outage_s: u32) -> Option<String> {
        let refuses = self.trail.gate.refuses(outage_s);
        // The same words for each refusal: those that say the same are counted.
        refuses.then(|| {
            format!(
                "the key store upstream has been out of reach for longer than outage_s = {outage_s}"
            )
        })
    }

    /// What a record of the group's log comes to; nothing where no trail is kept.
    pub(super) fn changes(&self, revision: Revision, record: &[u8]) -> Vec<Entry> {
        if self.trail.audit.is_none() {
            return Vec::new();
        }
        match Record::from_bytes(record) {
            Ok(record) => audit::changes(&self.group, revision, record),
            Err(error) => {
                // It was made a moment ago, or has been read already as the group was taken up.
                tracing::error!(group = self.group.name, %error, "a change is not put on the audit trail");
                Vec::new()
            }
        }
    }

    /// Puts on record what a crash kept from it; [`Trail::settled`] waits for that.
    pub(super) fn catch_up(&self, stored: &StoredGroup) {
        let Some(audit) = &self.trail.audit else {
            return;
        };
        let known = audit.revision(self.id);
        let before = stored.revision.0 - stored.records.len() as u64;
        for (revision, record) in (before + 1..).zip(&stored.records) {
            if revision > known.0 {
                audit.keep(self.changes(Revision(revision), record), || {});
            }
        }
    }

    /// Somebody was not admitted, and is told so once that is on record.
    pub(super) fn refused(
        &self,
        asker: &Asker,
        event: audit::Event,
        then: impl FnOnce() + Send + 'static,
    ) {
        match &self.trail.audit {
            Some(audit) => {
                let entry = self.entry(&asker.identity, asker.request.clone(), event);
                audit.keep(vec![entry], then);
            }
            None => then(),
        }
    }

    /// Hands keys over once that is on record; while it cannot be, it is refused.
    pub(super) fn grant(&self, granting: Granting, events: WeakSender<Event>) {
        let Granting {
            member,
            identity,
            request,
            epoch,
            grant,
            to,
        } = granting;
        let Some(audit) = &self.trail.audit else {
            return hand(grant, to);
        };
        let granted = audit::Event::Granted {
            epoch,
            member,
            identity: identity.clone(),
            rule: match &to {
                Grantee::Joiner(_, rule, _) => Some(rule.clone()),
                Grantee::Member(_) => None,
            },
        };
        let entry = self.entry(&identity, request, granted);
        let group = self.id;
        audit.require(vec![entry], move |written| match (written, to) {
            (Ok(()), to) => hand(grant, to),
            (Err(Unwritable), Grantee::Member(reply)) => drop(reply.send(Err(refusal()))),
            (Err(Unwritable), Grantee::Joiner(outbox, _, reply)) => {
                // Before he is told: he may come back on the same connection.
                if let Some(events) = events.upgrade() {
                    let detached = What::Detached(member, outbox);
                    // The loop has ended: nobody is left to be told.
                    let _ = events.blocking_send(Event::Group(group, detached));
                }
                let _ = reply.send(Err(refusal()));
            }
        });
    }

    /// What a member did, or asked for.
    fn entry(&self, identity: &Identity, request: Option<RequestId>, event: audit::Event) -> Entry {
        Entry {
            actor: Actor::Member(identity.clone()),
            group: Some(self.group.clone()),
            revision: None,
            request,
            event,
        }
    }
}

/// Whoever does not wait any more has a registration all the same: it comes back, or is dropped as absent.
fn hand(grant: Box<Grant>, to: Grantee) {
    match to {
        Grantee::Joiner(_, _, reply) => drop(reply.send(Ok(*grant))),
        Grantee::Member(reply) => drop(reply.send(Ok(Response::Granted(grant)))),
    }
}

/// Nothing is taken away from anybody; who is not in yet comes back.
fn refusal() -> Refusal {
    Refusal {
        message: Unwritable.to_string(),
        ..Refusal::retry(RefusalCode::StoreTrouble, RETRY_MS)
    }
}
