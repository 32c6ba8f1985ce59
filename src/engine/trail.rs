//! What the engine puts on the audit trail, if the gateway keeps one.

use std::sync::Arc;

use tokio::runtime::Handle as Runtime;
use tokio::sync::mpsc::WeakSender;

use super::event::{Event, Reply, What};
use super::outbox::Outbox;
use crate::audit::{self, Actor, Audit, Entry, Group, Unwritable};
use crate::group::ids::{GroupId, Identity, MemberId, Revision};
use crate::group::record::Record;
use crate::group::wire::{Grant, Refusal, RefusalCode, Response};
use crate::store::StoredGroup;

/// When whoever was not admitted because of the trail may ask again.
const RETRY_MS: u64 = 5_000;

/// The trail, or none.
#[derive(Clone, Debug)]
pub(super) struct Trail(Option<Audit>);

/// Keys for a member, which it is handed once that is on record.
pub(super) struct Granting {
    pub(super) entry: Entry,
    pub(super) grant: Box<Grant>,
    pub(super) to: Grantee,
}

/// Who waits for keys.
pub(super) enum Grantee {
    /// Somebody who joins, with his connection: what it was told to listen to ends if he is not granted keys.
    Joiner(MemberId, Arc<Outbox>, Reply<Grant>),
    /// A member that lost them.
    Member(Reply<Response>),
}

impl Trail {
    pub(super) fn new(audit: Option<Audit>) -> Self {
        Trail(audit)
    }

    /// Whether there is one.
    pub(super) fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// Refuses to admit anybody while it cannot be put on record.
    pub(super) fn admits(&self) -> Result<(), Refusal> {
        match &self.0 {
            Some(audit) if !audit.admits() => Err(refusal()),
            _ => Ok(()),
        }
    }

    /// A record of a group's log is durable: the trail has it too when this is done, or as soon as the disk takes it.
    pub(super) async fn changed(&self, group: &Group, revision: Revision, record: &[u8]) {
        let Some(audit) = &self.0 else {
            return;
        };
        audit.note(entries(group, revision, record)).await;
    }

    /// Whether it has all that there is in the store: only then may the store forget anything.
    pub(super) fn is_current(&self) -> bool {
        let audit = self.0.as_ref();
        audit.is_none_or(|audit| !audit.status().is_failing())
    }

    /// Waits until what was to be put on record before is, or waits for the disk.
    pub(super) async fn settled(&self) {
        if let Some(audit) = &self.0 {
            audit.note(Vec::new()).await;
        }
    }

    /// Puts on record what a crash kept from it; [`settled`](Self::settled) waits for that.
    pub(super) fn catch_up(&self, name: &str, stored: &StoredGroup) {
        let Some(audit) = &self.0 else {
            return;
        };
        let known = audit.revision(stored.id);
        let group = Group::new(stored.id, name);
        let before = stored.revision.0 - stored.records.len() as u64;
        for (revision, record) in (before + 1..).zip(&stored.records) {
            if revision > known.0 {
                let missing = entries(&group, Revision(revision), record);
                audit.keep(missing, || {});
            }
        }
    }

    /// Somebody was not admitted, and is told so once that is on record.
    pub(super) fn refused(
        &self,
        group: &Group,
        identity: &Identity,
        event: audit::Event,
        then: impl FnOnce() + Send + 'static,
    ) {
        match &self.0 {
            Some(audit) => {
                let entry = Entry {
                    actor: Actor::Member(identity.clone()),
                    group: Some(group.clone()),
                    revision: None,
                    event,
                };
                audit.keep(vec![entry], then);
            }
            None => then(),
        }
    }

    /// Hands keys over once that is on record; while it cannot be, it is refused.
    pub(super) fn grant(&self, group: GroupId, granting: Granting, events: WeakSender<Event>) {
        let Granting { entry, grant, to } = granting;
        let Some(audit) = &self.0 else {
            return hand(grant, to);
        };
        let runtime = Runtime::current();
        audit.require(vec![entry], move |written| match (written, to) {
            (Ok(()), to) => hand(grant, to),
            (Err(Unwritable), Grantee::Member(reply)) => drop(reply.send(Err(refusal()))),
            (Err(Unwritable), Grantee::Joiner(member, outbox, reply)) => {
                runtime.spawn(async move {
                    if let Some(events) = events.upgrade() {
                        // The loop has ended: nobody is left to be told.
                        let detached = What::Detached(member, outbox);
                        let _ = events.send(Event::Group(group, detached)).await;
                    }
                    let _ = reply.send(Err(refusal()));
                });
            }
        });
    }
}

fn entries(group: &Group, revision: Revision, record: &[u8]) -> Vec<Entry> {
    match Record::from_bytes(record) {
        Ok(record) => audit::changes(group, revision, record),
        Err(error) => {
            // It was written a moment ago, or has been read already as the group was taken up.
            tracing::error!(group = group.name, %error, "a change is not put on the audit trail");
            Vec::new()
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
