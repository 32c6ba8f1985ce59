//! Exchanges that are answered later: each is on disk before its caller is told so, and so is its answer before anybody sees it.
//!
//! ```text
//!   waiting --> running --> done          taken by a worker; answered by the store, or by the gateway
//!      |           `------> waiting       nothing was done: the store cannot be reached, or a restart came between and
//!      `--> done (cancelled)              the operation may be repeated; what may not is done as "unknown"
//! ```
//!
//! An answer is kept for a day, also after it was told; one that was told makes room when its caller has as many as may be.
//!
//! A correlation value is 32 random bytes, and serves its own caller alone. Nothing here may hold a key in the clear: who submits it saw to that.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{OptionalExtension, Row, Transaction, params};
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::caller::Bearer;
use super::durable::{Durable, DurableError};
use crate::crypto;
use crate::group::request::RequestId;

/// Exchanges of one caller, answered or not.
pub(super) const MAX_PER_CALLER: i64 = 64;
/// Exchanges of all callers, answered or not.
pub(super) const MAX_EXCHANGES: i64 = 4_096;
/// The longest request that is kept, in bytes.
pub(super) const MAX_REQUEST: usize = 64 * 1024;
/// The longest answer that is kept, in bytes.
pub(super) const MAX_ANSWER: usize = 256 * 1024;
/// For how long an exchange is kept from its beginning on, in seconds: a day.
pub(super) const MAX_AGE_S: i64 = 86_400;

/// The pause after a write that failed.
const AGAIN: Duration = Duration::from_secs(1);

/// Bytes of a correlation value.
pub(super) const VALUE: usize = 32;

const WAITING: i64 = 0;
const RUNNING: i64 = 1;
const DONE: i64 = 2;
const CANCELLED: i64 = 3;

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// Who asks.
    pub(super) caller: String,
    /// The version that is spoken, as a number.
    pub(super) version: i64,
    /// The operation.
    pub(super) operation: u32,
    /// The object that it is about.
    pub(super) object: Option<String>,
    /// The request, encoded.
    pub(super) request: Vec<u8>,
    /// What the token of its caller says, if it is known by one.
    pub(super) bearer: Option<Bearer>,
    /// What the request is called by which it was asked for.
    pub(super) named: Option<RequestId>,
}

/// Why something is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// [`MAX_PER_CALLER`].
    Caller,
    /// [`MAX_EXCHANGES`].
    Total,
    /// [`MAX_REQUEST`].
    Size,
}

impl Bound {
    /// In a word, for metrics.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Total => "total",
            Self::Size => "size",
        }
    }
}

/// How an exchange is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is not answered yet.
    Pending,
    /// It was answered, by this.
    Done(Vec<u8>),
    /// Its caller cancelled it in time.
    Cancelled,
    /// There is no such exchange of this caller, or not any more.
    Nothing,
}

/// What became of the wish to cancel one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cancelled {
    /// It will not be done.
    Now,
    /// It is being done.
    TooLate,
    /// It was answered, by this.
    Done(Vec<u8>),
    /// There is no such exchange of this caller.
    Nothing,
}

/// The exchanges of all callers.
#[derive(Clone)]
pub(super) struct Exchanges {
    durable: Durable,
    /// There is something to be done.
    work: Arc<Notify>,
}

impl Exchanges {
    pub(super) fn new(durable: Durable) -> Self {
        let work = Arc::default();
        Self { durable, work }
    }

    /// Tells a worker that there is something to be done.
    pub(super) fn call(&self) {
        self.work.notify_one();
    }

    /// Done when a worker is told so.
    pub(super) async fn called(&self) {
        self.work.notified().await;
    }

