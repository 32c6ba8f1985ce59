//! Feeds one sink: reads what comes, puts batches together, gives each until it is taken, and remembers that.

mod beginning;
mod settling;
mod succession;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{Instrument, debug_span};

use super::batch::{Batch, Cut, Line, cut};
use super::cursor::{Cursor, CursorFile};
use super::doubt::Doubt;
use super::follower::{Follower, Gap};
use super::progress::Progress;
use super::{Bounds, Sink, SinkError};
use crate::audit::Audit;
use crate::crypto;
use crate::group::wire::TrailHead;
use crate::trace::TARGET;

pub use succession::Succession;

/// What comes on the trail within this time is read at once.
const PACE: Duration = Duration::from_millis(50);
/// How long the trail, or the cursor's file, is left alone after trouble with it.
const DISK_PAUSE: Duration = Duration::from_secs(1);

/// How long it is paused before a batch is given again that was not taken.
#[derive(Clone, Copy, Debug)]
pub struct Pauses {
    /// At first; it doubles with each further time.
    pub first: Duration,
    /// At most.
    pub longest: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Pauses {
            first: Duration::from_millis(250),
            longest: Duration::from_secs(15),
        }
    }
}

impl Pauses {
    /// The pause after so many failures in a row: between three quarters of it and all, so that gateways do not come back all at
    /// once.
    fn after(&self, failures: u32) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.min(16));
        doubled
            .min(self.longest)
            .mul_f64(1.0 - crypto::fraction() / 4.0)
    }
}

/// What all feeds are told.
#[derive(Clone)]
pub(super) struct Signals {
    /// Send what is there, and stop.
    pub(super) stop: watch::Receiver<bool>,
    /// The store is back: what is paused for it goes on.
    pub(super) back: Arc<Notify>,
    /// How long they pause after trouble.
    pub(super) pauses: Pauses,
}

/// The way from the trail to one sink.
pub(super) struct Feed<S> {
    sink: S,
    succession: Succession<S>,
    directory: PathBuf,
    synced: watch::Receiver<TrailHead>,
    signals: Signals,
    footing: Footing,
    advance: Advance,
    /// None while it reads.
    follower: Option<Follower>,
    waiting: VecDeque<Line>,
    /// Since when the first of them waits.
    since: Option<Instant>,
    progress: Arc<Progress>,
}

/// What it is known by where a feed goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Footing {
    /// By nothing: there is no cursor, or one of another trail. The sink is asked first.
    Nothing,
    /// By the cursor, as it was found. The sink is asked first.
    Cursor,
    /// By the sink, or it knows no better.
    Sink,
}

/// How far a sink has come.
struct Advance {
    file: CursorFile,
    cursor: Cursor,
    /// What it was sent beyond the cursor.
    doubt: Doubt,
    /// When it was looked last what of that has settled.
    looked: Instant,
    /// How often in a row what was sent has to be sent again, and nothing of it settled, where what was sent is in doubt.
    failures: u32,
}

/// What is to be done next.
enum Next {
    /// So many of the records that wait are a batch.
    Batch(usize),
    /// The connection broke by which what is in doubt was sent.
    Broken(SinkError),
    /// Another sink takes the place of this one.
    Succession,
}

/// It is over: the gateway stops, or the trail has ended.
struct Over;

impl<S: Sink> Feed<S> {
    /// A feed that goes on where the sink had come to.
    ///
    /// # Errors
    /// When the cursor's file cannot be read.
    pub(super) fn open(sink: S, audit: &Audit, signals: Signals) -> io::Result<Self> {
        let directory = audit.directory();
        let file = Self::file(directory, &sink);
        let loaded = file.load()?;
        let cursor = loaded.unwrap_or_default();
        let follower = Follower::after(directory.to_owned(), cursor.sequence, cursor.head);
        Ok(Feed {
            progress: Arc::new(Progress::new(
                sink.name(),
                sink.destination(),
                cursor.sequence,
            )),
            sink,
            succession: Succession::default(),
            directory: directory.to_owned(),
            synced: audit.synced(),
            signals,
            footing: match loaded {
                Some(_) => Footing::Cursor,
                None => Footing::Nothing,
            },
            advance: Advance {
                file,
                cursor,
                doubt: Doubt::default(),
                looked: Instant::now(),
                failures: 0,
            },
            follower: Some(follower),
            waiting: VecDeque::new(),
            since: None,
        })
    }

