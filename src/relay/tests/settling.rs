//! A sink whose taker says nothing back: what is in doubt when a connection breaks is sent again.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

use super::*;

/// Bytes of each record, as far as this sink is concerned.
const BYTES: u64 = 10;

/// What both ends know of the connection.
#[derive(Default)]
struct Wire {
    /// The numbers of all that was sent, by whichever connection.
    sent: Mutex<Vec<u64>>,
    /// Bytes sent by this connection, and how many of them have arrived.
    bytes: AtomicU64,
    arrived: AtomicU64,
    /// Everything arrives at once.
    quick: AtomicBool,
    down: AtomicBool,
    breaks: Notify,
    closes: AtomicBool,
}

#[derive(Clone)]
struct Silent {
    wire: Arc<Wire>,
    settling: Duration,
}

impl Sink for Silent {
    fn name(&self) -> &'static str {
        "silent"
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            records: 4,
            bytes: 1 << 20,
        }
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(10)
    }

    async fn take(&mut self, batch: &Batch) -> Result<(), SinkError> {
        if self.wire.down.load(Ordering::SeqCst) {
            return Err(SinkError::Unreachable("down".into()));
        }
        let numbers = batch.lines.iter().map(|line| line.record.sequence);
        let mut sent = self.wire.sent.lock().expect("no panic");
        sent.extend(numbers);
        let bytes = BYTES * batch.lines.len() as u64;
        self.wire.bytes.fetch_add(bytes, Ordering::SeqCst);
        Ok(())
    }

    fn settling(&self) -> Option<Duration> {
        Some(self.settling)
    }

    fn sent(&self) -> u64 {
        self.wire.bytes.load(Ordering::SeqCst)
    }

    async fn arrived(&mut self) -> u64 {
        match self.wire.quick.load(Ordering::SeqCst) {
            true => self.sent(),
            false => self.wire.arrived.load(Ordering::SeqCst),
        }
    }

    async fn broken(&mut self) -> SinkError {
        self.wire.breaks.notified().await;
        self.wire.bytes.store(0, Ordering::SeqCst);
        self.wire.arrived.store(0, Ordering::SeqCst);
        SinkError::Unreachable("broke".into())
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        match self.wire.closes.load(Ordering::SeqCst) {
            true => Ok(()),
            false => Err(SinkError::Unreachable("was reset".into())),
        }
    }
}

struct Stage {
    folder: tempfile::TempDir,
    audit: Audit,
    sink: Silent,
}

impl Stage {
    fn new(settling: Duration) -> Self {
        let folder = tempfile::TempDir::new().expect("a folder");
        let audit = opened(folder.path());
        let sink = Silent {
            wire: Arc::default(),
            settling,
        };
        Stage {
            folder,
            audit,
            sink,
        }
    }

    fn relay(&self) -> Relay {
        let mut relay = Relay::new(self.audit.clone(), QUICK);
        relay
            .feed(self.sink.clone())
            .expect("has no cursor that is bad");
        relay
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("relay-silent.json")
    }

    fn sent(&self) -> Vec<u64> {
        self.sink.wire.sent.lock().expect("no panic").clone()
    }

