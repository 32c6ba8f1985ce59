//! What was sent to whoever says nothing back: when it counts as taken.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::audit::Digest;

/// Batches that are sent within this part of the time in which they are in doubt count as one. So what is in doubt takes no more
/// memory than twice as many entries, however much that is, and the cursor is not written more often.
const PARTS: u32 = 32;

/// What was sent, and may not have been taken: it is once it has arrived and the connection has survived for long enough since.
#[derive(Debug, Default)]
pub(super) struct Doubt(VecDeque<Sent>);

#[derive(Debug)]
struct Sent {
    first: Instant,
    /// Bytes sent by this connection up to its end.
    position: u64,
    /// Since when it is known that they have arrived.
    arrived: Option<Instant>,
    mark: Mark,
}

/// A place in the trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The number of a record.
    pub(super) sequence: u64,
    /// The digest of its line.
    pub(super) head: Digest,
}

impl Doubt {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What ends here was sent now, with so many bytes by this connection in all.
    pub(super) fn sent(&mut self, mark: Mark, position: u64, settling: Duration, now: Instant) {
        let part = pause(settling);
        let last = self.0.back_mut();
        match last.filter(|last| last.arrived.is_none() && now - last.first < part) {
            Some(last) => (last.mark, last.position) = (mark, position),
            None => self.0.push_back(Sent {
                first: now,
                position,
                arrived: None,
                mark,
            }),
        }
    }

    /// So many bytes have arrived: up to where all has been taken, if that is further than before.
    pub(super) fn settle(
        &mut self,
        arrived: u64,
        settling: Duration,
        now: Instant,
    ) -> Option<Mark> {
        for sent in &mut self.0 {
            if sent.position <= arrived {
                sent.arrived.get_or_insert(now);
            }
        }
        // A connection that is over by now has survived nothing: no byte of it counts as arrived any more.
        let over = |sent: &Sent| {
            sent.position <= arrived && sent.arrived.is_some_and(|since| now - since >= settling)
        };
        let count = self.0.iter().take_while(|sent| over(sent)).count();
        self.0.drain(..count).next_back().map(|sent| sent.mark)
    }

    /// All of it was taken: up to where, if there was any.
    pub(super) fn all(&mut self) -> Option<Mark> {
        self.0.drain(..).next_back().map(|sent| sent.mark)
    }

    /// None of it was.
    pub(super) fn none(&mut self) {
        self.0.clear();
    }
}

/// How often it is looked what has settled.
pub(super) fn pause(settling: Duration) -> Duration {
    settling / PARTS
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLING: Duration = Duration::from_secs(32);

    fn mark(sequence: u64) -> Mark {
        Mark {
            sequence,
            head: Digest::of(&sequence.to_be_bytes()),
        }
    }

    #[test]
    fn it_settles_some_time_after_it_has_arrived_and_not_after_it_was_sent() {
        let (mut doubt, began) = (Doubt::default(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        doubt.sent(mark(10), 100, SETTLING, at(0));
        doubt.sent(mark(20), 200, SETTLING, at(5));
        assert_eq!(doubt.settle(99, SETTLING, at(40)), None, "not there yet");
        assert_eq!(doubt.settle(199, SETTLING, at(50)), None);
        assert_eq!(doubt.settle(199, SETTLING, at(81)), None);
        assert_eq!(doubt.settle(199, SETTLING, at(82)), Some(mark(10)));
        assert_eq!(doubt.settle(200, SETTLING, at(83)), None);
        assert_eq!(doubt.settle(0, SETTLING, at(115)), None, "it is over");
        assert_eq!(doubt.settle(200, SETTLING, at(115)), Some(mark(20)));
        assert!(doubt.is_empty());
    }

    #[test]
    fn what_is_sent_on_and_on_takes_little_room_and_settles_all_the_same() {
        let (mut doubt, began) = (Doubt::default(), Instant::now());
        let mut settled = 0;
        for number in 1..=100_000_u64 {
            let now = began + Duration::from_millis(number);
            doubt.sent(mark(number), number, SETTLING, now);
            let through = doubt.settle(number - 1, SETTLING, now);
            settled = through.map_or(settled, |mark| mark.sequence);
            assert!(doubt.0.len() <= 2 * PARTS as usize, "{number}");
            assert!(number - settled <= 36_000, "{number}: {settled}");
        }
        assert_eq!(doubt.all(), Some(mark(100_000)));
        assert_eq!(doubt.all(), None);
    }
}
