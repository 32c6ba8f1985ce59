//! The audit trail, a page at a time, for auditors.

use std::io;
use std::path::Path;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::call::{Done, call};
use super::failure::Failure;
use crate::audit;
use crate::front::Shared;
use crate::front::caller::Who;

/// Records of a page.
const MAX_PAGE: usize = 500;
/// Bytes of a page, after which no record is added.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Pages that are read at a time.
static READING: Semaphore = Semaphore::const_new(4);

/// Which page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    after: Option<u64>,
    limit: Option<usize>,
}

pub(super) async fn page(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Who>,
    wanted: Result<Query<Page>, QueryRejection>,
) -> Response {
    let work = async {
        let Query(page) = wanted?;
        let after = page.after.unwrap_or(0);
        let limit = page.limit.unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE);
        let _place = READING.acquire().await;
        let directory = shared.audit.directory().to_owned();
        let read = tokio::task::spawn_blocking(move || records(&directory, after, limit)).await;
        let read = read.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        let records = read.map_err(|error| {
            tracing::warn!(%error, "front: the audit trail cannot be read");
            Failure::passing("the audit trail cannot be read")
        })?;
        let newest = shared.audit.status().sequence();
        Ok(Done::now(
            StatusCode::OK,
            json!({ "records": records, "newest": newest }),
        ))
    };
    call(&shared, &who, "audit", None, work).await
}

/// What is read of a record to know whether it is asked for: a segment has many that are not.
#[derive(Deserialize)]
struct Numbered {
    sequence: u64,
}

/// Records behind a given one, as they are written.
fn records(directory: &Path, after: u64, limit: usize) -> io::Result<Vec<Value>> {
    let segments = audit::segments(directory)?;
    let first = segments.partition_point(|segment| segment.first <= after.saturating_add(1));
    let mut records = Vec::new();
    let mut bytes = 0;
    for segment in &segments[first.saturating_sub(1)..] {
        let mut lines = segment.lines()?;
        while let Some(line) = lines.next_line()? {
            let Numbered { sequence } = serde_json::from_slice(line)?;
            if sequence <= after {
                continue;
            }
            bytes += line.len();
            records.push(serde_json::from_slice(line)?);
            if records.len() == limit || bytes >= MAX_BYTES {
                return Ok(records);
            }
        }
    }
    Ok(records)
}
