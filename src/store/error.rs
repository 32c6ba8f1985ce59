//! What can go wrong with durable state: what happened, in which file, and what to do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::ErrorCode;

use crate::group::ids::{GroupId, Revision};

/// Why a store refused or failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The log is at another revision than the caller expects: somebody else wrote, or the caller lost its
    /// place. Load the group again.
    #[error(
        "group {group} is at revision {}, not {}: another writer came first; load the group again",
        .actual.0, .expected.0
    )]
    Conflict {
        /// Which group.
        group: GroupId,
        /// What the caller expected.
        expected: Revision,
        /// What is stored.
        actual: Revision,
    },
    /// A snapshot of a group that is not stored.
    #[error("group {group} is not in the store: append its first record before a snapshot of it")]
    UnknownGroup {
        /// Which group.
        group: GroupId,
    },
    /// A record or snapshot above [`MAX_BYTES`](super::MAX_BYTES).
    #[error(
        "{bytes} bytes for group {group} are too many; at most {} fit a row",
        super::MAX_BYTES
    )]
    TooLarge {
        /// Which group.
        group: GroupId,
        /// Of the record or snapshot.
        bytes: usize,
    },
    /// Another process, or another store in this one, has the file open.
    #[error(
        "{}: in use by another process; stop the other gateway, or give this one a store of its own", .path.display()
    )]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// The file cannot be opened because of its folder or its permissions.
    #[error(
        "{}: cannot be opened: {why}; the folder must exist and this user must be able to write to it and the file", .path.display()
    )]
    Unreachable {
        /// The database.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// A newer Wardcast wrote the file.
    #[error(
        "{}: has schema version {found}, this build knows {known}: run the newer Wardcast that wrote it, or restore the copy made before its upgrade", .path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// The version in the file.
        found: i64,
        /// The newest version that this build understands.
        known: i64,
    },
    /// The file is a database, but of something else.
    #[error("{}: is not a Wardcast store; set store.path to another file", .path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
    },
    /// The content is damaged. Nothing is repaired by guessing: a group rolled back would use keys twice.
    #[error("{}: damaged: {what}; restore it from a backup, and check the disk", .path.display())]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What is wrong in it.
        what: String,
    },
    /// There is no room left. Later appends are tried again.
    #[error("{}: no room left on its disk; free some, nothing needs a restart", .path.display())]
    Full {
        /// The database.
        path: PathBuf,
    },
    /// Reading or writing failed. Later appends are tried again.
    #[error(
        "{}: reading or writing failed ({source}); check the disk and the kernel's log", .path.display()
    )]
    Io {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: Arc<rusqlite::Error>,
    },
    /// The store was shut down, or its thread could not be started.
    #[error("{}: the store is closed; the gateway is stopping", .path.display())]
    Closed {
        /// The database.
        path: PathBuf,
    },
}

impl StoreError {
    /// Whether trying the same again later can succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, StoreError::Full { .. } | StoreError::Io { .. })
    }

    pub(super) fn from_sqlite(path: &Path, source: rusqlite::Error) -> StoreError {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse { path },
            Some(ErrorCode::DiskFull) => StoreError::Full { path },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt {
                path,
                what: source.to_string(),
            },
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
                StoreError::Unreachable {
                    path,
                    why: source.to_string(),
                }
            }
            _ => StoreError::Io {
                path,
                source: Arc::new(source),
            },
        }
    }
}
