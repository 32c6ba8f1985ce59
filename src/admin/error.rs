//! Failures as HTTP answers.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::api::{Failure, FailureCode};
use crate::group::wire::{Refusal, RefusalCode};
use crate::https;

impl Failure {
    /// A failure that asking again does not change.
    pub(super) fn new(code: FailureCode, error: impl Into<String>) -> Self {
        Self {
            code,
            error: error.into(),
            retry_after_ms: None,
        }
    }

    fn status(&self) -> StatusCode {
        match self.code {
            FailureCode::BadRequest => StatusCode::BAD_REQUEST,
            FailureCode::BadPolicy | FailureCode::BadConfiguration => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            FailureCode::NotOperator => StatusCode::FORBIDDEN,
            FailureCode::NotFound => StatusCode::NOT_FOUND,
            FailureCode::BadMethod => StatusCode::METHOD_NOT_ALLOWED,
            FailureCode::Conflict => StatusCode::CONFLICT,
            FailureCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
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
            code,
            error: refusal.message,
            retry_after_ms: refusal.retry_after_ms,
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        https::failed(self.status(), &self, self.retry_after_ms)
    }
}
