//! What is answered later, by the value that was given for it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use serde::Serialize;

use super::call::{Done, call};
use super::failure::{Failure, FailureCode};
use crate::front::Shared;
use crate::front::caller::Who;
use crate::front::exchanges::{Cancelled, Found};
use crate::front::kmip::{Told, stored};

type Site = State<Arc<Shared>>;
type Caller = Extension<Who>;

/// How an exchange is.
#[derive(Serialize)]
pub(super) struct Exchange {
    exchange: String,
    state: Stage,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    /// The reason that the key store gives, by KMIP's name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    Pending,
    Done,
    Failed,
    Cancelled,
}

impl Exchange {
    fn of(value: &[u8], state: Stage) -> Self {
        Self {
            exchange: HEXLOWER.encode(value),
            state,
            object: None,
            reason: None,
            error: None,
        }
    }

    pub(super) fn pending(value: &[u8]) -> Self {
        Self::of(value, Stage::Pending)
    }

    fn answered(value: &[u8], answer: &[u8]) -> Self {
        let Told {
            object,
            reason,
            message,
        } = stored(answer);
        let state = match reason {
            None => Stage::Done,
            Some(_) => Stage::Failed,
        };
        Self {
            object,
            reason,
            error: message,
            ..Self::of(value, state)
        }
    }
}

/// 202, with where to look.
pub(super) fn accepted(exchange: &Exchange) -> Response {
    let place = format!("/v1/exchanges/{}", exchange.exchange);
    let place = HeaderValue::try_from(place).expect("hexadecimal digits");
    (StatusCode::ACCEPTED, [(LOCATION, place)], Json(exchange)).into_response()
}

fn nothing() -> Failure {
    let why = "no exchange of yours has this value, or not any more";
    Failure::new(FailureCode::NotFound, why)
}

pub(super) async fn show(
    State(shared): Site,
    Extension(who): Caller,
    Path(value): Path<String>,
) -> Response {
    let work = async {
        let value = HEXLOWER.decode(value.as_bytes()).map_err(|_| nothing())?;
        let exchange = match shared.exchanges.look(who.key(), &value).await? {
            Found::Pending => Exchange::pending(&value),
            Found::Done(answer) => Exchange::answered(&value, &answer),
            Found::Cancelled => Exchange::of(&value, Stage::Cancelled),
            Found::Nothing => return Err(nothing()),
        };
        Ok(Done::now(StatusCode::OK, exchange))
    };
    call(&shared, &who, "exchange", None, work).await
}

pub(super) async fn cancel(
    State(shared): Site,
    Extension(who): Caller,
    Path(value): Path<String>,
) -> Response {
    let work = async {
        let value = HEXLOWER.decode(value.as_bytes()).map_err(|_| nothing())?;
        let exchange = match shared.exchanges.cancel(who.key(), &value).await? {
            Cancelled::Now => Exchange::of(&value, Stage::Cancelled),
            Cancelled::Nothing => return Err(nothing()),
            Cancelled::TooLate => {
                let why = "it is being done already";
                return Err(Failure::new(FailureCode::Conflict, why));
            }
            Cancelled::Done(answer) => Exchange::answered(&value, &answer),
        };
        Ok(Done::now(StatusCode::OK, exchange))
    };
    call(&shared, &who, "cancel", None, work).await
}
