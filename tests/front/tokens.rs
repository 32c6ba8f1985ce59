//! Bearer tokens at the front: roles by claims, bindings to certificates, and a name of its own for whoever bears one.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use wardcast::kmip::client::Version;
use wardcast::kmip::codec::values::{
    Operation as operation, ResultReason as reason, ResultStatus as status,
};

use crate::issuer::{AUDIENCE, ISSUER, Issuer, Key, now};
use crate::kmip::{Caller, payload};
use crate::pykmip::PyKmip;
use crate::stub::{Reaction, Stub, success};
use crate::{Site, Stage};

#[tokio::test]
async fn who_bears_a_token_has_the_roles_of_its_claims() {
    let own = Site::new();
    let stub = Stub::start(&own, |message| Reaction::Answer(success(message))).await;
    let key = Key::new("first");
    let issuer = Issuer::start(&own.authority, &[&key]).await;
    let more = format!(
        "[jwt]\nissuer = {ISSUER:?}\naudience = {AUDIENCE:?}\njwks = {:?}\nca = \"ca.pem\"\n",
        issuer.url()
    );
    let stage = Stage::start_with_roles(
        own,
        &stub.url(),
        &more,
        "auditor = [\"claim:groups=auditors\"]",
    )
    .await;
    let token = |claims: Value| key.token(claims);
    let bearing = |name: Option<&str>, token: &str| Caller::new(&stage.site, name).bearing(token);
    let auditor = bearing(None, &token(json!({ "groups": ["staff", "auditors"] })));
    let reply = auditor
        .ask(Version::V1_4, operation::Locate, payload())
        .await;
    assert_eq!(reply.status(), status::Success);
    let reply = auditor
        .ask(Version::V1_4, operation::Register, payload())
        .await;
    assert_eq!(reply.reason(), Some(reason::PermissionDenied));
    // A token stands for itself, whatever certificate is shown with it.
    let officer = bearing(Some("officer"), &token(json!({ "groups": ["staff"] })));
    let reply = officer
        .ask(Version::V1_4, operation::Locate, payload())
        .await;
    assert_eq!(reply.reason(), Some(reason::PermissionDenied));
    // Whoever is called like a certificate is not its owner.
    let posing = bearing(
        None,
        &token(json!({ "sub": "cn:officer", "groups": ["staff"] })),
    );
    let reply = posing
        .ask(Version::V1_4, operation::Locate, payload())
        .await;
    assert_eq!(reply.reason(), Some(reason::PermissionDenied));

    let refused = async |token: &str, name: Option<&str>, why: &str| {
        let (status, body) = bearing(name, token)
            .post("application/json", Vec::new())
            .await;
        let body = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{body}");
        assert!(body.contains(why), "{body}");
    };
    refused(&token(json!({ "exp": now() - 3_600 })), None, "expired").await;
    refused(
        &token(json!({ "aud": "another" })),
        None,
        "another audience",
    )
    .await;
    refused(&Key::new("first").token(json!({})), None, "signature").await;
    refused(&token(json!({ "sub": null })), None, "subject").await;
    let bound = token(json!({ "groups": ["auditors"], "cnf": { "x5t#S256": "A".repeat(43) } }));
    refused(&bound, None, "bound to another certificate").await;
    refused(&bound, Some("officer"), "bound to another certificate").await;

    let trail = stage.site.audit();
    let named = |name: &str| trail.iter().any(|record| record["actor"]["name"] == name);
    assert!(named("token:anna") && named("token:cn:officer"));
    assert!(
        !stage.site.log_text().contains(&bound),
        "tokens are not logged"
    );
}

/// Seconds that a token is good for: enough to ask with it on a busy machine.
const SHORT: u64 = 20;

#[tokio::test]
async fn what_waits_for_longer_than_its_token_is_good_is_not_done() {
    let own = Site::new();
    let mut server = PyKmip::start(&own.authority);
    let key = Key::new("first");
    let issuer = Issuer::start(&own.authority, &[&key]).await;
    let more = format!(
        "[jwt]\nissuer = {ISSUER:?}\naudience = {AUDIENCE:?}\njwks = {:?}\nca = \"ca.pem\"\nleeway_s = 1\n",
        issuer.url()
    );
    let roles = "auditor = [\"claim:groups=auditors\"]";
    let stage = Stage::start_with_roles(own, &server.url(), &more, roles).await;
    let until = |exp: u64| {
        let token = key.token(json!({ "groups": ["auditors"], "exp": exp }));
        Caller::new(&stage.site, None).bearing(&token)
    };
    server.kill();
    let ends = now() + SHORT;
    let (soon, late) = (until(ends), until(ends + 3_600));
    let overdue = soon.ask_later(operation::Locate, payload()).await.pending();
    let in_time = late.ask_later(operation::Locate, payload()).await.pending();
    while now() <= ends + 2 {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    server.restart();
    let done = late.answered(&in_time).await;
    assert_eq!(done.status(), status::Success, "{done:?}");
    // It is the same caller, whichever token it bears.
    let refused = late.answered(&overdue).await;
    assert_eq!(refused.reason(), Some(reason::AuthenticationNotSuccessful));
    let said = refused.message();
    assert!(said.contains("is not taken any more"), "{said}");
    let trail = stage.site.audit();
    let outcome = |what: &str| trail.iter().any(|record| record["outcome"] == what);
    assert!(outcome("AuthenticationNotSuccessful") && outcome("done"));
}
