//! What members report, and how.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;
use wardcast::group::ids::Epoch;

/// What a member saw, and when.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) member: usize,
    pub(super) at: Instant,
    pub(super) what: What,
}

/// What there is to be seen.
#[derive(Debug)]
pub(super) enum What {
    /// It holds this epoch.
    Holds(Epoch),
    /// It sends with this epoch.
    Sends(Epoch),
    /// Its registration, or its connection, is over.
    Over(String),
}

/// Where reports wait to be read, all of them at once. Ten thousand members report within milliseconds, on the processors that a
/// rekey needs: a channel, which allocates and looks for a task to wake, was a fiftieth of what they cost.
#[derive(Default)]
pub(super) struct Board {
    reports: Mutex<Vec<Seen>>,
    first: Notify,
}

impl Board {
    fn put(&self, seen: Seen) {
        let mut reports = self.reports();
        reports.push(seen);
        let is_first = reports.len() == 1;
        drop(reports);
        if is_first {
            self.first.notify_one();
        }
    }

    /// Exchanges what waits for what was read.
    pub(super) fn take(&self, read: &mut Vec<Seen>) {
        read.clear();
        std::mem::swap(&mut *self.reports(), read);
    }

    /// Waits until there is something.
    pub(super) async fn wait(&self) {
        while self.reports().is_empty() {
            self.first.notified().await;
        }
    }

    fn reports(&self) -> MutexGuard<'_, Vec<Seen>> {
        // Nothing panics while it holds it.
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How members report.
#[derive(Clone)]
pub(super) struct Reporter {
    pub(super) member: usize,
    pub(super) board: Arc<Board>,
}

impl Reporter {
    pub(super) fn tell(&self, what: What) {
        let at = Instant::now();
        let member = self.member;
        self.board.put(Seen { member, at, what });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_reads_all_that_came() {
        let board = Arc::new(Board::default());
        let reporting = board.clone();
        tokio::spawn(async move {
            for member in 0..500 {
                let board = reporting.clone();
                Reporter { member, board }.tell(What::Holds(Epoch(1)));
                tokio::task::yield_now().await;
            }
        });
        let (mut all, mut read) = (Vec::new(), Vec::new());
        while all.len() < 500 {
            board.wait().await;
            board.take(&mut read);
            assert!(!read.is_empty());
            all.extend(read.iter().map(|seen| seen.member));
        }
        assert_eq!(all, (0..500).collect::<Vec<_>>());
    }
}
