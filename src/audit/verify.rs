//! Whether a trail is whole: no byte changed, no record missing, none in another's place, no wrong signature.

use std::io;
use std::path::{Path, PathBuf};

use super::chain::{Digest, Fault, Record};
use super::segment::segments;
use super::verifier::{Signatures, Verifier};
use crate::crypto::Fingerprint;

/// What a whole trail holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many segments.
    pub segments: usize,
    /// How many records.
    pub records: u64,
    /// The number of the first; more than 1 when older segments were moved elsewhere.
    pub first: u64,
    /// The number of the last.
    pub last: u64,
    /// The SHA-256 of its line: whoever has noted it knows later that nothing was cut off at the end.
    pub head: Digest,
    /// Bytes after it, of a record that a crash cut short; the gateway removes them when it starts.
    pub unfinished: u64,
    /// What the token's signatures say: up to where nobody has changed it who has not the token.
    pub signatures: Signatures,
}

/// Why a trail is not whole.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The segment, or the folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is none.
    #[error("there is no audit trail in {0}: it has no segment with a record")]
    Empty(PathBuf),
    /// A line does not follow the one before.
    #[error("{path}, line {line}, at byte {at}: {fault}")]
    Line {
        /// The segment.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// Where it begins.
        at: u64,
        /// What is wrong.
        fault: Box<Fault>,
    },
}

/// Reads the whole trail in a folder and hands each record over, with its line, once it is known to follow the one before. Of
/// signatures it takes the trail's word for whose they are: [`verify_pinned`] does not.
///
/// ```no_run
/// let whole = wardcast::audit::verify("audit".as_ref(), |record, _| println!("{}", record.time))?;
/// println!("{} records, head {}", whole.records, whole.head);
/// # Ok::<(), wardcast::audit::Broken>(())
/// ```
///
/// # Errors
/// The first thing that is wrong, and where.
pub fn verify(directory: &Path, each: impl FnMut(&Record, &[u8])) -> Result<Verified, Broken> {
    verify_pinned(directory, &[], each)
}

/// The same, and each signature must be by one of these keys, if there are any: several, where the gateway has had several tokens. A
/// rotation of masters leaves the key as it is.
///
/// # Errors
/// The first thing that is wrong, and where.
pub fn verify_pinned(
    directory: &Path,
    issuers: &[Fingerprint],
    mut each: impl FnMut(&Record, &[u8]),
) -> Result<Verified, Broken> {
    let io = |path: &Path, source| Broken::Io {
        path: path.to_owned(),
        source,
    };
    let segments = segments(directory).map_err(|source| io(directory, source))?;
    let mut verifier = Verifier::new(None, issuers);
    let mut unfinished = 0;
    for segment in &segments {
        let path = &segment.path;
        let mut lines = segment.lines().map_err(|source| io(path, source))?;
        let (mut number, mut at) = (0, 0);
        while let Some(line) = lines.next_line().map_err(|source| io(path, source))? {
            number += 1;
            let broken = |fault| Broken::Line {
                path: path.clone(),
                line: number,
                at,
                fault: Box::new(fault),
            };
            if unfinished > 0 {
                let expected = verifier.next().unwrap_or(1);
                let why = "a line before it has no end".into();
                return Err(broken(Fault::Unreadable { expected, why }));
            }
            let record = verifier.follow(line).map_err(broken)?;
            each(&record, line);
            at += line.len() as u64 + 1;
        }
        let size = std::fs::metadata(path).map_err(|source| io(path, source))?;
        unfinished += size.len() - at;
    }
    let lines = verifier.verified();
    let lines = lines.ok_or_else(|| Broken::Empty(directory.to_owned()))?;
    Ok(Verified {
        segments: segments.len(),
        records: lines.last + 1 - lines.first,
        first: lines.first,
        last: lines.last,
        head: lines.head,
        unfinished,
        signatures: lines.signatures,
    })
}
