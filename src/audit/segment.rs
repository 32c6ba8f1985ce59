//! The files of a trail, and their lines.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// What the names of segments end with.
const EXTENSION: &str = "jsonl";
/// Digits of a name: that of any sequence number has as many.
const DIGITS: usize = 20;
/// The longest line, in bytes: an entry holds a policy, whose bounds keep it far below.
const MAX_LINE: usize = 16 << 20;

/// One file of a trail.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment {
    /// The number of its first record.
    pub first: u64,
    /// Where it is.
    pub path: PathBuf,
}

impl Segment {
    /// The segment that begins with this record.
    pub(super) fn new(directory: &Path, first: u64) -> Self {
        Segment {
            first,
            path: directory.join(format!("{first:0DIGITS$}.{EXTENSION}")),
        }
    }

    fn named(path: PathBuf) -> Option<Self> {
        let stem = path.file_stem()?.to_str()?;
        let own = path.extension() == Some(OsStr::new(EXTENSION)) && stem.len() == DIGITS;
        let first = stem.parse().ok().filter(|_| own)?;
        Some(Segment { first, path })
    }

    /// Reads its lines from the beginning.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn lines(&self) -> io::Result<Lines> {
        self.lines_from(0)
    }

    /// Reads its lines from the one that begins at this byte.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn lines_from(&self, at: u64) -> io::Result<Lines> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(at))?;
        Ok(Lines {
            reader: BufReader::with_capacity(1 << 18, file),
            line: Vec::new(),
            whole: true,
            at,
        })
    }
}

/// The segments of a folder, in their order. Other files are none of them.
///
/// # Errors
/// When the folder cannot be read.
pub fn segments(directory: &Path) -> io::Result<Vec<Segment>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        found.extend(Segment::named(entry?.path()));
    }
    found.sort();
    Ok(found)
}

/// The lines of a segment.
pub struct Lines {
    reader: BufReader<File>,
    line: Vec<u8>,
    /// Whether the line is a whole one, or waits for its end.
    whole: bool,
    at: u64,
}

impl Lines {
    /// The next whole line, without its line feed; none at the end, or while the last line has no end. It may come to have one.
    ///
    /// # Errors
    /// When the file cannot be read, or a line has no end.
    pub fn next_line(&mut self) -> io::Result<Option<&[u8]>> {
        if std::mem::replace(&mut self.whole, false) {
            self.line.clear();
        }
        let most = (MAX_LINE - self.line.len()) as u64;
        io::Read::take(&mut self.reader, most).read_until(b'\n', &mut self.line)?;
        if self.line.pop_if(|last| *last == b'\n').is_some() {
            self.whole = true;
            self.at += self.line.len() as u64 + 1;
            return Ok(Some(&self.line));
        }
        match self.line.len() == MAX_LINE {
            true => Err(io::Error::other(format!(
                "a line is longer than {MAX_LINE} bytes"
            ))),
            false => Ok(None),
        }
    }

    /// Where the next line begins, in bytes.
    pub fn at(&self) -> u64 {
        self.at
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_line_is_read_once_it_has_its_end() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let segment = Segment::new(folder.path(), 42);
        let mut file = File::create(&segment.path).expect("is made");
        std::fs::write(folder.path().join("index.json"), "{}").expect("is written");
        assert_eq!(
            segments(folder.path()).expect("can be read"),
            std::slice::from_ref(&segment)
        );
        let mut lines = segment.lines().expect("opens");
        let mut read = |bytes: &str| {
            file.write_all(bytes.as_bytes()).expect("is written");
            let line = lines.next_line().expect("is read").map(<[u8]>::to_vec);
            (
                line.map(|line| String::from_utf8_lossy(&line).into_owned()),
                lines.at(),
            )
        };
        let is = |text: &str| Some(text.to_owned());
        assert_eq!(read("one\ntw"), (is("one"), 4));
        assert_eq!(read(""), (None, 4));
        assert_eq!(read("o"), (None, 4));
        assert_eq!(read("\n\n"), (is("two"), 8));
        assert_eq!(read(""), (is(""), 9));
        let mut later = segment.lines_from(4).expect("opens");
        assert_eq!(later.next_line().expect("is read"), Some(&b"two"[..]));
        assert_eq!(later.at(), 8);
    }
}