    /// The file of a sink's cursor.
    pub(super) fn file(directory: &Path, sink: &S) -> CursorFile {
        CursorFile::of(directory, sink.name())
    }

    /// How it is getting on.
    pub(super) fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// What puts another sink in the place of its own.
    pub(super) fn succession(&self) -> &Succession<S> {
        &self.succession
    }

    /// Feeds the sink until the gateway stops; then what is there, as long as the sink takes it.
    pub(super) async fn run(mut self) {
        while let Ok(next) = self.gather().await {
            let done = match next {
                Next::Batch(count) => {
                    let lines = self.waiting.drain(..count).collect();
                    self.since = (!self.waiting.is_empty()).then(Instant::now);
                    match self.sink.settling() {
                        Some(settling) => self.send(lines, settling).await,
                        None => self.deliver(lines).await,
                    }
                }
                Next::Broken(error) => self.broke(&error).await,
                Next::Succession => self.succeed().await,
            };
            if done.is_err() {
                break;
            }
        }
        self.end().await;
    }

    /// Waits until there is something to be done.
    async fn gather(&mut self) -> Result<Next, Over> {
        loop {
            if self.succession.is_there() {
                return Ok(Next::Succession);
            }
            if self.footing != Footing::Sink {
                self.begin().await?;
            }
            self.settle().await?;
            let stopping = *self.signals.stop.borrow_and_update();
            let until = self.synced.borrow_and_update().sequence;
            let more = self.read(until).await?;
            let due = self.since.map(|since| since + self.sink.patience());
            let late = due.is_some_and(|due| due <= Instant::now());
            let count = self.batch(stopping || late);
            self.progress.waits(self.waiting.front());
            match count {
                Some(count) => return Ok(Next::Batch(count)),
                None if stopping && !more => return Err(Over),
                None if more => continue,
                None => {}
            }
            let settles = self.settles();
            tokio::select! {
                more = self.synced.changed() => match more {
                    Ok(()) => sleep(PACE).await,
                    Err(_) => return Err(Over),
                },
                told = self.signals.stop.changed() => told.map_err(|_| Over)?,
                () = reached(due) => {}
                () = reached(settles) => {}
                error = self.sink.broken() => return Ok(Next::Broken(error)),
                () = self.succession.there() => {}
            }
        }
    }

    /// How many of the records that wait make up a batch.
    fn batch(&self, now: bool) -> Option<usize> {
        let how = Cut {
            bounds: self.sink.bounds(),
            closes: &|line| self.sink.closes(line),
            begun: self.advance.cursor.begun.map(|begun| begun.last),
            now,
        };
        cut(&self.waiting, &how)
    }

    /// Reads what fits beside what waits; whether there is more to be read at once.
    async fn read(&mut self, synced: u64) -> Result<bool, Over> {
        let bounds = self.sink.bounds();
        let (until, room) = match self.advance.cursor.begun {
            Some(begun) => (synced.min(begun.last), Bounds::ALL),
            None => (synced, bounds.without(&self.waiting)),
        };
        let Some(mut follower) = self.follower.take() else {
            return Err(Over); // the last read was given up, and with it the feed
        };
        if room.is_nothing() || follower.next() == until + 1 {
            self.follower = Some(follower);
            return Ok(false);
        }
        let read = spawn_blocking(move || (follower.read(until, room), follower)).await;
        let (read, follower) = read.map_err(|_| Over)?;
        let next = follower.next();
        self.follower = Some(follower);
        match read {
            Ok(read) => {
                self.waiting.extend(read.lines);
                if let Some(gap) = read.gap {
                    self.missed(&gap);
                }
                if !self.waiting.is_empty() {
                    self.since.get_or_insert_with(Instant::now);
                }
                Ok(next <= until && !bounds.without(&self.waiting).is_nothing())
            }
            Err(error) => {
                let (sink, why) = (self.sink.name(), error.to_string());
                if self.progress.stuck(format!("the audit trail: {why}")) {
                    tracing::error!(sink, error = %why, "the audit trail cannot be read to be relayed; it is tried again");
                }
                self.pause(DISK_PAUSE).await?;
                // At once, whether or not anything is written meanwhile; a gateway that stops does not wait for it.
                Ok(!*self.signals.stop.borrow())
            }
        }
    }