    async fn until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is(self) {
            let sent = self.sent();
            assert!(began.elapsed() < SOON, "{what}: {sent:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn cursor(&self) -> u64 {
        let text = std::fs::read_to_string(self.file()).unwrap_or_default();
        let cursor: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        cursor["sequence"].as_u64().unwrap_or_default()
    }
}

#[tokio::test]
async fn what_was_in_doubt_is_sent_again_when_the_connection_breaks_and_what_has_settled_is_not() {
    let stage = Stage::new(Duration::from_millis(320));
    write(&stage.audit, 3).await;
    let line = stage.sink.wire.clone();
    let relay = stage.relay();
    stage
        .until("is sent", |stage| stage.sent() == [1, 2, 3])
        .await;
    line.arrived.store(3 * BYTES, Ordering::SeqCst);
    stage.until("settles", |stage| stage.cursor() == 3).await;
    write(&stage.audit, 2).await;
    stage
        .until("is sent", |stage| stage.sent().len() == 5)
        .await;
    // One byte of them has not arrived, however long that takes.
    line.arrived.store(5 * BYTES - 1, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(stage.cursor(), 3);
    assert_eq!(relay.status().views()[0].lag_records, 0);
    line.breaks.notify_one();
    stage
        .until("comes again", |stage| stage.sent() == [1, 2, 3, 4, 5, 4, 5])
        .await;
    line.quick.store(true, Ordering::SeqCst);
    stage.until("settles", |stage| stage.cursor() == 5).await;
    line.breaks.notify_one();
    write(&stage.audit, 1).await;
    stage
        .until("goes on", |stage| stage.sent().len() == 8)
        .await;
    assert_eq!(stage.sent()[7], 6, "nothing else was in doubt");
}

#[tokio::test]
async fn a_batch_that_fails_puts_in_doubt_what_was_sent_before_it() {
    let stage = Stage::new(Duration::from_secs(3_600));
    let relay = stage.relay();
    write(&stage.audit, 2).await;
    stage.until("is sent", |stage| stage.sent() == [1, 2]).await;
    stage.sink.wire.down.store(true, Ordering::SeqCst);
    write(&stage.audit, 1).await;
    stage
        .until("fails", |_| relay.status().views()[0].failures > 2)
        .await;
    assert_eq!(relay.status().views()[0].lag_records, 3);
    stage.sink.wire.down.store(false, Ordering::SeqCst);
    stage
        .until("comes again", |stage| stage.sent() == [1, 2, 1, 2, 3])
        .await;
}

#[tokio::test]
async fn one_that_lets_in_and_throws_out_is_left_alone_for_longer_each_time() {
    let stage = Stage::new(Duration::from_secs(3_600));
    let pauses = Pauses {
        first: Duration::from_millis(20),
        longest: SOON,
    };
    let mut relay = Relay::new(stage.audit.clone(), pauses);
    relay
        .feed(stage.sink.clone())
        .expect("has no cursor that is bad");
    write(&stage.audit, 1).await;
    let began = Instant::now();
    for times in 1..=6 {
        stage
            .until("is sent", |stage| stage.sent().len() == times)
            .await;
        stage.sink.wire.breaks.notify_one();
    }
    stage
        .until("comes again", |stage| stage.sent().len() == 7)
        .await;
    // 20 ms and twice as long each time, or three quarters of that.
    assert!(began.elapsed() >= Duration::from_millis(900));
}

#[tokio::test]
async fn an_end_in_good_order_leaves_nothing_in_doubt_and_another_one_all_of_it() {
    let stage = Stage::new(Duration::from_secs(3_600));
    let line = stage.sink.wire.clone();
    let relay = stage.relay();
    write(&stage.audit, 2).await;
    stage.until("is sent", |stage| stage.sent() == [1, 2]).await;
    write(&stage.audit, 1).await;
    relay.stop(SOON).await;
    assert_eq!((stage.sent(), stage.cursor()), (vec![1, 2, 3], 0));
    line.closes.store(true, Ordering::SeqCst);
    let relay = stage.relay();
    stage
        .until("comes again", |stage| stage.sent() == [1, 2, 3, 1, 2, 3])
        .await;
    relay.stop(SOON).await;
    assert_eq!(stage.cursor(), 3);
}

#[tokio::test]
async fn the_next_sink_is_not_sent_what_the_one_before_ended_in_good_order_after() {
    let stage = Stage::new(Duration::from_secs(3_600));
    let line = stage.sink.wire.clone();
    let mut relay = Relay::new(stage.audit.clone(), QUICK);
    let succession = relay.feed(stage.sink.clone()).expect("has no cursor");
    write(&stage.audit, 2).await;
    stage.until("is sent", |stage| stage.sent() == [1, 2]).await;
    line.closes.store(true, Ordering::SeqCst);
    let next = Stage::new(Duration::from_secs(3_600));
    succession.replace(next.sink.clone());
    stage.until("is known", |stage| stage.cursor() == 2).await;
    write(&stage.audit, 1).await;
    next.until("is sent", |next| next.sent() == [3]).await;
    assert_eq!(stage.sent(), [1, 2]);
    // One that does not end in good order leaves all in doubt that has not settled.
    succession.replace(stage.sink.clone());
    stage
        .until("comes again", |stage| stage.sent() == [1, 2, 3])
        .await;
    assert_eq!(stage.cursor(), 2);
    relay.stop(SOON).await;
    assert_eq!(stage.cursor(), 3);
}
