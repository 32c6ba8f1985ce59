//! Whether the gateway lives, and whether it is ready: for operators with reasons, for balancers in words that tell nothing else.
//!
//! *Live* is who answers: every loop of the engine and every QUIC endpoint is asked, and nothing is looked at that they serve. A
//! gateway that is not live helps nobody, and is to be restarted. *Ready* is who can admit members; a gateway that is not keeps
//! serving those that it has, and must not be restarted for it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::api::{Live, Ready, Reason, TokenState};
use super::routes::Shared;
use super::{token, upstream};
use crate::audit;

type Hanging = Pin<Box<dyn Future<Output = Vec<String>> + Send>>;

/// Asks every loop whether it is there.
#[derive(Clone)]
pub struct Pulse(Arc<dyn Fn() -> Hanging + Send + Sync>);

impl Pulse {
    /// Of whoever asks them, in bounded time, and tells which ones are not.
    pub fn new<F>(ask: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Vec<String>> + Send + 'static,
    {
        Self(Arc::new(move || -> Hanging { Box::pin(ask()) }))
    }

    /// Those that are not there, in words.
    pub async fn hanging(&self) -> Vec<String> {
        (self.0)().await
    }
}

/// What health depends on besides engine, trail and key store.
#[derive(Clone)]
pub struct Vital {
    /// Asks the loops.
    pub pulse: Pulse,
    /// Whether members are being sent away.
    pub draining: Arc<AtomicBool>,
}

impl Vital {
    /// The loops that hang, in words. None of a gateway that drains: they end before its trail is sent and signed, for which it has a
    /// time of its own.
    pub async fn hanging(&self) -> Vec<String> {
        let hanging = self.pulse.hanging().await;
        // Looked at last: a drain may have begun while they were asked.
        match self.draining.load(Ordering::Relaxed) {
            true => Vec::new(),
            false => hanging,
        }
    }
}

type Site = State<Arc<Shared>>;

/// What balancers and service managers without a certificate may ask.
pub(super) fn plain(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/livez", get(live_plainly))
        .route("/readyz", get(ready_plainly))
        .with_state(shared)
}

pub(super) async fn live(State(shared): Site) -> impl IntoResponse {
    let hanging = shared.control.vital.hanging().await;
    let live = hanging.is_empty();
    (status(live), Json(Live { live, hanging }))
}

async fn live_plainly(State(shared): Site) -> impl IntoResponse {
    let live = shared.control.vital.hanging().await.is_empty();
    (status(live), Json(json!({ "live": live })))
}

/// Ready is who can admit members: keys that members hold need no token.
pub(super) async fn ready(State(shared): Site) -> impl IntoResponse {
    let ready = readiness(&shared).await;
    (status(ready.ready), Json(ready))
}

/// Which part it is, and not what is wrong with it: that may name hosts.
async fn ready_plainly(State(shared): Site) -> impl IntoResponse {
    let ready = readiness(&shared).await;
    let parts: Vec<&str> = ready.reasons.iter().map(|own| own.part.as_str()).collect();
    let body = json!({ "ready": ready.ready, "parts": parts });
    (status(ready.ready), Json(body))
}

fn status(well: bool) -> StatusCode {
    match well {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Whether members can be admitted, and all that stands against it.
pub(super) async fn readiness(shared: &Shared) -> Ready {
    let mut reasons = Vec::new();
    let mut tell = |part: &str, why: String| {
        let part = part.to_owned();
        reasons.push(Reason { part, why });
    };
    if shared.control.vital.draining.load(Ordering::Relaxed) {
        let why = "the gateway is draining: members are sent away, and it ends";
        tell("draining", why.to_owned());
    }
    for hanging in shared.control.vital.hanging().await {
        tell("engine", format!("{hanging} does not answer"));
    }
    let token = token::view(shared);
    match (&token.state, token.error) {
        (TokenState::Usable, _) => {}
        (TokenState::Probing, _) => tell("token", "the token has not answered yet".to_owned()),
        (TokenState::Unusable, error) => {
            let error = error.unwrap_or_else(|| "the token is not usable".to_owned());
            tell("token", error);
        }
    }
    if let Some(why) = shared.audit.as_ref().and_then(|own| untold(own.status())) {
        tell("audit", why);
    }
    if let Some(why) = shared.book.lost_rules() {
        tell("policy", rules_lost(&why));
    }
    let (upstream, shut) = upstream::trouble(shared).unzip();
    if let (Some(why), Some(true)) = (&upstream, shut) {
        tell("upstream", why.clone());
    }
    Ready {
        ready: reasons.is_empty(),
        why: reasons.first().map(|first| first.why.clone()),
        reasons,
        upstream,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn loops_that_have_ended_with_a_drain_do_not_hang() {
        let vital = Vital {
            pulse: Pulse::new(|| async { vec!["QUIC endpoint 0".to_owned()] }),
            draining: Arc::default(),
        };
        assert_eq!(vital.hanging().await, ["QUIC endpoint 0"]);
        vital.draining.store(true, Ordering::Relaxed);
        assert!(vital.hanging().await.is_empty());
    }
}
