//! The database file: opened for this process alone, known by its application id and schema version.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::super::StoreError;

/// "WDCT", in the file's header, so that another program's database is not taken for a store.
const APPLICATION_ID: i64 = 0x5744_4354;
/// The schema below. A file with a greater one is refused; smaller ones will be migrated when there are any.
pub(super) const SCHEMA_VERSION: i64 = 1;

/// `checksum` covers group, revision and content: SQLite finds a damaged page's structure, not its content.
const SCHEMA: &str = "
    CREATE TABLE groups (
        key INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE
    ) STRICT;
    CREATE TABLE snapshots (
        \"group\" INTEGER PRIMARY KEY REFERENCES groups (key),
        at INTEGER NOT NULL,
        checksum BLOB NOT NULL,
        content BLOB NOT NULL
    ) STRICT;
    CREATE TABLE records (
        \"group\" INTEGER NOT NULL REFERENCES groups (key),
        revision INTEGER NOT NULL,
        checksum BLOB NOT NULL,
        content BLOB NOT NULL,
        PRIMARY KEY (\"group\", revision)
    ) STRICT, WITHOUT ROWID;
";

/// Open the file, lock it, and make or check its schema.
pub(super) fn open(path: &Path, max_pages: Option<u32>) -> Result<Connection, StoreError> {
    let mut connection = open_alone(path, max_pages)?;
    ensure_schema(path, &mut connection)?;
    Ok(connection)
}

/// Opens a database, of whatever schema, for this process alone: every commit waits for the disk. The file is made if it is not there,
/// and is its owner's alone.
///
/// # Errors
/// When it cannot be opened, or somebody else has it open.
pub fn open_alone(path: &Path, max_pages: Option<u32>) -> Result<Connection, StoreError> {
    create_private(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |error| StoreError::from_sqlite(path, error);
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    if settle(&connection, max_pages).map_err(failed)? != "wal" {
        return Err(StoreError::Unreachable {
            path: path.to_owned(),
            why: "its file system cannot hold a write-ahead log".into(),
        });
    }
    Ok(connection)
}

/// State names members: the file is its owner's alone. SQLite gives the WAL the same permissions.
fn create_private(path: &Path) -> Result<(), StoreError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(StoreError::Unreachable {
            path: path.to_owned(),
            why: error.to_string(),
        }),
    }
}

/// FULL makes every COMMIT wait for the disk. EXCLUSIVE, set before the first access, keeps the lock until the
/// connection ends, and the WAL's index in memory instead of a shared mapping. Answers with the journal's mode:
/// SQLite keeps the old one where it cannot switch, and there FULL would not cover a power loss.
fn settle(connection: &Connection, max_pages: Option<u32>) -> rusqlite::Result<String> {
    connection.busy_timeout(Duration::ZERO)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    let mode = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    connection.execute_batch(
        "PRAGMA synchronous = FULL;
         PRAGMA fullfsync = ON;
         PRAGMA checkpoint_fullfsync = ON;
         PRAGMA foreign_keys = ON;
         PRAGMA cell_size_check = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA journal_size_limit = 16777216;
         BEGIN EXCLUSIVE; COMMIT;",
    )?;
    if let Some(pages) = max_pages {
        connection.pragma_update(None, "max_page_count", pages)?;
    }
    Ok(mode)
}

fn ensure_schema(path: &Path, connection: &mut Connection) -> Result<(), StoreError> {
    let failed = |error| StoreError::from_sqlite(path, error);
    let pragma = |connection: &Connection, name: &str| -> rusqlite::Result<i64> {
        connection.pragma_query_value(None, name, |row| row.get(0))
    };
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed)?;
    if tables == 0 {
        return create_schema(connection).map_err(failed);
    }
    let path = path.to_owned();
    if pragma(connection, "application_id").map_err(failed)? != APPLICATION_ID {
        return Err(StoreError::Foreign { path });
    }
    let found = pragma(connection, "user_version").map_err(failed)?;
    match found {
        SCHEMA_VERSION => Ok(()),
        found if found > SCHEMA_VERSION => Err(StoreError::Newer {
            path,
            found,
            known: SCHEMA_VERSION,
        }),
        found => Err(StoreError::Corrupt {
            path,
            what: format!("schema version {found} was never one"),
        }),
    }
}

fn create_schema(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_commit_waits_for_the_disk() {
        let folder = tempfile::tempdir().expect("a folder");
        let connection = open(&folder.path().join("state.db"), None).expect("opens");
        let setting = |name: &str| -> String {
            let read = |row: &rusqlite::Row<'_>| row.get::<_, rusqlite::types::Value>(0);
            let value = connection.pragma_query_value(None, name, read);
            format!("{:?}", value.expect("a setting"))
        };
        assert_eq!(setting("synchronous"), "Integer(2)");
        assert_eq!(setting("journal_mode"), "Text(\"wal\")");
        assert_eq!(setting("locking_mode"), "Text(\"exclusive\")");
    }
}
