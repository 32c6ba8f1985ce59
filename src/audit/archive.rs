//! Moves segments that are full elsewhere, while the gateway writes on: whole ones, in their order, each verified on the way.
//!
//! A segment may go once nothing of the gateway reads it any more: a start reads from the segment that the index names, and what
//! follows the trail reads from its cursor on. A crash at any moment leaves each segment whole in one of the two folders, or in both;
//! the next call ends what this one began.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::chain::{Digest, Fault, Record};
use super::index::Index;
use super::segment::{Segment, segments};
use super::verifier::Verifier;
use super::verify::Broken;
use crate::crypto::Fingerprint;

/// Two archivers of one trail would move it to two places.
const LOCK: &str = "archive.lock";
/// A copy that is not finished has no name of a segment.
const UNFINISHED: &str = "new";
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// What was moved, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Archived {
    /// How many segments were moved.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The number of the last record that was moved now; none if none was.
    pub last: Option<u64>,
    /// Segments that are full and yet stay, as their records are not relayed.
    pub held: usize,
}

/// Why segments could not be moved. What was moved before stays where it is.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The trail, or its archive, is not whole.
    #[error("{0}")]
    Broken(#[from] Broken),
    /// The archive is the trail's own folder: all that is moved would be there already, and be removed.
    #[error("{0} is the folder of the trail itself: name another one")]
    Itself(PathBuf),
    /// What is in the archive is not what comes before.
    #[error(
        "{archive} ends with record {found}, and the trail begins with record {first}: name the folder that has the records between, or an empty one"
    )]
    Elsewhere {
        /// The archive.
        archive: PathBuf,
        /// The number of its last record.
        found: u64,
        /// The number of the trail's first.
        first: u64,
    },
    /// There is another file of that name.
    #[error("{0} is there already, with another content: move it away, or name another folder")]
    Taken(PathBuf),
    /// Somebody else moves segments of this trail.
    #[error("another process moves segments of {0}: let it end")]
    Locked(PathBuf),
    /// Something with a file or folder.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl ArchiveError {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| ArchiveError::Io {
            what,
            path: path.to_owned(),
            source,
        }
    }
}

/// Moves the segments of `directory` all of whose records have been relayed, up to the record `relayed`, to `archive`, which is made
/// if it is not there. Both hold whole trails before and after; signatures must be by one of `issuers`, if there are any.
///
/// # Errors
/// The first thing that is wrong. Nothing is moved that does not verify, or does not follow what is in the archive.
pub fn archive(
    directory: &Path,
    archive: &Path,
    relayed: u64,
    issuers: &[Fingerprint],
) -> Result<Archived, ArchiveError> {
    let _lock = locked(directory)?;
    DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(archive)
        .map_err(ArchiveError::io("make", archive))?;
    if folder(directory)? == folder(archive)? {
        return Err(ArchiveError::Itself(archive.to_owned()));
    }
    let all = segments(directory).map_err(ArchiveError::io("read", directory))?;
    // Without an index a start reads all segments, so all of them stay.
    let needed = Index::load(directory).map_or(0, |index| index.next);
    let full = all.iter().take_while(|segment| segment.first < needed);
    let full: Vec<&Segment> = full.collect();
    let mut done = Archived::default();
    let mut verifier = following(archive, all.first(), issuers)?;
    for (at, segment) in full.iter().enumerate() {
        // There is one: that which the index names, at the latest.
        let Some(next) = all.get(at + 1) else { break };
        if next.first - 1 > relayed {
            done.held = full.len() - at;
            break;
        }
        let bytes = verified(&mut verifier, segment, next.first)?;
        relocate(&segment.path, archive)?;
        sync(directory)?;
        done.segments += 1;
        done.bytes += bytes;
        done.last = Some(next.first - 1);
    }
    Ok(done)
}

/// Which folder it is, by whatever name: its file system and its number there.
fn folder(path: &Path) -> Result<(u64, u64), ArchiveError> {
    let found = fs::metadata(path).map_err(ArchiveError::io("read", path))?;
    Ok((found.dev(), found.ino()))
}

