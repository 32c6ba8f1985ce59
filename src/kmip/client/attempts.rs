//! What becomes of a request: its place in the queue, its attempts, and when there is no other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::SemaphorePermit;
use tokio::time::timeout_at;

use super::attempt::Failure;
use super::breaker::Leave;
use super::client::{Job, Shared};
use super::error::{ClientError, TransportError};
use super::exchange::Answers;
use super::options::{MAX_BATCH, MAX_DOUBLINGS, RETRY_PAUSE};

impl Shared {
    /// Tries until there is an answer, or there will be none.
    pub(super) async fn exchange(&self, job: Job<'_>) -> Result<Answers, ClientError> {
        if job.items.is_empty() || job.items.len() > MAX_BATCH {
            return Err(ClientError::Batch(job.items.len()));
        }
        let _permit = self.permit(job.deadline).await?;
        let repeatable = job.items.iter().all(|item| item.is_repeatable());
        let mut failures = vec![0; self.addresses.len()];
        let mut last = None;
        for attempt in 0..self.options.attempts.max(1) {
            let (index, leave) = match self.choose(&failures) {
                Ok(chosen) => chosen,
                Err(retry_after) => {
                    return Err(last.unwrap_or(ClientError::Resting { retry_after }));
                }
            };
            if attempt > 0 && !self.pause(failures[index], job.deadline).await {
                break;
            }
            let (sent, error) = match self.attempt(index, job).await {
                Ok(answers) => {
                    self.answered(index, leave);
                    return Ok(answers);
                }
                Err(Failure::Said(error)) => {
                    self.answered(index, leave);
                    return Err(error);
                }
                Err(Failure::Unsendable(error)) => return Err(error),
                Err(Failure::Broke { sent, error }) => (sent, error),
            };
            self.broke(index, leave, &error);
            let address = self.addresses[index].name.clone();
            if sent && !repeatable {
                return Err(ClientError::Unknown { address, error });
            }
            failures[index] += 1;
            last = Some(ClientError::Unreachable { address, error });
        }
        let after = self.options.deadline;
        Err(last.unwrap_or(ClientError::Queued { after }))
    }

    /// A place among those that are active: the number of connections is bounded by them.
    async fn permit(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, ClientError> {
        if let Ok(permit) = self.permits.try_acquire() {
            return Ok(permit);
        }
        let waiting = self.options.waiting;
        let place = Place::take(&self.waiting);
        if place.number >= waiting {
            return Err(ClientError::Busy { waiting });
        }
        let after = self.options.deadline;
        match timeout_at(deadline.into(), self.permits.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(ClientError::Queued { after }),
        }
    }

    /// The first address that does not rest, of those that failed least for this request.
    fn choose(&self, failures: &[u32]) -> Result<(usize, Leave<'_>), Duration> {
        let now = Instant::now();
        let mut order: Vec<usize> = (0..self.addresses.len()).collect();
        order.sort_by_key(|index| failures[*index]);
        let mut shortest = self.options.rest.1;
        for index in order {
            match self.addresses[index].breaker.ask(now) {
                Ok(leave) => return Ok((index, leave)),
                Err(rest) => shortest = shortest.min(rest),
            }
        }
        Err(shortest)
    }

    /// Waits before an address is tried again that failed for this request; false when there is no time for that.
    async fn pause(&self, failures: u32, deadline: Instant) -> bool {
        let doubled = 1 << failures.saturating_sub(1).min(MAX_DOUBLINGS);
        let pause = match failures {
            0 => Duration::ZERO,
            _ => RETRY_PAUSE.saturating_mul(doubled),
        };
        if Instant::now() + pause >= deadline {
            return false;
        }
        self.observer.retried();
        tokio::time::sleep(pause).await;
        true
    }

    fn answered(&self, index: usize, leave: Leave<'_>) {
        let change = leave.succeed();
        let address = &self.addresses[index];
        self.observer.changed(&address.name, change, None);
    }

    fn broke(&self, index: usize, leave: Leave<'_>, error: &TransportError) {
        // What had little time left, because it queued for long, says nothing about the address.
        let fair = self.options.attempt.min(self.options.deadline) / 2;
        if matches!(error, TransportError::TimedOut(within) if *within < fair) {
            return;
        }
        let change = leave.fail(Instant::now());
        let address = &self.addresses[index];
        self.observer.changed(&address.name, change, Some(error));
        // Another server may come back in its place.
        address.remember(None);
        self.idle.forget(index);
    }
}

/// A place in the queue, given back when it is dropped.
struct Place<'q> {
    queue: &'q AtomicUsize,
    number: usize,
}

impl<'q> Place<'q> {
    fn take(queue: &'q AtomicUsize) -> Self {
        let number = queue.fetch_add(1, Ordering::Relaxed);
        Self { queue, number }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queue.fetch_sub(1, Ordering::Relaxed);
    }
}
