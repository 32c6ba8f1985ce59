//! Whether the key store upstream is out of reach, and for how long: what admissions look at, and nothing else does.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// It answers.
const UP: i64 = i64::MAX;

/// Since when the key store upstream is out of reach. Clones are of one gate; looking at it costs next to nothing.
#[derive(Clone, Debug, Default)]
pub struct Gate(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    /// What times are counted from.
    base: Instant,
    /// When it answered last, in milliseconds after the base, or before it; or [`UP`].
    since: AtomicI64,
}

impl Gate {
    /// Where there is no key store upstream: it is open for ever.
    pub fn open() -> Self {
        Gate(None)
    }

    /// Where there is one that answered last so long ago: it counts as out of reach until it answers.
    pub fn closed(ago: Duration) -> Self {
        let gate = Gate(Some(Arc::new(Shared {
            base: Instant::now(),
            since: AtomicI64::new(0),
        })));
        gate.down(ago);
        gate
    }

    /// It answers.
    pub fn up(&self) {
        if let Some(shared) = &self.0 {
            shared.since.store(UP, Ordering::Relaxed);
        }
    }

    /// It is out of reach, and has answered last so long ago.
    pub fn down(&self, ago: Duration) {
        if let Some(shared) = &self.0 {
            let since = milliseconds(shared.base.elapsed()) - milliseconds(ago);
            shared.since.store(since, Ordering::Relaxed);
        }
    }

    /// For how long it has been out of reach; none while it answers, and where there is none.
    pub fn outage(&self) -> Option<Duration> {
        let shared = self.0.as_ref()?;
        let since = shared.since.load(Ordering::Relaxed);
        let now = milliseconds(shared.base.elapsed());
        let outage = || u64::try_from(now.saturating_sub(since)).unwrap_or_default();
        (since != UP).then(|| Duration::from_millis(outage()))
    }

    /// Whether a group that admits for so many seconds of an outage admits nobody now.
    pub fn refuses(&self, outage_s: u32) -> bool {
        let longest = Duration::from_secs(outage_s.into());
        self.outage().is_some_and(|outage| outage >= longest)
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis())
        .unwrap_or(UP / 4)
        .min(UP / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_refuses_once_an_outage_lasts_too_long() {
        let gate = Gate::closed(Duration::from_secs(90));
        assert!(gate.refuses(60) && gate.refuses(0) && !gate.refuses(100));
        gate.up();
        assert_eq!(gate.outage(), None);
        assert!(!gate.refuses(0));
        gate.down(Duration::ZERO);
        assert!(gate.refuses(0) && !gate.refuses(60));
        gate.down(Duration::MAX);
        assert!(gate.refuses(u32::MAX));
    }

    #[test]
    fn without_a_store_it_never_refuses() {
        let gate = Gate::open();
        gate.down(Duration::MAX);
        assert!(!gate.refuses(0));
    }
}
