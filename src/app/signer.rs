//! Has the token sign the head of the audit trail now and again, and once more as the gateway stops.
//!
//! Nobody waits for a signature: it goes to the pool with what is least urgent, and trouble of the tokens only delays it, for the
//! next one covers all that it would have. A signature is a record itself, which does not make another one necessary.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::audit::{Audit, Digest, Entry, Event, MAX_UNSIGNED, Octets, Signature};
use crate::group::ids::Suite;
use crate::group::operations::{Batch, Operation, Output, Priority};
use crate::group::wire::TrailHead;
use crate::hsm::{Pool, PoolError};

/// Every token has it: see [`Signature`].
const SUITE: Suite = Suite::One;
/// How often it is looked whether there is something to sign.
const LOOK: Duration = Duration::from_secs(1);
/// So many records are signed at once, whenever the last ones were.
const MANY: u64 = 1_000;
/// Fewer are signed when the last signature is so old.
const PERIOD: Duration = Duration::from_secs(10);
/// How long a gateway that stops waits for its last signature.
const LAST: Duration = Duration::from_secs(5);

/// The task that has the trail signed.
pub(super) struct Signer {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Signer {
    /// Begins to have the trail signed.
    pub(super) fn start(tokens: Arc<Pool>, audit: Audit) -> Self {
        let (stop, stopped) = oneshot::channel();
        let signing = Signing::new(tokens, audit);
        Signer {
            stop,
            task: tokio::spawn(signing.run(stopped)),
        }
    }

    /// Ends it as it is: the gateway could not start.
    pub(super) fn abandon(self) {
        self.task.abort();
    }

    /// Has what is left signed, if the tokens can do so soon; the last record of all was written before.
    pub(super) async fn finish(self) {
        // A task that has ended needs not be told.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

struct Signing {
    tokens: Arc<Pool>,
    audit: Audit,
    /// The record up to which nothing needs a signature.
    covered: u64,
    /// When the last signature was made.
    last: Option<Instant>,
    /// Whether it has been said that the tokens do not sign.
    waits: bool,
}

/// Why a trail stays as it is for now.
#[derive(Debug, thiserror::Error)]
enum Unsigned {
    #[error(transparent)]
    Token(#[from] PoolError),
    #[error("the token answered with something else than a signature")]
    Answer,
    #[error("the token took so long that the signature is of no use any more")]
    Late,
}

impl Signing {
    fn new(tokens: Arc<Pool>, audit: Audit) -> Self {
        Signing {
            tokens,
            audit,
            covered: 0,
            last: None,
            waits: false,
        }
    }

    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = &mut stopped => break,
                _ = ticks.tick() => {}
            }
            if !self.is_due(Instant::now()) {
                continue;
            }
            // Not held up by a token when the gateway stops meanwhile.
            tokio::select! {
                _ = &mut stopped => break,
                signed = self.sign() => self.note(signed),
            }
        }
        let done = timeout(LAST, self.sign_all()).await;
        if !matches!(done, Ok(Ok(()))) {
            let unsigned = self.pending();
            tracing::warn!(
                unsigned,
                "the end of the audit trail is not signed: no token did so in time"
            );
        }
    }

    /// Records that a signature is to cover.
    fn pending(&self) -> u64 {
        let pending = self.audit.head().sequence.saturating_sub(self.covered);
        metrics::gauge!("wardcast_audit_unsigned_records").set(pending as f64);
        pending
    }

    fn is_due(&self, now: Instant) -> bool {
        let pending = self.pending();
        let long_ago = self.last.is_none_or(|last| now - last >= PERIOD);
        pending >= MANY || pending > 0 && long_ago
    }

    fn note(&mut self, signed: Result<(), Unsigned>) {
        match signed {
            Ok(()) => self.waits = false,
            Err(error) if !self.waits => {
                self.waits = true;
                tracing::warn!(%error, "the audit trail waits for its next signature");
            }
            Err(error) => tracing::debug!(%error, "the audit trail is still not signed"),
        }
    }

    async fn sign_all(&mut self) -> Result<(), Unsigned> {
        while self.pending() > 0 {
            self.sign().await?;
        }
        Ok(())
    }

    /// Has the head signed, and puts that on record.
    async fn sign(&mut self) -> Result<(), Unsigned> {
        // Fails at once where no token is usable, and then the head is as new as can be.
        self.tokens.probed().await?;
        let issuers = self.tokens.issuers().await?;
        let head = self.audit.head();
        let batch = Batch::of_no_group(SUITE, vec![Operation::SignHead { head }]);
        let outputs = self.tokens.execute(Priority::Prefetch, batch).await?;
        let Ok([Output::HeadSigned(signature)]) = <[Output; 1]>::try_from(outputs) else {
            return Err(Unsigned::Answer);
        };
        if self.distance(head) > MAX_UNSIGNED as u64 / 2 {
            return Err(Unsigned::Late);
        }
        let signed = Signature {
            up_to: head.sequence,
            head: Digest(head.digest),
            suite: SUITE,
            issuer: Octets(issuers.one.signing.to_vec()),
            signature: Octets(signature.to_vec()),
        };
        // Before it waits: a gateway that stops then does not ask for the same again.
        (self.covered, self.last) = (head.sequence + 1, Some(Instant::now()));
        let entry = Entry::of_gateway(Event::Signed(signed));
        self.audit.note(vec![entry]).await;
        Ok(())
    }

    /// Records that are on disk or on their way there since this one.
    fn distance(&self, head: TrailHead) -> u64 {
        let status = self.audit.status();
        status.sequence() + status.backlog() - head.sequence
    }
}

#[cfg(test)]
mod tests;
