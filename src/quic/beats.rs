//! Whether the loops go round that accept connections, and those that drive them: each leaves a sign now and then, and who asks looks how old they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often each leaves a sign.
pub(super) const BEAT: Duration = Duration::from_secs(1);
/// A loop whose last sign is older hangs.
const MISSED: Duration = Duration::from_secs(10);

/// The last signs, by lane. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Beats {
    began: Instant,
    last: Arc<[AtomicU64]>,
}

impl Beats {
    pub(super) fn new(lanes: usize) -> Self {
        Self {
            began: Instant::now(),
            last: (0..lanes).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    pub(super) fn beat(&self, lane: u8) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last[usize::from(lane)].store(now, Ordering::Relaxed);
    }

    /// The loops that hang, in words.
    #[must_use]
    pub fn hanging(&self) -> Vec<String> {
        self.hanging_after(self.began.elapsed())
    }

    fn hanging_after(&self, since: Duration) -> Vec<String> {
        let hangs = |last: &AtomicU64| {
            since.saturating_sub(Duration::from_millis(last.load(Ordering::Relaxed))) > MISSED
        };
        let lanes = self.last.iter().enumerate();
        let hanging = lanes.filter(|(_, last)| hangs(last));
        hanging
            .map(|(lane, _)| format!("QUIC endpoint {lane}"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_no_sign_for_long_hangs() {
        let beats = Beats::new(2);
        assert!(beats.hanging_after(MISSED).is_empty());
        let late = MISSED + Duration::from_millis(1);
        assert_eq!(beats.hanging_after(late).len(), 2);
        std::thread::sleep(Duration::from_millis(5));
        beats.beat(1);
        assert_eq!(beats.hanging_after(late), ["QUIC endpoint 0"]);
    }
}
