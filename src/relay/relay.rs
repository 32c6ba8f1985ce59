//! What is relayed: the feeds of all sinks, how they are, and their end.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use super::Sink;
use super::feed::{Feed, Pauses, Signals, Succession};
use super::progress::{Progress, SinkView};
use super::standing::{Standing, Watch};
use crate::audit::Audit;
use crate::group::wire::TrailHead;
use crate::kmip::client::Client;

/// How often it is shown how far sinks are behind.
const SHOW: Duration = Duration::from_secs(1);

/// Why the relay could not start.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// A file beside the audit trail.
    #[error(
        "cannot read {path}: {source}; see to it: without it all of the audit trail on disk is relayed again, and is there twice"
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The feeds of all sinks.
pub struct Relay {
    audit: Audit,
    signals: Signals,
    stop: watch::Sender<bool>,
    feeds: JoinSet<()>,
    status: Status,
}

/// How the feeds are, for whoever asks.
#[derive(Clone)]
pub struct Status {
    synced: watch::Receiver<TrailHead>,
    feeds: Arc<Mutex<Vec<Arc<Progress>>>>,
}

impl Relay {
    /// Relays nothing yet.
    pub fn new(audit: Audit, pauses: Pauses) -> Self {
        let (stop, stopped) = watch::channel(false);
        let signals = Signals {
            stop: stopped,
            back: Arc::new(Notify::new()),
            pauses,
        };
        let status = Status {
            synced: audit.synced(),
            feeds: Arc::default(),
        };
        Relay {
            audit,
            signals,
            stop,
            feeds: JoinSet::new(),
            status,
        }
    }

    /// Feeds a sink from now on, from where it had come to; what puts another one in its place meanwhile.
    ///
    /// # Errors
    /// When its cursor cannot be read.
    pub fn feed<S: Sink>(&mut self, sink: S) -> Result<Succession<S>, RelayError> {
        let file = Feed::file(self.audit.directory(), &sink);
        let feed = Feed::open(sink, &self.audit, self.signals.clone());
        let feed = feed.map_err(|source| RelayError::File {
            path: file.path().to_owned(),
            source,
        })?;
        self.status.add(feed.progress().clone());
        let succession = feed.succession().clone();
        self.feeds.spawn(feed.run());
        Ok(succession)
    }

    /// How the feeds are, those too that are yet to be begun.
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// Watches how the store is from now on, and asks it itself once in so long when nobody else does. What waits for it goes on
    /// as soon as it is back.
    pub fn watch(&mut self, client: Client, every: Duration) -> Standing {
        let back = self.signals.back.clone();
        let watch = Watch::new(client, self.audit.clone(), every, back);
        let standing = watch.standing().clone();
        self.feeds.spawn(watch.run(self.signals.stop.clone()));
        standing
    }

    /// Sends what is on the trail now, within this time; the rest goes at the next start.
    pub async fn stop(mut self, within: Duration) {
        self.stop.send_replace(true);
        let ended = timeout(within, async {
            while self.feeds.join_next().await.is_some() {}
        });
        let in_time = ended.await.is_ok();
        for view in self.status.views() {
            let (sink, records) = (view.name, view.lag_records);
            if records > 0 {
                tracing::info!(
                    sink,
                    records,
                    in_time,
                    "records are relayed after the next start"
                );
            }
        }
        // What is under way is given up; it is sent again at the next start.
        self.feeds.shutdown().await;
    }
}

impl Status {
    fn add(&self, feed: Arc<Progress>) {
        self.feeds().push(feed);
    }

    fn feeds(&self) -> MutexGuard<'_, Vec<Arc<Progress>>> {
        // Nothing is left half done by a panic.
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How each feed is now.
    pub fn views(&self) -> Vec<SinkView> {
        let (synced, now) = (self.synced.borrow().sequence, SystemTime::now());
        let feeds = self.feeds();
        feeds.iter().map(|feed| feed.view(synced, now)).collect()
    }

    /// Shows on and on how far they are behind, until the trail ends.
    pub async fn show(self) {
        let mut often = interval(SHOW);
        while self.synced.has_changed().is_ok() {
            often.tick().await;
            let synced = self.synced.borrow().sequence;
            for feed in &*self.feeds() {
                feed.show(synced);
            }
        }
    }
}
