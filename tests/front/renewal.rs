//! What callers ask for goes to the key store by the certificate that the gateway has for it now, without a restart.

use std::fs;
use std::sync::Arc;

use serde_json::json;
use wardcast::kmip::client::Version;
use wardcast::kmip::codec::values;

use crate::kmip::about;
use crate::store::{self, Store};
use crate::{AUDITORS, Site, Stage};

/// What the gateway never asks for itself.
const OPERATION: u32 = values::Operation::GetAttributeList;

#[tokio::test(flavor = "multi_thread")]
async fn callers_requests_go_on_by_the_new_certificate() {
    let own = Site::new();
    let store = Arc::new(Store::default());
    let url = store::serve(&own, store.clone()).await;
    let stage = Stage::start_with_roles(own, &url, "", AUDITORS).await;
    let viewer = stage.caller("viewer");
    let ask = async || {
        viewer.ask(Version::V2_1, OPERATION, about("nothing")).await;
    };
    ask().await;
    ask().await;
    let prefix = stage.certificates.path().join("next");
    let issued = stage.site.issued("gateway-next");
    issued.write(&prefix).expect("written");
    for kind in ["key", "pem"] {
        let to = stage
            .certificates
            .path()
            .join(format!("store-client.{kind}"));
        fs::rename(prefix.with_extension(kind), to).expect("renamed");
    }
    let keys = json!(["upstream.certificate", "upstream.key"]);
    // By this, or before: they are looked at all the time.
    stage.site.order("v1/reload", None).await;
    stage
        .site
        .recorded("reloaded", |told| told["applied"] == keys)
        .await;
    ask().await;
    ask().await;
    let callers = store.callers.lock().expect("no panic").clone();
    let of_callers = callers
        .into_iter()
        .filter(|(_, asked)| asked[..] == [OPERATION]);
    let names: Vec<String> = of_callers.map(|(name, _)| name).collect();
    let (before, after) = ("cn:gateway", "cn:gateway-next");
    assert_eq!(names, [before, before, after, after]);
}
