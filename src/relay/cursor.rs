//! How far a sink has come, kept in a file beside the trail: what it has taken, and which batch was begun.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::audit::Digest;

/// Nobody but the gateway's user reads it.
const FILE_MODE: u32 = 0o600;

/// How far a sink has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cursor {
    /// The number of the last record that it has taken; 0 for none.
    pub(super) sequence: u64,
    /// The digest of that record's line.
    pub(super) head: Digest,
    /// The batch that it was given next, if any: it may have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) begun: Option<Begun>,
}

/// A batch that was begun: after a crash the same records make it up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Begun {
    /// The number of its first record.
    pub(super) first: u64,
    /// The number of its last.
    pub(super) last: u64,
}

/// The file of a cursor.
#[derive(Clone, Debug)]
pub(super) struct CursorFile(PathBuf);

impl CursorFile {
    /// That of a sink, in the folder of the trail.
    pub(super) fn of(directory: &Path, sink: &str) -> Self {
        CursorFile(directory.join(format!("relay-{sink}.json")))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// What it says; none if there is none.
    ///
    /// # Errors
    /// When it cannot be read, or is no cursor.
    pub(super) fn load(&self) -> io::Result<Option<Cursor>> {
        match fs::read(&self.0) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces it; then it is on disk.
    ///
    /// # Errors
    /// When it cannot be written: what was there is there still.
    pub(super) fn save(&self, cursor: &Cursor) -> io::Result<()> {
        replace(&self.0, &serde_json::to_vec(cursor)?)
    }
}

/// Replaces a file's content: after a crash all of it is there, or all of what was there before.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let next = path.with_extension("json.new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(FILE_MODE)
        .open(&next)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&next, path)?;
    // A name is durable once its folder is synced. That of a mere name is empty, which cannot be opened.
    let folder = path.parent();
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_what_was_saved_last() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let file = CursorFile::of(folder.path(), "audit");
        assert_eq!(file.load().expect("is read"), None);
        let mut cursor = Cursor {
            sequence: 7,
            head: Digest::of(b"seven"),
            begun: None,
        };
        file.save(&cursor).expect("is written");
        cursor.begun = Some(Begun { first: 8, last: 9 });
        file.save(&cursor).expect("is written");
        assert_eq!(file.load().expect("is read"), Some(cursor));
        fs::write(file.path(), b"{\"sequence\":1}").expect("is written");
        assert!(file.load().is_err(), "a cursor names the record's digest");
    }
}
