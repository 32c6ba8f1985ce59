//! The audit trail: every decision and change, one record each, chained by hashes, on disk before its effect is visible.
//!
//! # On disk
//! A folder of segments, each a text file of JSON objects, one a line (JSON Lines), named by the number of its first record. A
//! [`Record`] has a sequence number without gaps, a time (RFC 3339, UTC), who acted, what happened, and the SHA-256 of the line
//! before it, so that a changed byte, a missing record and two that were swapped are found by [`verify`](fn@verify). No key is in it, ever:
//! an [`Event`] has no field that could hold one.
//!
//! # Signatures
//! Whoever can write the folder could write another trail. So the token signs the head now and again ([`Event::Signed`]): with the
//! record that a [`Signature`] names, it covers all before. It stands in the trail as a record itself, some records later, for the
//! trail does not wait for the token. What comes after the last signature is chained, and no more than that.
//!
//! # Persist, then audit, then send
//! What changes a group is in the store already when it comes here; it is derived from the store's own record
//! ([`changes`](fn@changes)), so that what a crash kept from being written is written at the next start: the trail knows how far
//! each group has come ([`Audit::revision`]).
//!
//! # What is counted
//! Refusals and look-ups that say the same again and again are one record a minute with how often (`times` of [`Event::Refused`],
//! [`Event::Denied`], [`Event::Unauthenticated`] and [`Event::Relayed`]), the first at once: whoever may least must not fill the trail.
//!
//! # When the disk is full, or gone
//! What admits somebody waits for its record, and fails with it ([`Audit::require`]). Rekeys and departures go on: their records
//! wait in memory, up to [`MAX_BACKLOG`], and are written first when the disk is back ([`Audit::note`]); what does not fit is
//! counted in the record that says how long the disk took none ([`Event::Interrupted`]).

mod archive;
mod catalogue;
mod chain;
mod changes;
mod event;
mod index;
mod recent;
mod repeats;
mod segment;
mod signature;
mod spool;
mod status;
#[cfg(test)]
mod tests;
mod verifier;
mod verify;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::SystemTime;

use tokio::sync::{oneshot, watch};

pub use archive::{ArchiveError, Archived, archive};
pub use catalogue::METRICS;
pub use chain::{Digest, Fault, Record};
pub use changes::changes;
pub use event::{Actor, Entry, Event, Group, Root};
pub use recent::{Searched, recent};
pub use repeats::SEVERAL;
pub use segment::{Lines, Segment, segments};
pub use signature::{Octets, Signature};
pub use spool::SpoolError;
pub use status::Status;
pub use verifier::{MAX_ISSUERS, MAX_UNSIGNED, Signatures};
pub use verify::{Broken, Verified, verify, verify_pinned};
pub use writer::MAX_BACKLOG;

use crate::group::ids::{GroupId, Revision};
use crate::group::wire::TrailHead;
use index::Revisions;
use spool::Spool;
use writer::{Job, Stamped, Writer};

/// Where the trail is, and how large it may become.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of the segments; it is made if it is not there.
    pub directory: PathBuf,
    /// Bytes on disk, beyond which nobody is admitted.
    pub max_bytes: u64,
    /// Bytes of a segment, after which the next begins.
    pub segment_bytes: u64,
}

impl Options {
    /// Segments of 16 MiB.
    pub fn new(directory: impl Into<PathBuf>, max_bytes: u64) -> Self {
        Options {
            directory: directory.into(),
            max_bytes,
            segment_bytes: 16 << 20,
        }
    }
}

/// The trail cannot be written now: nobody is admitted meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit trail cannot be written")]
pub struct Unwritable;

/// The trail, from wherever something happens. The thread that writes ends with its last clone.
#[derive(Clone, Debug)]
pub struct Audit {
    jobs: mpsc::Sender<Job>,
    status: Arc<Status>,
    directory: Arc<Path>,
    /// As they were when it was opened.
    revisions: Arc<Revisions>,
}

impl Audit {
    /// Opens the trail, ends it where a crash cut a record, and begins to write.
    ///
    /// # Errors
    /// When the folder cannot be used, or what is there is no chain.
    pub fn open(options: &Options) -> Result<Self, SpoolError> {
        let spool = Spool::open(options)?;
        let status = Arc::new(Status::new(options.max_bytes, &spool));
        let revisions = Arc::new(spool.revisions().clone());
        let (jobs, queue) = mpsc::channel();
        let writer = Writer::new(spool, status.clone());
        std::thread::Builder::new()
            .name("audit".into())
            .spawn(move || writer.run(&queue))
            .map_err(|source| SpoolError::io("start a thread for", &options.directory, source))?;
        Ok(Audit {
            jobs,
            status,
            directory: options.directory.as_path().into(),
            revisions,
        })
    }

    /// What happened must be on record, but is not held up for it: done when it is on disk, or waits in memory because the disk
    /// does not take it.
    pub async fn note(&self, entries: Vec<Entry>) {
        let (done, written) = oneshot::channel();
        // Whoever does not wait any more does not mind.
        self.keep(entries, move || {
            let _ = done.send(());
        });
        // The thread has ended: so has the process, soon.
        let _ = written.await;
    }

    /// The same, for whoever has something to do then, which is done on the thread that writes.
    pub fn keep(&self, entries: Vec<Entry>, then: impl FnOnce() + Send + 'static) {
        self.send(entries, false, move |_| then());
    }

    /// Tells, on the thread that writes, once this is on disk, or that it never will be.
    pub fn require(
        &self,
        entries: Vec<Entry>,
        then: impl FnOnce(Result<(), Unwritable>) + Send + 'static,
    ) {
        self.send(entries, true, then);
    }

    /// Whether anybody may be admitted, as far as the trail is concerned.
    pub fn admits(&self) -> bool {
        self.status.admits()
    }

    /// The newest record that is on disk, and with it all before: what a token signs.
    pub fn head(&self) -> TrailHead {
        self.status.head()
    }

    /// How the trail is.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// The folder of the segments.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The newest record that is on disk, for whoever follows the trail: it must not read beyond it. The channel ends with the trail.
    pub fn synced(&self) -> watch::Receiver<TrailHead> {
        self.status.synced()
    }

    /// Up to which of a group's records in the store the trail had all when it was opened.
    pub fn revision(&self, group: GroupId) -> Revision {
        self.revisions.of(&group.to_string())
    }

    fn send(
        &self,
        entries: Vec<Entry>,
        required: bool,
        then: impl FnOnce(Result<(), Unwritable>) + Send + 'static,
    ) {
        let time = SystemTime::now();
        let stamped = entries.into_iter().map(|entry| Stamped { time, entry });
        // What waits is bounded by who waits for it: whoever asked, and the groups with one change each. If the thread has ended,
        // the job is dropped, and with it whoever would have been told.
        let _ = self.jobs.send(Job {
            entries: stamped.collect(),
            required,
            then: Box::new(then),
        });
    }
}
