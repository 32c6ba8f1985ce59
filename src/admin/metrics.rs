//! What a scrape is answered with: the format that it asks for.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::IntoResponse;
use tokio::task::spawn_blocking;

use super::Format;
use super::api::{Failure, FailureCode};
use super::routes::Shared;

const OPEN_METRICS: &str = "application/openmetrics-text";

impl Format {
    fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The newer format for who names it among what he accepts, and does not refuse it (RFC 9110 section 12.4.2).
    fn accepted(headers: &HeaderMap) -> Self {
        let ranges = headers.get_all(ACCEPT).iter();
        let mut ranges = ranges.flat_map(|value| value.to_str().unwrap_or_default().split(','));
        let open = ranges.any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let named = parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case(OPEN_METRICS));
            named && !parts.any(|part| part.trim_end_matches(['0', '.']) == "q=")
        });
        match open {
            true => Format::OpenMetrics,
            false => Format::Text,
        }
    }
}

/// All metrics. They are written beside what serves members: that reads files of the system.
pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Failure> {
    let format = Format::accepted(&headers);
    let text = spawn_blocking(move || (shared.metrics)(format)).await;
    let text = text.map_err(|_| {
        let why = "the metrics could not be written down; ask again";
        Failure::new(FailureCode::Unavailable, why)
    })?;
    Ok(([(CONTENT_TYPE, format.content_type())], text))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_newer_format_is_for_who_accepts_it() {
        let format = |accept: &'static str| {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            Format::accepted(&headers)
        };
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(format(prometheus), Format::OpenMetrics);
        assert_eq!(
            format("application/openmetrics-text; q=0.0, */*"),
            Format::Text
        );
        assert_eq!(format("text/plain, */*"), Format::Text);
        assert_eq!(Format::accepted(&HeaderMap::new()), Format::Text);
    }
}
