//! The trail as its users see it: across starts, damage, and trouble of the disk.

use std::fs;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::group::ids::{Epoch, Identity, MemberId};

const SOON: Duration = Duration::from_secs(20);
const GROUP: GroupId = GroupId([7; 16]);

fn options(folder: &Path) -> Options {
    Options {
        segment_bytes: 1_000,
        ..Options::new(folder.join("trail"), 1 << 20)
    }
}

fn entry(revision: u64) -> Entry {
    Entry {
        actor: Actor::Gateway,
        group: Some(Group::new(GROUP, "room").into()),
        revision: Some(Revision(revision)),
        request: None,
        event: Event::Rekeyed {
            epoch: Epoch(revision),
            joined: 1,
            departed: 0,
            keys: 3,
            root: None,
            suite: None,
            nonce: None,
            rolled_to: None,
        },
    }
}

fn granted(member: u64) -> Entry {
    let identity = Identity("cn:anna".into());
    Entry {
        actor: Actor::Member(identity.clone()),
        revision: None,
        event: Event::Granted {
            epoch: Epoch(1),
            member: MemberId(member),
            identity,
            rule: Some("listed, admit[0]".into()),
        },
        ..entry(1)
    }
}

/// Opens a trail, waiting for whoever had it open to let go of it.
fn opened(options: &Options) -> Audit {
    let began = std::time::Instant::now();
    loop {
        match Audit::open(options) {
            Err(SpoolError::Locked { .. }) if began.elapsed() < SOON => {
                std::thread::sleep(Duration::from_millis(1));
            }
            other => return other.expect("opens"),
        }
    }
}

fn required(audit: &Audit, entry: Entry) -> Result<(), Unwritable> {
    let (told, answer) = channel();
    audit.require(vec![entry], move |written| {
        told.send(written).expect("somebody waits");
    });
    answer.recv_timeout(SOON).expect("an answer")
}

/// All events of a trail that is whole.
fn whole(options: &Options) -> Vec<Event> {
    let mut events = Vec::new();
    let verified = verify(&options.directory, |record, _| {
        events.push(record.entry.event.clone());
    });
    assert_eq!(verified.expect("is whole").records, events.len() as u64);
    events
}

#[tokio::test]
async fn what_is_noted_is_on_disk_in_its_order_across_segments_and_starts() {
    let folder = TempDir::new().expect("a folder");
    let options = options(folder.path());
    for life in 0..3 {
        let audit = opened(&options);
        assert_eq!(audit.revision(GROUP), Revision(10 * life));
        for revision in 10 * life + 1..=10 * (life + 1) {
            audit.note(vec![entry(revision)]).await;
            assert_eq!(audit.status().sequence(), revision);
        }
        assert_eq!(whole(&options).len() as u64, 10 * (life + 1));
    }
    let expected: Vec<Event> = (1..=30).map(|revision| entry(revision).event).collect();
    assert_eq!(whole(&options), expected);
    let segments = segments(&options.directory).expect("can be read");
    assert!(segments.len() > 5, "{segments:?}");
    // Older ones may be moved elsewhere: a start reads the newest alone, and the rest is a whole trail.
    fs::remove_file(&segments[0].path).expect("is there");
    let audit = opened(&options);
    assert_eq!(audit.revision(GROUP), Revision(30));
    let verified = verify(&options.directory, |_, _| {}).expect("is whole");
    assert_eq!((verified.first, verified.last), (segments[1].first, 30));
}

#[tokio::test]
async fn a_group_that_is_over_is_forgotten_and_one_without_an_index_is_read() {
    let folder = TempDir::new().expect("a folder");
    let options = options(folder.path());
    let audit = opened(&options);
    for revision in 1..20 {
        audit.note(vec![entry(revision)]).await;
    }
    drop(audit);
    fs::remove_file(options.directory.join("index.json")).expect("there is an index");
    let audit = opened(&options);
    assert_eq!(audit.revision(GROUP), Revision(19));
    let event = Event::GroupDestroyed;
    audit.note(vec![Entry { event, ..entry(20) }]).await;
    drop(audit);
    assert_eq!(opened(&options).revision(GROUP), Revision(0));
}

#[tokio::test]
async fn what_a_crash_left_unfinished_is_cut_off_and_nothing_else() {
    let folder = TempDir::new().expect("a folder");
    let options = options(folder.path());
    let audit = opened(&options);
    audit.note(vec![entry(1), entry(2)]).await;
    drop(audit);
    let [Segment { path, .. }] = &segments(&options.directory).expect("can be read")[..] else {
        panic!("one segment");
    };
    let written = fs::read(path).expect("can be read");
    fs::write(path, [&written[..], b"{\"sequence\":3,\"ti"].concat()).expect("is written");
    let verified = verify(&options.directory, |_, _| {}).expect("is whole");
    assert_eq!((verified.last, verified.unfinished), (2, 17));
    drop(opened(&options));
    assert_eq!(fs::read(path).expect("can be read"), written);
}

