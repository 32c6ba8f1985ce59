//! Which connections are taken on: how many there may be, which handshakes are begun, which wait for their turn, and which are
//! refused at once.
//!
//! Of a thousand handshakes that are all worked on at once each takes as long as all of them, and everybody sends everything again
//! meanwhile. So a few are begun at a time, in the order in which they came, and of many only those wait behind
//! them whose address has proven itself. Who would wait for too long is told so at once, which costs next to nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::Limits;

/// Handshakes that are begun at a time.
const BEGUN: usize = 64;
/// With so many handshakes, begun or waiting, addresses must prove themselves: who makes his up must not keep others waiting for long.
const MOST_UNPROVEN: usize = 320;
/// For how long one counts as just begun: whoever does not go on must not keep the others waiting.
pub(super) const HEAD_START: Duration = Duration::from_millis(250);
/// The longest wait for a turn: after it there is too little left of the time that clients take for a handshake.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// When those who get their turn have waited for so long, nobody begins to wait.
const LONG_WAIT: Duration = Duration::from_secs(4);

/// The places that there are.
pub(super) struct Admission {
    connections: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    begun: Arc<Semaphore>,
    limits: Limits,
    /// How long the one that got its turn last had waited, in milliseconds.
    waited: AtomicU64,
}

/// What becomes of a connection.
pub(super) enum Entry {
    /// It has a place, and waits for its turn.
    Admitted(Places),
    /// Its address must prove itself first (Retry, RFC 9000 section 8.1.2).
    Prove,
    /// Not now, and why.
    Refused(&'static str),
}

/// The places of one connection, free again when they are dropped.
pub(super) struct Places {
    pub(super) connection: OwnedSemaphorePermit,
    pub(super) handshake: OwnedSemaphorePermit,
}

impl Admission {
    pub(super) fn new(limits: Limits) -> Self {
        Admission {
            connections: Arc::new(Semaphore::new(limits.connections)),
            handshakes: Arc::new(Semaphore::new(limits.handshakes)),
            begun: Arc::new(Semaphore::new(BEGUN)),
            limits,
            waited: AtomicU64::new(0),
        }
    }

    /// Somebody wants to connect, and may have to prove its address if it has not done so.
    pub(super) fn enter(&self, unproven: bool) -> Entry {
        let Ok(connection) = self.connections.clone().try_acquire_owned() else {
            return Entry::Refused("connections");
        };
        let waits = self.begun.available_permits() == 0;
        if waits && self.waited.load(Ordering::Relaxed) >= milliseconds(LONG_WAIT) {
            return Entry::Refused("wait");
        }
        let Ok(handshake) = self.handshakes.clone().try_acquire_owned() else {
            return Entry::Refused("handshakes");
        };
        let places = self.limits.handshakes;
        let taken = places - self.handshakes.available_permits();
        if unproven && taken > MOST_UNPROVEN.min(places / 2) {
            return Entry::Prove;
        }
        Entry::Admitted(Places {
            connection,
            handshake,
        })
    }

    /// Waits for a turn: whoever came first is first. None when it does not come in time.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        self.turn_within(LONGEST_WAIT).await
    }

    async fn turn_within(&self, longest: Duration) -> Option<OwnedSemaphorePermit> {
        let since = Instant::now();
        let turn = timeout(longest, self.begun.clone().acquire_owned()).await;
        let waited = milliseconds(since.elapsed());
        self.waited.store(waited, Ordering::Relaxed);
        turn.ok()?.ok()
    }

    /// Connections that there are.
    pub(super) fn connected(&self) -> usize {
        self.limits.connections - self.connections.available_permits()
    }

    /// Waits until no connection is left.
    pub(super) async fn all_over(&self) {
        let all = u32::try_from(self.limits.connections).unwrap_or(u32::MAX);
        // It fails only for a semaphore that was closed, which this one never is.
        let _ = self.connections.acquire_many(all).await;
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(connections: usize, handshakes: usize) -> Admission {
        Admission::new(Limits {
            connections,
            connections_per_identity: 1,
            handshakes,
            alive: Duration::from_secs(1),
            pace_mbit_s: 0,
        })
    }

    fn admitted(entry: Entry) -> Places {
        match entry {
            Entry::Admitted(places) => places,
            Entry::Prove => panic!("it must prove its address"),
            Entry::Refused(why) => panic!("it is refused: {why}"),
        }
    }

    #[test]
    fn there_are_so_many_places_and_from_half_of_them_on_addresses_are_proven() {
        let admission = admission(5, 4);
        let mut inside: Vec<Places> = (0..2).map(|_| admitted(admission.enter(true))).collect();
        assert!(matches!(admission.enter(true), Entry::Prove));
        inside.extend((0..2).map(|_| admitted(admission.enter(false))));
        assert!(matches!(
            admission.enter(false),
            Entry::Refused("handshakes")
        ));
        // Their handshakes end, and they stay connected.
        let connected: Vec<_> = inside.into_iter().map(|places| places.connection).collect();
        let _fifth = admitted(admission.enter(true));
        assert_eq!(admission.connected(), 5);
        assert!(matches!(
            admission.enter(false),
            Entry::Refused("connections")
        ));
        drop(connected);
        assert_eq!(admission.connected(), 1);
    }

    #[tokio::test]
    async fn whoever_waits_has_proven_its_address_and_nobody_waits_for_long() {
        let admission = admission(1_000, 1_000);
        let mut turns = Vec::new();
        for _ in 0..BEGUN {
            turns.push(admission.turn().await.expect("there is room"));
        }
        let unproven: Vec<_> = (0..MOST_UNPROVEN)
            .map(|_| admitted(admission.enter(true)))
            .collect();
        assert!(matches!(admission.enter(true), Entry::Prove));
        let _waits = admitted(admission.enter(false));
        let longest = Duration::from_millis(50);
        assert!(admission.turn_within(longest).await.is_none());
        assert!(admission.waited.load(Ordering::Relaxed) >= milliseconds(longest));
        admitted(admission.enter(false));
        let long = milliseconds(LONG_WAIT);
        admission.waited.store(long, Ordering::Relaxed);
        assert!(matches!(admission.enter(false), Entry::Refused("wait")));
        // Somebody is done, and the next one waits no more.
        turns.pop();
        admitted(admission.enter(false));
        turns.push(admission.turn().await.expect("there is room"));
        admitted(admission.enter(false));
        drop(unproven);
    }

    #[tokio::test]
    async fn all_are_over_when_the_last_one_is() {
        let admission = admission(3, 3);
        let places = admitted(admission.enter(true));
        let gone = async {
            tokio::task::yield_now().await;
            drop(places);
        };
        tokio::join!(admission.all_over(), gone);
        assert_eq!(admission.connected(), 0);
    }
}
