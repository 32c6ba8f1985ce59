//! The issuer's keys, fetched over HTTPS and kept: how old they may be, and how often they are asked for.
//!
//! Keys that are due are fetched while the ones before still serve. A key that nobody knows may be a new one, so the keys are
//! fetched for it, but at most once in [`PAUSE`]: tokens can be made up by anybody, and the issuer must not feel that.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::Mutex as Turn;

use super::keys::Keys;
use super::{Refused, SetupError};
use crate::causes::chain;

/// The issuer is asked for its keys at most once in this time, unless they are to be refreshed more often.
const PAUSE: Duration = Duration::from_secs(5);
/// A fetch takes no longer.
const DEADLINE: Duration = Duration::from_secs(5);
/// The largest key set, in bytes.
const MAX_BYTES: usize = 256 * 1024;

/// Shared by all who check tokens.
#[derive(Clone)]
pub(super) struct Jwks(Arc<Inner>);

struct Inner {
    url: String,
    http: reqwest::Client,
    refresh: Duration,
    stale: Duration,
    known: Mutex<State>,
    /// Who fetches has it: one at a time.
    turn: Turn<()>,
}

#[derive(Default)]
struct State {
    keys: Option<(Arc<Keys>, Instant)>,
    /// When they were asked for last, and why they did not come then.
    asked: Option<(Instant, Result<(), String>)>,
}

impl std::fmt::Debug for Jwks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Jwks({})", self.0.url)
    }
}

impl Jwks {
    pub(super) fn new(
        url: String,
        tls: rustls::ClientConfig,
        refresh: Duration,
        stale: Duration,
    ) -> Result<Self, SetupError> {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(DEADLINE)
            .build()?;
        Ok(Self(Arc::new(Inner {
            url,
            http,
            refresh,
            // Keys that are not asked for again yet are not too old.
            stale: stale.max(refresh),
            known: Mutex::default(),
            turn: Turn::new(()),
        })))
    }

    /// The key of this name, or of none; fetched if it has to be.
    pub(super) async fn key(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<DecodingKey, Refused> {
        let before = Instant::now();
        if let Some((keys, age)) = self.0.usable() {
            // One is enough: others that wait for it would pile up.
            if age >= self.0.refresh && self.0.turn.try_lock().is_ok() {
                // Whoever asks is served with what there is; the next ones have the new keys.
                let inner = self.0.clone();
                tokio::spawn(async move { inner.fetch(before).await });
            }
            if let Ok(key) = keys.find(id, algorithm) {
                return Ok(key);
            }
        }
        self.0.fetch(before).await;
        match self.0.usable() {
            Some((keys, _)) => keys
                .find(id, algorithm)
                .map_err(|refused| self.0.why(refused)),
            None => Err(Refused::Unreachable(self.0.trouble().unwrap_or_default())),
        }
    }
}

impl Inner {
    /// The keys and how old they are, unless that is too old.
    fn usable(&self) -> Option<(Arc<Keys>, Duration)> {
        let state = self.state();
        let (keys, since) = state.keys.as_ref()?;
        let age = since.elapsed();
        (age < self.stale).then(|| (keys.clone(), age))
    }

    /// A key may be unknown only because the keys did not come.
    fn why(&self, unknown: Refused) -> Refused {
        match (self.trouble(), unknown) {
            (Some(trouble), Refused::UnknownKey(id)) => {
                Refused::Unreachable(format!("key {id:?} is new, and {trouble}"))
            }
            (_, unknown) => unknown,
        }
    }

    fn trouble(&self) -> Option<String> {
        let state = self.state();
        let (_, outcome) = state.asked.as_ref()?;
        outcome.as_ref().err().cloned()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for the keys, unless somebody did since `before` or shortly ahead of it.
    async fn fetch(&self, before: Instant) {
        let _turn = self.turn.lock().await;
        let asked = self.state().asked.as_ref().map(|(at, _)| *at);
        if asked.is_some_and(|at| at >= before || at.elapsed() < PAUSE.min(self.refresh)) {
            return;
        }
        let at = Instant::now();
        let fetched = self.download().await;
        let outcome = if fetched.is_ok() { "ok" } else { "failed" };
        metrics::counter!("wardcast_jwks_fetches_total", "outcome" => outcome).increment(1);
        if let Err(why) = &fetched {
            tracing::warn!(url = self.url, %why, "the issuer's keys cannot be fetched");
        }
        let mut state = self.state();
        let outcome = fetched.map(|keys| state.keys = Some((Arc::new(keys), at)));
        // As it ended: who waited for this one does not ask again, however long it took.
        state.asked = Some((Instant::now(), outcome));
    }

    async fn download(&self) -> Result<Keys, String> {
        let unreachable = |error: reqwest::Error| chain(&error);
        let mut response = self.http.get(&self.url).send().await.map_err(unreachable)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(format!("{} answers {}", self.url, response.status()));
        }
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if text.len() + chunk.len() > MAX_BYTES {
                return Err(format!("{} has more than {MAX_BYTES} bytes", self.url));
            }
            text.extend_from_slice(&chunk);
        }
        Keys::parse(&text).map_err(|why| format!("{}: {why}", self.url))
    }
}
