//! The trail on disk: lines are appended to the newest segment, and count once they are synced.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Options;
use super::chain::{Chain, Fault};
use super::index::{Index, Revisions};
use super::segment::{Segment, segments};
use super::writer::Stamped;
use crate::group::wire::TrailHead;

const LOCK: &str = "lock";
/// Nobody but the gateway's user reads who is in which group.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// Why a trail cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Something with its files.
    #[error(
        "cannot {what} the audit trail at {path}: {source}; see to the disk, or set audit.directory to another folder"
    )]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another gateway writes it.
    #[error(
        "another process has the audit trail in {directory} open: end it, or set audit.directory to another folder"
    )]
    Locked {
        /// The folder.
        directory: PathBuf,
    },
    /// It was changed, or is damaged.
    #[error(
        "the audit trail is broken in {path}: {fault}; `wardcast audit verify` says more; keep it for whoever looks into it, and set audit.directory to another folder"
    )]
    Broken {
        /// The segment.
        path: PathBuf,
        /// What is wrong.
        fault: Fault,
    },
}

impl SpoolError {
    pub(super) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        SpoolError::Io {
            what,
            path: path.to_owned(),
            source,
        }
    }
}

/// The files of a trail that is written.
pub(super) struct Spool {
    directory: PathBuf,
    segment_bytes: u64,
    chain: Chain,
    revisions: Revisions,
    file: File,
    /// The number of the newest segment's first record.
    newest: u64,
    /// Bytes of the newest segment that count.
    length: u64,
    /// Bytes of the segments before it.
    before: u64,
    /// More than counts may be in the newest segment.
    dirty: bool,
    /// Locked as long as it is open.
    _lock: File,
}

impl Spool {
    /// Opens a folder's trail, and cuts off what a crash left unfinished.
    pub(super) fn open(options: &Options) -> Result<Self, SpoolError> {
        let directory = &options.directory;
        let failed = |what| move |source| SpoolError::io(what, directory, source);
        DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(directory)
            .map_err(failed("make a folder for"))?;
        let lock = locked(directory)?;
        let segments = segments(directory).map_err(failed("read"))?;
        let (mut chain, mut revisions, unread) = begin(directory, &segments)?;
        let mut length = 0;
        for (at, segment) in unread.iter().enumerate() {
            let last = at + 1 == unread.len();
            length = read(segment, last, &mut chain, &mut revisions)?;
        }
        let newest = segments.last().cloned();
        let newest = newest.unwrap_or_else(|| Segment::new(directory, chain.next));
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(FILE_MODE)
            .open(&newest.path)
            .map_err(|source| SpoolError::io("open", &newest.path, source))?;
        let mut spool = Spool {
            directory: directory.clone(),
            segment_bytes: options.segment_bytes,
            chain,
            revisions,
            file,
            newest: newest.first,
            length,
            before: 0,
            dirty: true,
            _lock: lock,
        };
        spool.recount().map_err(failed("read"))?;
        spool.clean().map_err(failed("repair the end of"))?;
        sync(directory).map_err(failed("sync"))?;
        Ok(spool)
    }

    /// How far each group has come.
    pub(super) fn revisions(&self) -> &Revisions {
        &self.revisions
    }

    /// The newest record, by number and digest.
    pub(super) fn head(&self) -> TrailHead {
        TrailHead {
            sequence: self.chain.next - 1,
            digest: self.chain.head.0,
        }
    }

