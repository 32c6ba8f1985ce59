//! The way from a trail on disk to a sink that fails, forgets and dies.

mod settling;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::*;
use crate::audit::{Audit, Entry, Event, Options};

const SOON: Duration = Duration::from_secs(20);
const QUICK: Pauses = Pauses {
    first: Duration::from_millis(2),
    longest: Duration::from_millis(10),
};

/// What a sink was given: first, last, whether again, and what it did.
type Given = Vec<(u64, u64, bool, bool)>;

/// A sink that takes a batch or not, as it is told.
#[derive(Clone, Default)]
struct Told {
    given: Arc<Mutex<Given>>,
    failures: Arc<Mutex<VecDeque<SinkError>>>,
    /// Where it goes on when there is no cursor.
    resume: Arc<Mutex<Option<Resume>>>,
    /// It takes this long.
    slow: Duration,
}

impl Sink for Told {
    fn name(&self) -> &'static str {
        "told"
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            records: 4,
            bytes: 1 << 20,
        }
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(100)
    }

    fn closes(&self, line: &Line) -> bool {
        line.record.sequence.is_multiple_of(3)
    }

    async fn begin(&mut self, start: Start) -> Result<Option<Resume>, SinkError> {
        let resume = *self.resume.lock().expect("no panic");
        Ok(resume.filter(|_| start.taken.is_none()))
    }

    async fn take(&mut self, batch: &Batch) -> Result<(), SinkError> {
        tokio::time::sleep(self.slow).await;
        let failure = self.failures.lock().expect("no panic").pop_front();
        let did = failure.is_none();
        let given = (batch.first(), batch.last(), batch.again, did);
        self.given.lock().expect("no panic").push(given);
        failure.map_or(Ok(()), Err)
    }
}

impl Told {
    fn given(&self) -> Given {
        self.given.lock().expect("no panic").clone()
    }

