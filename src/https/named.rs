//! Requests have names: the caller's own, or one that is made here; each answer says it (`X-Request-Id`), and so do logs and traces.

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::{Instrument, Span, field, info_span};

use crate::group::request::RequestId;
use crate::trace::{self, TARGET};

/// In a request, and in its answer.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Answers a request in its span.
pub(super) async fn named(interface: &'static str, request: Request, next: Next) -> Response {
    let given = request.headers().get(&REQUEST_ID);
    let given = given.and_then(|value| RequestId::new(value.to_str().ok()?));
    let id = given.unwrap_or_else(trace::fresh);
    // The route, and not what was asked for: that has no bound, and may name a secret that is polled by.
    let route = request.extensions().get::<MatchedPath>();
    let path = route.map_or("unknown", MatchedPath::as_str);
    let method = request.method();
    let span = info_span!(
        target: TARGET,
        "request",
        otel.name = format!("{interface} {method}"),
        otel.kind = "server",
        %id,
        %method,
        path,
        status = field::Empty,
    );
    let answer = async {
        let mut response = trace::within(Some(id.clone()), next.run(request)).await;
        let status = response.status().as_u16();
        Span::current().record("status", status);
        tracing::debug!(status, "{interface}: answered");
        // It has nothing in it that a header must not have.
        if let Ok(value) = HeaderValue::from_str(id.as_str()) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        response
    };
    answer.instrument(span).await
}
