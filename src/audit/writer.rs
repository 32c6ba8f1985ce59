//! The thread that writes: whatever waits is written with one sync.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use super::Unwritable;
use super::chain::text;
use super::event::{Entry, Event};
use super::repeats::Repeats;
use super::spool::Spool;
use super::status::Status;

/// Records that wait in memory while the disk takes none. With a hundred thousand groups, one eviction of each.
pub const MAX_BACKLOG: usize = 100_000;
/// How long a disk that failed is left alone when nothing happens.
const RETRY: Duration = Duration::from_secs(1);
/// How often it is looked whether anything was repeated, or segments were moved elsewhere.
const LOOK: Duration = Duration::from_secs(5);
/// What waits at most for one sync.
const BATCH: usize = 4_096;
/// Beyond the bound there is so much room for what is not held up by it, in hundredths.
const RESERVE: u64 = 10;

/// Something that happened, and when.
#[derive(Clone, Debug)]
pub(super) struct Stamped {
    pub(super) time: SystemTime,
    pub(super) entry: Entry,
}

impl Stamped {
    /// Whether nothing follows it: what was only counted is said before.
    fn ends(&self) -> bool {
        matches!(self.entry.event, Event::Stopped)
    }
}

/// Who is told whether it is on disk.
type Then = Box<dyn FnOnce(Result<(), Unwritable>) + Send>;

/// What is to be written, and who is told.
pub(super) struct Job {
    pub(super) entries: Vec<Stamped>,
    /// It fails with the disk; otherwise it waits in memory.
    pub(super) required: bool,
    pub(super) then: Then,
}

pub(super) struct Writer {
    spool: Spool,
    status: Arc<Status>,
    /// What the disk did not take.
    backlog: Vec<Stamped>,
    /// Since when it takes nothing.
    failing: Option<SystemTime>,
    /// Records that memory had no room for meanwhile.
    lost: u64,
    repeats: Repeats,
    /// Whether it has been said that the trail fills up.
    warned: bool,
}

/// What is written with one sync.
#[derive(Default)]
struct Batch {
    /// Each with whether it fails with the disk.
    entries: Vec<(Stamped, bool)>,
    told: Vec<(Then, bool)>,
}

impl Batch {
    /// What waits in memory where the disk does not take it.
    fn add(&mut self, kept: impl IntoIterator<Item = Stamped>) {
        let kept = kept.into_iter().map(|stamped| (stamped, false));
        self.entries.extend(kept);
    }
}

impl Writer {
    pub(super) fn new(spool: Spool, status: Arc<Status>) -> Self {
        Writer {
            spool,
            status,
            backlog: Vec::new(),
            failing: None,
            lost: 0,
            repeats: Repeats::default(),
            warned: false,
        }
    }

    /// Writes until nobody has anything to say any more.
    pub(super) fn run(mut self, queue: &Receiver<Job>) {
        loop {
            let first = match self.pause() {
                Some(pause) => queue.recv_timeout(pause),
                None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let over = matches!(first, Err(RecvTimeoutError::Disconnected));
            if self.status.is_full() && self.spool.recount().is_ok() {
                self.status.measured(&self.spool);
            }
            let jobs = first.into_iter().chain(queue.try_iter().take(BATCH));
            let mut batch = self.gather(jobs);
            if over {
                batch.add(self.repeats.all());
            }
            self.write(batch);
            if over {
                return;
            }
        }
    }

    /// After how long there is something to do although nothing has happened.
    fn pause(&self) -> Option<Duration> {
        match self.failing {
            Some(_) => Some(RETRY),
            None if self.status.is_full() || !self.repeats.is_empty() => Some(LOOK),
            None => None,
        }
    }

    /// What is to be written now, in its order.
    fn gather(&mut self, jobs: impl Iterator<Item = Job>) -> Batch {
        let now = Instant::now();
        let mut batch = Batch::default();
        batch.add(self.backlog.drain(..).chain(self.repeats.due(now)));
        let full = self.status.is_full();
        for job in jobs {
            if job.required && full {
                (job.then)(Err(Unwritable));
                continue;
            }
            if job.entries.iter().any(Stamped::ends) {
                batch.add(self.repeats.all());
            }
            let fresh = job.entries.into_iter();
            let fresh = fresh.filter_map(|stamped| self.repeats.fresh(now, stamped));
            let required = job.required;
            batch
                .entries
                .extend(fresh.map(|stamped| (stamped, required)));
            batch.told.push((job.then, required));
        }
        if let Some(since) = self.failing {
            // It goes first, and is there even if nothing else is: only a record shows that records are taken again.
            let entry = Entry::of_gateway(Event::Interrupted {
                since: text(since),
                lost: self.lost,
            });
            let time = SystemTime::now();
            batch.entries.insert(0, (Stamped { time, entry }, false));
        }
        batch
    }

    fn write(&mut self, Batch { entries, told }: Batch) {
        let written = self.append(&entries);
        match &written {
            Ok(()) => (self.failing, self.lost) = (None, 0),
            Err(error) => {
                let kept = entries.into_iter().filter(|(_, required)| !required);
                let kept = kept.map(|(stamped, _)| stamped);
                let own = usize::from(self.failing.is_some());
                self.backlog = kept.skip(own).collect();
                self.failing.get_or_insert_with(SystemTime::now);
                let beyond = self.backlog.len().saturating_sub(MAX_BACKLOG);
                self.backlog.drain(..beyond);
                self.lost += beyond as u64;
                metrics::counter!("wardcast_audit_lost_total").increment(beyond as u64);
                if !self.status.is_failing() {
                    tracing::error!(%error, "the audit trail cannot be written: nobody is admitted; rekeys and departures go on, and their records wait in memory");
                }
                self.status.failed();
            }
        }
        self.status.waits(self.backlog.len());
        for (then, required) in told {
            then(match required {
                true => written.as_ref().map_err(|_| Unwritable).copied(),
                false => Ok(()),
            });
        }
    }

    fn append(&mut self, entries: &[(Stamped, bool)]) -> io::Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        if self.spool.bytes() >= self.status.max_bytes() / 100 * (100 + RESERVE) {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "the trail has reached audit.max_mb, and the reserve beyond it is used up",
            ));
        }
        let began = Instant::now();
        self.spool
            .append(entries.iter().map(|(stamped, _)| stamped))?;
        metrics::histogram!("wardcast_audit_sync_seconds").record(began.elapsed());
        metrics::counter!("wardcast_audit_records_total").increment(entries.len() as u64);
        if self.status.is_failing() {
            tracing::info!("the audit trail is written again");
        }
        self.status.wrote(&self.spool);
        self.warn();
        Ok(())
    }

    /// Says early, and once, that the trail comes near its bound.
    fn warn(&mut self) {
        let fills_up = self.status.fills_up();
        if fills_up && !self.warned {
            let (bytes, most) = (self.status.bytes(), self.status.max_bytes());
            tracing::warn!(
                bytes,
                most,
                "the audit trail fills up: at its bound nobody is admitted; move its oldest segments elsewhere, or raise audit.max_mb"
            );
        }
        self.warned = fills_up;
    }
}
