//! The ledger: what is known of each group's objects, on disk. The identifiers of objects are there, so that none is looked up by
//! name unless it was not known whether it had been registered.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::spawn_blocking;

use super::known::Known;
use crate::relay::{Place, SinkError};
use crate::store;

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}: see to its disk and its rights; if it is damaged, remove it: objects are looked up by name then", path.display())]
pub struct LedgerError {
    path: PathBuf,
    why: String,
}

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS groups (
        id TEXT PRIMARY KEY,
        known TEXT NOT NULL,
        busy INTEGER NOT NULL DEFAULT 0,
        over INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS applied (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        sequence INTEGER NOT NULL,
        head TEXT NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS aside (
        object TEXT PRIMARY KEY,
        aside TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS begun (
        batch INTEGER PRIMARY KEY,
        ids TEXT NOT NULL
    ) STRICT;
";

/// The ledger, shared.
#[derive(Clone)]
pub(super) struct Ledger {
    path: Arc<Path>,
    connection: Arc<Mutex<Connection>>,
}

impl Ledger {
    /// Opens it, and makes it if it is not there. It blocks.
    pub(super) fn open(path: &Path) -> Result<Self, LedgerError> {
        let bad = |why: String| LedgerError {
            path: path.to_owned(),
            why,
        };
        let connection = store::open_alone(path, None).map_err(|error| bad(error.to_string()))?;
        let made = connection.execute_batch(SCHEMA);
        made.map_err(|error| bad(error.to_string()))?;
        Ok(Ledger {
            path: path.into(),
            connection: Arc::new(Mutex::new(connection)),
        })
    }

    pub(super) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let connection = self.connection.clone();
        let done = spawn_blocking(move || {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = connection.transaction()?;
            let answer = work(&transaction)?;
            transaction.commit()?;
            Ok(answer)
        });
        let done: rusqlite::Result<T> = match done.await {
            Ok(done) => done,
            Err(error) => {
                let why = error.to_string();
                let path = self.path.to_path_buf();
                return Err(LedgerError { path, why });
            }
        };
        done.map_err(|error| LedgerError {
            path: self.path.to_path_buf(),
            why: error.to_string(),
        })
    }

    /// What is known of a group, if it is not busy or that does not matter.
    pub(super) async fn get(&self, id: &str, idle: bool) -> Result<Option<Known>, LedgerError> {
        let id = id.to_owned();
        self.with(move |ledger| {
            let query = "SELECT known FROM groups WHERE id = ?1 AND busy <= ?2";
            let found: Option<String> = ledger
                .query_row(query, params![id, i64::from(!idle)], |row| row.get(0))
                .optional()?;
            found.as_deref().map(read).transpose()
        })
        .await
    }

    /// Steps of these groups are about to be done: what is found of their objects from now on may be our own doing.
    pub(super) async fn begin(&self, ids: Vec<String>) -> Result<(), LedgerError> {
        self.with(move |ledger| {
            let mut mark = ledger.prepare_cached("UPDATE groups SET busy = 1 WHERE id = ?1")?;
            for id in ids {
                mark.execute([id])?;
            }
            Ok(())
        })
        .await
    }

    /// The steps of a batch, which ends with this record, are done. Groups that were over before it are forgotten: no record
    /// of theirs comes again.
    pub(super) async fn commit(&self, all: Vec<Known>, applied: Place) -> Result<(), LedgerError> {
        self.with(move |ledger| {
            let last = applied.sequence.cast_signed();
            let applied_to =
                "INSERT OR REPLACE INTO applied (one, sequence, head) VALUES (1, ?1, ?2)";
            let mut applied_to = ledger.prepare_cached(applied_to)?;
            applied_to.execute(params![last, text(&applied.head)?])?;
            ledger.execute(
                "DELETE FROM groups WHERE over IS NOT NULL AND over <> ?1",
                [last],
            )?;
            for known in &all {
                write(ledger, known, known.over.then_some(last))?;
            }
            Ok(())
        })
        .await
    }

    /// Up to where the trail was applied; none if nothing says so.
    pub(super) async fn applied(&self) -> Result<Option<Place>, LedgerError> {
        self.with(|ledger| {
            let query = "SELECT sequence, head FROM applied";
            let found = ledger
                .query_row(query, [], |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
                })
                .optional()?;
            let place = |(sequence, head): (i64, String)| {
                Ok(Place {
                    sequence: sequence.cast_unsigned(),
                    head: read(&head)?,
                })
            };
            found.map(place).transpose()
        })
        .await
    }

    /// The group that lives and has an object of this name.
    pub(super) async fn of_object(&self, name: &str) -> Result<Option<Known>, LedgerError> {
        let name = name.to_owned();
        self.with(move |ledger| {
            let query = "SELECT known FROM groups WHERE over IS NULL \
                         AND ?1 IN (json_extract(known, '$.group.name'), json_extract(known, '$.key.object.name'))";
            let found: Option<String> = ledger
                .query_row(query, [name], |row| row.get(0))
                .optional()?;
            found.as_deref().map(read).transpose()
        })
        .await
    }

    /// All that begins in the batch of this first record is registered and active, by these identifiers; it can end now.
    pub(super) async fn all_begun(
        &self,
        batch: u64,
        ids: HashMap<String, String>,
    ) -> Result<(), LedgerError> {
        self.with(move |ledger| {
            let ids = text(&ids)?;
            ledger.execute("DELETE FROM begun", [])?;
            let insert = "INSERT INTO begun (batch, ids) VALUES (?1, ?2)";
            ledger.execute(insert, params![batch.cast_signed(), ids])?;
            Ok(())
        })
        .await
    }

    /// What was said so of that batch, if anything was.
    pub(super) async fn begun(
        &self,
        batch: u64,
    ) -> Result<Option<HashMap<String, String>>, LedgerError> {
        self.with(move |ledger| {
            let query = "SELECT ids FROM begun WHERE batch = ?1";
            let found: Option<String> = ledger
                .query_row(query, [batch.cast_signed()], |row| row.get(0))
                .optional()?;
            found.as_deref().map(read).transpose()
        })
        .await
    }

    /// This is known now of a group that is there. It stays busy if it is.
    pub(super) async fn put(&self, known: Known) -> Result<(), LedgerError> {
        self.with(move |ledger| {
            let text = text(&known)?;
            let update = "UPDATE groups SET known = ?2 WHERE id = ?1";
            ledger.execute(update, params![known.id, text])?;
            Ok(())
        })
        .await
    }

    /// Groups after this one that are neither busy nor over, by identifier.
    pub(super) async fn page(&self, after: &str, limit: u32) -> Result<Vec<Known>, LedgerError> {
        let after = after.to_owned();
        self.with(move |ledger| {
            let query = "SELECT known FROM groups WHERE id > ?1 AND busy = 0 AND over IS NULL \
                         ORDER BY id LIMIT ?2";
            let mut query = ledger.prepare_cached(query)?;
            let found = query.query_map(params![after, limit], |row| row.get::<_, String>(0))?;
            found.map(|known| read(&known?)).collect()
        })
        .await
    }

    /// Groups to which something is still to be done, by identifier: busy ones too.
    pub(super) async fn due(&self) -> Result<Vec<String>, LedgerError> {
        self.with(|ledger| {
            let query = "SELECT id FROM groups WHERE over IS NULL \
                         AND json_extract(known, '$.due') IS NOT NULL ORDER BY id";
            let mut query = ledger.prepare_cached(query)?;
            let found = query.query_map([], |row| row.get::<_, String>(0))?;
            found.collect()
        })
        .await
    }
}

/// Trouble with the ledger says nothing of the store, but is a matter of patience too.
pub(super) fn on_disk(error: LedgerError) -> SinkError {
    SinkError::Unreachable(error.to_string())
}

pub(super) fn text<T: Serialize>(known: &T) -> rusqlite::Result<String> {
    serde_json::to_string(known)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn write(ledger: &Transaction<'_>, known: &Known, over: Option<i64>) -> rusqlite::Result<()> {
    let text = text(known)?;
    let statement = "INSERT INTO groups (id, known, busy, over) VALUES (?1, ?2, 0, ?3) \
                     ON CONFLICT (id) DO UPDATE SET known = ?2, busy = 0, over = ?3";
    let mut statement = ledger.prepare_cached(statement)?;
    statement.execute(params![known.id, text, over])?;
    Ok(())
}

pub(super) fn read<T: DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into())
    })
}
