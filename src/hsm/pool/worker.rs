//! One worker: keeps a session open and executes batches with it, one at a time.

use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};

use super::queue::Job;
use super::{PoolError, Shared};
use crate::group::operations::Output;
use crate::hsm::{ErrorClass, Token, TokenError};

/// Sessions that may fail at one batch before it is given up.
const MAX_FAILURES: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What became of a batch.
enum Verdict {
    /// The session is fine, whatever the answer was.
    Keep,
    /// Open a new session at once.
    Reopen,
    /// Open a new session after a pause.
    Rest,
}

/// Runs until the queue closes, or until the token refuses the PIN.
pub(super) fn run(shared: &Shared, first: Option<Box<dyn Token>>) {
    if first.is_some() {
        shared.counters.opened();
    }
    let mut session = first;
    let mut counted = true;
    let mut pause = FIRST_PAUSE;
    loop {
        let Some(token) = session.as_mut() else {
            match open(shared) {
                Ok(token) => {
                    session = Some(token);
                    if !counted {
                        shared.queue.up();
                        counted = true;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, pause_ms = pause.as_millis() as u64, "cannot open a token session");
                    if std::mem::take(&mut counted) {
                        shared.queue.lost();
                    }
                    shared.queue.unusable(&error);
                    // Every further try would bring the token closer to locking.
                    if error.refuses_pin() || !shared.queue.pause(pause) {
                        return;
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
            continue;
        };
        let Some(job) = shared.queue.next() else {
            return;
        };
        match execute(shared, token.as_mut(), job) {
            Verdict::Keep => pause = FIRST_PAUSE,
            Verdict::Reopen => session = None,
            Verdict::Rest => {
                session = None;
                if !shared.queue.pause(pause) {
                    return;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

fn open(shared: &Shared) -> Result<Box<dyn Token>, TokenError> {
    let token = panic::catch_unwind(AssertUnwindSafe(|| (shared.opener)()))
        .unwrap_or(Err(TokenError::Panicked))?;
    if token.issuer() != shared.issuer {
        return Err(TokenError::IssuerChanged);
    }
    shared.counters.opened();
    Ok(token)
}

fn execute(shared: &Shared, token: &mut dyn Token, mut job: Job) -> Verdict {
    let started = Instant::now();
    // A session that panicked is thrown away, so nothing half-done in it is seen again.
    let result = panic::catch_unwind(AssertUnwindSafe(|| token.execute(&job.batch)))
        .unwrap_or(Err(TokenError::Panicked));
    let error = match result {
        Ok(outputs) if outputs.len() == job.batch.operations.len() => {
            tracing::debug!(
                group = %job.batch.group,
                operations = outputs.len(),
                priority = ?job.priority,
                micros = started.elapsed().as_micros() as u64,
                "batch executed"
            );
            shared.counters.executed(&job.batch);
            answer(job, Ok(outputs));
            return Verdict::Keep;
        }
        Ok(_) => TokenError::BadBatch("the back end lost an output"),
        Err(error) => error,
    };
    tracing::warn!(group = %job.batch.group, %error, class = ?error.class(), "batch failed");
    job.failures += 1;
    let verdict = match (&error, error.class()) {
        (TokenError::Panicked, _) => Verdict::Rest,
        (TokenError::MissingKey { .. }, _) => Verdict::Keep,
        (_, ErrorClass::Fatal | ErrorClass::OurBug) => Verdict::Keep,
        (_, ErrorClass::Retry) => {
            std::thread::sleep(FIRST_PAUSE / 2);
            Verdict::Keep
        }
        (_, ErrorClass::LoginNeeded) if job.failures == 1 => Verdict::Reopen,
        (_, ErrorClass::LoginNeeded | ErrorClass::Elsewhere) => Verdict::Rest,
    };
    let again = matches!(
        error.class(),
        ErrorClass::Retry | ErrorClass::LoginNeeded | ErrorClass::Elsewhere
    );
    if again && job.failures < MAX_FAILURES {
        shared.queue.put_back(job);
    } else {
        shared.counters.failed();
        answer(job, Err(error.into()));
    }
    verdict
}

fn answer(job: Job, answer: Result<Vec<Output>, PoolError>) {
    // Whoever asked may have given up meanwhile; the outputs are then of no use to anybody.
    let _ = job.reply.send(answer);
}
