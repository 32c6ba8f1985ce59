//! Reads a trail from a record on, as it grows: never beyond what is on disk for good, and a bounded part at a time.

use std::io;
use std::path::PathBuf;

use super::{Bounds, Line};
use crate::audit::{Digest, Lines, Record, Segment, segments};

/// Where a reader of the trail has come to.
#[derive(Debug)]
pub(super) struct Follower {
    directory: PathBuf,
    /// The number of the next record.
    next: u64,
    /// The digest of the line before it, as the one who took it noted it.
    head: Digest,
    /// The segment that has the next record, and where in it that begins; none until it was looked for.
    place: Option<(Segment, u64)>,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Records, each after the one before.
    pub(super) lines: Vec<Line>,
    /// Why they do not follow what was read before.
    pub(super) gap: Option<Gap>,
}

/// Why what is read next does not follow what was read before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Gap {
    /// Segments were moved elsewhere before their records were read.
    #[error("records {expected} to {} are not in its folder any more", .found - 1)]
    Moved {
        /// The first that is missing.
        expected: u64,
        /// The first that is there.
        found: u64,
    },
    /// It is not the trail that was read before.
    #[error(
        "it is another trail than before: record {after} is not the one that was relayed; all of it is relayed"
    )]
    Another {
        /// The last record that was read.
        after: u64,
    },
    /// A record was changed after it was written.
    #[error("record {0} is not what it was when the one after it was written")]
    Changed(u64),
}

impl Follower {
    /// Reads what comes after this record.
    pub(super) fn after(directory: PathBuf, sequence: u64, head: Digest) -> Self {
        Follower {
            directory,
            next: sequence + 1,
            head,
            place: None,
        }
    }

    /// The number of the next record.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Why what comes next does not follow, if it does not; nothing is read. It blocks.
    ///
    /// # Errors
    /// When the trail cannot be read.
    pub(super) fn check(&mut self, until: u64) -> io::Result<Option<Gap>> {
        self.find(until)
    }

    /// Reads on, up to this record at most, and no more than the bounds allow; one record if it is there, however long. It blocks.
    ///
    /// Where the trail does not go on, nothing is read but why; the next call goes on with what is there.
    ///
    /// # Errors
    /// When the trail cannot be read. It is read again from the same record then.
    pub(super) fn read(&mut self, until: u64, bounds: Bounds) -> io::Result<Read> {
        let mut read = Read::default();
        if self.next == until + 1 {
            return Ok(read);
        }
        if self.place.is_none() || self.next > until {
            read.gap = self.find(until)?;
            if read.gap.is_some() {
                return Ok(read);
            }
        }
        match self.lines(until, bounds, &mut read) {
            // The segment was moved elsewhere: it is looked for afresh.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.place = None,
            // What was read counts; the next call meets it again.
            Err(error) if read.lines.is_empty() => return Err(error),
            _ => {}
        }
        Ok(read)
    }

