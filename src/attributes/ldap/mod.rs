//! What a directory has about an identity, by LDAP (RFC 4511) over TLS.
//!
//! An identity is looked up once for all who join with it at the same time. An answer is kept for a while, and so is it that the directory knows nobody. When it cannot be asked, what it said last serves for a
//! longer, bounded while; whoever is not known by then is not admitted, for the attributes that would forbid it are not known.

mod connection;
mod filter;
mod password;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::certificate::Parts;
use super::recent::Recent;
use super::together::Together;
use super::{MAX_NAMES, Values};
use crate::group::ids::Identity;
use connection::{Connection, Trouble};
pub use filter::{Filter, FilterError};
pub use password::{Password, PasswordError};

/// Answers that are kept, in each of two generations.
const KEPT: usize = 16_384;
/// Questions that the directory is asked at a time; more wait.
const AT_A_TIME: usize = 64;
/// After a failure nobody waits for the directory for so long.
const REST: Duration = Duration::from_secs(1);

/// Where the directory is, and what it is asked.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its addresses, the first that answers is used: `ldaps://HOST`, or `ldap://HOST`, which begins TLS before anything else
    /// (StartTLS). Nothing is ever sent in the clear.
    pub addresses: Vec<String>,
    /// As whom it is asked.
    pub bind: Bind,
    /// Below which entry it is searched.
    pub base: String,
    /// For which entry.
    pub filter: Filter,
    /// What is taken of it.
    pub attributes: Vec<String>,
    /// How long, and how long what it said serves.
    pub times: Times,
}

/// As whom the directory is asked.
#[derive(Clone, Debug)]
pub enum Bind {
    /// By a name (DN) and its password.
    Simple(String, Password),
    /// By the certificate that is shown to it (SASL EXTERNAL).
    External,
}

/// How long the directory may take, and how long what it said serves.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Within this it answers, or counts as down.
    pub deadline: Duration,
    /// For so long an answer serves without asking again.
    pub fresh: Duration,
    /// For so long it serves while the directory is down.
    pub stale: Duration,
}

/// Why attributes cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is down, or does not do what it is asked.
    #[error("the directory cannot be asked, so attributes that may forbid it are not known: {0}")]
    Unreachable(Arc<str>),
    /// There is more than one entry of the identity.
    #[error("the directory has several entries for {0}")]
    Ambiguous(Identity),
}

/// A directory. Cheap to clone; clones share one connection and what was answered.
#[derive(Clone)]
pub struct Directory(Arc<Inner>);

struct Inner {
    connection: Connection,
    filter: Filter,
    times: Times,
    turns: Semaphore,
    answers: Mutex<Recent<Identity, Answer>>,
    /// Of one identity it is asked once at a time, however many of it join at once.
    asking: Together<Identity, Result<Values, Refused>>,
    failed: Mutex<Option<(Instant, Arc<str>)>>,
}

#[derive(Clone)]
struct Answer {
    at: Instant,
    /// Nothing where it knows nobody.
    values: Values,
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Directory(..)")
    }
}

impl Directory {
    /// Connects with the first question.
    pub fn new(mut options: Options, tls: rustls::ClientConfig) -> Self {
        options.attributes.truncate(MAX_NAMES);
        Self(Arc::new(Inner {
            filter: options.filter.clone(),
            times: options.times,
            connection: Connection::new(options, tls),
            turns: Semaphore::new(AT_A_TIME),
            answers: Mutex::new(Recent::new(KEPT)),
            asking: Together::new(),
            failed: Mutex::default(),
        }))
    }

    /// What the directory has about an identity, and `dn`, the name of its entry; nothing if it has no entry of it.
    pub async fn find(&self, identity: &Identity) -> Result<Values, Refused> {
        let inner = &self.0;
        if let Some(answer) = inner.fresh(identity) {
            return Ok(answer.values);
        }
        let ask = async {
            // Who asked before may have had its answer just now.
            if let Some(answer) = inner.fresh(identity) {
                return Ok(answer.values);
            }
            let found = inner.ask(identity).await;
            count(if found.is_ok() { "answered" } else { "failed" });
            found
        };
        let found = inner.asking.find(identity, ask).await;
        match (found, inner.kept(identity)) {
            (Err(Refused::Unreachable(why)), Some(answer))
                if answer.at.elapsed() < inner.times.stale =>
            {
                tracing::debug!(%identity, why = &*why, "what the directory said before serves");
                count("stale");
                Ok(answer.values)
            }
            (found, _) => found,
        }
    }
}

impl Inner {
    fn kept(&self, identity: &Identity) -> Option<Answer> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(identity)
    }

    /// What was answered a moment ago.
    fn fresh(&self, identity: &Identity) -> Option<Answer> {
        let kept = self.kept(identity)?;
        (kept.at.elapsed() < self.times.fresh).then_some(kept)
    }

    async fn ask(&self, identity: &Identity) -> Result<Values, Refused> {
        if let Some(why) = self.rests() {
            return Err(Refused::Unreachable(why));
        }
        // That many ask is not the directory's failure. It is closed never.
        let Ok(_turn) = timeout(self.times.deadline, self.turns.acquire()).await else {
            return Err(Refused::Unreachable("too many wait for it".into()));
        };
        // It may have failed while others had their turns.
        if let Some(why) = self.rests() {
            return Err(Refused::Unreachable(why));
        }
        let filter = self.filter.of(&Parts::new(identity), identity);
        let asked = timeout(self.times.deadline, self.connection.search(&filter));
        let failed = |why: String| {
            let why: Arc<str> = why.into();
            tracing::warn!(%why, "the directory cannot be asked");
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) =
                Some((Instant::now(), why.clone()));
            Refused::Unreachable(why)
        };
        let mut entries = match asked.await {
            Ok(Ok(entries)) => entries,
            Ok(Err(Trouble::Connection(why))) => return Err(failed(why)),
            // The others can be asked about all the same.
            Ok(Err(Trouble::Answer(why))) => {
                tracing::warn!(%identity, %why, "the directory does not answer about somebody");
                return Err(Refused::Unreachable(why.into()));
            }
            Err(_) => {
                self.connection.forget().await;
                let deadline = self.times.deadline.as_millis();
                return Err(failed(format!("no answer within {deadline} ms")));
            }
        };
        if entries.len() > 1 {
            return Err(Refused::Ambiguous(identity.clone()));
        }
        let values = entries.pop().unwrap_or_default();
        let answer = Answer {
            at: Instant::now(),
            values: values.clone(),
        };
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.put(identity.clone(), answer);
        Ok(values)
    }

    /// Why it is not asked, if it failed a moment ago.
    fn rests(&self) -> Option<Arc<str>> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, why) = failed.as_ref()?;
        (at.elapsed() < REST).then(|| why.clone())
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("wardcast_directory_lookups_total", "outcome" => outcome).increment(1);
}
