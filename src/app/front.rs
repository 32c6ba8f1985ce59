//! The front for programs, as the configuration says.

use super::{AppError, Foundation};
use crate::engine::Handle;
use crate::front::{Front, Options};
use crate::relay::Bell;

/// The front's own database, beside the store.
const DATABASE: &str = "front.db";

/// Listens, if it is to.
pub(super) async fn bind(
    foundation: &Foundation,
    bell: Option<Bell>,
    engine: Handle,
) -> Result<Option<Front>, AppError> {
    let config = &foundation.config;
    let Some(address) = config.front.address else {
        return Ok(None);
    };
    let options = Options {
        credentials: foundation.credentials.clone(),
        trust: foundation.trust.clone(),
        access: foundation.live.front.clone(),
        upstream: foundation.live.called.front.clone(),
        own_names: config.upstream.name.clone(),
        correlates: config.upstream.correlate,
        book: foundation.live.book.clone(),
        audit: foundation.audit.clone(),
        woken: Box::new(move || {
            if let Some(bell) = &bell {
                bell.ring();
            }
        }),
        database: config.store.path.with_file_name(DATABASE),
    };
    Ok(Some(Front::bind(address, options, engine).await?))
}