    /// The trail on disk does not go on: what is there is relayed.
    fn missed(&mut self, gap: &Gap) {
        self.progress.missed();
        let sink = self.sink.name();
        tracing::error!(sink, why = %gap, "the audit trail does not go on where it was relayed to; what is there is relayed");
        if !matches!(gap, Gap::Changed(_)) {
            self.advance.cursor.begun = None;
        }
        if let Gap::Another { .. } = gap {
            // What it has taken is of another trail: what it knows of this one is asked first.
            self.footing = Footing::Nothing;
        }
    }

    /// Gives a batch to the sink until it takes it.
    async fn deliver(&mut self, lines: Vec<Line>) -> Result<(), Over> {
        let again = self.advance.cursor.begun.is_some();
        let batch = Batch { lines, again };
        self.advance.cursor.begun = Some(batch.range());
        self.keep().await?;
        self.progress.waits(batch.lines.first());
        let mut failures = 0;
        while let Err(error) = self.take(&batch).await {
            self.said(&batch, &error);
            self.rest(failures).await?;
            // Perhaps that one is let in.
            self.succeed().await?;
            failures += 1;
        }
        self.advance.cursor = Cursor {
            sequence: batch.last(),
            head: batch.head(),
            begun: None,
        };
        self.keep().await?;
        self.progress.took(batch.last());
        Ok(())
    }

    fn said(&self, batch: &Batch, error: &SinkError) {
        let (sink, first, last) = (self.sink.name(), batch.first(), batch.last());
        let peer = self.sink.destination().peer;
        let fresh = self.progress.failed(error);
        match error {
            SinkError::Refused(why) => tracing::error!(
                sink, first, last, %why,
                "{peer} does not take records; they are given to it again until it does"
            ),
            SinkError::Unreachable(why) if fresh => tracing::warn!(
                sink, first, last, %why,
                "{peer} cannot be reached; the audit trail on disk keeps what it has to be told"
            ),
            SinkError::Unreachable(why) => {
                tracing::debug!(sink, first, last, %why, "{peer} cannot be reached");
            }
        }
    }

    /// Gives a batch to the sink, once, in a span of its own.
    async fn take(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let (sink, first, last) = (self.sink.name(), batch.first(), batch.last());
        let span = debug_span!(target: TARGET, parent: None, "relay", otel.kind = "client", sink, first, last);
        self.sink.take(batch).instrument(span).await
    }

    /// Puts the cursor on disk, however long it takes.
    async fn keep(&mut self) -> Result<(), Over> {
        loop {
            let (file, cursor) = (self.advance.file.clone(), self.advance.cursor);
            let saved = spawn_blocking(move || file.save(&cursor)).await;
            let Err(error) = saved.map_err(|_| Over)? else {
                return Ok(());
            };
            let path = self.advance.file.path().display();
            if self.progress.stuck(format!("{path}: {error}")) {
                tracing::error!(sink = self.sink.name(), %path, %error, "how far the relay has come cannot be written; it is tried again");
            }
            self.pause(DISK_PAUSE).await?;
        }
    }

    /// Waits after so many failures in a row before this one, or until the store is back or another sink is there. A gateway that stops
    /// tries nothing again.
    async fn rest(&mut self, failures: u32) -> Result<(), Over> {
        if *self.signals.stop.borrow() {
            return Err(Over);
        }
        let (back, succession) = (self.signals.back.clone(), self.succession.clone());
        tokio::select! {
            paused = self.pause(self.signals.pauses.after(failures)) => paused,
            () = back.notified() => Ok(()),
            () = succession.there() => Ok(()),
        }
    }

    /// Waits, or less if the gateway stops.
    async fn pause(&mut self, pause: Duration) -> Result<(), Over> {
        tokio::select! {
            () = sleep(pause) => Ok(()),
            _ = self.signals.stop.changed() => Err(Over),
        }
    }
}

/// Waits until then, or for ever.
async fn reached(then: Option<Instant>) {
    match then {
        Some(then) => sleep_until(then).await,
        None => std::future::pending().await,
    }
}

impl Bounds {
    const ALL: Bounds = Bounds {
        records: usize::MAX,
        bytes: usize::MAX,
    };

    /// What is left of it beside these.
    fn without(self, waiting: &VecDeque<Line>) -> Self {
        let bytes: usize = waiting.iter().map(|line| line.bytes.len()).sum();
        Bounds {
            records: self.records.saturating_sub(waiting.len()),
            bytes: self.bytes.saturating_sub(bytes),
        }
    }

    fn is_nothing(self) -> bool {
        self.records == 0 || self.bytes == 0
    }
}
