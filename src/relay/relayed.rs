//! How far all sinks of a trail have come, from their cursors on disk: for whoever moves its segments elsewhere, beside a gateway that runs.

use std::fs;
use std::io;
use std::path::Path;

use super::cursor::CursorFile;
use super::standing;

const PREFIX: &str = "relay-";
const EXTENSION: &str = ".json";

/// The sink that has come least far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hindmost {
    /// Its name.
    pub sink: String,
    /// The number of the last record that it has taken; 0 for none.
    pub sequence: u64,
}

/// Who has come least far in the trail of this folder: of the sinks that have a cursor there, and of those named, which begin at the
/// first record while they have none. None if there is no sink at all.
///
/// # Errors
/// When a cursor cannot be read.
pub fn hindmost(directory: &Path, expected: &[&str]) -> io::Result<Option<Hindmost>> {
    let mut sinks: Vec<String> = expected.iter().map(|sink| (*sink).to_owned()).collect();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        // How the key store is stands in one of such a name, which is no cursor.
        let name = name.to_str().filter(|name| *name != standing::FILE);
        let name = name.and_then(|name| name.strip_prefix(PREFIX));
        let sink = name.and_then(|name| name.strip_suffix(EXTENSION));
        sinks.extend(sink.map(str::to_owned));
    }
    let mut found = Vec::new();
    for sink in sinks {
        let file = CursorFile::of(directory, &sink);
        let cursor = file.load().map_err(|error| {
            let path = file.path().display();
            io::Error::new(error.kind(), format!("{path}: {error}"))
        })?;
        let sequence = cursor.map_or(0, |cursor| cursor.sequence);
        found.push(Hindmost { sink, sequence });
    }
    Ok(found.into_iter().min_by_key(|one| one.sequence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Digest;
    use crate::relay::cursor::Cursor;

    #[test]
    fn the_one_that_has_come_least_far_counts_whether_it_has_begun_or_not() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path();
        assert_eq!(hindmost(path, &[]).expect("is read"), None);
        for (sink, sequence) in [("audit", 9), ("lifecycle", 7)] {
            let head = Digest::of(b"a line");
            let begun = None;
            let cursor = Cursor {
                sequence,
                head,
                begun,
            };
            CursorFile::of(path, sink).save(&cursor).expect("is saved");
        }
        for other in ["relay-notes.txt", standing::FILE, "relay-lifecycle.db"] {
            fs::write(path.join(other), "none").expect("is written");
        }
        let is = |sink: &str, sequence| {
            let sink = sink.to_owned();
            Some(Hindmost { sink, sequence })
        };
        assert_eq!(hindmost(path, &[]).expect("is read"), is("lifecycle", 7));
        let found = hindmost(path, &["audit", "syslog"]).expect("is read");
        assert_eq!(found, is("syslog", 0));
        fs::write(path.join("relay-other.json"), "{").expect("is written");
        let error = hindmost(path, &[]).expect_err("is no cursor");
        assert!(error.to_string().contains("relay-other.json"), "{error}");
    }
}
