//! The front's own database: what was asked for and is not answered yet, and what was answered lately. No key is in it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::store::{self, StoreError};

/// "WDCF", in the file's header, so that another program's database is not taken for it.
const APPLICATION_ID: i64 = 0x5744_4346;
const SCHEMA_VERSION: i64 = 3;

/// Identifiers are never used again. `digest` is the SHA-256 of a correlation value: who reads the disk cannot poll.
const SCHEMA: &str = "
    CREATE TABLE exchanges (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        digest BLOB NOT NULL UNIQUE,
        caller TEXT NOT NULL,
        since INTEGER NOT NULL,
        state INTEGER NOT NULL,
        seen INTEGER NOT NULL DEFAULT 0,
        version INTEGER NOT NULL,
        operation INTEGER NOT NULL,
        object TEXT,
        request BLOB NOT NULL,
        answer BLOB,
        bearer TEXT,
        named TEXT
    ) STRICT;
    CREATE INDEX exchanges_by_caller ON exchanges (caller);
    CREATE INDEX exchanges_by_state ON exchanges (state, id);
    CREATE TABLE requests (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        asker TEXT NOT NULL,
        \"group\" TEXT NOT NULL,
        role TEXT NOT NULL,
        reason TEXT NOT NULL,
        since INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX requests_by_asker ON requests (asker);
";

/// What version 1 lacks: what the token of a caller says that is known by one.
const FROM_1: &str = "ALTER TABLE exchanges ADD COLUMN bearer TEXT;";
/// What version 2 lacks: what the request is called by which somebody asked.
const FROM_2: &str = "ALTER TABLE exchanges ADD COLUMN named TEXT;";

/// Why the front's database cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DurableError {
    /// The folder or the file cannot be used, or somebody else uses it.
    #[error(transparent)]
    Open(#[from] StoreError),
    /// Something else is in the file, or what a newer build wrote.
    #[error("{}: is not the front's database, or one of a newer version; move it away, and another is made", .0.display())]
    Foreign(PathBuf),
    /// Reading or writing failed.
    #[error("{}: reading or writing failed ({source}); check the disk", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: Arc<rusqlite::Error>,
    },
}

/// The database. Clones share it.
#[derive(Clone)]
pub(super) struct Durable {
    path: Arc<Path>,
    connection: Arc<Mutex<Connection>>,
}

impl Durable {
    /// Opens it, and makes it if it is not there. Nobody else can have it open meanwhile.
    pub(super) fn open(path: &Path) -> Result<Self, DurableError> {
        let mut connection = store::open_alone(path, None)?;
        let failed = |source: rusqlite::Error| DurableError::Sqlite {
            path: path.to_owned(),
            source: Arc::new(source),
        };
        connection
            .execute_batch("PRAGMA secure_delete = ON;")
            .map_err(failed)?;
        let known = ensure_schema(&mut connection).map_err(failed)?;
        if !known {
            return Err(DurableError::Foreign(path.to_owned()));
        }
        Ok(Self {
            path: path.into(),
            connection: Arc::new(Mutex::new(connection)),
        })
    }

    /// Runs a transaction beside the runtime's own threads; what it did is on disk when this returns.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DurableError> {
        let own = self.clone();
        let done = tokio::task::spawn_blocking(move || own.run_here(work)).await;
        // Nothing cancels it, so it fails only as it panics, and that goes on here.
        done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    /// The same on this thread.
    pub(super) fn run_here<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, DurableError> {
        let mut connection = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let done = begun.and_then(|transaction| {
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        });
        done.map_err(|source| DurableError::Sqlite {
            path: self.path.to_path_buf(),
            source: Arc::new(source),
        })
    }
}

/// Whether the schema is there now, and is this one.
fn ensure_schema(connection: &mut Connection) -> rusqlite::Result<bool> {
    let transaction = connection.transaction()?;
    let number = |name: &str| -> rusqlite::Result<i64> {
        transaction.pragma_query_value(None, name, |row| row.get(0))
    };
    let count = "SELECT count(*) FROM sqlite_schema";
    let tables: i64 = transaction.query_row(count, [], |row| row.get(0))?;
    if tables > 0 {
        if number("application_id")? != APPLICATION_ID {
            return Ok(false);
        }
        match number("user_version")? {
            1 => {
                transaction.execute_batch(FROM_1)?;
                transaction.execute_batch(FROM_2)?;
            }
            2 => transaction.execute_batch(FROM_2)?,
            version => return Ok(version == SCHEMA_VERSION),
        }
    } else {
        transaction.execute_batch(SCHEMA)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()?;
    Ok(true)
}
