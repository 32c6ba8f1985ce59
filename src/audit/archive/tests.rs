//! Trails of small segments, moved in part, while they are broken, and after crashes.

use tempfile::TempDir;

use super::*;
use crate::audit::{Audit, Entry, Event, Options, verify};

/// A trail of many small segments, and an empty place for its archive.
async fn trail(records: u64) -> (TempDir, Options, PathBuf) {
    let folder = TempDir::new().expect("a folder");
    let options = Options {
        segment_bytes: 1_000,
        ..Options::new(folder.path().join("trail"), 1 << 20)
    };
    let audit = Audit::open(&options).expect("opens");
    for _ in 1..=records {
        audit.note(vec![Entry::of_gateway(Event::Stopped)]).await;
    }
    let archive = folder.path().join("archive");
    (folder, options, archive)
}

fn firsts(folder: &Path) -> Vec<u64> {
    let all = segments(folder).expect("is read");
    all.into_iter().map(|segment| segment.first).collect()
}

fn range(folder: &Path) -> (u64, u64) {
    let whole = verify(folder, |_, _| {}).expect("is whole");
    (whole.first, whole.last)
}

#[tokio::test]
async fn full_segments_that_were_relayed_are_moved_and_both_folders_stay_whole() {
    let (_folder, options, archived) = trail(60).await;
    let directory = &options.directory;
    let before = firsts(directory);
    assert!(before.len() > 6, "{before:?}");
    // Nothing is relayed yet.
    let done = archive(directory, &archived, 0, &[]).expect("is done");
    assert_eq!((done.segments, done.last), (0, None));
    assert_eq!(done.held, before.len() - 1);

    // Relayed up to the middle of the third: the first two go.
    let done = archive(directory, &archived, before[2] + 1, &[]).expect("is done");
    assert_eq!((done.segments, done.last), (2, Some(before[2] - 1)));
    assert_eq!(firsts(&archived), before[..2]);
    assert_eq!(firsts(directory), before[2..]);
    assert_eq!(range(&archived), (1, before[2] - 1));
    assert_eq!(range(directory), (before[2], 60));

    // The rest but the newest, which the gateway writes; a start goes on from there.
    let done = archive(directory, &archived, u64::MAX, &[]).expect("is done");
    assert_eq!((done.held, firsts(directory).len()), (0, 1));
    assert_eq!(range(&archived).1 + 1, firsts(directory)[0]);
    let audit = opened(&options);
    audit.note(vec![Entry::of_gateway(Event::Stopped)]).await;
    assert_eq!(range(directory).1, 61);
}

/// Waits for the writer of a trail that nobody has any more.
fn opened(options: &Options) -> Audit {
    loop {
        match Audit::open(options) {
            Err(crate::audit::SpoolError::Locked { .. }) => std::thread::yield_now(),
            other => return other.expect("opens"),
        }
    }
}

#[tokio::test]
async fn what_does_not_verify_stays_where_it_is() {
    let (_folder, options, archived) = trail(60).await;
    let directory = &options.directory;
    let before = firsts(directory);
    let second = &segments(directory).expect("is read")[1].path;
    let good = fs::read(second).expect("is read");
    let mut bad = good.clone();
    bad[40] ^= 1;
    fs::write(second, &bad).expect("is written");
    let error = archive(directory, &archived, u64::MAX, &[]).expect_err("is broken");
    assert!(matches!(error, ArchiveError::Broken(_)), "{error}");
    assert_eq!(firsts(directory), before[1..]);
    // Cut off: what follows does not.
    fs::write(second, &good[..good.len() / 2]).expect("is written");
    archive(directory, &archived, u64::MAX, &[]).expect_err("is broken");
    fs::write(second, &good).expect("is written");
    archive(directory, &archived, u64::MAX, &[]).expect("is whole again");
    // A signature is asked for by a key that is none of the trail's: there is none, so all is well; but another archive is not.
    let (_other, others, elsewhere) = trail(60).await;
    archive(&others.directory, &elsewhere, u64::MAX, &[]).expect("is done");
    let audit = opened(&options);
    for _ in 0..20 {
        audit.note(vec![Entry::of_gateway(Event::Stopped)]).await;
    }
    fs::remove_file(
        &segments(&elsewhere)
            .expect("is read")
            .pop()
            .expect("one")
            .path,
    )
    .expect("is removed");
    let error = archive(directory, &elsewhere, u64::MAX, &[]).expect_err("is no archive of it");
    assert!(matches!(error, ArchiveError::Elsewhere { .. }), "{error}");
}