    /// Bytes of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.before + self.length
    }

    /// Looks how large the segments before the newest are: some may have been moved elsewhere.
    pub(super) fn recount(&mut self) -> io::Result<()> {
        let mut before = 0;
        for segment in segments(&self.directory)? {
            if segment.first < self.newest {
                before += fs::metadata(&segment.path)?.len();
            }
        }
        self.before = before;
        Ok(())
    }

    /// Appends all of these, or none; then they are on disk.
    pub(super) fn append<'a>(
        &mut self,
        entries: impl Iterator<Item = &'a Stamped> + Clone,
    ) -> io::Result<()> {
        self.clean()?;
        if self.length >= self.segment_bytes {
            self.begin_segment()?;
        }
        let (mut chain, mut lines) = (self.chain.clone(), Vec::new());
        for Stamped { time, entry } in entries.clone() {
            chain.write(*time, entry, &mut lines);
        }
        self.dirty = true;
        self.file.write_all(&lines)?;
        self.file.sync_data()?;
        self.dirty = false;
        self.length += lines.len() as u64;
        self.chain = chain;
        entries.for_each(|stamped| self.revisions.learn(&stamped.entry));
        Ok(())
    }

    /// Cuts off what an append that failed has left.
    fn clean(&mut self) -> io::Result<()> {
        if self.dirty {
            self.file.set_len(self.length)?;
            self.file.sync_all()?;
            self.dirty = false;
        }
        Ok(())
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let index = Index {
            next: self.chain.next,
            head: self.chain.head,
            revisions: self.revisions.clone(),
        };
        let segment = Segment::new(&self.directory, self.chain.next);
        // One that is there already was begun in vain: no record with that number counts.
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(FILE_MODE)
            .open(&segment.path)?;
        file.set_len(0)?;
        // The index goes last: what it names must be there.
        sync(&self.directory)?;
        index.save(&self.directory)?;
        sync(&self.directory)?;
        self.file = file;
        self.newest = segment.first;
        self.before += self.length;
        self.length = 0;
        // Some may have been moved elsewhere; if that cannot be told now, they count on.
        let _ = self.recount();
        Ok(())
    }
}

fn locked(directory: &Path) -> Result<File, SpoolError> {
    let path = directory.join(LOCK);
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(&path)
        .map_err(|source| SpoolError::io("lock", &path, source))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => Err(SpoolError::Locked {
            directory: directory.to_owned(),
        }),
        Err(fs::TryLockError::Error(source)) => Err(SpoolError::io("lock", &path, source)),
    }
}

/// Where to begin: at the index, when the segment that it names is there, or at the first segment.
fn begin<'a>(
    directory: &Path,
    segments: &'a [Segment],
) -> Result<(Chain, Revisions, &'a [Segment]), SpoolError> {
    let index = Index::load(directory);
    let named = |index: &Index| segments.iter().position(|own| own.first == index.next);
    if let Some((at, index)) = index.and_then(|index| Some((named(&index)?, index))) {
        return Ok((index.chain(), index.revisions, &segments[at..]));
    }
    let Some(first) = segments.first() else {
        return Ok((Chain::begin(), Revisions::default(), segments));
    };
    let failed = |source| SpoolError::io("read", &first.path, source);
    let chain = match first.lines().map_err(failed)?.next_line().map_err(failed)? {
        Some(line) => Chain::from_first(line),
        // It has no record yet, or none that was finished.
        None if first.first == 1 => Ok(Chain::begin()),
        None => Err(Fault::Missing {
            expected: 1,
            found: first.first,
        }),
    };
    let chain = chain.map_err(|fault| SpoolError::Broken {
        path: first.path.clone(),
        fault,
    })?;
    Ok((chain, Revisions::default(), segments))
}

/// Reads a segment, all of whose lines must follow; how many bytes of it count.
fn read(
    segment: &Segment,
    last: bool,
    chain: &mut Chain,
    revisions: &mut Revisions,
) -> Result<u64, SpoolError> {
    let failed = |source| SpoolError::io("read", &segment.path, source);
    let mut lines = segment.lines().map_err(failed)?;
    while let Some(line) = lines.next_line().map_err(failed)? {
        let record = chain.follow(line).map_err(|fault| SpoolError::Broken {
            path: segment.path.clone(),
            fault,
        })?;
        revisions.learn(&record.entry);
    }
    let size = fs::metadata(&segment.path).map_err(failed)?.len();
    if size > lines.at() && !last {
        return Err(SpoolError::Broken {
            path: segment.path.clone(),
            fault: Fault::Unreadable {
                expected: chain.next,
                why: "its last line has no end, and a segment follows".into(),
            },
        });
    }
    Ok(lines.at())
}

/// Names of files are durable once their folder is synced.
fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
