//! Paths and what they do: each asks the engine and answers in JSON.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Extension, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::api::{
    CreateGroup, Evict, Failure, FailureCode, Freeze, GroupView, MemberView, RollOver,
};
use super::control::{self, Control};
use super::overview::Board;
use super::role::{self, Appointments};
use super::{
    Metrics, Siem, Upstream, browser, health, metrics, overview, policy, siem, token, trace,
    upstream,
};
use crate::audit::{Actor, Audit, Entry, Event};
use crate::engine::{Eviction, Handle, MAX_PAGE};
use crate::group::ids::{MemberId, Suite};
use crate::group::limits::MAX_GROUP_NAME;
use crate::https::{self, Caller};
use crate::policy::documents::Book;

/// The longest request body, in bytes.
const MAX_BODY: usize = 1024 * 1024;
/// Characters of a call that are put on record.
const MAX_CALL: usize = 512;
/// Members that one request evicts.
const MAX_EVICTED: usize = 50_000;

/// What all requests share.
pub(super) struct Shared {
    pub(super) engine: Handle,
    pub(super) appointments: Arc<ArcSwap<Appointments>>,
    pub(super) book: Arc<Book>,
    pub(super) audit: Option<Audit>,
    pub(super) metrics: Metrics,
    pub(super) upstream: Option<Upstream>,
    pub(super) siem: Siem,
    pub(super) control: Control,
    pub(super) board: Board,
}

type Site = State<Arc<Shared>>;
pub(super) type Body = Result<Bytes, BytesRejection>;

/// The whole interface; each connection adds its [`Caller`].
pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/metrics", get(metrics::show))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/v1/reload", post(control::reload))
        .route("/v1/drain", post(control::drain))
        .route("/v1/log", get(control::show_log).post(control::set_log))
        .route("/v1/upstream", get(upstream::show))
        .route("/v1/siem", get(siem::show))
        .route("/v1/token", get(token::show))
        .route("/v1/token/rotate-master", post(token::rotate_master))
        .route("/v1/policies", get(policy::list))
        .route("/", get(browser::page))
        .route("/v1/overview", get(overview::show))
        .route("/v1/lacking", get(trace::lacking))
        .route("/v1/groups/{name}/members/{who}", get(trace::show))
        .route("/v1/groups", get(list).post(create))
        .route("/v1/groups/{name}", get(show).delete(destroy))
        .route("/v1/groups/{name}/policy", put(set_policy))
        .route("/v1/groups/{name}/rotate", post(rotate))
        .route("/v1/groups/{name}/rollover", post(roll_over))
        .route("/v1/groups/{name}/freeze", post(freeze))
        .route("/v1/groups/{name}/thaw", post(thaw))
        .route("/v1/groups/{name}/members", get(members))
        .route("/v1/groups/{name}/evict", post(evict))
        .fallback(|| async { Failure::new(FailureCode::NotFound, "there is no such path") })
        .method_not_allowed_fallback(|| async {
            let why = "this path does not know that method";
            Failure::new(FailureCode::BadMethod, why)
        })
        .layer(middleware::from_fn_with_state(shared.clone(), authorize))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(shared)
}

/// Lets through who has the role that a call needs, and logs what operators change.
async fn authorize(
    State(shared): Site,
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Response {
    let Some(caller) = caller.identity else {
        let why =
            "the certificate names nobody: it needs a SPIFFE URI, a DNS name or a common name";
        return Failure::new(FailureCode::NotOperator, why).into_response();
    };
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let call: String = format!("{method} {path}").chars().take(MAX_CALL).collect();
    let (own, needed) = (
        shared.appointments.load().of(&caller),
        role::needed(&method, &path),
    );
    if own < Some(needed) {
        let why = role::lacking(&caller, own, needed);
        tracing::warn!(%why, "not allowed");
        let identity = (*caller).clone();
        let denied = Event::Denied {
            identity: identity.clone(),
            call,
            times: 1,
        };
        put_on_record(&shared, Actor::Member(identity), denied).await;
        return Failure::new(FailureCode::NotOperator, why).into_response();
    }
    if let Some(why) = browser::refusal(&method, request.headers()) {
        return Failure::new(FailureCode::NotOperator, why).into_response();
    }
    let response = match whole(request).await {
        Ok(request) => next.run(request).await,
        Err(failure) => failure.into_response(),
    };
    if !method.is_safe() {
        let status = response.status();
        tracing::info!(operator = %caller, %method, %path, status = status.as_u16(), "operated");
        let event = Event::Administered {
            call,
            status: status.as_u16(),
        };
        put_on_record(&shared, Actor::Operator((*caller).clone()), event).await;
    }
    response
}

/// A request whose body is there, as that of one is which changes something: handlers wait for no peer.
async fn whole(request: Request) -> Result<Request, Failure> {
    if request.method().is_safe() {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let asked = Request::from_parts(parts.clone(), body);
    let body = https::body(asked, https::BODY).await;
    let body = body.map_err(|(status, why)| unread(status, why))?;
    Ok(Request::from_parts(parts, body.into()))
}

fn unread(status: StatusCode, why: String) -> Failure {
    let code = match status {
        StatusCode::PAYLOAD_TOO_LARGE => FailureCode::TooLarge,
        _ => FailureCode::BadRequest,
    };
    Failure::new(code, why)
}

/// Puts a call on record before it is answered. What it changed is on record by itself.
async fn put_on_record(shared: &Shared, actor: Actor, event: Event) {
    if let Some(audit) = &shared.audit {
        let entry = Entry {
            actor,
            request: crate::trace::current(),
            ..Entry::of_gateway(event)
        };
        audit.note(vec![entry]).await;
    }
}

/// Which part of a list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page<T> {
    after: Option<T>,
    limit: Option<usize>,
}

impl<T> Page<T> {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE)
    }
}

