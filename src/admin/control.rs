//! What is done to the gateway as a whole: its configuration read anew, its log level, and its end. Whoever composes it carries out
//! these orders.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::api::{DrainView, Failure, FailureCode, LogView, ReloadView, SetLog, StartDrain};
use super::health::Vital;
use super::routes::{Body, Shared, parse};
use crate::group::ids::Identity;
use crate::group::limits::MAX_AWAY_ADDRESSES;
use crate::group::wire::is_address;
use crate::https::Caller;

/// Orders that wait at a time; whoever gives more is told to come back.
pub const MAX_ORDERS: usize = 16;
/// Within this an order is carried out, or said to be begun.
const PATIENCE: Duration = Duration::from_secs(25);
/// When to give an order again where too many wait.
const RETRY_MS: u64 = 1_000;
/// The longest time that an operator gives a gateway to end, and that a level of logs is for: a day.
const MAX_SECONDS: u32 = 86_400;

/// Something to be done to the gateway as a whole.
#[derive(Debug)]
pub enum Order {
    /// Read the configuration anew.
    Reload(
        Option<Identity>,
        oneshot::Sender<Result<ReloadView, String>>,
    ),
    /// Send members away, and end.
    Drain(StartDrain, Option<Identity>, oneshot::Sender<DrainView>),
    /// Tell what is logged.
    ShowLog(oneshot::Sender<LogView>),
    /// Log something else from now on.
    SetLog(
        SetLog,
        Option<Identity>,
        oneshot::Sender<Result<LogView, String>>,
    ),
}

/// Where orders go, and what health depends on.
#[derive(Clone)]
pub struct Control {
    /// Whoever carries them out.
    pub orders: mpsc::Sender<Order>,
    /// What health depends on.
    pub vital: Vital,
}

type Site = State<Arc<Shared>>;

pub(super) async fn reload(
    State(shared): Site,
    Extension(caller): Extension<Caller>,
) -> Result<Json<ReloadView>, Failure> {
    let by = caller.identity.map(|by| (*by).clone());
    let done = give(&shared, |reply| Order::Reload(by, reply)).await?;
    done.map(Json)
        .map_err(|why| Failure::new(FailureCode::BadConfiguration, why))
}

pub(super) async fn drain(
    State(shared): Site,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<impl IntoResponse, Failure> {
    let drain = match &body {
        Ok(body) if body.is_empty() => StartDrain::default(),
        _ => parse(body)?,
    };
    let bad = |why: String| Failure::new(FailureCode::BadRequest, why);
    if drain.within_s.is_some_and(|within| within > MAX_SECONDS) {
        return Err(bad(format!("within_s: must be at most {MAX_SECONDS}")));
    }
    if drain.to.len() > MAX_AWAY_ADDRESSES {
        return Err(bad(format!("to: at most {MAX_AWAY_ADDRESSES} addresses")));
    }
    if let Some(wrong) = drain.to.iter().find(|address| !is_address(address)) {
        return Err(bad(format!("to: {wrong:?} is not HOST:PORT")));
    }
    let by = caller.identity.map(|by| (*by).clone());
    let view = give(&shared, |reply| Order::Drain(drain, by, reply)).await?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}

pub(super) async fn show_log(State(shared): Site) -> Result<Json<LogView>, Failure> {
    Ok(Json(give(&shared, Order::ShowLog).await?))
}

pub(super) async fn set_log(
    State(shared): Site,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Json<LogView>, Failure> {
    let wanted: SetLog = parse(body)?;
    let bad = |why: String| Failure::new(FailureCode::BadRequest, why);
    if wanted
        .for_s
        .is_some_and(|time| !(1..=MAX_SECONDS).contains(&time))
    {
        return Err(bad(format!("for_s: must be from 1 to {MAX_SECONDS}")));
    }
    let by = caller.identity.map(|by| (*by).clone());
    let done = give(&shared, |reply| Order::SetLog(wanted, by, reply)).await?;
    done.map(Json).map_err(|why| bad(format!("level: {why}")))
}

/// Gives an order and waits for what comes of it.
async fn give<T>(
    shared: &Shared,
    order: impl FnOnce(oneshot::Sender<T>) -> Order,
) -> Result<T, Failure> {
    let (reply, answer) = oneshot::channel();
    let busy = |why: &str| Failure {
        retry_after_ms: Some(RETRY_MS),
        ..Failure::new(FailureCode::Unavailable, why)
    };
    shared
        .control
        .orders
        .try_send(order(reply))
        .map_err(|_| busy("the gateway is busy with other orders, or it is ending"))?;
    match timeout(PATIENCE, answer).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(_)) => Err(busy("the gateway is ending")),
        Err(_) => Err(busy("the gateway is not done with it yet; ask again")),
    }
}
