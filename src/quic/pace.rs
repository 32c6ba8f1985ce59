//! Keeps what is sent within what the network between gateway and members carries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How far behind its schedule a sender may be and still catch up: sleeping takes longer than was asked for.
const CREDIT: Duration = Duration::from_millis(2);
/// Bytes of each datagram besides its own: UDP, IP (version 6), Ethernet with preamble and gap.
const BESIDES: u64 = 8 + 40 + 38;

/// When the next datagrams may be sent.
#[derive(Debug)]
pub(super) struct Pace {
    /// Megabits a second of all senders together, as they are configured now.
    megabits: Arc<AtomicU32>,
    senders: u64,
    next: Instant,
}

impl Pace {
    /// A share of so many megabits a second that several senders have together; no limit if 0. The number may become another one.
    pub(super) fn new(megabits: Arc<AtomicU32>, senders: usize) -> Self {
        Pace {
            megabits,
            senders: senders.max(1) as u64,
            next: Instant::now(),
        }
    }

    #[cfg(test)]
    pub(super) fn of(megabits: u32, senders: usize) -> Self {
        Self::new(Arc::new(megabits.into()), senders)
    }

    /// These datagrams are to be sent: how long to wait before.
    pub(super) fn wait(&mut self, datagrams: usize, bytes: usize, now: Instant) -> Duration {
        let rate = u64::from(self.megabits.load(Ordering::Relaxed)) * 1_000_000 / self.senders;
        if rate == 0 {
            return Duration::ZERO;
        }
        let bits = 8 * (bytes as u64 + BESIDES * datagrams as u64);
        let takes = Duration::from_nanos(bits.saturating_mul(1_000_000_000) / rate);
        let earliest = now.checked_sub(CREDIT).unwrap_or(now);
        let start = self.next.max(earliest);
        self.next = start + takes;
        start.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_takes_the_time_that_the_rate_says() {
        // Four senders of a megabit each: a datagram of 39 bytes, with what is besides, takes a millisecond.
        let mut pace = Pace::of(4, 4);
        let now = Instant::now() + Duration::from_secs(1);
        assert_eq!(pace.wait(1, 39, now), Duration::ZERO);
        let waits: Vec<u128> = (0..5).map(|_| pace.wait(1, 39, now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 1, 2, 3], "two milliseconds are caught up on");
        let later = now + Duration::from_secs(1);
        assert_eq!(pace.wait(1_000, 39_000, later), Duration::ZERO);
        assert_eq!(pace.wait(1, 39, later), Duration::from_millis(998));
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        let mut pace = Pace::of(0, 2);
        let now = Instant::now();
        for _ in 0..1_000 {
            assert_eq!(pace.wait(128, 128_000, now), Duration::ZERO);
        }
    }

    #[test]
    fn another_limit_counts_from_the_next_datagram_on() {
        let megabits = Arc::new(AtomicU32::new(0));
        let mut pace = Pace::new(megabits.clone(), 1);
        let now = Instant::now() + Duration::from_secs(1);
        assert_eq!(pace.wait(1_000, 39_000, now), Duration::ZERO);
        megabits.store(1, Ordering::Relaxed);
        assert_eq!(pace.wait(1_000, 39_000, now), Duration::ZERO);
        assert_eq!(pace.wait(1, 39, now), Duration::from_millis(998));
        megabits.store(0, Ordering::Relaxed);
        assert_eq!(pace.wait(1, 39, now), Duration::ZERO);
    }
}