type Wanted<T> = Result<Query<Page<T>>, axum::extract::rejection::QueryRejection>;

fn page<T>(wanted: Wanted<T>) -> Result<Page<T>, Failure> {
    let Query(page) =
        wanted.map_err(|why| Failure::new(FailureCode::BadRequest, why.body_text()))?;
    Ok(page)
}

async fn list(
    State(shared): Site,
    wanted: Wanted<String>,
) -> Result<Json<Vec<GroupView>>, Failure> {
    let page = page(wanted)?;
    let names = shared.engine.groups();
    let begin = page
        .after
        .as_ref()
        .map_or(0, |after| names.partition_point(|name| name <= after));
    let mut views = Vec::new();
    for name in &names[begin..] {
        if views.len() == page.limit() {
            break;
        }
        match shared.engine.group(name).await.map_err(Failure::from) {
            Ok(view) => views.push(GroupView::brief(view)),
            // Destroyed since its name was read.
            Err(failure) if failure.code == FailureCode::NotFound => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(Json(views))
}

async fn create(State(shared): Site, body: Body) -> Result<impl IntoResponse, Failure> {
    let CreateGroup { name, policy } = parse(body)?;
    let clear = !name.is_empty() && !name.contains(char::is_control);
    if !clear || name.len() > MAX_GROUP_NAME {
        let why = format!(
            "name: must be 1 to {MAX_GROUP_NAME} bytes without control characters, not {name:?}"
        );
        return Err(Failure::new(FailureCode::BadRequest, why));
    }
    let policy = policy::of_new(&shared.book, &name, policy)?;
    let view = shared.engine.create(&name, policy).await?;
    Ok((StatusCode::CREATED, Json(GroupView::full(view))))
}

async fn show(State(shared): Site, Path(name): Path<String>) -> Result<Json<GroupView>, Failure> {
    Ok(Json(GroupView::full(shared.engine.group(&name).await?)))
}

async fn destroy(State(shared): Site, Path(name): Path<String>) -> Result<StatusCode, Failure> {
    shared.engine.destroy(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn set_policy(
    State(shared): Site,
    Path(name): Path<String>,
    body: Body,
) -> Result<Json<GroupView>, Failure> {
    policy::free(&shared.book, &name)?;
    let policy = policy::apply(&shared.book.default_policy(), parse(body)?)?;
    let view = shared.engine.set_policy(&name, policy).await?;
    Ok(Json(GroupView::full(view)))
}

async fn rotate(State(shared): Site, Path(name): Path<String>) -> Result<StatusCode, Failure> {
    shared.engine.rotate(&name).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn roll_over(
    State(shared): Site,
    Path(name): Path<String>,
    body: Body,
) -> Result<Json<GroupView>, Failure> {
    let RollOver { suite } = parse(body)?;
    let known = |number| {
        Suite::ALL
            .into_iter()
            .find(|suite| suite.number() == number)
    };
    let suite = match suite.map(|number| (number, known(number))) {
        None => None,
        Some((_, Some(suite))) => Some(suite),
        Some((number, None)) => {
            let why = format!("suite: {number}; there are 1 and 2");
            return Err(Failure::new(FailureCode::BadRequest, why));
        }
    };
    shared.engine.roll_over(&name, None, suite).await?;
    Ok(Json(GroupView::full(shared.engine.group(&name).await?)))
}

async fn freeze(
    State(shared): Site,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    body: Body,
) -> Result<Json<GroupView>, Failure> {
    let Freeze { reason } = parse(body)?;
    let by = caller.identity.map(|by| (*by).clone());
    let view = shared.engine.freeze(&name, &reason, by).await?;
    Ok(Json(GroupView::full(view)))
}

async fn thaw(
    State(shared): Site,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<GroupView>, Failure> {
    let by = caller.identity.map(|by| (*by).clone());
    let view = shared.engine.thaw(&name, by).await?;
    Ok(Json(GroupView::full(view)))
}

async fn members(
    State(shared): Site,
    Path(name): Path<String>,
    wanted: Wanted<MemberId>,
) -> Result<Json<Vec<MemberView>>, Failure> {
    let page = page(wanted)?;
    let members = shared
        .engine
        .members(&name, page.after, page.limit())
        .await?;
    Ok(Json(members.into_iter().map(MemberView::from).collect()))
}

async fn evict(
    State(shared): Site,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    body: Body,
) -> Result<StatusCode, Failure> {
    let Evict {
        members,
        urgent,
        reason,
    } = parse(body)?;
    if members.is_empty() || members.len() > MAX_EVICTED {
        let why = format!("members: {}; must be 1 to {MAX_EVICTED}", members.len());
        return Err(Failure::new(FailureCode::BadRequest, why));
    }
    let eviction = Eviction {
        members,
        urgent,
        reason,
        by: caller.identity.map(|by| (*by).clone()),
    };
    shared.engine.evict(&name, eviction).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) fn parse<T: DeserializeOwned>(body: Body) -> Result<T, Failure> {
    let body = body.map_err(|why| unread(why.status(), why.body_text()))?;
    https::json(&body).map_err(|why| Failure::new(FailureCode::BadRequest, why))
}