    /// Takes one; the value to poll with, once it is on disk.
    pub(super) async fn submit(
        &self,
        now: i64,
        job: Job,
    ) -> Result<Result<[u8; VALUE], Bound>, DurableError> {
        if job.request.len() > MAX_REQUEST {
            return Ok(Err(Bound::Size));
        }
        let value: [u8; VALUE] = crypto::random();
        let bearer = job
            .bearer
            .as_ref()
            .map(|bearer| serde_json::json!(bearer).to_string());
        let insert = move |transaction: &Transaction<'_>| {
            let count = |sql: &str, by: &[&dyn rusqlite::ToSql]| -> rusqlite::Result<i64> {
                transaction.query_row(sql, by, |row| row.get(0))
            };
            let total = count("SELECT count(*) FROM exchanges", &[])? >= MAX_EXCHANGES;
            let own = "SELECT count(*) FROM exchanges WHERE caller = ?1";
            let caller = count(own, &[&job.caller])? >= MAX_PER_CALLER;
            if (caller || total) && !made_room(transaction, &job.caller)? {
                return Ok(Err(if caller { Bound::Caller } else { Bound::Total }));
            }
            transaction.execute(
                "INSERT INTO exchanges (digest, caller, since, state, version, operation, object, request, bearer, named)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                params![
                    digest(&value),
                    job.caller,
                    now,
                    WAITING,
                    job.version,
                    job.operation,
                    job.object,
                    job.request,
                    bearer,
                    job.named.as_ref().map(RequestId::as_str)
                ],
            )?;
            Ok(Ok(value))
        };
        self.durable.run(insert).await
    }

    /// Whether any waits.
    pub(super) async fn any_waits(&self) -> Result<bool, DurableError> {
        let waits = |transaction: &Transaction<'_>| {
            let sql = "SELECT EXISTS (SELECT 1 FROM exchanges WHERE state = ?1)";
            transaction.query_row(sql, [WAITING], |row| row.get(0))
        };
        self.durable.run(waits).await
    }

    /// The next one that waits, with its number: the oldest after this number, or else the oldest. That it runs is on disk then.
    pub(super) async fn take(&self, after: i64) -> Result<Option<(i64, Job)>, DurableError> {
        let take = move |transaction: &Transaction<'_>| {
            let next = transaction
                .query_row(
                    "SELECT id, caller, version, operation, object, request, bearer, named FROM exchanges WHERE id =
                     (SELECT id FROM exchanges WHERE state = ?1 ORDER BY id <= ?2, id LIMIT 1)",
                    [WAITING, after],
                    job,
                )
                .optional()?;
            if let Some((id, _)) = &next {
                set_state(transaction, *id, RUNNING)?;
            }
            Ok(next)
        };
        self.durable.run(take).await
    }

    /// Writes how one ended, by its answer, or that nothing was done of it. While the database fails that is tried again: what runs on disk
    /// is nobody's otherwise, and its caller would never know. At a restart [`recover`](Self::recover) sees to it.
    pub(super) async fn settle(
        &self,
        id: i64,
        answer: Option<&[u8]>,
        stopped: &mut watch::Receiver<()>,
    ) {
        loop {
            let written = match answer {
                Some(answer) => self.finish(id, answer.to_vec()).await,
                None => self.put_back(id).await,
            };
            let Err(error) = written else {
                return;
            };
            tracing::warn!(%error, "front: the database fails, so how an exchange ended is not known yet");
            tokio::select! {
                () = sleep(AGAIN) => {}
                _ = stopped.changed() => return,
            }
        }
    }

    /// Nothing was done of it: it waits again.
    pub(super) async fn put_back(&self, id: i64) -> Result<(), DurableError> {
        self.durable
            .run(move |transaction| set_state(transaction, id, WAITING))
            .await
    }

    /// It was answered. The request is not needed any more.
    pub(super) async fn finish(&self, id: i64, answer: Vec<u8>) -> Result<(), DurableError> {
        let finish = move |transaction: &Transaction<'_>| finished(transaction, id, &answer);
        self.durable.run(finish).await
    }

    /// How one is.
    pub(super) async fn look(&self, caller: &str, value: &[u8]) -> Result<Found, DurableError> {
        let (caller, digest) = (caller.to_owned(), digest(value));
        let look = move |transaction: &Transaction<'_>| {
            Ok(match state(transaction, &caller, &digest)? {
                None => Found::Nothing,
                Some((id, DONE, answer)) => {
                    seen(transaction, id)?;
                    Found::Done(answer.unwrap_or_default())
                }
                Some((_, CANCELLED, _)) => Found::Cancelled,
                Some(_) => Found::Pending,
            })
        };
        self.durable.run(look).await
    }

    /// Cancels one, if it does not run yet.
    pub(super) async fn cancel(
        &self,
        caller: &str,
        value: &[u8],
    ) -> Result<Cancelled, DurableError> {
        let (caller, digest) = (caller.to_owned(), digest(value));
        let cancel = move |transaction: &Transaction<'_>| {
            Ok(match state(transaction, &caller, &digest)? {
                None => Cancelled::Nothing,
                Some((_, DONE, answer)) => Cancelled::Done(answer.unwrap_or_default()),
                Some((_, RUNNING, _)) => Cancelled::TooLate,
                Some((id, _, _)) => {
                    set_state(transaction, id, CANCELLED)?;
                    seen(transaction, id)?;
                    Cancelled::Now
                }
            })
        };
        self.durable.run(cancel).await
    }

    /// Forgets what is too old; how many that were, and how many are left. What runs is left to its end.
    pub(super) async fn expire(&self, now: i64) -> Result<(usize, i64), DurableError> {
        let expire = move |transaction: &Transaction<'_>| {
            let old = "DELETE FROM exchanges WHERE since < ?1 AND state <> ?2";
            let gone = transaction.execute(old, params![now - MAX_AGE_S, RUNNING])?;
            let left = "SELECT count(*) FROM exchanges";
            Ok((gone, transaction.query_row(left, [], |row| row.get(0))?))
        };
        self.durable.run(expire).await
    }

    /// After a restart: what ran is repeated if it may be, and is answered with `unknown` otherwise. How many of each.
    pub(super) fn recover(
        &self,
        repeatable: impl Fn(u32) -> bool,
        unknown: &[u8],
    ) -> Result<(usize, usize), DurableError> {
        self.durable.run_here(|transaction| {
            let mut running =
                transaction.prepare("SELECT id, operation FROM exchanges WHERE state = ?1")?;
            let found = running.query_map([RUNNING], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let found = found.collect::<rusqlite::Result<Vec<(i64, u32)>>>()?;
            let mut counts = (0, 0);
            for (id, operation) in found {
                match repeatable(operation) {
                    true => {
                        set_state(transaction, id, WAITING)?;
                        counts.0 += 1;
                    }
                    false => {
                        finished(transaction, id, unknown)?;
                        counts.1 += 1;
                    }
                }
            }
            Ok(counts)
        })
    }
}

