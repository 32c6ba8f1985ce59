//! How the trail is, for whoever asks meanwhile.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::watch;

use super::spool::Spool;
use crate::group::wire::TrailHead;

/// The share of the bound from which on it is said that the trail fills up, in hundredths.
const EARLY: u64 = 80;

/// How the trail is.
#[derive(Debug)]
pub struct Status {
    max_bytes: u64,
    bytes: AtomicU64,
    /// The newest record that is on disk.
    head: watch::Sender<TrailHead>,
    backlog: AtomicU64,
    failing: AtomicBool,
}

impl Status {
    pub(super) fn new(max_bytes: u64, spool: &Spool) -> Self {
        let status = Status {
            max_bytes,
            bytes: AtomicU64::new(0),
            head: watch::Sender::new(spool.head()),
            backlog: AtomicU64::new(0),
            failing: AtomicBool::new(false),
        };
        status.wrote(spool);
        status.waits(0);
        metrics::gauge!("wardcast_audit_max_bytes").set(max_bytes as f64);
        status
    }

    /// Whether anybody may be admitted: the disk takes what is written, and there is room.
    pub fn admits(&self) -> bool {
        !self.is_failing() && !self.is_full()
    }

    /// Whether the disk did not take what was written last.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Whether the trail has reached its bound.
    pub fn is_full(&self) -> bool {
        self.bytes() >= self.max_bytes
    }

    /// Whether the trail comes near its bound.
    pub fn fills_up(&self) -> bool {
        self.bytes() >= self.max_bytes / 100 * EARLY
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Bytes on disk, beyond which nobody is admitted.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// The number of the newest record; 0 for none.
    pub fn sequence(&self) -> u64 {
        self.head().sequence
    }

    /// The newest record and its digest: what a signature over the trail covers. The number is 0 for none.
    pub fn head(&self) -> TrailHead {
        *self.head.borrow()
    }

    /// The newest record, for whoever waits for the next. What comes after it in the files may yet be cut off.
    pub(super) fn synced(&self) -> watch::Receiver<TrailHead> {
        self.head.subscribe()
    }

    /// Records that wait in memory for the disk.
    pub fn backlog(&self) -> u64 {
        self.backlog.load(Ordering::Relaxed)
    }

    pub(super) fn measured(&self, spool: &Spool) {
        self.bytes.store(spool.bytes(), Ordering::Relaxed);
        metrics::gauge!("wardcast_audit_bytes").set(spool.bytes() as f64);
    }

    pub(super) fn wrote(&self, spool: &Spool) {
        self.measured(spool);
        self.head.send_replace(spool.head());
        self.failing.store(false, Ordering::Relaxed);
        metrics::gauge!("wardcast_audit_writable").set(1.0);
    }

    pub(super) fn failed(&self) {
        self.failing.store(true, Ordering::Relaxed);
        metrics::gauge!("wardcast_audit_writable").set(0.0);
    }

    pub(super) fn waits(&self, records: usize) {
        self.backlog.store(records as u64, Ordering::Relaxed);
        metrics::gauge!("wardcast_audit_backlog_records").set(records as f64);
    }
}
