//! One worker: keeps a session with its lane's token and makes one call after another with it.

use std::panic::{self, AssertUnwindSafe};
use std::time::Instant;

use super::board::{Board, Next, WorkerId};
use super::options::RETRY_PAUSE;
use super::settle::{After, SessionNote};
use crate::hsm::{ErrorClass, Executed, Opener, RingChange, Token, TokenError};

/// An open session.
struct Session {
    token: Box<dyn Token>,
    note: SessionNote,
    /// What the last call's settling has begun already.
    next: Option<Next>,
}

/// What a worker goes on with.
enum Step {
    /// This session, or none.
    With(Option<Session>),
    /// It was taken for lost; the session that it comes back with is not to be trusted.
    Lost(Option<Session>),
    Stop(Option<Session>),
}

/// A worker of one lane.
pub(super) struct Worker<'a> {
    pub(super) board: &'a Board,
    pub(super) number: WorkerId,
    pub(super) lane: usize,
    pub(super) opener: &'a Opener,
}

impl Worker<'_> {
    /// Runs until the pool closes, the token refuses the PIN, or it comes back too late to be needed.
    pub(super) fn run(mut self) {
        let mut session = None;
        loop {
            let step = match session.take() {
                None => self.open(),
                Some(open) => self.work(open),
            };
            match step {
                Step::With(next) => session = next,
                Step::Lost(late) => {
                    discard(late);
                    if !self.board.returned(self.lane) {
                        return;
                    }
                    self.number = self.board.change(|state| state.number());
                }
                Step::Stop(last) => {
                    self.board.leave(self.lane, last.is_some());
                    discard(last);
                    self.board.thread_ended();
                    return;
                }
            }
        }
    }

    fn open(&self) -> Step {
        if !self.board.may_open(self.number, self.lane) {
            return Step::Stop(None);
        }
        let opened = panic::catch_unwind(AssertUnwindSafe(|| {
            let token = (self.opener)()?;
            let profile = token.profile().clone();
            Ok((token, profile))
        }));
        let (token, result) = match opened.unwrap_or(Err(TokenError::Panicked)) {
            Ok((token, profile)) => (Some(token), Ok(profile)),
            Err(error) => (None, Err(error)),
        };
        let opened = Instant::now();
        let age = self.board.opened(self.number, self.lane, result);
        let session = |age| {
            let note = SessionNote {
                opened,
                proven: false,
                age,
            };
            let next = None;
            token.map(|token| Session { token, note, next })
        };
        match age {
            None => Step::Lost(session(0)),
            Some(Ok(age)) => Step::With(session(age)),
            Some(Err(())) => {
                discard(session(0));
                Step::With(None)
            }
        }
    }

    fn work(&self, mut session: Session) -> Step {
        let begun = session.next.take();
        let next = begun.unwrap_or_else(|| {
            let age = session.note.age;
            self.board.next(self.number, self.lane, age)
        });
        let after = match next {
            Next::Stop => return Step::Stop(Some(session)),
            Next::Reopen => After::Reopen,
            Next::Batches(batches) => {
                // A session that panicked is thrown away, so nothing half-done in it is seen again.
                let call = AssertUnwindSafe(|| session.token.execute(&batches));
                let started = Instant::now();
                let executed = panic::catch_unwind(call).ok();
                let took = started.elapsed();
                drop(batches);
                self.give_time(executed.iter().flat_map(Executed::errors));
                let (after, next) = self
                    .board
                    .executed(self.number, executed, took, session.note);
                session.next = next;
                after
            }
            Next::Ring(change) => {
                let call = AssertUnwindSafe(|| session.token.ring(change));
                let result = panic::catch_unwind(call).unwrap_or(Err(TokenError::Panicked));
                self.give_time(result.as_ref().err());
                // The one that made a change knows of it.
                session.note.age += u64::from(result.is_ok() && change != RingChange::List);
                self.board.ring_changed(self.number, result, session.note)
            }
        };
        match after {
            After::Lost => Step::Lost(Some(session)),
            After::Reopen | After::Rest => self.close(session),
            After::Keep => {
                session.note.proven = true;
                Step::With(Some(session))
            }
        }
    }

    /// Before a batch may be tried again that its token had no room for just then, some time passes.
    fn give_time<'a>(&self, errors: impl IntoIterator<Item = &'a TokenError>) {
        let mut errors = errors.into_iter();
        if errors.any(|error| error.class() == ErrorClass::Retry) {
            self.board.pause(RETRY_PAUSE);
        }
    }

    /// Closes a session, which is a call into the token as well.
    fn close(&self, session: Session) -> Step {
        self.board.closing(self.number, self.lane);
        discard(Some(session));
        if self.board.closed(self.number) {
            Step::With(None)
        } else {
            Step::Lost(None)
        }
    }
}

/// Drops a session, whatever its back end throws.
fn discard(session: Option<Session>) {
    let _ = panic::catch_unwind(AssertUnwindSafe(|| drop(session)));
}
