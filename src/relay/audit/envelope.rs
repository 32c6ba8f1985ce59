//! What a batch of the audit trail is upstream: its name, and its content.
//!
//! The content is JSON, one object a line: first the [`Envelope`], then the lines of the trail as they are. The same records make
//! the same content, whenever it is made.

use serde::{Deserialize, Serialize};

use crate::audit::{Digest, Record};
use crate::relay::Batch;

/// Digits of a number in a name, so that names sort as numbers do.
const DIGITS: usize = 20;

/// The first line of a batch: which one it is, and between which records it belongs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// The gateway's name upstream.
    pub gateway: String,
    /// The number of the first record.
    pub first: u64,
    /// The number of the last.
    pub last: u64,
    /// The SHA-256 of the line before the first.
    pub before: Digest,
    /// The SHA-256 of the last line.
    pub head: Digest,
}

/// Why some content is no batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeFault {
    /// Its first line is no envelope.
    #[error("its first line is no envelope: {0}")]
    Unreadable(String),
    /// A line is not the record that has to be there.
    #[error("record {expected} should be on line {line}, which is none: {why}")]
    Line {
        /// Which record should be there.
        expected: u64,
        /// Counted from 1, the envelope included.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// A record does not follow the one before, or the envelope.
    #[error("record {0} is not what it was when the one after it was written")]
    Changed(u64),
    /// It has not as many records as its envelope says.
    #[error("it ends with record {found}, and its envelope says {last}")]
    Length {
        /// What the envelope says.
        last: u64,
        /// What is there.
        found: u64,
    },
    /// The last record is not the one that the envelope names.
    #[error("record {0} is not the one that its envelope names")]
    Head(u64),
}

/// What objects of the trail have in common.
pub(super) fn group(gateway: &str) -> String {
    format!("{gateway}.audit")
}

/// What the batch of these records is called.
pub(super) fn name(gateway: &str, first: u64, last: u64) -> String {
    format!("{gateway}.audit.{first:0DIGITS$}-{last:0DIGITS$}")
}

/// The first and the last record of the batch that is called so; none if that is no batch of this gateway.
pub(super) fn named(gateway: &str, text: &str) -> Option<(u64, u64)> {
    let numbers = text.strip_prefix(gateway)?.strip_prefix(".audit.")?;
    let (first, last) = numbers.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && name(gateway, first, last) == text).then_some((first, last))
}

/// The content of a batch.
pub(super) fn seal(gateway: &str, batch: &Batch) -> Vec<u8> {
    let envelope = Envelope {
        gateway: gateway.to_owned(),
        first: batch.first(),
        last: batch.last(),
        before: batch.before(),
        head: batch.head(),
    };
    let mut content = serde_json::to_vec(&envelope).expect("an envelope is text and numbers");
    content.push(b'\n');
    for line in &batch.lines {
        content.extend_from_slice(&line.bytes);
        content.push(b'\n');
    }
    content
}

/// The envelope of a batch, and its lines, which follow one another and are those that the envelope names.
pub(super) fn open(content: &[u8]) -> Result<(Envelope, &[u8]), EnvelopeFault> {
    let mut lines = content.split_inclusive(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let envelope: Envelope =
        serde_json::from_slice(first).map_err(|why| EnvelopeFault::Unreadable(why.to_string()))?;
    let (mut expected, mut head) = (envelope.first, envelope.before);
    for (at, line) in lines.enumerate() {
        let bad = |why: String| EnvelopeFault::Line {
            expected,
            line: at + 2,
            why,
        };
        let Some(line) = line.strip_suffix(b"\n") else {
            return Err(bad("it has no end".into()));
        };
        let record: Record = serde_json::from_slice(line).map_err(|why| bad(why.to_string()))?;
        if record.sequence != expected {
            return Err(bad(format!("record {} stands there", record.sequence)));
        }
        if record.previous != head {
            return Err(EnvelopeFault::Changed(expected.saturating_sub(1)));
        }
        head = Digest::of(line);
        expected = expected.saturating_add(1);
    }
    let (last, found) = (envelope.last, expected.saturating_sub(1));
    if found != last || last < envelope.first {
        return Err(EnvelopeFault::Length { last, found });
    }
    match head == envelope.head {
        true => Ok((envelope, &content[first.len()..])),
        false => Err(EnvelopeFault::Head(last)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::audit::{Entry, Event};
    use crate::relay::Line;

    /// Batches of so many records each, one after another.
    pub(in crate::relay::audit) fn batches(lengths: &[u64]) -> Vec<Batch> {
        let (mut number, mut previous) = (1, Digest::default());
        let mut line = || {
            let mut text = String::new();
            let _ = write!(
                text,
                r#"{{"sequence":{number},"time":"","actor":{{"kind":"gateway"}},"event":"stopped","previous":"{previous}"}}"#
            );
            let line = Line {
                record: Record {
                    sequence: number,
                    time: String::new(),
                    entry: Entry::of_gateway(Event::Stopped),
                    previous,
                },
                digest: Digest::of(text.as_bytes()),
                bytes: text.into_bytes(),
            };
            (number, previous) = (number + 1, line.digest);
            line
        };
        let batch = |length: &u64| Batch {
            lines: (0..*length).map(|_| line()).collect(),
            again: false,
        };
        lengths.iter().map(batch).collect()
    }

    #[test]
    fn names_say_which_records_and_sort_as_they_do() {
        let text = name("gw", 7, 1_000);
        assert_eq!(text, "gw.audit.00000000000000000007-00000000000000001000");
        assert_eq!(named("gw", &text), Some((7, 1_000)));
        for other in ["gw.audit.7-1000", "gw.audit.x-y", "gw2.audit", "", "gw"] {
            assert_eq!(named("gw", other), None, "{other}");
        }
        assert!(name("gw", 9, 9) < name("gw", 10, 10));
    }

    #[test]
    fn what_was_sealed_opens_and_every_flipped_bit_is_found() {
        let batches = batches(&[2, 3]);
        let content = seal("gw", &batches[1]);
        let (envelope, lines) = open(&content).expect("opens");
        assert_eq!((envelope.first, envelope.last), (3, 5));
        assert_eq!(envelope.before, batches[0].head());
        assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 3);
        let changes = (0..content.len()).flat_map(|at| (0..8).map(move |bit| (at, bit)));
        for (at, bit) in changes {
            let mut bad = content.clone();
            bad[at] ^= 1 << bit;
            // The gateway's name and the digest before are compared with what they have to be.
            let same = open(&bad).is_ok_and(|(found, _)| found == envelope);
            assert!(!same, "byte {at}, bit {bit}");
        }
        let whole: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
        let without = [whole[0], whole[1], whole[3]].concat();
        assert!(matches!(
            open(&without),
            Err(EnvelopeFault::Line { expected: 4, .. })
        ));
        let shorter = whole[..3].concat();
        let fault = EnvelopeFault::Length { last: 5, found: 4 };
        assert_eq!(open(&shorter), Err(fault));
        assert!(open(&content[..content.len() - 1]).is_err());
    }
}
