//! Every operation that PyKMIP has, in KMIP 1.4 and 2.0: what it is asked, what it answers, what it refuses.

use wardcast::kmip::client::{
    Activate, AddAttribute, Answer, Archive, Attribute, AttributeName, Batch, Client, ClientError,
    Destroy, DiscoverVersions, Get, GetAttributeList, GetAttributes, KeyWrapping, Locate, Object,
    Options, Query, RawRequest, Register, Revoke, SecretData, Version, WrappedKey,
};
use wardcast::kmip::codec::{tag, values};
use wardcast::kmip::message::Structure;

use crate::pykmip::PyKmip;
use crate::{Site, endpoint, only, opaque};

fn wrapped_key(name: &str) -> Register {
    Register {
        object: Object::WrappedKey(WrappedKey {
            format: values::KeyFormatType::Raw,
            algorithm: values::CryptographicAlgorithm::AES,
            length: 128,
            wrapping: KeyWrapping {
                method: values::WrappingMethod::Encrypt,
                unique_identifier: "wrapping-key".to_owned(),
                block_cipher_mode: values::BlockCipherMode::NISTKeyWrap,
                algorithm: None,
                encoding: values::EncodingOption::NoEncoding,
            },
            material: [7; 24].as_slice().into(),
        }),
        attributes: vec![
            Attribute::name(name),
            Attribute::object_group("keys"),
            Attribute::usage(values::CryptographicUsageMask::WrapKey),
        ],
    }
}

fn get(unique_identifier: &str) -> Get {
    let unique_identifier = unique_identifier.to_owned();
    Get { unique_identifier }
}

fn activate(unique_identifier: &str) -> Activate {
    let unique_identifier = unique_identifier.to_owned();
    Activate { unique_identifier }
}

fn destroy(unique_identifier: &str) -> Destroy {
    let unique_identifier = unique_identifier.to_owned();
    Destroy { unique_identifier }
}

fn revoke(unique_identifier: &str, reason: u32) -> Revoke {
    Revoke {
        unique_identifier: unique_identifier.to_owned(),
        reason,
        message: Some("a test of the client".to_owned()),
        compromise_occurrence: None,
    }
}

fn attributes(unique_identifier: &str, names: &[AttributeName]) -> GetAttributes {
    GetAttributes {
        unique_identifier: unique_identifier.to_owned(),
        names: names.to_vec(),
    }
}

async fn state(client: &Client, key: &str) -> Option<u32> {
    let names = [AttributeName::Standard(tag::State)];
    let found = client.call(&attributes(key, &names)).await;
    found.expect("attributes")[0].enumeration()
}

fn by_name(name: &str) -> Locate {
    Locate {
        attributes: vec![Attribute::name(name)],
        maximum_items: None,
    }
}

/// Bytes that are no secret, but have a state.
async fn secret_data(client: &Client, prefix: &str) {
    let register = Register {
        object: Object::SecretData(SecretData {
            kind: values::SecretDataType::Seed,
            value: b"{\"what\":\"group\"}".as_slice().into(),
        }),
        attributes: vec![Attribute::name(&format!("{prefix}-data"))],
    };
    let data = client.call(&register).await.expect("registered");
    let got = client.call(&get(&data)).await.expect("got");
    assert_eq!(got.object, register.object);
    assert_eq!(state(client, &data).await, Some(values::State::PreActive));
    assert_eq!(client.call(&activate(&data)).await, Ok(data.clone()));
    let ceased = revoke(&data, values::RevocationReasonCode::CessationOfOperation);
    assert_eq!(client.call(&ceased).await, Ok(data.clone()));
    assert_eq!(state(client, &data).await, Some(values::State::Deactivated));
    assert_eq!(client.call(&destroy(&data)).await, Ok(data.clone()));
}

