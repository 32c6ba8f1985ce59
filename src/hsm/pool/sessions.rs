//! Sessions as they open and close, and what that means for their lane and for the pool.

use std::time::Instant;

use super::PoolError;
use super::board::{Board, State, Work, WorkerId};
use super::counts::Count;
use super::lane::PoolState;
use crate::group::operations::Issuers;
use crate::hsm::{ErrorClass, Profile, TokenError};

impl Board {
    /// A session was opened, or not. Answers with the age of sessions that are opened now.
    pub(super) fn opened(
        &self,
        worker: WorkerId,
        lane: usize,
        result: Result<Profile, TokenError>,
    ) -> Option<Result<u64, ()>> {
        let opened = self.change(|state| {
            state.doing.remove(&worker)?;
            Some(state.opened(self, worker, lane, result).ok_or(()))
        });
        self.wake_all();
        opened
    }

    /// A session was closed; false when the worker was taken for lost over it.
    pub(super) fn closed(&self, worker: WorkerId) -> bool {
        self.change(|state| state.doing.remove(&worker)).is_some()
    }

    /// A worker is about to close its session.
    pub(super) fn closing(&self, worker: WorkerId, lane: usize) {
        self.change(|state| {
            state.lanes[lane].crew.sessions -= 1;
            state.begin(worker, lane, Work::Session, Instant::now());
        });
    }

    /// A worker leaves its lane.
    pub(super) fn leave(&self, lane: usize, with_session: bool) {
        self.change(|state| {
            let this = &mut state.lanes[lane];
            this.crew.workers -= 1;
            this.crew.sessions -= usize::from(with_session);
            // The last one may have had a session when the others were refused.
            if let Some(error) = this.given_up.clone()
                && this.crew.workers == 0
                && this.state == PoolState::Usable
            {
                state.set_unusable(self, lane, error);
            }
        });
    }
}

impl State {
    /// The age of a session that was opened; `None` when it is none.
    fn opened(
        &mut self,
        board: &Board,
        worker: WorkerId,
        lane: usize,
        result: Result<Profile, TokenError>,
    ) -> Option<u64> {
        let result = result.and_then(|profile| {
            let known = self.issuers.borrow().clone();
            match known {
                Some(known) if !agree(&known, &profile.issuers) => Err(TokenError::IssuerChanged),
                Some(_) => Ok(profile),
                None => {
                    self.issuers.send_replace(Some(profile.issuers.clone()));
                    Ok(profile)
                }
            }
        });
        let this = &mut self.lanes[lane];
        if this.crew.prober == Some(worker) {
            this.crew.prober = None;
        }
        match result {
            Ok(profile) => {
                board.counters.add(Count::Sessions, 1);
                if this.state != PoolState::Usable {
                    let what = &profile.description;
                    tracing::info!(lane = %this.name, what, mechanisms = ?profile.mechanisms, masters = ?profile.masters, "the token is usable");
                }
                this.crew.sessions += 1;
                this.state = PoolState::Usable;
                this.profile = Some(profile);
                let age = this.age;
                self.publish();
                Some(age)
            }
            Err(error) => {
                self.refused(board, lane, error);
                None
            }
        }
    }

    /// A session could not be opened.
    fn refused(&mut self, board: &Board, lane: usize, error: TokenError) {
        board.counters.add(Count::Refusals, 1);
        let this = &mut self.lanes[lane];
        let for_long = matches!(error.class(), ErrorClass::Fatal | ErrorClass::OurBug);
        let pause = this.backoff.fail(Instant::now(), for_long);
        if error.refuses_pin() {
            this.given_up = Some(error.clone());
        }
        tracing::error!(lane = %this.name, %error, pause_ms = pause.as_millis() as u64, "cannot open a token session");
        if this.crew.sessions == 0 {
            self.set_unusable(board, lane, error);
        }
    }

    /// A lane has nobody left, or the only ones who opened its sessions hang.
    pub(super) fn unusable_lane(&mut self, board: &Board, lane: usize, error: TokenError) {
        self.lanes[lane].backoff.fail(Instant::now(), false);
        self.set_unusable(board, lane, error);
    }

    fn set_unusable(&mut self, board: &Board, lane: usize, error: TokenError) {
        self.refuse_ring(lane, &PoolError::Token(error.clone()));
        self.lanes[lane].state = PoolState::Unusable(error);
        self.publish();
        if let Some(unusable) = self.unusable(Instant::now()) {
            let refused = self.refuse_all(&unusable);
            board.counters.add(Count::Refused, refused);
        }
    }
}

/// Whether a session's public keys are the ones that the gateway started with, in each suite that both have.
fn agree(known: &Issuers, issuers: &Issuers) -> bool {
    let two = known.two.as_ref().zip(issuers.two.as_ref());
    known.one == issuers.one && two.is_none_or(|(known, two)| known == two)
}
