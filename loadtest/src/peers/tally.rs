//! Who has a push: each payload carries the number of its round, and what subscribers get is counted against it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use crate::Failure;

/// How long a push may take until all have it.
const PATIENCE: Duration = Duration::from_secs(60);
/// The round's number, at the payload's beginning.
pub(super) const NUMBER: usize = 8;

/// What subscribers of one system got in the round that is under way.
pub(super) struct Tally {
    members: usize,
    round: AtomicU64,
    bytes: AtomicUsize,
    got: AtomicUsize,
    change: Notify,
    trouble: Mutex<Option<String>>,
}

impl Tally {
    /// Of so many subscribers.
    pub(super) fn new(members: usize) -> Self {
        Tally {
            members,
            round: AtomicU64::new(0),
            bytes: AtomicUsize::new(0),
            got: AtomicUsize::new(0),
            change: Notify::new(),
            trouble: Mutex::new(None),
        }
    }

    /// A round begins: every subscriber is to get this payload once. The one before must be over.
    pub(super) fn expect(&self, payload: &[u8]) {
        self.got.store(0, Ordering::Relaxed);
        self.bytes.store(payload.len(), Ordering::Relaxed);
        self.round
            .store(number(payload).unwrap_or(0), Ordering::Release);
    }

    /// A subscriber got a payload.
    pub(super) fn took(&self, payload: &[u8]) {
        let round = self.round.load(Ordering::Acquire);
        let bytes = self.bytes.load(Ordering::Relaxed);
        if number(payload) != Some(round) || payload.len() != bytes {
            let length = payload.len();
            return self.trouble(format!(
                "a subscriber got {length} bytes that are not the payload of round {round}"
            ));
        }
        if self.got.fetch_add(1, Ordering::AcqRel) + 1 >= self.members {
            self.change.notify_one();
        }
    }

    /// What ends the run: a connection was lost, or what came was not what was sent.
    pub(super) fn trouble(&self, what: String) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.get_or_insert(what);
        self.change.notify_one();
    }

    /// Waits until all have the payload.
    pub(super) async fn all(&self) -> Result<(), Failure> {
        let all = async {
            loop {
                if let Some(trouble) = self.what_happened() {
                    return Err(trouble.into());
                }
                if self.got.load(Ordering::Acquire) >= self.members {
                    return Ok(());
                }
                self.change.notified().await;
            }
        };
        timeout(PATIENCE, all).await.unwrap_or_else(|_| {
            let got = self.got.load(Ordering::Acquire);
            let (members, patience) = (self.members, PATIENCE.as_secs());
            Err(
                format!("only {got} of {members} subscribers got a push within {patience} s")
                    .into(),
            )
        })
    }

    fn what_happened(&self) -> Option<String> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.clone()
    }
}

/// The payload of a round.
pub(super) fn payload(round: u64, bytes: usize) -> Vec<u8> {
    let mut payload = round.to_be_bytes().to_vec();
    payload.resize(bytes.max(NUMBER), 0x5a);
    payload
}

/// The round that a payload, or an acknowledgement, belongs to.
pub(super) fn number(payload: &[u8]) -> Option<u64> {
    let number = payload.get(..NUMBER)?.try_into().ok()?;
    Some(u64::from_be_bytes(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_have_it_once_each_took_it() {
        let tally = Tally::new(2);
        for round in 1..=3 {
            let payload = payload(round, 100);
            tally.expect(&payload);
            tally.took(&payload);
            assert!(
                timeout(Duration::from_millis(1), tally.all())
                    .await
                    .is_err()
            );
            tally.took(&payload);
            tally.all().await.expect("both took it");
        }
    }

    #[tokio::test]
    async fn another_payload_is_trouble() {
        for wrong in [payload(1, 100), payload(2, 99), Vec::new()] {
            let tally = Tally::new(1);
            tally.expect(&payload(2, 100));
            tally.took(&wrong);
            assert!(tally.all().await.is_err());
        }
    }
}
