//! Records and what links them: each names the SHA-256 of the line before it.

use std::fmt;
use std::time::SystemTime;

use data_encoding::HEXLOWER;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::event::Entry;
use crate::crypto::Fingerprint;

/// The SHA-256 of a line, without its line feed; zero before the first.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Of a line, without its line feed.
    pub fn of(line: &[u8]) -> Self {
        Digest(Sha256::digest(line).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(D::Error::custom)?;
        let bytes = bytes.try_into();
        bytes
            .map(Digest)
            .map_err(|_| D::Error::custom("a digest has 64 hexadecimal digits"))
    }
}

/// One line of the trail.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Record {
    /// Its number: one more than that of the record before.
    pub sequence: u64,
    /// When it happened: RFC 3339, UTC, with microseconds.
    pub time: String,
    /// What happened.
    #[serde(flatten)]
    pub entry: Entry,
    /// The SHA-256 of the line before.
    pub previous: Digest,
}

/// A [`Record`] that is written.
#[derive(Serialize)]
struct Written<'a> {
    sequence: u64,
    time: String,
    #[serde(flatten)]
    entry: &'a Entry,
    previous: Digest,
}

/// Where a trail has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    /// The number of the next record.
    pub(super) next: u64,
    /// The digest of the line before it.
    pub(super) head: Digest,
}

/// Why a line does not follow the one before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is no record at all.
    #[error("record {expected} should be here, but the line is none: {why}")]
    Unreadable {
        /// Which record should be here.
        expected: u64,
        /// What the parser says.
        why: String,
    },
    /// Records are not there.
    #[error("{} here, where record {found} stands", missing(*.expected, *.found))]
    Missing {
        /// The first that is missing.
        expected: u64,
        /// What is here instead.
        found: u64,
    },
    /// A record is here again, or in the wrong place.
    #[error(
        "record {found} stands where record {expected} should be: it is in the wrong place, or here twice"
    )]
    Misplaced {
        /// What should be here.
        expected: u64,
        /// What is here.
        found: u64,
    },
    /// The record before is not what it was as this one was written.
    #[error(
        "record {} is not what it was as record {sequence} was written: its SHA-256 was {recorded} then and is {found} now",
        .sequence - 1
    )]
    Changed {
        /// The record that tells.
        sequence: u64,
        /// What it says of the one before.
        recorded: Digest,
        /// What that one is now.
        found: Digest,
    },
    /// A signature is by a key that nobody here trusts.
    #[error(
        "record {sequence} is a signature by the key {issuer}, which is none of those to be trusted"
    )]
    Stranger {
        /// The signature's record.
        sequence: u64,
        /// The fingerprint of the key.
        issuer: Fingerprint,
    },
    /// A signature does not verify.
    #[error(
        "record {sequence} holds a wrong signature: it is not what the key that it names signed over record {up_to}"
    )]
    Forged {
        /// The signature's record.
        sequence: u64,
        /// The record that it claims to be over.
        up_to: u64,
    },
    /// What was signed is not what is here.
    #[error(
        "record {sequence} is a signature over another record {up_to}: the SHA-256 of that was {signed}, and is {found} here"
    )]
    OtherHead {
        /// The signature's record.
        sequence: u64,
        /// The record that was signed.
        up_to: u64,
        /// Its digest as it was signed.
        signed: Digest,
        /// The digest of what is here.
        found: Digest,
    },
    /// A signature is not where its gateway put it.
    #[error("record {sequence} is a signature over record {up_to}, which has no place here: {why}")]
    OutOfPlace {
        /// The signature's record.
        sequence: u64,
        /// The record that it is over.
        up_to: u64,
        /// What is wrong with that.
        why: &'static str,
    },
}

fn missing(expected: u64, found: u64) -> String {
    match found - expected {
        1 => format!("record {expected} is missing"),
        _ => format!("records {expected} to {} are missing", found - 1),
    }
}

impl Chain {
    /// Before the first record.
    pub(super) fn begin() -> Self {
        Chain {
            next: 1,
            head: Digest::default(),
        }
    }

    /// Writes the next line, with its line feed.
    pub(super) fn write(&mut self, time: SystemTime, entry: &Entry, to: &mut Vec<u8>) {
        let written = Written {
            sequence: self.next,
            time: text(time),
            entry,
            previous: self.head,
        };
        let begin = to.len();
        serde_json::to_writer(&mut *to, &written)
            .expect("records are maps with text for keys, and memory takes all");
        self.head = Digest::of(&to[begin..]);
        self.next += 1;
        to.push(b'\n');
    }