/// Keys and opaque objects through all that may happen to them.
async fn lifecycle(client: &Client, prefix: &str) {
    let opaque = opaque(&format!("{prefix}-opaque"), b"sealed bytes");
    let sealed = client.call(&opaque).await.expect("registered");
    let got = client.call(&get(&sealed)).await.expect("got");
    assert_eq!(
        (&got.unique_identifier, &got.object),
        (&sealed, &opaque.object)
    );

    let name = format!("{prefix}-key");
    let registered = wrapped_key(&name);
    let key = client.call(&registered).await.expect("registered");
    let got = client.call(&get(&key)).await.expect("got");
    assert_eq!(got.object, registered.object, "as it was given");

    let located = client.call(&by_name(&name)).await.expect("located");
    assert_eq!(located.unique_identifiers, std::slice::from_ref(&key));
    let kind = Attribute::object_type(values::ObjectType::SymmetricKey);
    let both = Locate {
        attributes: vec![Attribute::object_group("keys"), kind],
        maximum_items: Some(1),
    };
    let located = client.call(&both).await.expect("located");
    assert_eq!(located.unique_identifiers.len(), 1, "no more than asked");
    let none = client.call(&by_name("nothing")).await.expect("located");
    assert!(none.unique_identifiers.is_empty());

    let list = GetAttributeList {
        unique_identifier: key.clone(),
    };
    let names = client.call(&list).await.expect("a list");
    for tag in [tag::Name, tag::State, tag::CryptographicLength] {
        assert!(names.contains(&AttributeName::Standard(tag)), "{names:?}");
    }
    let all = client
        .call(&attributes(&key, &[]))
        .await
        .expect("attributes");
    let named = all
        .iter()
        .find(|found| found.name == AttributeName::Standard(tag::Name));
    assert_eq!(named.and_then(Attribute::text), Some(name.as_str()));
    assert!(all.contains(&Attribute::length(128)), "{all:?}");

    assert_eq!(state(client, &key).await, Some(values::State::PreActive));
    assert_eq!(client.call(&activate(&key)).await, Ok(key.clone()));
    assert_eq!(state(client, &key).await, Some(values::State::Active));
    let superseded = revoke(&key, values::RevocationReasonCode::Superseded);
    assert_eq!(client.call(&superseded).await, Ok(key.clone()));
    assert_eq!(state(client, &key).await, Some(values::State::Deactivated));
    let compromised = Revoke {
        compromise_occurrence: Some(1_700_000_000),
        ..revoke(&key, values::RevocationReasonCode::KeyCompromise)
    };
    assert_eq!(client.call(&compromised).await, Ok(key.clone()));
    assert_eq!(state(client, &key).await, Some(values::State::Compromised));
    assert_eq!(client.call(&destroy(&key)).await, Ok(key.clone()));
    let gone = client.call(&get(&key)).await.expect_err("it is gone");
    assert_eq!(gone.reason(), Some(values::ResultReason::ItemNotFound));
}

/// What a server refuses is said with its reason and its words.
async fn refusals(site: &Site, server: &PyKmip, client: &Client, version: Version) {
    let missing = client.call(&get("999999")).await.expect_err("none");
    let said = missing.to_string();
    assert!(
        said.contains("Get: OperationFailed, ItemNotFound: "),
        "{said}"
    );
    assert!(said.starts_with(&server.url()), "{said}");

    let key = client.call(&wrapped_key(&format!("{version}-held"))).await;
    let key = key.expect("registered");
    client.call(&activate(&key)).await.expect("activated");
    let twice = client
        .call(&activate(&key))
        .await
        .expect_err("it is active");
    assert_eq!(twice.reason(), Some(values::ResultReason::PermissionDenied));
    let active = client.call(&destroy(&key)).await.expect_err("it is active");
    assert_eq!(
        active.reason(),
        Some(values::ResultReason::PermissionDenied)
    );

    let other = site.client_of(
        "other",
        &[endpoint(&server.url(), wardcast::kmip::codec::View::Ttlv)],
        only(version),
    );
    // PyKMIP does not tell others that an object is there.
    let foreign = other.call(&get(&key)).await.expect_err("not its own");
    assert_eq!(
        foreign.reason(),
        Some(values::ResultReason::PermissionDenied)
    );

    let archive = Archive {
        unique_identifier: key.clone(),
    };
    let archived = client.call(&archive).await.expect_err("it has none");
    assert!(archived.reason().is_some(), "{archived}");
    let add = AddAttribute {
        unique_identifier: key,
        attribute: Attribute::object_group("more"),
    };
    let added = client.call(&add).await.expect_err("it has none");
    assert!(added.reason().is_some(), "{added}");
    client.call(&Query).await.expect("the connection is well");
}

/// Several operations in one message.
async fn batches(client: &Client, prefix: &str) {
    let names: Vec<String> = (0..20).map(|number| format!("{prefix}-{number}")).collect();
    let registers: Vec<Register> = names
        .iter()
        .map(|name| opaque(name, name.as_bytes()))
        .collect();
    let items: Vec<_> = registers.iter().map(|item| item as _).collect();
    let answers = client.exchange(&items, Batch::default()).await;
    let answers = answers.expect("answers");
    let keys: Result<Vec<String>, ClientError> = registers
        .iter()
        .enumerate()
        .map(|(place, register)| answers.read(place, register))
        .collect();
    let keys = keys.expect("registered");

    let gets = [get(&keys[0]), get("999999"), get(&keys[19])];
    let items = [&gets[0] as _, &gets[1] as _, &gets[2] as _];
    for go_on in [true, false] {
        let batch = Batch {
            ordered: true,
            go_on,
            version: None,
            ..Batch::default()
        };
        let answers = client.exchange(&items, batch).await.expect("answers");
        let first = answers.read(0, &gets[0]).expect("got");
        assert_eq!(first.object, registers[0].object);
        let missing = answers.read(1, &gets[1]).expect_err("none");
        assert_eq!(missing.reason(), Some(values::ResultReason::ItemNotFound));
        match (go_on, answers.read(2, &gets[2])) {
            (true, last) => assert_eq!(last.expect("got").object, registers[19].object),
            (false, last) => assert!(matches!(last, Err(ClientError::Skipped { .. })), "{last:?}"),
        }
    }
}

