//! How the store upstream is: whether it answers, since when it does not, and why; whoever asks it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use metrics::gauge;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::cursor::replace;
use crate::audit::{Audit, Entry, Event};
use crate::engine::Gate;
use crate::kmip::client::{Client, ClientError, DiscoverVersions, Heard, Version};

/// How often it is looked what others have heard of it.
const LOOK: Duration = Duration::from_millis(500);
/// How often it is asked while it does not answer; the client asks less often, the longer that lasts.
const BEAT: Duration = Duration::from_secs(1);
/// How often at most it is put on disk that it answers.
const NOTE: Duration = Duration::from_secs(60);
pub(super) const FILE: &str = "relay-upstream.json";

/// How the store upstream is, for whoever asks.
#[derive(Clone)]
pub struct Standing {
    client: Client,
    gate: Gate,
    state: Arc<Mutex<State>>,
}

/// The same, at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingView {
    /// The addresses that the client knows.
    pub addresses: Vec<String>,
    /// The one that answered last, and in which version.
    pub by: Option<(String, Version)>,
    /// Whether it answers; none before it was asked.
    pub up: Option<bool>,
    /// For how long it has not answered.
    pub outage: Option<Duration>,
    /// Why.
    pub why: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    /// None before it was asked.
    up: Option<bool>,
    why: Option<String>,
}

/// Finds out how the store is.
pub(super) struct Watch {
    standing: Standing,
    audit: Audit,
    back: Arc<Notify>,
    every: Duration,
    file: PathBuf,
    /// When it answered last: by this process's clock, and for how long not at its start.
    last: Result<Instant, Duration>,
    began: Instant,
    asked: Option<Instant>,
    noted: Option<Instant>,
}

/// What the file says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Noted {
    /// When it answered last, in milliseconds since 1970.
    answered: u64,
}

impl Standing {
    /// How it is now.
    pub fn view(&self) -> StandingView {
        let state = self.state();
        StandingView {
            addresses: self.client.addresses(),
            by: self.client.heard().by,
            up: state.up,
            outage: self.gate.outage().filter(|_| state.up == Some(false)),
            why: state.why.clone(),
        }
    }

    /// What the engine looks at.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Asks once in so long when nobody else does. It blocks for a moment: a file is read.
    pub(super) fn new(client: Client, audit: Audit, every: Duration, back: Arc<Notify>) -> Self {
        let file = audit.directory().join(FILE);
        let ago = last(&file).unwrap_or_default();
        let standing = Standing {
            client,
            gate: Gate::closed(ago),
            state: Arc::default(),
        };
        gauge!("wardcast_upstream_up").set(0.0);
        Watch {
            standing,
            audit,
            back,
            every,
            file,
            last: Err(ago),
            began: Instant::now(),
            asked: None,
            noted: None,
        }
    }

    pub(super) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Watches until told to stop.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let heard = self.standing.client.heard();
            let newer = |at| self.last.is_err() || self.last.is_ok_and(|last| at > last);
            if heard.answered.is_some_and(newer) {
                self.answered(&heard).await;
            }
            if self.is_due(&heard) {
                self.ask().await;
            }
            tokio::select! {
                () = sleep(LOOK) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        self.note(Duration::ZERO).await;
    }

    /// Whether it is to be asked: where nobody did for long, where somebody got no answer, and while it does not answer.
    fn is_due(&self, heard: &Heard) -> bool {
        let up = self.standing.state().up;
        let since = match (up, self.last) {
            (Some(true), Ok(last)) if heard.trouble.is_none() => {
                return last.elapsed() >= self.every;
            }
            _ => self.asked,
        };
        since.is_none_or(|asked| asked.elapsed() >= BEAT)
    }

    async fn ask(&mut self) {
        self.asked = Some(Instant::now());
        let beat = DiscoverVersions::default();
        let result = self.standing.client.call(&beat).await;
        let heard = self.standing.client.heard();
        match result {
            Err(
                error @ (ClientError::Unreachable { .. }
                | ClientError::Unknown { .. }
                | ClientError::Version { .. }
                | ClientError::Resting { .. }),
            ) => {
                let why = heard.trouble.unwrap_or_else(|| error.to_string());
                self.lost(why).await;
            }
            // The gateway is busy with it itself.
            Err(ClientError::Queued { .. } | ClientError::Busy { .. }) => {}
            // An answer, whatever it says.
            _ => self.answered(&heard).await,
        }
    }

    async fn answered(&mut self, heard: &Heard) {
        let outage = self.outage();
        self.last = Ok(heard.answered.unwrap_or_else(Instant::now));
        let before = {
            let mut state = self.standing.state();
            state.why = None;
            state.up.replace(true)
        };
        self.standing.gate.up();
        gauge!("wardcast_upstream_up").set(1.0);
        if before != Some(true) {
            self.back.notify_waiters();
        }
        if before == Some(false) {
            let down_s = outage.as_secs();
            tracing::info!(down_s, "the key store upstream answers again");
            let back = Entry::of_gateway(Event::UpstreamBack { down_s });
            self.audit.note(vec![back]).await;
        }
        self.note(NOTE).await;
    }

    async fn lost(&mut self, why: String) {
        let outage = self.outage();
        let before = {
            let mut state = self.standing.state();
            state.why = Some(why.clone());
            state.up.replace(false)
        };
        if before == Some(false) {
            return;
        }
        self.standing.gate.down(outage);
        gauge!("wardcast_upstream_up").set(0.0);
        tracing::warn!(
            %why,
            "the key store upstream is out of reach: members keep their keys, and who is admitted is up to each group's outage_s"
        );
        let lost = Entry::of_gateway(Event::UpstreamLost { why });
        self.audit.note(vec![lost]).await;
        // An outage begins where it began, for a gateway too that is started anew in it.
        self.note(Duration::ZERO).await;
    }

    /// For how long it has not answered.
    fn outage(&self) -> Duration {
        match self.last {
            Ok(last) => last.elapsed(),
            Err(ago) => ago.saturating_add(self.began.elapsed()),
        }
    }

    /// Puts on disk when it answered last, unless that was done a moment ago.
    async fn note(&mut self, pause: Duration) {
        let Ok(last) = self.last else {
            return;
        };
        if self.noted.is_some_and(|noted| noted.elapsed() < pause) {
            return;
        }
        self.noted = Some(Instant::now());
        let answered = SystemTime::now().checked_sub(last.elapsed());
        let answered = answered.unwrap_or(UNIX_EPOCH);
        let answered = answered.duration_since(UNIX_EPOCH).unwrap_or_default();
        let answered = u64::try_from(answered.as_millis()).unwrap_or(u64::MAX);
        let file = self.file.clone();
        let written = spawn_blocking(move || {
            let content = serde_json::to_vec(&Noted { answered })?;
            replace(&file, &content)
        });
        if let Ok(Err(error)) = written.await {
            let path = self.file.display();
            tracing::warn!(%path, %error, "when the key store upstream answered last cannot be written");
        }
    }
}

/// How long ago the store answered last, as far as the file knows.
fn last(file: &Path) -> Option<Duration> {
    let noted: Noted = match serde_json::from_slice(&fs::read(file).ok()?) {
        Ok(noted) => noted,
        Err(error) => {
            let path = file.display();
            tracing::warn!(%path, %error, "when the key store upstream answered last cannot be read");
            return None;
        }
    };
    let then = UNIX_EPOCH + Duration::from_millis(noted.answered);
    // A clock that was set back makes no outage.
    Some(SystemTime::now().duration_since(then).unwrap_or_default())
}
