//! The tokens: how they are, rotating their masters, whether the gateway is ready.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use super::api::{Failure, LaneView, Ready, RotateMaster, RotationView, TokenState, TokenView};
use super::routes::{Body, Shared, parse};
use super::upstream;
use crate::audit;
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

/// Ready is who can admit members: keys that members hold need no token.
pub(super) async fn ready(State(shared): Site) -> impl IntoResponse {
    let token = view(&shared);
    let audit = shared.audit.as_ref().map(|audit| audit.status());
    let (upstream, shut) = upstream::trouble(&shared).unzip();
    let outage = upstream.clone().filter(|_| shut == Some(true));
    let why = match (&token.state, token.error) {
        (TokenState::Usable, _) => {
            let lost = || shared.book.lost_rules().map(|why| rules_lost(&why));
            audit.and_then(untold).or(outage).or_else(lost)
        }
        (TokenState::Probing, _) => Some("the token has not answered yet".to_owned()),
        (TokenState::Unusable, error) => error.or(Some("the token is not usable".to_owned())),
    };
    let ready = why.is_none();
    let status = match ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let ready = Ready {
        ready,
        why,
        upstream,
    };
    (status, Json(ready))
}

fn rules_lost(why: &str) -> String {
    format!(
        "the rules that were in force cannot be read, so nobody is admitted: {why}; register good ones in the key store, or remove the file policies.json beside the store and start again to have the configured ones"
    )
}

/// Why nothing can be put on record.
fn untold(audit: &audit::Status) -> Option<String> {
    let (bytes, most) = (audit.bytes(), audit.max_bytes());
    if audit.is_full() {
        let full = format!("the audit trail is full: {bytes} bytes of {most}");
        return Some(full + "; move its oldest segments elsewhere, or raise audit.max_mb");
    }
    let why = "the audit trail cannot be written; see to its disk";
    audit.is_failing().then(|| why.to_owned())
}

fn view(shared: &Shared) -> TokenView {
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
