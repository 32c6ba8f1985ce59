//! What is due at which time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long is slept when nothing is due.
const IDLE: Duration = Duration::from_secs(3_600);

/// Things that are due later.
pub(super) struct Timers<T> {
    /// Numbered, as several may be due at one time.
    due: BTreeMap<(Instant, u64), T>,
    numbers: u64,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        let (due, numbers) = (BTreeMap::new(), 0);
        Timers { due, numbers }
    }
}

impl<T> Timers<T> {
    /// This is due after a pause.
    pub(super) fn after(&mut self, pause: Duration, what: T) {
        let number = self.number();
        self.due.insert((Instant::now() + pause, number), what);
    }

    /// A number that no other thing has.
    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// How long it is until something is due.
    pub(super) fn wait(&self) -> Duration {
        let next = self.due.first_key_value();
        next.map_or(IDLE, |((due, _), _)| {
            due.saturating_duration_since(Instant::now())
        })
    }

    /// What is due by now, one after the other.
    pub(super) fn next(&mut self, now: Instant) -> Option<T> {
        let entry = self.due.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    /// All that is due some time.
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.due.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_in_order_and_not_before() {
        let mut timers = Timers::default();
        assert_eq!(timers.wait(), IDLE);
        let second = Duration::from_secs(1);
        for (pause, what) in [(3 * second, 'c'), (second, 'a'), (2 * second, 'b')] {
            timers.after(pause, what);
        }
        assert!(timers.wait() <= second);
        let now = Instant::now();
        assert_eq!(timers.next(now), None);
        let later = now + 2 * second;
        let due: Vec<char> = std::iter::from_fn(|| timers.next(later)).collect();
        assert_eq!(due, ['a', 'b']);
        assert_eq!(timers.iter().copied().collect::<Vec<_>>(), ['c']);
    }
}