async fn all_of(version: Version) {
    let site = Site::new();
    let server = PyKmip::start(&site.authority);
    let client = site.client(&[&server.url()], only(version));
    let facts = client.call(&Query).await.expect("facts");
    assert!(facts.vendor.expect("a vendor").starts_with("PyKMIP"));
    assert!(facts.operations.contains(&values::Operation::Locate));
    let spoken = client.call(&DiscoverVersions::default()).await;
    assert!(spoken.expect("versions").contains(&version.numbers()));
    lifecycle(&client, "a").await;
    secret_data(&client, "s").await;
    refusals(&site, &server, &client, version).await;
    batches(&client, "b").await;
    assert_eq!(
        server.logged("Dedicating session"),
        3,
        "one connection each, and the test's"
    );
}

#[tokio::test]
async fn everything_in_1_4() {
    all_of(Version::V1_4).await;
}

#[tokio::test]
async fn everything_in_2_0() {
    all_of(Version::V2_0).await;
}

#[tokio::test]
async fn the_greatest_version_in_common_is_spoken() {
    let site = Site::new();
    let server = PyKmip::start(&site.authority);
    let raw = RawRequest {
        operation: values::Operation::Query,
        payload: Structure::new(tag::RequestPayload)
            .enumeration(
                tag::QueryFunction,
                values::QueryFunction::QueryServerInformation,
            )
            .into(),
        repeatable: true,
        beside: Vec::new(),
    };
    for (versions, expected) in [
        (Version::V1_4..=Version::V2_1, Version::V2_0),
        (Version::V1_4..=Version::V2_0, Version::V2_0),
    ] {
        let options = Options {
            versions,
            ..Options::default()
        };
        let client = site.client(&[&server.url()], options);
        for _ in 0..2 {
            let answers = client.exchange(&[&raw], Batch::default()).await;
            let answers = answers.expect("answers");
            assert_eq!(answers.version, expected);
            assert!(matches!(&answers.items[..], [Answer::Done(_)]));
            let payload = answers.items[0].payload().expect("a payload");
            assert!(format!("{payload:?}").contains("PyKMIP"), "{payload:?}");
        }
        let pinned = Batch {
            version: Some(Version::V1_4),
            ..Batch::default()
        };
        let answers = client.exchange(&[&raw], pinned).await.expect("answers");
        assert_eq!(answers.version, Version::V1_4, "the caller's own");
    }
    assert_eq!(
        server.logged("Processing operation: DiscoverVersions"),
        2,
        "remembered"
    );
    let newest = site.client(&[&server.url()], only(Version::V2_1));
    let refused = newest.call(&Query).await.expect_err("not 2.1");
    let said = refused.to_string();
    assert!(
        said.contains("the whole message: OperationFailed, InvalidMessage"),
        "{said}"
    );
}

/// PyKMIP's encoder writes text with eight zeros too many that its decoder has read, when its length is a multiple of eight. What
/// goes through its database is written well, and that is all that these operations answer.
#[tokio::test]
async fn text_of_eight_bytes_comes_back_as_it_was() {
    let site = Site::new();
    let server = PyKmip::start(&site.authority);
    for version in [Version::V1_4, Version::V2_0] {
        let client = site.client(&[&server.url()], only(version));
        let name = format!("name-{version}");
        assert_eq!(name.len(), 8);
        let mut register = wrapped_key(&name);
        let application = Attribute::application("eight888", "sixteen-16161616");
        register.attributes.push(application.clone());
        let Object::WrappedKey(key) = &mut register.object else {
            panic!("it is a key");
        };
        key.wrapping.unique_identifier = "wrapping".to_owned();
        let key = client.call(&register).await.expect("registered");
        let located = client.call(&by_name(&name)).await.expect("located");
        assert_eq!(located.unique_identifiers, std::slice::from_ref(&key));
        let all = client
            .call(&attributes(&key, &[]))
            .await
            .expect("attributes");
        assert!(all.contains(&application), "{all:?}");
        let got = client.call(&get(&key)).await.expect("got");
        assert_eq!(got.object, register.object);
        let echo = client.call(&activate("12345678")).await.expect_err("none");
        assert_eq!(echo.reason(), Some(values::ResultReason::ItemNotFound));
    }
}
