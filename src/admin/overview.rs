//! All of the gateway at one moment, put together once for all who look within a second.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};
use tokio::sync::Mutex;

use super::api::{
    ActivityView, AuditView, Failure, FailureCode, GatewayView, LatencyPoint, LatencyView,
    MAX_GROUPS_SHOWN, MAX_SLOWEST_SHOWN, MemberCounts, OverviewView, Ready, SlowView,
};
use super::policy::rfc3339;
use super::routes::Shared;
use super::{health, token};
use crate::audit;
use crate::engine::{GroupActivity, Latency, Overview, POINT_MS, SlowMember, Totals};

/// For how long what was put together is good enough.
const FRESH: Duration = Duration::from_secs(1);

/// What was put together last, as it goes out; whoever asks while it is put together waits for that.
pub(super) struct Board {
    started: Instant,
    last: Mutex<Option<(Instant, Bytes)>>,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            last: Mutex::default(),
        }
    }
}

pub(super) async fn show(State(shared): State<Arc<Shared>>) -> Result<Response, Failure> {
    let mut last = shared.board.last.lock().await;
    let json = match &*last {
        Some((at, json)) if at.elapsed() < FRESH => json.clone(),
        _ => {
            let (overview, ready) =
                tokio::join!(shared.engine.overview(), health::readiness(&shared));
            let json = serde_json::to_vec(&view(&shared, ready, overview)).map(Bytes::from);
            let json =
                json.map_err(|why| Failure::new(FailureCode::Unavailable, why.to_string()))?;
            *last = Some((Instant::now(), json.clone()));
            json
        }
    };
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, json).into_response())
}

fn view(shared: &Shared, ready: Ready, overview: Overview) -> OverviewView {
    let queued = |shard: &crate::engine::ShardStatus| shard.answered.then_some(shard.queued);
    let busiest = overview.busiest.into_iter().take(MAX_GROUPS_SHOWN);
    let slowest = overview.slowest.into_iter().take(MAX_SLOWEST_SHOWN);
    OverviewView {
        at: rfc3339(SystemTime::now()),
        gateway: GatewayView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: shared.board.started.elapsed().as_secs(),
            ready,
            shards: overview.shards.iter().map(queued).collect(),
        },
        groups: overview.groups,
        members: overview.totals.into(),
        busiest: busiest.map(ActivityView::from).collect(),
        latency: LatencyView {
            step_s: POINT_MS / 1_000,
            points: overview
                .latency
                .into_iter()
                .map(|point| point.map(LatencyPoint::from))
                .collect(),
        },
        slowest: slowest.map(SlowView::from).collect(),
        token: token::view(shared),
        upstream: shared.upstream.as_ref().map(|upstream| upstream()),
        audit: shared.audit.as_ref().map(|audit| audit.status().into()),
    }
}

impl From<Totals> for MemberCounts {
    fn from(totals: Totals) -> Self {
        Self {
            members: totals.members,
            present: totals.present,
            acknowledged: totals.acknowledged,
            behind: totals.behind,
        }
    }
}

impl From<GroupActivity> for ActivityView {
    fn from(group: GroupActivity) -> Self {
        Self {
            name: group.name,
            epoch: group.epoch,
            active: group.active,
            counts: group.totals.into(),
            rekeys: group.rekeys,
            joins: group.joins,
            frozen: group.frozen,
        }
    }
}

impl From<Latency> for LatencyPoint {
    fn from(latency: Latency) -> Self {
        Self {
            acknowledged: latency.acknowledged,
            p50_ms: latency.p50_ms,
            p99_ms: latency.p99_ms,
        }
    }
}

impl From<SlowMember> for SlowView {
    fn from(slow: SlowMember) -> Self {
        Self {
            group: slow.group,
            member: slow.member,
            identity: slow.identity,
            acknowledged: slow.acknowledged,
            behind: slow.behind,
            waited_s: slow.waited.as_secs(),
        }
    }
}

impl From<&audit::Status> for AuditView {
    fn from(status: &audit::Status) -> Self {
        Self {
            sequence: status.sequence(),
            bytes: status.bytes(),
            max_bytes: status.max_bytes(),
            backlog: status.backlog(),
            writable: !status.is_failing(),
        }
    }
}