#[tokio::test]
async fn a_trail_that_was_changed_is_not_continued_and_the_place_is_named() {
    let folder = TempDir::new().expect("a folder");
    let options = options(folder.path());
    let audit = opened(&options);
    for revision in 1..=20 {
        audit.note(vec![entry(revision)]).await;
    }
    drop(audit);
    let all = segments(&options.directory).expect("can be read");
    let change = |path: &Path, from: &str, to: &str| {
        let text = fs::read_to_string(path).expect("can be read");
        assert!(text.contains(from));
        fs::write(path, text.replacen(from, to, 1)).expect("is written");
    };
    // In a segment that is not read at a start it is found by whoever verifies.
    change(&all[1].path, "\"joined\":1", "\"joined\":0");
    let broken = verify(&options.directory, |_, _| {}).expect_err("is found");
    let says = broken.to_string();
    let place = format!("{}, line 2, at byte ", all[1].path.display());
    assert!(says.starts_with(&place), "{says}");
    let wanted = format!("record {} is not what it was", all[1].first);
    assert!(says.contains(&wanted), "{says}");
    change(&all[1].path, "\"joined\":0", "\"joined\":1");
    assert_eq!(whole(&options).len(), 20);
    // In the newest one it is found at the start.
    let newest = &all[all.len() - 1];
    change(&newest.path, "\"previous\":\"", "\"previous\":\"0");
    let broken = loop {
        match Audit::open(&options) {
            Err(SpoolError::Locked { .. }) => std::thread::sleep(Duration::from_millis(1)),
            other => break other.expect_err("is found").to_string(),
        }
    };
    assert!(broken.contains("wardcast audit verify"), "{broken}");
    // A segment that is missing in the middle is found as well.
    fs::remove_file(&all[2].path).expect("is there");
    let says = verify(&options.directory, |_, _| {}).expect_err("is found");
    let first = all[2].first;
    let wanted = format!("record {first} is missing");
    let range = format!("records {first} to {} are missing", all[3].first - 1);
    let says = says.to_string();
    assert!(says.contains(&wanted) || says.contains(&range), "{says}");
}

#[tokio::test]
async fn while_the_disk_fails_nobody_is_admitted_and_the_rest_waits_for_it() {
    let folder = TempDir::new().expect("a folder");
    let options = Options {
        segment_bytes: 1, // each sync begins a file, which fails without the folder
        ..options(folder.path())
    };
    let audit = opened(&options);
    audit.note(vec![entry(1)]).await;
    assert_eq!(required(&audit, granted(1)), Ok(()));
    let elsewhere = folder.path().join("elsewhere");
    fs::rename(&options.directory, &elsewhere).expect("is moved");
    audit.note(vec![entry(2)]).await;
    assert_eq!(required(&audit, granted(2)), Err(Unwritable));
    audit.note(vec![entry(3)]).await;
    assert!(!audit.admits());
    let status = audit.status();
    assert_eq!((status.is_failing(), status.backlog()), (true, 2));
    fs::rename(&elsewhere, &options.directory).expect("is moved back");
    assert_eq!(required(&audit, granted(3)), Ok(()));
    assert!(audit.admits());
    assert_eq!(audit.status().backlog(), 0);
    let mut events = whole(&options);
    let gap = events.remove(2);
    assert!(matches!(gap, Event::Interrupted { lost: 0, .. }), "{gap:?}");
    let expected = [entry(1), granted(1), entry(2), entry(3), granted(3)];
    assert_eq!(events, expected.map(|entry| entry.event));
    // It finds out by itself that the disk is back, though nobody has anything to say.
    fs::rename(&options.directory, &elsewhere).expect("is moved");
    assert_eq!(required(&audit, granted(4)), Err(Unwritable));
    fs::rename(&elsewhere, &options.directory).expect("is moved back");
    let began = std::time::Instant::now();
    while !audit.admits() {
        assert!(began.elapsed() < SOON, "it is written again");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test]
async fn what_memory_has_no_room_for_is_counted_on_record() {
    let folder = TempDir::new().expect("a folder");
    let options = Options {
        segment_bytes: 1,
        ..options(folder.path())
    };
    let audit = opened(&options);
    audit.note(vec![entry(1)]).await;
    let elsewhere = folder.path().join("elsewhere");
    fs::rename(&options.directory, &elsewhere).expect("is moved");
    audit.note(vec![granted(1); MAX_BACKLOG]).await;
    audit.note(vec![entry(2), entry(3)]).await;
    fs::rename(&elsewhere, &options.directory).expect("is moved back");
    assert_eq!(required(&audit, granted(2)), Ok(()));
    let events = whole(&options);
    assert!(matches!(events[1], Event::Interrupted { lost: 2, .. }));
    assert_eq!(events.len(), 2 + MAX_BACKLOG + 1);
    assert_eq!(events[events.len() - 2], entry(3).event);
}

#[tokio::test]
async fn a_full_trail_admits_nobody_but_has_a_reserve_for_the_rest() {
    let folder = TempDir::new().expect("a folder");
    let options = Options {
        max_bytes: 4_000,
        ..options(folder.path())
    };
    let audit = opened(&options);
    let mut admitted = 0;
    while required(&audit, granted(1)).is_ok() {
        admitted += 1;
    }
    assert!(audit.status().is_full() && audit.status().fills_up());
    assert!(!audit.admits() && !audit.status().is_failing());
    audit.note(vec![entry(1)]).await;
    assert_eq!(audit.status().backlog(), 0);
    assert_eq!(whole(&options).len(), admitted + 1);
    // The reserve has an end too.
    for revision in 2..6 {
        audit.note(vec![entry(revision)]).await;
    }
    assert!(audit.status().is_failing() && audit.status().backlog() > 0);
    assert!(audit.status().bytes() < 5_000);
    // Segments that are moved elsewhere make room.
    let all = segments(&options.directory).expect("can be read");
    for segment in &all[..all.len() - 1] {
        fs::remove_file(&segment.path).expect("is there");
    }
    assert_eq!(required(&audit, granted(2)), Ok(()));
    assert!(audit.admits());
}

#[test]
fn two_do_not_write_one_trail() {
    let folder = TempDir::new().expect("a folder");
    let options = options(folder.path());
    let _audit = Audit::open(&options).expect("opens");
    let second = Audit::open(&options).expect_err("is locked");
    assert!(matches!(second, SpoolError::Locked { .. }), "{second}");
}
