//! `/v1/…`: the mission's operations as JSON, and their description for programs.

mod access;
mod call;
mod exchanges;
mod failure;
mod objects;
mod trail;

use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, delete, get, post};

use super::Shared;
pub(super) use failure::{Failure, FailureCode};

/// The description of the whole front (OpenAPI 3.1). A test compares it with [`routes`].
pub(super) const DESCRIPTION: &str = include_str!("openapi.json");

/// A path with its methods, in capitals, and what serves it.
type Route = (
    &'static str,
    &'static [&'static str],
    MethodRouter<Arc<Shared>>,
);

/// All routes of the front.
pub(super) fn routes() -> Vec<Route> {
    let kmip = post(super::kmip::post);
    vec![
        ("/kmip", &["POST"], kmip),
        ("/openapi.json", &["GET"], get(description)),
        (
            "/v1/objects",
            &["GET", "POST"],
            get(objects::locate).post(objects::register),
        ),
        ("/v1/objects/{id}", &["GET"], get(objects::show)),
        (
            "/v1/objects/{id}/activate",
            &["POST"],
            post(objects::activate),
        ),
        ("/v1/objects/{id}/revoke", &["POST"], post(objects::revoke)),
        (
            "/v1/objects/{id}/archive",
            &["POST"],
            post(objects::archive),
        ),
        (
            "/v1/objects/{id}/recover",
            &["POST"],
            post(objects::recover),
        ),
        (
            "/v1/exchanges/{value}",
            &["GET", "DELETE"],
            get(exchanges::show).delete(exchanges::cancel),
        ),
        (
            "/v1/requests",
            &["GET", "POST"],
            get(access::requests).post(access::request),
        ),
        ("/v1/requests/{id}", &["DELETE"], delete(access::withdraw)),
        ("/v1/requests/{id}/grant", &["POST"], post(access::grant)),
        (
            "/v1/groups/{name}/exclude",
            &["POST"],
            post(access::exclude),
        ),
        ("/v1/audit", &["GET"], get(trail::page)),
    ]
}

/// The routes, as they are served.
pub(super) fn router() -> Router<Arc<Shared>> {
    let empty = Router::new();
    let with = |router: Router<_>, (path, _, served): Route| router.route(path, served);
    let router = routes().into_iter().fold(empty, with);
    router
        .fallback(|| async {
            let why = "there is no such path; /openapi.json lists all";
            Failure::new(FailureCode::NotFound, why)
        })
        .method_not_allowed_fallback(|| async {
            let why = "this path does not know that method";
            Failure::new(FailureCode::BadMethod, why)
        })
}

async fn description() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], DESCRIPTION)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn what_is_described_is_what_is_served() {
        let description: Value = serde_json::from_str(DESCRIPTION).expect("JSON");
        let paths = description["paths"].as_object().expect("paths");
        let described: BTreeSet<(String, String)> = paths
            .iter()
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().expect("methods").keys();
                methods.map(|method| (path.clone(), method.to_uppercase()))
            })
            .collect();
        let served: BTreeSet<(String, String)> = routes()
            .iter()
            .flat_map(|(path, methods, _)| {
                let pair = |method: &&str| ((*path).to_owned(), (*method).to_owned());
                methods.iter().map(pair).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(described, served);
    }
}
