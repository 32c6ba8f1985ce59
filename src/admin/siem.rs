//! What follows the audit trail besides the key store: how far each is behind.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::api::SinkView;
use super::routes::Shared;

pub(super) async fn show(State(shared): State<Arc<Shared>>) -> Json<Vec<SinkView>> {
    Json((shared.siem)())
}
