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
/// whose line has this text in it, the oldest first. Nothing is verified; what cannot be read as a record is passed over.
///
/// # Errors
/// When the folder or a segment cannot be read.
pub fn recent(
    directory: &Path,
    most_bytes: u64,
    text: &str,
    mut show: impl FnMut(Record),
) -> io::Result<Searched> {
    let mut left = most_bytes;
    let mut read: Vec<Segment> = Vec::new();
    for segment in segments(directory)?.into_iter().rev() {
        let bytes = std::fs::metadata(&segment.path)?.len();
        if !read.is_empty() && bytes > left {
            break;
        }
        left = left.saturating_sub(bytes);
        read.push(segment);
    }
    for segment in read.iter().rev() {
        let mut lines = segment.lines()?;
        while let Some(line) = lines.next_line()? {
            let named = std::str::from_utf8(line).is_ok_and(|line| line.contains(text));
            if let Some(record) = named.then(|| serde_json::from_slice(line).ok()).flatten() {
                show(record);
            }
        }
    }
    Ok(Searched {
        from: read.last().map_or(1, |oldest| oldest.first),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Audit, Entry, Event, Options};

    #[tokio::test]
    async fn the_newest_segments_are_searched_and_no_more() {
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
