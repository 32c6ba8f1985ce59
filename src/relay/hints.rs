//! Hints that something changed upstream: what looks there now and again looks sooner.
//!
//! A hint says nothing that is believed: what is done is decided by what is found. So a wrong one costs a look, and however many there
//! are, they cost no more than one look at a time with a pause between two: [`SOONEST`], and as long as a look takes.

use std::time::Duration;

use metrics::counter;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

/// How long it is paused at least between two looks, however many hints there are.
pub const SOONEST: Duration = Duration::from_secs(1);

/// What hints are given to. Its clones are the same.
#[derive(Clone, Debug)]
pub struct Bell(watch::Sender<()>);

impl Default for Bell {
    fn default() -> Self {
        Bell(watch::Sender::new(()))
    }
}

impl Bell {
    /// Something may have changed.
    pub fn ring(&self) {
        self.0.send_replace(());
    }

    /// For somebody who looks, called so in metrics.
    pub fn hints(&self, who: &'static str) -> Hints {
        counter!("wardcast_upstream_hints_total", "look" => who).absolute(0);
        Hints {
            who,
            rung: self.0.subscribe(),
            began: Instant::now(),
        }
    }
}

/// The hints for one who looks now and again.
#[derive(Debug)]
pub struct Hints {
    who: &'static str,
    rung: watch::Receiver<()>,
    /// When the last look began.
    began: Instant,
}

impl Hints {
    /// After a look: waits until it is time for the next, after this pause or with the next hint. Hints that came during the look
    /// count, for it may have been too early.
    pub async fn rest(&mut self, pause: Duration) {
        let now = Instant::now();
        let soonest = now + SOONEST.max(now - self.began);
        let hint = async {
            // Without a bell there is none.
            if self.rung.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            sleep_until(soonest).await;
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = hint => {
                counter!("wardcast_upstream_hints_total", "look" => self.who).increment(1);
                // Those that came while it was paused are for this look as well.
                self.rung.mark_unchanged();
            }
        }
        self.began = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);
    const LOOK: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn a_hint_ends_a_pause_and_many_are_one() {
        let bell = Bell::default();
        let mut hints = bell.hints("test");
        let began = Instant::now();
        for _ in 0..1_000 {
            bell.ring();
        }
        hints.rest(LONG).await;
        assert!(began.elapsed() >= SOONEST);
        let more = timeout(SOONEST * 2, hints.rest(LONG)).await;
        assert!(more.is_err(), "they were one");
    }

    #[tokio::test]
    async fn a_flood_costs_no_more_than_its_bound() {
        let bell = Bell::default();
        let mut hints = bell.hints("test");
        tokio::spawn(async move {
            loop {
                bell.ring();
                sleep(Duration::from_millis(1)).await;
            }
        });
        let began = Instant::now();
        let mut looks = 0;
        while looks < 4 {
            hints.rest(LONG).await;
            sleep(LOOK).await;
            looks += 1;
        }
        assert!(began.elapsed() >= (SOONEST + LOOK) * looks);
    }

    #[tokio::test]
    async fn without_hints_or_a_bell_it_is_the_pause() {
        let mut hints = Bell::default().hints("test");
        hints.rest(LOOK).await;
        let more = timeout(SOONEST * 2, hints.rest(LONG)).await;
        assert!(more.is_err());
    }
}
