//! How a sink is getting on, for metrics and for whoever asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use metrics::{counter, gauge};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Destination, Line, SinkError};

/// How a sink is getting on.
#[derive(Debug)]
pub(super) struct Progress {
    sink: &'static str,
    destination: &'static Destination,
    /// The number of the last record that it has taken.
    sequence: AtomicU64,
    /// When the oldest record happened that it has not taken yet, in milliseconds since 1970; 0 for none.
    oldest: AtomicU64,
    batches: AtomicU64,
    failures: AtomicU64,
    gaps: AtomicU64,
    /// Why the batch that is under way was not taken yet.
    error: Mutex<Option<String>>,
}

/// The same, at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkView {
    /// What the sink is called.
    pub name: &'static str,
    /// The number of the last record that it has taken.
    pub sequence: u64,
    /// Records of the trail that it has not taken yet.
    pub lag_records: u64,
    /// How old the oldest of them is.
    pub lag_seconds: u64,
    /// Batches that it took since the gateway started.
    pub batches: u64,
    /// How often it did not take one.
    pub failures: u64,
    /// How often the trail on disk did not go on where the sink had come to.
    pub gaps: u64,
    /// Why the batch that is under way was not taken yet.
    pub error: Option<String>,
}

impl Progress {
    /// Of a sink that has taken all up to a record.
    pub(super) fn new(
        sink: &'static str,
        destination: &'static Destination,
        sequence: u64,
    ) -> Self {
        Progress {
            sink,
            destination,
            sequence: sequence.into(),
            oldest: 0.into(),
            batches: 0.into(),
            failures: 0.into(),
            gaps: 0.into(),
            error: Mutex::default(),
        }
    }

    /// This is the oldest record that waits.
    pub(super) fn waits(&self, oldest: Option<&Line>) {
        let oldest = oldest.map_or(0, |line| milliseconds(&line.record.time));
        self.oldest.store(oldest, Ordering::Relaxed);
    }

    /// It has taken a batch that ends with this record.
    pub(super) fn took(&self, sequence: u64) {
        self.sequence.store(sequence, Ordering::Relaxed);
        self.batches.fetch_add(1, Ordering::Relaxed);
        counter!(self.destination.batches, "sink" => self.sink).increment(1);
        self.is(None);
    }

    /// What was sent after this record is in doubt, and is sent again.
    pub(super) fn back_to(&self, sequence: u64) {
        self.sequence.store(sequence, Ordering::Relaxed);
    }

    /// It has not taken a batch; whether that is the first time in a row.
    pub(super) fn failed(&self, error: &SinkError) -> bool {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let (sink, kind) = (self.sink, error.kind());
        counter!(self.destination.failures, "sink" => sink, "kind" => kind).increment(1);
        self.is(Some(error.to_string()))
    }

    /// It goes on after this record, whatever was in trouble before.
    pub(super) fn goes_on(&self, sequence: u64) {
        self.sequence.store(sequence, Ordering::Relaxed);
        self.is(None);
    }

    /// The trail, or the cursor's file, is in trouble; whether that is the first time in a row.
    pub(super) fn stuck(&self, why: String) -> bool {
        self.is(Some(why))
    }

    /// The trail on disk did not go on.
    pub(super) fn missed(&self) {
        self.gaps.fetch_add(1, Ordering::Relaxed);
        counter!(self.destination.gaps, "sink" => self.sink).increment(1);
    }

    fn is(&self, error: Option<String>) -> bool {
        let mut own = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *own, error).is_none()
    }

    /// How it is at a moment, when the trail has come to this record.
    pub(super) fn view(&self, synced: u64, now: SystemTime) -> SinkView {
        let error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        let sequence = self.sequence.load(Ordering::Relaxed);
        let lag_records = synced.saturating_sub(sequence);
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let lag_seconds = match self.oldest.load(Ordering::Relaxed) {
            oldest if oldest > 0 && lag_records > 0 => {
                let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
                now.saturating_sub(oldest) / 1_000
            }
            _ => 0,
        };
        SinkView {
            name: self.sink,
            sequence,
            lag_records,
            lag_seconds,
            batches: self.batches.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            gaps: self.gaps.load(Ordering::Relaxed),
            error: error.clone(),
        }
    }

    /// Shows how far it is behind.
    pub(super) fn show(&self, synced: u64) {
        let view = self.view(synced, SystemTime::now());
        gauge!(self.destination.lag_records, "sink" => self.sink).set(view.lag_records as f64);
        gauge!(self.destination.lag_seconds, "sink" => self.sink).set(view.lag_seconds as f64);
    }
}

/// When a record says that it happened, in milliseconds since 1970; 0 if it does not say so.
fn milliseconds(time: &str) -> u64 {
    let time = OffsetDateTime::parse(time, &Rfc3339).ok();
    let time = time.map(|time| time.unix_timestamp_nanos() / 1_000_000);
    time.and_then(|time| u64::try_from(time).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    use crate::audit::{Digest, Entry, Event, Record};

    #[test]
    fn what_is_refused_is_counted_apart_from_what_does_not_arrive() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let shown = |kind: &str, times: u32| {
            let name = crate::relay::KEY_STORE.failures;
            let line = format!("{name}{{sink=\"test\",kind=\"{kind}\"}} {times}\n");
            let text = recorder.handle().render();
            assert!(text.contains(&line), "{line}{text}");
        };
        metrics::with_local_recorder(&recorder, || {
            let progress = Progress::new("test", &crate::relay::KEY_STORE, 5);
            progress.failed(&SinkError::Unreachable("away".into()));
            progress.failed(&SinkError::Refused("no".into()));
            progress.failed(&SinkError::Refused("no".into()));
        });
        shown("unreachable", 1);
        shown("refused", 2);
    }

    #[test]
    fn the_lag_is_what_was_not_taken_and_how_old_that_is() {
        let progress = Progress::new("test", &crate::relay::KEY_STORE, 5);
        let line = Line {
            record: Record {
                sequence: 6,
                time: "2025-11-27T00:00:39.000450Z".into(),
                entry: Entry::of_gateway(Event::Stopped),
                previous: Digest::default(),
            },
            digest: Digest::default(),
            bytes: Vec::new(),
        };
        progress.waits(Some(&line));
        assert!(progress.failed(&SinkError::Unreachable("away".into())));
        assert!(!progress.failed(&SinkError::Unreachable("away".into())));
        let now = UNIX_EPOCH + Duration::from_secs(1_764_201_639 + 90);
        let view = progress.view(8, now);
        let found = (view.sequence, view.lag_records, view.lag_seconds);
        assert_eq!(found, (5, 3, 90));
        assert_eq!((view.failures, view.error), (2, Some("away".to_owned())));
        progress.took(8);
        let view = progress.view(8, now);
        let found = (view.sequence, view.lag_records, view.lag_seconds);
        assert_eq!(found, (8, 0, 0));
        assert_eq!((view.batches, view.error), (1, None));
    }
}