    /// Takes a line that was written, without its line feed.
    ///
    /// # Errors
    /// When it does not follow.
    pub(super) fn follow(&mut self, line: &[u8]) -> Result<Record, Fault> {
        let expected = self.next;
        let record: Record = serde_json::from_slice(line).map_err(|why| Fault::Unreadable {
            expected,
            why: why.to_string(),
        })?;
        let found = record.sequence;
        match found {
            found if found > expected => return Err(Fault::Missing { expected, found }),
            found if found < expected => return Err(Fault::Misplaced { expected, found }),
            _ => {}
        }
        if record.previous != self.head {
            return Err(Fault::Changed {
                sequence: found,
                recorded: record.previous,
                found: self.head,
            });
        }
        self.head = Digest::of(line);
        self.next += 1;
        Ok(record)
    }

    /// Takes the first line that is left of a trail whose beginning is elsewhere.
    pub(super) fn from_first(line: &[u8]) -> Result<Self, Fault> {
        let first: Record = serde_json::from_slice(line).map_err(|why| Fault::Unreadable {
            expected: 1,
            why: why.to_string(),
        })?;
        Ok(Chain {
            next: first.sequence,
            head: first.previous,
        })
    }
}

/// RFC 3339 with microseconds, as many digits for each.
pub(super) fn text(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let micros = time.microsecond();
    let whole = time.replace_nanosecond(0).unwrap_or(time);
    let text = whole.format(&Rfc3339);
    // A year that RFC 3339 cannot say has five digits.
    let text = text.unwrap_or_else(|_| "9999-12-31T23:59:59Z".to_owned());
    format!("{}.{micros:06}Z", text.trim_end_matches('Z'))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::event::Event;
    use super::*;

    fn lines(count: u64) -> Vec<Vec<u8>> {
        let mut chain = Chain::begin();
        let mut all = Vec::new();
        for records in 0..count {
            let entry = Entry::of_gateway(Event::Interrupted {
                since: String::new(),
                lost: records,
            });
            chain.write(UNIX_EPOCH, &entry, &mut all);
        }
        let lines = all.split(|byte| *byte == b'\n');
        let mut lines: Vec<_> = lines.map(<[u8]>::to_vec).collect();
        assert_eq!(lines.pop(), Some(Vec::new()), "each ends with a line feed");
        lines
    }

    fn walk(lines: &[Vec<u8>]) -> Result<u64, Fault> {
        let mut chain = Chain::begin();
        for line in lines {
            chain.follow(line)?;
        }
        Ok(chain.next - 1)
    }

    #[test]
    fn what_was_written_follows_and_says_what_it_said() {
        let lines = lines(5);
        assert_eq!(walk(&lines), Ok(5));
        let first = r#"{"sequence":1,"time":"1970-01-01T00:00:00.000000Z","actor":{"kind":"gateway"},"event":"interrupted","since":"","lost":0,"previous":"0000000000000000000000000000000000000000000000000000000000000000"}"#;
        assert_eq!(std::str::from_utf8(&lines[0]), Ok(first));
        let record = Chain::begin().follow(&lines[0]).expect("follows");
        assert_eq!(
            record.entry,
            Entry::of_gateway(Event::Interrupted {
                since: String::new(),
                lost: 0
            })
        );
        let later = Chain::from_first(&lines[2]).expect("a record");
        assert_eq!(later.clone().follow(&lines[2]).map(|r| r.sequence), Ok(3));
    }

    #[test]
    fn every_flipped_bit_of_a_line_is_found_there_or_by_the_next_one() {
        let good = lines(3);
        for at in 0..good[1].len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[1][at] ^= 1 << bit;
                assert!(walk(&bad).is_err(), "byte {at}, bit {bit}");
            }
        }
        let mut changed = good.clone();
        let text = String::from_utf8(changed[1].clone()).expect("text");
        changed[1] = text.replace("\"lost\":1", "\"lost\":7").into_bytes();
        let fault = walk(&changed).expect_err("is found");
        assert!(matches!(fault, Fault::Changed { sequence: 3, .. }));
        let says = fault.to_string();
        assert!(says.starts_with("record 2 is not what it was"), "{says}");
    }

    #[test]
    fn missing_and_swapped_records_are_named() {
        let good = lines(6);
        let without = |range: std::ops::Range<usize>| {
            let mut bad = good.clone();
            bad.drain(range);
            walk(&bad).expect_err("is found").to_string()
        };
        assert_eq!(
            without(1..2),
            "record 2 is missing here, where record 3 stands"
        );
        let says = "records 2 to 4 are missing here, where record 5 stands";
        assert_eq!(without(1..4), says);
        let mut swapped = good.clone();
        swapped.swap(2, 3);
        let fault = Fault::Missing {
            expected: 3,
            found: 4,
        };
        assert_eq!(walk(&swapped), Err(fault));
        let mut twice = good.clone();
        twice.insert(3, good[2].clone());
        let fault = Fault::Misplaced {
            expected: 4,
            found: 3,
        };
        assert_eq!(walk(&twice), Err(fault));
    }

    #[test]
    fn times_have_six_digits_after_the_second() {
        let time = UNIX_EPOCH + Duration::from_nanos(1_764_201_639_000_450_999);
        assert_eq!(text(time), "2025-11-27T00:00:39.000450Z");
    }
}
