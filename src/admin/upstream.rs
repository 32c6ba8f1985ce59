//! The key store upstream: how it is, and how far what goes to it is behind.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::api::{Failure, FailureCode, UpstreamState, UpstreamView};
use super::routes::Shared;

pub(super) async fn show(State(shared): State<Arc<Shared>>) -> Result<Json<UpstreamView>, Failure> {
    match &shared.upstream {
        Some(upstream) => Ok(Json(upstream())),
        None => {
            let why = "no key store is upstream: none is named in upstream.addresses";
            Err(Failure::new(FailureCode::NotFound, why))
        }
    }
}

/// What is wrong with it, and whether that keeps groups of the default policy from admitting anybody.
pub(super) fn trouble(shared: &Shared) -> Option<(String, bool)> {
    let view = shared.upstream.as_ref()?();
    wrong(&view, shared.book.default_policy().outage_s)
}

fn wrong(view: &UpstreamView, outage_s: u32) -> Option<(String, bool)> {
    if let (UpstreamState::Down, Some(down_s)) = (view.state, view.down_s) {
        let why = view.why.as_deref().unwrap_or_default();
        let says = format!("the key store upstream has been out of reach for {down_s} s: {why}");
        return Some((says, down_s >= outage_s.into()));
    }
    let mut sinks = view.sinks.iter();
    let says = sinks.find_map(|sink| {
        let (name, error) = (&sink.name, sink.error.as_ref()?);
        Some(format!("{name} is not taken upstream: {error}"))
    });
    let aside = || {
        let first = view.set_aside.first()?;
        let (count, object, why) = (view.set_aside.len(), &first.object, &first.why);
        Some(format!(
            "{count} objects are refused upstream and set aside, the first of them {object}: {why}"
        ))
    };
    says.or_else(aside).map(|says| (says, false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::api::SinkView;

    #[test]
    fn an_outage_is_told_and_shuts_the_gateway_only_once_it_lasts_too_long() {
        let mut view = UpstreamView {
            addresses: vec!["kmips://store:5696".into()],
            state: UpstreamState::Down,
            address: None,
            version: None,
            down_s: Some(59),
            why: Some("cannot connect".into()),
            sinks: Vec::new(),
            set_aside: Vec::new(),
        };
        let says = "the key store upstream has been out of reach for 59 s: cannot connect";
        assert_eq!(wrong(&view, 60), Some((says.to_owned(), false)));
        assert_eq!(wrong(&view, 59), Some((says.to_owned(), true)));
        (view.state, view.down_s) = (UpstreamState::Up, None);
        assert_eq!(wrong(&view, 0), None);
        view.sinks.push(SinkView {
            name: "audit".into(),
            sequence: 7,
            lag_records: 1,
            lag_seconds: 2,
            batches: 3,
            failures: 4,
            gaps: 0,
            error: Some("no".into()),
        });
        let says = "audit is not taken upstream: no";
        assert_eq!(wrong(&view, 0), Some((says.to_owned(), false)));
    }
}
