//! Failures, as JSON.

use axum::extract::rejection::QueryRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::front::DurableError;
use crate::front::kmip::Told;
use crate::group::wire::{Refusal, RefusalCode};
use crate::https;
use crate::kmip::client::ClientError;
use crate::kmip::codec::{tag, value_name, values::ResultReason};

/// When a caller may ask again where nobody knows better.
const RETRY_MS: u64 = 1_000;

/// A request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::front) struct Failure {
    /// What went wrong, for programs.
    pub(super) code: FailureCode,
    /// What went wrong and what would be right, for people.
    pub(super) error: String,
    /// When to ask again, where the cause passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) retry_after_ms: Option<u64>,
    /// It is on record that it was begun, and so is how it ends.
    #[serde(skip)]
    pub(super) begun: bool,
}

/// Why a request was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::front) enum FailureCode {
    /// The request is not what this interface takes.
    BadRequest,
    /// Neither a certificate nor a token that is taken.
    Unauthenticated,
    /// A role is lacking.
    Forbidden,
    /// No such object, group, exchange, request or path.
    NotFound,
    /// The path does not know this method.
    BadMethod,
    /// What is there stands against it.
    Conflict,
    /// The request is too long.
    TooLarge,
    /// As much is kept for this caller, or for all, as may be.
    TooMany,
    /// The key store does not do it.
    Refused,
    /// The key store's answer was lost: it may have been done.
    Unknown,
    /// Key store or gateway cannot do it now.
    Unavailable,
}

impl FailureCode {
    /// In a word, as it is written.
    pub(super) fn word(self) -> String {
        let word = serde_json::to_value(self).unwrap_or_default();
        word.as_str().unwrap_or_default().to_owned()
    }
}

impl Failure {
    /// A failure that asking again does not change.
    pub(in crate::front) fn new(code: FailureCode, error: impl Into<String>) -> Self {
        Self {
            code,
            error: error.into(),
            retry_after_ms: None,
            begun: false,
        }
    }

    /// Of something that is on record as begun.
    pub(super) fn of_begun(why: impl Into<Self>) -> Self {
        Self {
            begun: true,
            ..why.into()
        }
    }

    /// One that passes.
    pub(super) fn passing(error: impl Into<String>) -> Self {
        Self {
            retry_after_ms: Some(RETRY_MS),
            ..Self::new(FailureCode::Unavailable, error)
        }
    }

    fn status(&self) -> StatusCode {
        match self.code {
            FailureCode::BadRequest => StatusCode::BAD_REQUEST,
            FailureCode::Unauthenticated => StatusCode::UNAUTHORIZED,
            FailureCode::Forbidden => StatusCode::FORBIDDEN,
            FailureCode::NotFound => StatusCode::NOT_FOUND,
            FailureCode::BadMethod => StatusCode::METHOD_NOT_ALLOWED,
            FailureCode::Conflict => StatusCode::CONFLICT,
            FailureCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            FailureCode::TooMany => StatusCode::TOO_MANY_REQUESTS,
            FailureCode::Refused => StatusCode::UNPROCESSABLE_ENTITY,
            FailureCode::Unknown => StatusCode::BAD_GATEWAY,
            FailureCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.code {
            code if code.passes() => FailureCode::Unavailable,
            RefusalCode::UnknownGroup | RefusalCode::UnknownMember | RefusalCode::Destroyed => {
                FailureCode::NotFound
            }
            RefusalCode::Malformed => FailureCode::BadRequest,
            RefusalCode::TooLarge => FailureCode::TooLarge,
            _ => FailureCode::Conflict,
        };
        Self {
            retry_after_ms: refusal.retry_after_ms,
            ..Self::new(code, refusal.message)
        }
    }
}

/// Why something is not done later.
impl From<Told> for Failure {
    fn from(told: Told) -> Self {
        let limit = value_name(tag::ResultReason, ResultReason::ServerLimitExceeded);
        let error = told.message.unwrap_or_default();
        match told.reason.as_deref() == limit {
            true => Self::new(FailureCode::TooMany, error),
            false => Self::passing(error),
        }
    }
}

/// What is asked for in an address is not to be understood.
impl From<QueryRejection> for Failure {
    fn from(why: QueryRejection) -> Self {
        Self::new(FailureCode::BadRequest, why.body_text())
    }
}

impl From<DurableError> for Failure {
    fn from(error: DurableError) -> Self {
        tracing::warn!(%error, "front: the database fails");
        Self::passing("the gateway's database fails")
    }
}

/// Why the key store did not do it. Addresses are for logs.
impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        tracing::info!(%error, "front: the key store did not do what was asked for");
        match &error {
            ClientError::Failed { error, .. } => {
                let reason = error.reason.unwrap_or(ResultReason::GeneralFailure);
                let code = match reason {
                    ResultReason::ItemNotFound | ResultReason::ObjectNotFound => {
                        FailureCode::NotFound
                    }
                    _ => FailureCode::Refused,
                };
                let named = value_name(tag::ResultReason, reason).unwrap_or("GeneralFailure");
                let said = error.message.as_deref().unwrap_or("no more is said");
                Failure::new(code, format!("the key store: {named}: {said}"))
            }
            ClientError::Version { .. } | ClientError::Request(_) | ClientError::Batch(_) => {
                let why = "the key store does not understand the request";
                Failure::new(FailureCode::Refused, why)
            }
            ClientError::Unknown { .. } | ClientError::Answer { .. } => {
                let why = "the key store's answer was lost: whether it was done is unknown; look it up before you repeat it";
                Failure::new(FailureCode::Unknown, why)
            }
            ClientError::Resting { retry_after } => {
                let after = u64::try_from(retry_after.as_millis()).unwrap_or(RETRY_MS);
                Failure {
                    retry_after_ms: Some(after.max(1)),
                    ..Failure::passing("the key store upstream cannot be reached")
                }
            }
            _ => Failure::passing("the key store upstream cannot be reached"),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        https::failed(self.status(), &self, self.retry_after_ms)
    }
}