    async fn until(&self, last: u64) -> Given {
        let began = Instant::now();
        loop {
            let given = self.given();
            if given.iter().any(|(_, end, _, did)| *did && *end == last) {
                return given;
            }
            assert!(began.elapsed() < SOON, "{given:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn opened(directory: &Path) -> Audit {
    let options = Options {
        segment_bytes: 300,
        ..Options::new(directory, 1 << 20)
    };
    // The thread of the one before ends a moment after it.
    let began = Instant::now();
    loop {
        match Audit::open(&options) {
            Ok(audit) => return audit,
            Err(error) => assert!(began.elapsed() < SOON, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

async fn write(audit: &Audit, records: u64) {
    let entries = (0..records).map(|_| Entry::of_gateway(Event::Stopped));
    audit.note(entries.collect()).await;
}

fn relay(audit: &Audit, sink: &Told) -> Relay {
    let mut relay = Relay::new(audit.clone(), QUICK);
    relay.feed(sink.clone()).expect("has no cursor that is bad");
    relay
}

#[tokio::test]
async fn batches_follow_one_another_across_stops_and_failures() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let audit = opened(folder.path());
    let sink = Told::default();
    write(&audit, 7).await;
    let first = relay(&audit, &sink);
    // It closes with 3 and 6; 7 has waited for long enough.
    let given = sink.until(7).await;
    let all = [
        (1, 3, false, true),
        (4, 6, false, true),
        (7, 7, false, true),
    ];
    assert_eq!(given, all);
    let trouble = [
        SinkError::Unreachable("away".into()),
        SinkError::Refused("no".into()),
    ];
    sink.failures.lock().expect("no panic").extend(trouble);
    write(&audit, 2).await;
    let given = sink.until(9).await;
    let again = [
        (8, 9, false, false),
        (8, 9, false, false),
        (8, 9, false, true),
    ];
    assert_eq!(given[3..], again);
    write(&audit, 1).await;
    let status = first.status();
    first.stop(SOON).await;
    assert_eq!(
        sink.given()[6..],
        [(10, 10, false, true)],
        "nothing is left"
    );
    let view = status.views().remove(0);
    assert_eq!((view.sequence, view.lag_records, view.failures), (10, 0, 2));
    drop(audit);
    let audit = opened(folder.path());
    write(&audit, 1).await;
    let second = relay(&audit, &sink);
    assert_eq!(sink.until(11).await[7..], [(11, 11, false, true)]);
    second.stop(SOON).await;
}

#[tokio::test]
async fn a_batch_that_was_begun_comes_again_as_it_was() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let audit = opened(folder.path());
    write(&audit, 2).await;
    let slow = Told {
        slow: Duration::from_secs(3_600),
        ..Told::default()
    };
    let first = relay(&audit, &slow);
    let file = folder.path().join("relay-told.json");
    let began = Instant::now();
    while !std::fs::read_to_string(&file).is_ok_and(|text| text.contains("begun")) {
        assert!(began.elapsed() < SOON, "it is begun");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // It ends in the midst of it, as a crash would.
    drop(first);
    write(&audit, 3).await;
    let sink = Told::default();
    let _second = relay(&audit, &sink);
    let given = sink.until(5).await;
    assert_eq!(given[0], (1, 2, true, true), "with what it had then");
    assert_eq!(given[1], (3, 3, false, true));
    assert_eq!(given[2], (4, 5, false, true));
}

#[tokio::test]
async fn records_that_are_not_there_any_more_are_passed_over_loudly() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let audit = opened(folder.path());
    write(&audit, 2).await;
    let sink = Told::default();
    let first = relay(&audit, &sink);
    sink.until(2).await;
    first.stop(SOON).await;
    for _ in 0..6 {
        write(&audit, 1).await;
    }
    let all = crate::audit::segments(folder.path()).expect("is read");
    let (newest, older) = all.split_last().expect("there are some");
    for segment in older {
        std::fs::remove_file(&segment.path).expect("is there");
    }
    let second = relay(&audit, &sink);
    let given = sink.until(8).await;
    assert_eq!(given[1].0, newest.first);
    assert_eq!(second.status().views()[0].gaps, 1);
}

#[test]
fn a_cursor_that_is_none_keeps_the_relay_from_starting() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let audit = opened(folder.path());
    std::fs::write(folder.path().join("relay-told.json"), b"{}").expect("is written");
    let mut relay = Relay::new(audit, QUICK);
    let error = relay.feed(Told::default()).expect_err("is bad");
    assert!(error.to_string().contains("relay-told.json"), "{error}");
}

#[tokio::test]
async fn a_sink_that_knows_better_than_a_lost_cursor_is_fed_from_there_and_only_with_the_same_trail()
 {
    let folder = tempfile::TempDir::new().expect("a folder");
    let audit = opened(folder.path());
    let sink = Told::default();
    write(&audit, 5).await;
    let first = relay(&audit, &sink);
    sink.until(5).await;
    first.stop(SOON).await;
    let file = folder.path().join("relay-told.json");
    let cursor = std::fs::read(&file).expect("a cursor");
    let cursor: super::cursor::Cursor = serde_json::from_slice(&cursor).expect("is one");
    std::fs::remove_file(&file).expect("is there");
    let knows = |head| {
        let after = Place { sequence: 5, head };
        let must_follow = true;
        *sink.resume.lock().expect("no panic") = Some(Resume { after, must_follow });
    };
    knows(Digest::of(b"another trail"));
    write(&audit, 1).await;
    let given = sink.given().len();
    let second = relay(&audit, &sink);
    let began = Instant::now();
    let error = loop {
        if let Some(error) = second.status().views().remove(0).error {
            break error;
        }
        assert!(began.elapsed() < SOON, "it is refused");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(error.contains("another trail"), "{error}");
    assert_eq!(sink.given().len(), given, "nothing is sent");
    knows(cursor.head);
    assert_eq!(sink.until(6).await[given..], [(6, 6, false, true)]);
    assert_eq!(second.status().views()[0].error, None);
}

#[tokio::test]
async fn the_next_sink_is_given_at_once_what_the_one_before_could_not_take() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let audit = opened(folder.path());
    let (before, next) = (Told::default(), Told::default());
    let refused = SinkError::Refused("who is that?".into());
    before.failures.lock().expect("no panic").push_back(refused);
    // Nobody waits for as long as it would pause.
    let pauses = Pauses {
        first: Duration::from_secs(3_600),
        longest: Duration::from_secs(3_600),
    };
    let mut relay = Relay::new(audit.clone(), pauses);
    let succession = relay.feed(before.clone()).expect("has no cursor");
    write(&audit, 3).await;
    let began = Instant::now();
    while before.given().is_empty() {
        assert!(began.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    succession.replace(next.clone());
    assert_eq!(next.until(3).await, [(1, 3, false, true)]);
    write(&audit, 3).await;
    assert_eq!(next.until(6).await[1..], [(4, 6, false, true)]);
    assert_eq!(before.given(), [(1, 3, false, false)]);
    relay.stop(SOON).await;
}
