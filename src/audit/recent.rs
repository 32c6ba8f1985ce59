//! The newest part of a trail, for whoever looks for what happened lately.

use std::io;
use std::path::Path;

use super::chain::Record;
use super::segment::{Segment, segments};

/// Which part of a trail was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Searched {
    /// The number of the oldest record in it.
    pub from: u64,
}

/// Reads the newest segments of a trail, as many as have so many bytes together and the newest in any case, and shows the records
/// whose line has this text in it, the oldest first. Nothing is verified; what cannot be read as a record is passed over. Segments that
/// are moved elsewhere meanwhile were not read, and [`Searched::from`] says so: from there on there is no gap.
///
/// # Errors
/// When the folder or a segment cannot be read.
pub fn recent(
    directory: &Path,
    most_bytes: u64,
    text: &str,
    show: impl FnMut(Record),
) -> io::Result<Searched> {
    search(&newest(directory, most_bytes)?, text, show)
}

/// The newest segments, the oldest of them first.
fn newest(directory: &Path, most_bytes: u64) -> io::Result<Vec<Segment>> {
    let mut left = most_bytes;
    let mut newest: Vec<Segment> = Vec::new();
    for segment in segments(directory)?.into_iter().rev() {
        let bytes = match std::fs::metadata(&segment.path) {
            Ok(found) => found.len(),
            Err(error) if moved(&error) && !newest.is_empty() => break,
            Err(error) => return Err(error),
        };
        if !newest.is_empty() && bytes > left {
            break;
        }
        left = left.saturating_sub(bytes);
        newest.push(segment);
    }
    newest.reverse();
    Ok(newest)
}

fn search(read: &[Segment], text: &str, mut show: impl FnMut(Record)) -> io::Result<Searched> {
    let mut from = None;
    for (at, segment) in read.iter().enumerate() {
        let mut lines = match segment.lines() {
            Ok(lines) => lines,
            // The newest one is written to, and never moved.
            Err(error) if moved(&error) && at + 1 < read.len() => {
                // The oldest go first: what was read before it has gone since, and is no part of a search without a gap.
                from = None;
                continue;
            }
            Err(error) => return Err(error),
        };
        from.get_or_insert(segment.first);
        while let Some(line) = lines.next_line()? {
            let named = std::str::from_utf8(line).is_ok_and(|line| line.contains(text));
            if let Some(record) = named.then(|| serde_json::from_slice(line).ok()).flatten() {
                show(record);
            }
        }
    }
    Ok(Searched {
        from: from.unwrap_or(1),
    })
}

/// Whether a segment has gone since the folder was listed: it was moved to an archive.
fn moved(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Audit, Entry, Event, Options};

    /// A trail of 20 records, in small segments.
    async fn trail() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options {
            segment_bytes: 400,
            ..Options::new(folder.path(), 1 << 20)
        };
        let audit = Audit::open(&options).expect("opens");
        for number in 0..20 {
            let version = format!("v{number:02}");
            audit
                .note(vec![Entry::of_gateway(Event::Started { version })])
                .await;
        }
        folder
    }

    #[tokio::test]
    async fn segments_that_are_archived_meanwhile_are_those_that_were_not_read() {
        let folder = trail().await;
        let listed = newest(folder.path(), 1 << 20).expect("is listed");
        assert_eq!(listed[0].first, 1);
        let from = listed[2].first;
        // The second one goes while the first is read, which has gone then as well.
        let mut found = Vec::new();
        let searched = search(&listed, "started", |record| {
            found.push(record.sequence);
            for segment in &listed[..2] {
                let _ = std::fs::remove_file(&segment.path);
            }
        });
        assert_eq!(searched.expect("the others are read").from, from);
        let shown: Vec<u64> = (1..listed[1].first).chain(from..=20).collect();
        assert_eq!(found, shown);
        let search = |listed: &[Segment]| {
            let mut found = Vec::new();
            let searched = search(listed, "started", |record| found.push(record.sequence));
            searched.map(|searched| (searched.from, found))
        };
        let left = (from, (from..=20).collect::<Vec<u64>>());
        assert_eq!(search(&listed).expect("the others are read"), left);
        // As though they had been moved before.
        let anew = newest(folder.path(), 1 << 20).expect("is listed");
        assert_eq!(search(&anew).expect("is read"), left);
        // The newest is none that is ever moved: somebody has taken the trail away.
        for segment in &anew {
            std::fs::remove_file(&segment.path).expect("is removed");
        }
        let lost = search(&listed).expect_err("is not taken for archived");
        assert_eq!(lost.kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn the_newest_segments_are_searched_and_no_more() {
        let folder = trail().await;
        let found = |most, text: &str| {
            let mut found = Vec::new();
            let searched = recent(folder.path(), most, text, |record| {
                found.push(record.sequence)
            });
            (searched.expect("is read").from, found)
        };
        let (from, all) = found(1 << 20, "started");
        assert_eq!((from, all), (1, (1..=20).collect::<Vec<u64>>()));
        assert_eq!(found(1 << 20, "v07").1, [8]);
        let (from, newest) = found(1_000, "started");
        assert!(from > 10, "{from}");
        assert_eq!(newest, (from..=20).collect::<Vec<u64>>());
        assert!(found(1_000, "v07").1.is_empty());
        assert!(
            !found(0, "started").1.is_empty(),
            "the newest is read in any case"
        );
    }
}