fn locked(directory: &Path) -> Result<File, ArchiveError> {
    let path = directory.join(LOCK);
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(&path)
        .map_err(ArchiveError::io("lock", &path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(ArchiveError::Locked(directory.to_owned())),
        Err(TryLockError::Error(source)) => Err(ArchiveError::io("lock", &path)(source)),
    }
}

/// A verifier for what comes after the archive's newest segment, which is read for that; for anything if the archive is empty.
fn following(
    archive: &Path,
    first: Option<&Segment>,
    issuers: &[Fingerprint],
) -> Result<Verifier, ArchiveError> {
    let there = segments(archive).map_err(ArchiveError::io("read", archive))?;
    // A crash may have left the trail's first segments in both.
    let there = there
        .into_iter()
        .rfind(|own| first.is_none_or(|first| own.first < first.first));
    let Some(newest) = there else {
        return Ok(Verifier::new(None, issuers));
    };
    let mut verifier = Verifier::new(None, issuers);
    read(&mut verifier, &newest)?;
    match (verifier.verified(), first) {
        (Some(lines), Some(first)) if lines.last + 1 != first.first => {
            Err(ArchiveError::Elsewhere {
                archive: archive.to_owned(),
                found: lines.last,
                first: first.first,
            })
        }
        _ => Ok(verifier),
    }
}

/// Reads a segment up to its last whole line, all of which must follow; how many bytes that is.
fn read(verifier: &mut Verifier, segment: &Segment) -> Result<u64, Broken> {
    let io = |source| Broken::Io {
        path: segment.path.clone(),
        source,
    };
    let mut lines = segment.lines().map_err(io)?;
    let (mut number, mut at) = (0, 0);
    while let Some(line) = lines.next_line().map_err(io)? {
        number += 1;
        let followed: Result<Record, Fault> = verifier.follow(line);
        followed.map_err(|fault| Broken::Line {
            path: segment.path.clone(),
            line: number,
            at,
            fault: Box::new(fault),
        })?;
        at += line.len() as u64 + 1;
    }
    Ok(at)
}

/// A segment verifies, has nothing after its last record, and the next one follows it.
fn verified(verifier: &mut Verifier, segment: &Segment, next: u64) -> Result<u64, ArchiveError> {
    let bytes = read(verifier, segment)?;
    let size = fs::metadata(&segment.path).map_err(ArchiveError::io("read", &segment.path))?;
    let expected = verifier.next().unwrap_or(segment.first);
    let fault = match (size.len() == bytes, expected == next) {
        (true, true) => return Ok(bytes),
        (false, _) => Fault::Unreadable {
            expected,
            why: "its last line has no end, and a segment follows".into(),
        },
        (true, false) => Fault::Missing {
            expected,
            found: next,
        },
    };
    Err(ArchiveError::Broken(Broken::Line {
        path: segment.path.clone(),
        line: 0,
        at: bytes,
        fault: Box::new(fault),
    }))
}

/// Moves a file into a folder: under its name it is whole there, and on disk, before it is gone here.
fn relocate(path: &Path, folder: &Path) -> Result<(), ArchiveError> {
    let name = path.file_name().unwrap_or_default();
    let to = folder.join(name);
    if to.exists() {
        // Ended here by a crash, or by somebody who copied it.
        let same = digest(path)? == digest(&to)?;
        if !same {
            return Err(ArchiveError::Taken(to));
        }
        File::open(&to)
            .and_then(|file| file.sync_all())
            .map_err(ArchiveError::io("sync", &to))?;
        return fs::remove_file(path).map_err(ArchiveError::io("remove", path));
    }
    match fs::rename(path, &to) {
        Ok(()) => sync(folder),
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            copy(path, &to)?;
            sync(folder)?;
            fs::remove_file(path).map_err(ArchiveError::io("remove", path))
        }
        Err(source) => Err(ArchiveError::io("move", path)(source)),
    }
}

/// To another file system.
fn copy(path: &Path, to: &Path) -> Result<(), ArchiveError> {
    let unfinished = to.with_extension(UNFINISHED);
    let copied = || {
        let mut source = File::open(path)?;
        let mut target = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(&unfinished)?;
        io::copy(&mut source, &mut target)?;
        target.sync_all()
    };
    copied().map_err(ArchiveError::io("write", &unfinished))?;
    if digest(path)? != digest(&unfinished)? {
        let error = io::Error::other("it does not read as it was written; see to the disk");
        return Err(ArchiveError::io("copy to", &unfinished)(error));
    }
    fs::rename(&unfinished, to).map_err(ArchiveError::io("name", to))
}

/// The SHA-256 of a file; a segment fits memory.
fn digest(path: &Path) -> Result<Digest, ArchiveError> {
    let bytes = fs::read(path).map_err(ArchiveError::io("read", path))?;
    Ok(Digest::of(&bytes))
}

/// Names of files are durable once their folder is synced.
fn sync(directory: &Path) -> Result<(), ArchiveError> {
    let synced = File::open(directory).and_then(|folder| folder.sync_all());
    synced.map_err(ArchiveError::io("sync", directory))
}

#[cfg(test)]
mod tests;