#[tokio::test]
async fn what_a_crash_left_in_both_folders_is_ended_and_another_file_is_left_alone() {
    let (_folder, options, archived) = trail(60).await;
    let directory = &options.directory;
    let all = segments(directory).expect("is read");
    fs::create_dir(&archived).expect("is made");
    let to = |segment: &Segment| archived.join(segment.path.file_name().expect("a name"));
    // Copied, and not removed yet; and a copy that was not finished.
    fs::copy(&all[0].path, to(&all[0])).expect("is copied");
    fs::write(to(&all[1]).with_extension(UNFINISHED), "half").expect("is written");
    let done = archive(directory, &archived, all[2].first - 1, &[]).expect("is done");
    assert_eq!(done.segments, 2);
    assert_eq!(range(&archived), (1, all[2].first - 1));

    fs::write(to(&all[2]), "something else").expect("is written");
    let error = archive(directory, &archived, u64::MAX, &[]).expect_err("is taken");
    assert!(matches!(error, ArchiveError::Taken(_)), "{error}");
    assert_eq!(firsts(directory)[0], all[2].first);

    // Another file system, where there is no renaming.
    fs::remove_file(to(&all[2])).expect("is there");
    copy(&all[2].path, &to(&all[2])).expect("is copied");
    assert_eq!(
        digest(&all[2].path).expect("is read"),
        digest(&to(&all[2])).expect("is read")
    );
    archive(directory, &archived, u64::MAX, &[]).expect("is done");
    assert_eq!(range(&archived).0, 1);
}

#[tokio::test]
async fn the_trails_own_folder_is_no_archive_by_whatever_name() {
    let (folder, options, _) = trail(60).await;
    let directory = &options.directory;
    let before = firsts(directory);
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(directory, &link).expect("is made");
    for own in [directory, &link] {
        let error = archive(directory, own, u64::MAX, &[]).expect_err("is the trail");
        assert!(matches!(error, ArchiveError::Itself(_)), "{error}");
    }
    assert_eq!(firsts(directory), before, "nothing is gone");
}

#[tokio::test]
async fn segments_that_a_start_would_read_stay() {
    let (_folder, options, archived) = trail(60).await;
    let directory = &options.directory;
    let before = firsts(directory);
    let index = directory.join("index.json");
    let newest = fs::read(&index).expect("is there");
    fs::remove_file(&index).expect("is removed");
    let done = archive(directory, &archived, u64::MAX, &[]).expect("is done");
    assert_eq!(done, Archived::default());
    // A crash as the newest segment began: the index names the one before.
    let mut earlier: Index = serde_json::from_slice(&newest).expect("is an index");
    earlier.next = before[before.len() - 2];
    earlier.save(directory).expect("is saved");
    archive(directory, &archived, u64::MAX, &[]).expect("is done");
    assert_eq!(firsts(directory), before[before.len() - 2..]);

    let lock = locked(directory).expect("is locked");
    let error = archive(directory, &archived, u64::MAX, &[]).expect_err("is locked");
    assert!(matches!(error, ArchiveError::Locked(_)), "{error}");
    drop(lock);
}

#[tokio::test]
async fn segments_go_while_the_trail_is_written_and_what_is_left_counts() {
    let (_folder, options, archived) = trail(0).await;
    let audit = opened(&options);
    for round in 1..=6 {
        for _ in 0..20 {
            audit.note(vec![Entry::of_gateway(Event::Stopped)]).await;
        }
        archive(&options.directory, &archived, u64::MAX, &[]).expect("is done");
        assert_eq!(
            firsts(&options.directory).len(),
            1,
            "the one that is written"
        );
        assert_eq!(range(&options.directory).1, 20 * round);
    }
    let (first, last) = range(&archived);
    assert_eq!((first, last + 1), (1, range(&options.directory).0));
    // Of some twenty segments those count that the last round began, and no more.
    assert!(audit.status().bytes() < 8 * options.segment_bytes);
}
