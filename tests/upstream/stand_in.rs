//! What PyKMIP lacks, against the stand-in: KMIP 2.1, Archive, Recover, Add Attribute, and HTTPS with all three encodings.

use std::sync::Arc;

use wardcast::kmip::client::{
    Activate, AddAttribute, Archive, Attribute, AttributeName, Batch, Client, ClientError, Destroy,
    Get, GetAttributeList, GetAttributes, Locate, Options, Query, Recover, Revoke, TransportError,
    Version,
};
use wardcast::kmip::codec::{View, tag, values};

use crate::store::{self, Store};
use crate::stub::{Reaction, Stub, encoded};
use crate::{Site, endpoint, hasty, opaque};

async fn lifecycle(client: &Client) {
    let answers = client.exchange(&[&Query], Batch::default()).await;
    let answers = answers.expect("facts");
    assert_eq!(answers.version, Version::V2_1);
    let facts = answers.read(0, &Query).expect("facts");
    assert_eq!(facts.vendor.as_deref(), Some("stand-in"));
    assert_eq!(facts.object_types.len(), 3);

    let register = opaque("policy", b"sealed <bytes>");
    let unique_identifier = client.call(&register).await.expect("registered");
    let key = || unique_identifier.clone();
    let get = Get {
        unique_identifier: key(),
    };
    let add = AddAttribute {
        unique_identifier: key(),
        attribute: Attribute::object_group("more"),
    };
    assert_eq!(client.call(&add).await, Ok(key()));
    let locate = Locate {
        attributes: vec![Attribute::object_group("more"), Attribute::name("policy")],
        maximum_items: Some(2),
    };
    let located = client.call(&locate).await.expect("located");
    assert_eq!(located.unique_identifiers, [key()]);
    let list = GetAttributeList {
        unique_identifier: key(),
    };
    let list = client.call(&list).await.expect("a list");
    assert!(
        list.contains(&AttributeName::Standard(tag::Name)),
        "{list:?}"
    );

    let archive = Archive {
        unique_identifier: key(),
    };
    assert_eq!(client.call(&archive).await, Ok(key()));
    let archived = client.call(&get).await.expect_err("archived");
    assert_eq!(
        archived.reason(),
        Some(values::ResultReason::ObjectArchived)
    );
    let recover = Recover {
        unique_identifier: key(),
    };
    assert_eq!(client.call(&recover).await, Ok(key()));
    let got = client.call(&get).await.expect("got");
    assert_eq!(got.object, register.object);

    let activate = Activate {
        unique_identifier: key(),
    };
    assert_eq!(client.call(&activate).await, Ok(key()));
    let revoke = Revoke {
        unique_identifier: key(),
        reason: values::RevocationReasonCode::KeyCompromise,
        message: Some("lost".to_owned()),
        compromise_occurrence: Some(1_700_000_000),
    };
    assert_eq!(client.call(&revoke).await, Ok(key()));
    let state = GetAttributes {
        unique_identifier: key(),
        names: vec![AttributeName::Standard(tag::State)],
    };
    let state = client.call(&state).await.expect("attributes");
    assert_eq!(state[0].enumeration(), Some(values::State::Compromised));
    let destroy = Destroy {
        unique_identifier: key(),
    };
    assert_eq!(client.call(&destroy).await, Ok(key()));
}

#[tokio::test]
async fn https_carries_every_encoding() {
    let site = Site::new();
    for encoding in [View::Ttlv, View::Json, View::Xml] {
        let store = Arc::new(Store::default());
        let url = store::serve(&site, store.clone()).await;
        let endpoints = [endpoint(&url, encoding)];
        let client = site.client_of("gateway", &endpoints, Options::default());
        lifecycle(&client).await;
        let seen = store.seen.lock().expect("no panic");
        assert!(
            seen.iter().all(|kind| kind == encoding.content_type()),
            "{seen:?}"
        );
    }
}

#[tokio::test]
async fn tls_carries_2_1() {
    let site = Site::new();
    let store = Store::default();
    let stub = Stub::start(&site, move |request| {
        Reaction::Answer(encoded(&store.answer(request)))
    })
    .await;
    lifecycle(&site.client(&[&stub.url()], Options::default())).await;
}

#[tokio::test]
async fn no_version_in_common_is_said() {
    let site = Site::new();
    let store = Store::default();
    let stub = Stub::start(&site, move |request| {
        Reaction::Answer(encoded(&store.answer(request)))
    })
    .await;
    let options = Options {
        versions: Version::V1_4..=Version::V2_0,
        ..hasty()
    };
    let client = site.client(&[&stub.url()], options);
    let refused = client.call(&Query).await.expect_err("2.1 alone");
    let said = refused.to_string();
    let expected = "the server speaks KMIP 2.1, but KMIP 1.4 to 2.0 is needed";
    assert!(said.ends_with(expected), "{said}");
}

#[tokio::test]
async fn what_is_no_key_store_is_said() {
    let site = Site::new();
    let url = store::serve(&site, Arc::new(Store::default())).await;
    let elsewhere = url.replace("/kmip", "/elsewhere");
    let endpoints = [endpoint(&elsewhere, View::Json)];
    let client = site.client_of("gateway", &endpoints, hasty());
    let refused = client.call(&Query).await.expect_err("not there");
    let error = TransportError::Status(404);
    let address = elsewhere;
    assert_eq!(refused, ClientError::Unreachable { address, error });
}
