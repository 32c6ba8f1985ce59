//! The tokens: how they are, rotating their masters.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use super::api::{Failure, LaneView, RotateMaster, RotationView, TokenState, TokenView};
use super::routes::{Body, Shared, parse};
use crate::engine::{RotationPhase, RotationStatus};
use crate::hsm::{LaneStatus, PoolState, PoolStatus};

/// Members a second, if the operator does not say: a tenth of what a token of medium speed grants.
const MEMBERS_PER_SECOND: u32 = 200;

type Site = State<Arc<Shared>>;

pub(super) async fn show(State(shared): Site) -> Json<TokenView> {
    Json(view(&shared))
}

pub(super) async fn rotate_master(
    State(shared): Site,
    body: Body,
) -> Result<impl IntoResponse, Failure> {
    let RotateMaster { members_per_second } = parse(body)?;
    let pace = members_per_second.unwrap_or(MEMBERS_PER_SECOND);
    if pace == 0 {
        let why = "members_per_second: 0; must be at least 1";
        return Err(Failure::new(super::api::FailureCode::BadRequest, why));
    }
    shared.engine.rotate_master(pace)?;
    Ok((StatusCode::ACCEPTED, Json(view(&shared))))
}

pub(super) fn view(shared: &Shared) -> TokenView {
    let PoolStatus {
        state,
        lanes,
        waiting,
        ..
    } = shared.engine.token_status();
    let (state, error) = shown(&state);
    let priorities = ["urgent", "grant", "scheduled", "prefetch"];
    TokenView {
        state,
        error,
        master: shared.engine.master().map(|master| master.0),
        waiting: std::iter::zip(priorities, waiting)
            .map(|(name, waiting)| (name.to_owned(), waiting.batches))
            .collect(),
        tokens: lanes.into_iter().map(LaneView::from).collect(),
        rotation: shared.engine.rotation().map(RotationView::from),
    }
}

fn shown(state: &PoolState) -> (TokenState, Option<String>) {
    match state {
        PoolState::Probing => (TokenState::Probing, None),
        PoolState::Usable => (TokenState::Usable, None),
        PoolState::Unusable(error) => (TokenState::Unusable, Some(error.to_string())),
        PoolState::Closed => (
            TokenState::Unusable,
            Some("the gateway is stopping".to_owned()),
        ),
    }
}

impl From<LaneStatus> for LaneView {
    fn from(lane: LaneStatus) -> Self {
        let (state, error) = shown(&lane.state);
        Self {
            name: lane.name,
            state,
            error,
            description: lane.description.unwrap_or_default(),
            workers: lane.workers,
            sessions: lane.sessions,
            lost: lane.lost,
            latency_us: lane.latency.map(|latency| latency.as_micros() as u64),
            masters: lane.masters.iter().map(|master| master.0).collect(),
            suites: lane.suites.iter().map(|suite| suite.number()).collect(),
        }
    }
}

impl From<RotationStatus> for RotationView {
    fn from(status: RotationStatus) -> Self {
        let (phase, error) = match status.phase {
            RotationPhase::Preparing => ("preparing", None),
            RotationPhase::Rolling => ("rolling", None),
            RotationPhase::Destroying => ("destroying", None),
            RotationPhase::Done => ("done", None),
            RotationPhase::Failed(why) => ("failed", Some(why)),
        };
        Self {
            phase: phase.to_owned(),
            error,
            to: status.to.map(|master| master.0),
            groups: status.groups,
            rolled: status.rolled,
            destroyed: status.destroyed.iter().map(|master| master.0).collect(),
        }
    }
}
