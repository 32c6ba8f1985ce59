//! Bearer tokens at the front: roles by claims, bindings to certificates, and a name of its own for whoever bears one.

use reqwest::StatusCode;
use serde_json::{Value, json};
use wardcast::kmip::client::Version;
use wardcast::kmip::codec::values::{
    Operation as operation, ResultReason as reason, ResultStatus as status,
};

use crate::issuer::{AUDIENCE, ISSUER, Issuer, Key, now};
use crate::kmip::{Caller, payload};
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