/// Number, state, and answer.
type Kept = (i64, i64, Option<Vec<u8>>);

fn job(row: &Row<'_>) -> rusqlite::Result<(i64, Job)> {
    let (bearer, named): (Option<String>, Option<String>) = (row.get(6)?, row.get(7)?);
    let job = Job {
        caller: row.get(1)?,
        version: row.get(2)?,
        operation: row.get(3)?,
        object: row.get(4)?,
        request: row.get(5)?,
        // What cannot be read is as if it were not there: nothing is done then.
        bearer: bearer.and_then(|text| serde_json::from_str(&text).ok()),
        named: named.and_then(|text| RequestId::new(&text)),
    };
    Ok((row.get(0)?, job))
}

fn state(
    transaction: &Transaction<'_>,
    caller: &str,
    digest: &[u8; 32],
) -> rusqlite::Result<Option<Kept>> {
    let sql = "SELECT id, state, answer FROM exchanges WHERE digest = ?1 AND caller = ?2";
    let found = transaction.query_row(sql, params![digest, caller], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    });
    found.optional()
}

/// Forgets the oldest answer of a caller that was told already; whether there is one.
fn made_room(transaction: &Transaction<'_>, caller: &str) -> rusqlite::Result<bool> {
    let sql = "DELETE FROM exchanges WHERE id =
        (SELECT id FROM exchanges WHERE caller = ?1 AND seen = 1 ORDER BY id LIMIT 1)";
    Ok(transaction.execute(sql, [caller])? > 0)
}

/// Its caller knows how it ended.
fn seen(transaction: &Transaction<'_>, id: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE exchanges SET seen = 1 WHERE id = ?1 AND seen = 0";
    transaction.execute(sql, [id]).map(drop)
}

fn set_state(transaction: &Transaction<'_>, id: i64, state: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE exchanges SET state = ?2 WHERE id = ?1";
    transaction.execute(sql, params![id, state]).map(drop)
}

fn finished(transaction: &Transaction<'_>, id: i64, answer: &[u8]) -> rusqlite::Result<()> {
    let sql = "UPDATE exchanges SET state = ?2, answer = ?3, request = x'' WHERE id = ?1";
    transaction
        .execute(sql, params![id, DONE, answer])
        .map(drop)
}

fn digest(value: &[u8]) -> [u8; 32] {
    Sha256::digest(value).into()
}
