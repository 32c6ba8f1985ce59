//! Batches: what is put together of the records that were read.

use std::collections::VecDeque;

use super::Bounds;
use super::cursor::Begun;
use crate::audit::{Digest, Record};

/// A record, and the line that says it.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it says.
    pub record: Record,
    /// Its SHA-256.
    pub digest: Digest,
    /// As it stands in the trail, without its line feed.
    pub bytes: Vec<u8>,
}

/// Records that follow one another; at least one.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The records.
    pub lines: Vec<Line>,
    /// It was begun in an earlier life of the gateway: the sink may have it, or a part.
    pub again: bool,
}

impl Batch {
    /// The number of the first record.
    pub fn first(&self) -> u64 {
        self.lines.first().map_or(0, |line| line.record.sequence)
    }

    /// The number of the last.
    pub fn last(&self) -> u64 {
        self.lines.last().map_or(0, |line| line.record.sequence)
    }

    /// The digest of the line before the first.
    pub fn before(&self) -> Digest {
        let first = self.lines.first();
        first.map_or(Digest::default(), |line| line.record.previous)
    }

    /// The digest of the last line.
    pub fn head(&self) -> Digest {
        self.lines
            .last()
            .map_or(Digest::default(), |line| line.digest)
    }

    pub(super) fn range(&self) -> Begun {
        Begun {
            first: self.first(),
            last: self.last(),
        }
    }
}

/// What may end a batch.
pub(super) struct Cut<'c> {
    pub(super) bounds: Bounds,
    /// Whether a batch had best end with a record.
    pub(super) closes: &'c dyn Fn(&Line) -> bool,
    /// The last record of the batch that was begun before.
    pub(super) begun: Option<u64>,
    /// Nothing more is waited for.
    pub(super) now: bool,
}

/// How many of the records that wait make up a batch now; none if more are waited for.
pub(super) fn cut(waiting: &VecDeque<Line>, how: &Cut<'_>) -> Option<usize> {
    let (mut bytes, mut last) = (0, None);
    let (mut fit, mut closed, mut full) = (0, None, false);
    for line in waiting {
        let number = line.record.sequence;
        bytes += line.bytes.len();
        let follows = last.is_none_or(|last: u64| last + 1 == number);
        let first = fit == 0;
        let within = fit < how.bounds.records && bytes <= how.bounds.bytes;
        if let Some(end) = how.begun {
            // As it was made up then, whatever the bounds are now.
            if !follows || number > end {
                return Some(fit).filter(|fit| *fit > 0);
            }
        } else if !(first || follows && within) {
            full = true;
            break;
        }
        fit += 1;
        last = Some(number);
        if how.begun == last {
            return Some(fit);
        }
        if (how.closes)(line) {
            closed = Some(fit);
        }
    }
    full |= fit >= how.bounds.records || bytes >= how.bounds.bytes;
    match (closed, full || how.now) {
        _ if how.begun.is_some() => None,
        (Some(closed), _) => Some(closed),
        (None, true) => Some(fit).filter(|fit| *fit > 0),
        (None, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Entry, Event};

    /// Records of ten bytes each.
    fn waiting(numbers: impl IntoIterator<Item = u64>) -> VecDeque<Line> {
        let line = |sequence| Line {
            record: Record {
                sequence,
                time: String::new(),
                entry: Entry::of_gateway(Event::Stopped),
                previous: Digest::default(),
            },
            digest: Digest::default(),
            bytes: vec![0; 10],
        };
        numbers.into_iter().map(line).collect()
    }

    fn cuts(numbers: &[u64], closing: &[u64], begun: Option<u64>, now: bool) -> Option<usize> {
        let closes = |line: &Line| closing.contains(&line.record.sequence);
        let how = Cut {
            bounds: Bounds {
                records: 4,
                bytes: 100,
            },
            closes: &closes,
            begun,
            now,
        };
        cut(&waiting(numbers.iter().copied()), &how)
    }

    #[test]
    fn a_batch_ends_where_one_closes_it_or_nothing_more_fits() {
        assert_eq!(cuts(&[1, 2, 3], &[], None, false), None);
        assert_eq!(cuts(&[1, 2, 3], &[], None, true), Some(3));
        assert_eq!(cuts(&[], &[], None, true), None);
        assert_eq!(cuts(&[1, 2, 3], &[2], None, false), Some(2));
        assert_eq!(cuts(&[1, 2, 3], &[1, 2], None, false), Some(2));
        assert_eq!(cuts(&[1, 2, 3, 4], &[], None, false), Some(4));
        assert_eq!(cuts(&[1, 2, 3, 4, 5], &[3, 5], None, false), Some(3));
        // What does not follow is another batch.
        assert_eq!(cuts(&[1, 2, 7], &[7], None, false), Some(2));
        let how = Cut {
            bounds: Bounds {
                records: 4,
                bytes: 25,
            },
            closes: &|_| false,
            begun: None,
            now: false,
        };
        assert_eq!(cut(&waiting(1..=3), &how), Some(2));
        let bounds = Bounds {
            records: 4,
            bytes: 5,
        };
        let how = Cut { bounds, ..how };
        assert_eq!(cut(&waiting(1..=2), &how), Some(1), "one fits always");
    }

    #[test]
    fn a_batch_that_was_begun_is_the_same_again() {
        assert_eq!(cuts(&[1, 2, 3], &[1], Some(2), true), Some(2));
        assert_eq!(cuts(&[1, 2], &[1], Some(3), true), None);
        let long: Vec<u64> = (1..=9).collect();
        assert_eq!(cuts(&long, &[1], Some(8), false), Some(8));
        // A part of it is not there any more.
        assert_eq!(cuts(&[5, 6, 7], &[], Some(3), false), None);
    }
}