    /// Reads lines from the place that was found. The buffers end with this call: beyond what is on disk for good, they may hold
    /// what is cut off yet.
    fn lines(&mut self, until: u64, bounds: Bounds, read: &mut Read) -> io::Result<()> {
        let mut bytes = 0;
        while self.next <= until {
            let Some((segment, at)) = self.place.clone() else {
                return Ok(());
            };
            let mut lines = segment.lines_from(at)?;
            while self.next <= until {
                if read.lines.len() >= bounds.records || bytes >= bounds.bytes {
                    return Ok(());
                }
                let Some(line) = lines.next_line()? else {
                    break;
                };
                let line = self.line(line)?;
                if line.record.previous != self.head {
                    read.gap = Some(Gap::Changed(self.next - 1));
                    self.head = line.record.previous;
                    return Ok(());
                }
                bytes += line.bytes.len();
                self.head = line.digest;
                self.next += 1;
                self.place = Some((segment.clone(), lines.at()));
                read.lines.push(line);
            }
            if self.next <= until {
                read.gap = self.turn(&segment, until)?;
                if read.gap.is_some() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The next record, which this line has to be.
    fn line(&self, bytes: &[u8]) -> io::Result<Line> {
        let bad = |why: String| {
            let why = format!("record {} cannot be read: {why}", self.next);
            io::Error::new(io::ErrorKind::InvalidData, why)
        };
        let record: Record = serde_json::from_slice(bytes).map_err(|why| bad(why.to_string()))?;
        if record.sequence != self.next {
            return Err(bad(format!("record {} stands there", record.sequence)));
        }
        Ok(Line {
            record,
            digest: Digest::of(bytes),
            bytes: bytes.to_vec(),
        })
    }

    /// A segment has ended: the next one.
    fn turn(&mut self, ended: &Segment, until: u64) -> io::Result<Option<Gap>> {
        let later = segments(&self.directory)?
            .into_iter()
            .find(|segment| segment > ended);
        match later {
            Some(later) if later.first == self.next => {
                self.place = Some((later, 0));
                Ok(None)
            }
            Some(later) if later.first <= until => Ok(Some(self.skip_to(later)?)),
            // Records that are on disk stand in no file: it was moved elsewhere while it was written.
            _ => Err(self.nowhere()),
        }
    }

    /// Looks for the segment that has the next record, and checks that the one before is what it was.
    fn find(&mut self, until: u64) -> io::Result<Option<Gap>> {
        self.place = None;
        let all = segments(&self.directory)?;
        let Some(first) = all.first().cloned() else {
            return Err(self.nowhere());
        };
        if self.next > until + 1 {
            return self.begin_again(first).map(Some);
        }
        let own = all.iter().rev().find(|segment| segment.first < self.next);
        let next = all.iter().find(|segment| segment.first >= self.next);
        if let Some(own) = own {
            let mut lines = own.lines()?;
            let (mut number, mut before) = (own.first, None);
            while number < self.next {
                let Some(line) = lines.next_line()? else {
                    break;
                };
                before = Some(Digest::of(line));
                number += 1;
            }
            if number == self.next {
                self.place = Some((own.clone(), lines.at()));
                let expected = self.head;
                if before != Some(expected) && self.previous(&mut lines)? != Some(expected) {
                    return self.begin_again(first).map(Some);
                }
                return Ok(None);
            }
        }
        match next {
            Some(next) if next.first == self.next => {
                self.place = Some((next.clone(), 0));
                Ok(None)
            }
            Some(next) if next.first <= until => self.skip_to(next.clone()).map(Some),
            _ => Err(self.nowhere()),
        }
    }

    /// What the next line says of the one before it.
    fn previous(&self, lines: &mut Lines) -> io::Result<Option<Digest>> {
        let line = lines.next_line()?;
        let line = line.map(|line| self.line(line)).transpose()?;
        Ok(line.map(|line| line.record.previous))
    }

    fn skip_to(&mut self, segment: Segment) -> io::Result<Gap> {
        let gap = Gap::Moved {
            expected: self.next,
            found: segment.first,
        };
        self.go_to(segment)?;
        Ok(gap)
    }

    fn begin_again(&mut self, first: Segment) -> io::Result<Gap> {
        let gap = Gap::Another {
            after: self.next - 1,
        };
        self.go_to(first)?;
        Ok(gap)
    }

    /// Goes on with a segment whatever was before it.
    fn go_to(&mut self, segment: Segment) -> io::Result<()> {
        self.next = segment.first;
        self.head = match segment.lines()?.next_line()? {
            Some(line) => self.line(line)?.record.previous,
            // It has no record yet.
            None => self.head,
        };
        self.place = Some((segment, 0));
        Ok(())
    }

    fn nowhere(&self) -> io::Error {
        let why = format!(
            "record {} is in no segment in {}",
            self.next,
            self.directory.display()
        );
        io::Error::other(why)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::audit::{Audit, Entry, Event, Options};

    const ALL: Bounds = Bounds {
        records: usize::MAX,
        bytes: usize::MAX,
    };

    /// A trail of segments of two records each, of which this one is the first.
    async fn trail(directory: &Path, records: u64) -> Audit {
        let audit = Audit::open(&Options {
            segment_bytes: 300,
            ..Options::new(directory, 1 << 20)
        });
        let audit = audit.expect("opens");
        write(&audit, records).await;
        audit
    }

    async fn write(audit: &Audit, records: u64) {
        for lost in 0..records {
            let since = String::new();
            let entry = Entry::of_gateway(Event::Interrupted { since, lost });
            audit.note(vec![entry]).await;
        }
    }

    fn begin(directory: &Path) -> Follower {
        Follower::after(directory.to_owned(), 0, Digest::default())
    }

    fn numbers(read: &Read) -> Vec<u64> {
        read.lines.iter().map(|line| line.record.sequence).collect()
    }

    #[tokio::test]
    async fn it_reads_on_over_segments_and_not_beyond_what_counts() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let audit = trail(folder.path(), 7).await;
        assert!(segments(folder.path()).expect("is read").len() > 2);
        let mut follower = begin(folder.path());
        let two = Bounds { records: 2, ..ALL };
        let mut read = |until, bounds| numbers(&follower.read(until, bounds).expect("is read"));
        assert_eq!(read(5, two), [1, 2]);
        assert_eq!(read(5, Bounds { bytes: 1, ..ALL }), [3]);
        assert_eq!(read(5, ALL), [4, 5]);
        assert_eq!(read(5, ALL), [0; 0]);
        assert_eq!(read(7, ALL), [6, 7]);
        write(&audit, 1).await;
        assert_eq!(read(8, ALL), [8]);
        let (sequence, head) = (4, {
            let read = begin(folder.path()).read(8, ALL).expect("is read");
            read.lines[3].digest
        });
        let mut later = Follower::after(folder.path().to_owned(), sequence, head);
        assert_eq!(numbers(&later.read(8, ALL).expect("is read")), [5, 6, 7, 8]);
    }

    #[tokio::test]
    async fn what_was_moved_elsewhere_is_said_and_it_goes_on() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let _audit = trail(folder.path(), 9).await;
        let mut follower = begin(folder.path());
        let one = Bounds { records: 1, ..ALL };
        assert_eq!(numbers(&follower.read(9, one).expect("is read")), [1]);
        let all = segments(folder.path()).expect("is read");
        for segment in &all[..2] {
            fs::remove_file(&segment.path).expect("is there");
        }
        let found = all[2].first;
        let gap = loop {
            let read = follower.read(9, one).expect("is read");
            assert_eq!(numbers(&read), [0; 0]);
            if let Some(gap) = read.gap {
                break gap;
            }
        };
        assert_eq!(gap, Gap::Moved { expected: 2, found });
        let rest: Vec<u64> = (found..=9).collect();
        assert_eq!(numbers(&follower.read(9, ALL).expect("is read")), rest);
    }

    #[tokio::test]
    async fn another_trail_is_read_from_its_beginning() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let _audit = trail(folder.path(), 5).await;
        let other = Digest::of(b"another");
        for (sequence, last) in [(3, 5), (8, 5)] {
            let mut follower = Follower::after(folder.path().to_owned(), sequence, other);
            let read = follower.read(last, ALL).expect("is read");
            assert_eq!(read.gap, Some(Gap::Another { after: sequence }));
            assert_eq!(
                numbers(&follower.read(last, ALL).expect("is read")),
                [1, 2, 3, 4, 5]
            );
        }
    }

    #[tokio::test]
    async fn a_changed_record_is_said_and_read_as_it_is() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let _audit = trail(folder.path(), 5).await;
        let first = &segments(folder.path()).expect("is read")[0];
        let text = fs::read_to_string(&first.path).expect("is read");
        let changed = text.replace("\"lost\":0", "\"lost\":7");
        fs::write(&first.path, changed).expect("is written");
        let mut follower = begin(folder.path());
        let read = follower.read(5, ALL).expect("is read");
        assert_eq!((numbers(&read), read.gap), (vec![1], Some(Gap::Changed(1))));
        let rest = follower.read(5, ALL).expect("is read");
        assert_eq!(numbers(&rest), [2, 3, 4, 5]);
    }
}
