//! What every call has in common: who may make it, and that it is on record before it is answered.

use axum::Json;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::failure::{Failure, FailureCode};
use crate::front::caller::Who;
use crate::front::observe::{self, Outcome, Weight};
use crate::front::role::{named, roles_of_call};
use crate::front::{Shared, kmip};
use crate::https;

/// What only looks at what the gateway keeps for its caller, and could fill the trail.
const UNRECORDED: [&str; 2] = ["exchange", "requests"];

/// What only looks, or cancels what is one's own: the trail counts it where it is repeated.
const COUNTED: [&str; 4] = ["locate", "show", "audit", "cancel"];

/// What was done.
pub(super) struct Done {
    answer: Response,
    object: Option<String>,
    pending: bool,
}

impl Done {
    /// Now, with this answer.
    pub(super) fn now(status: StatusCode, answer: impl Serialize) -> Self {
        Self {
            answer: (status, Json(answer)).into_response(),
            object: None,
            pending: false,
        }
    }

    /// It will be.
    pub(super) fn later(answer: Response) -> Self {
        Self {
            answer,
            object: None,
            pending: true,
        }
    }

    /// To this object or group.
    pub(super) fn to(mut self, object: impl Into<String>) -> Self {
        self.object = Some(object.into());
        self
    }
}

/// Does what a call is for, if its caller may make it.
pub(super) async fn call(
    shared: &Shared,
    who: &Who,
    name: &'static str,
    object: Option<&str>,
    work: impl Future<Output = Result<Done, Failure>>,
) -> Response {
    let roles = roles_of_call(name);
    if !who.roles.has_one_of(roles) {
        let record = Outcome::denied(name).record(who, None);
        observe::put_on_record(shared, vec![record]).await;
        let why = format!("{name}: needs the role {}", named(roles));
        return Failure::new(FailureCode::Forbidden, why).into_response();
    }
    let admits = shared.audit.admits();
    let done = match admits {
        true => work.await,
        false => {
            let why = "the audit trail cannot be written, so nothing is done";
            Err(Failure::passing(why))
        }
    };
    let (outcome, known) = match &done {
        Ok(done) if done.pending => ("pending".to_owned(), done.object.as_deref()),
        Ok(done) => ("done".to_owned(), done.object.as_deref()),
        Err(failure) => (failure.code.word(), None),
    };
    let weight =
        Weight::of(COUNTED.contains(&name) || done.as_ref().err().is_some_and(changed_nothing));
    let record = Outcome::of_call(name, weight, outcome).record(who, known.or(object));
    if !UNRECORDED.contains(&name) {
        observe::put_on_record(shared, vec![record]).await;
    }
    match done {
        Ok(done) => done.answer,
        Err(failure) => failure.into_response(),
    }
}

/// Whether a call failed before anything was done for it.
fn changed_nothing(failure: &Failure) -> bool {
    use FailureCode as code;
    let before = [
        code::BadRequest,
        code::NotFound,
        code::Conflict,
        code::TooLarge,
        code::TooMany,
    ];
    !failure.begun && before.contains(&failure.code)
}

/// The body of a request, which must be this and nothing else. It is read for callers alone who may make the call.
pub(super) async fn parsed<T: DeserializeOwned>(request: Request) -> Result<T, Failure> {
    let body = kmip::read(request, true).await.map_err(|(status, why)| {
        let code = match status {
            StatusCode::PAYLOAD_TOO_LARGE => FailureCode::TooLarge,
            _ => FailureCode::BadRequest,
        };
        Failure::new(code, why)
    })?;
    https::json(&body).map_err(|why| Failure::new(FailureCode::BadRequest, why))
}

/// A text that goes on record or to others must have so many bytes, and no control characters.
pub(super) fn plain(key: &str, text: &str, most: usize) -> Result<(), Failure> {
    if text.is_empty() || text.len() > most || text.contains(char::is_control) {
        let why = format!("{key}: must have 1 to {most} bytes, and no control characters");
        return Err(Failure::new(FailureCode::BadRequest, why));
    }
    Ok(())
}
