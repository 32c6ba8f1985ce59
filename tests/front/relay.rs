//! What is relayed: the same object for everybody, whatever the encoding; batches in order; what nobody knows unchanged.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wardcast::kmip::client::Version;
use wardcast::kmip::codec::{Item, Tag, Value, View, tag, values};
use wardcast::kmip::message::{Field, Structure};

use crate::kmip::{Message, about, opaque, payload, plain_key, replies};
use crate::stub::{Reaction, Stub, encoded, respond};
use crate::support::SOON;
use crate::{OBJECT, Seen, Site, Stage};

use values::{Operation as operation, ResultReason as reason, ResultStatus as status};

/// A key that is found wherever it is not meant to be.
pub(crate) const KEY: &[u8; 16] = b"a-key-in-the-ope";

fn got(payload: &Item) -> Vec<u8> {
    let payload = Field::of(payload, tag::ResponsePayload).expect("a payload");
    let object = payload.child(tag::OpaqueObject).expect("an object");
    let value = object.child(tag::OpaqueDataValue).expect("a value");
    value.bytes().expect("bytes").to_vec()
}

#[tokio::test]
async fn clients_of_every_encoding_and_version_see_the_same_object() {
    let (stage, _server) = Stage::with_pykmip().await;
    let operator = stage.caller("operator");
    for version in [Version::V1_4, Version::V2_0] {
        for (view, name) in [(View::Ttlv, "t"), (View::Json, "j"), (View::Xml, "x")] {
            let name = format!("{name} {version}");
            let register = Message::new(version)
                .item(operation::Register, opaque(version, &name, name.as_bytes()));
            let registered = replies(&operator.send(view, &register.into()).await);
            let object = registered[0].object();
            for other in [View::Ttlv, View::Json, View::Xml] {
                let get = Message::new(version).item(operation::Get, about(&object));
                let answer = replies(&operator.send(other, &get.into()).await);
                assert_eq!(got(&answer[0].payload()), name.as_bytes(), "{other}");
            }
        }
    }
}

#[tokio::test]
async fn keys_in_the_clear_are_for_key_officers_and_nowhere_else() {
    let (stage, _server) = Stage::with_pykmip().await;
    let (operator, officer) = (stage.caller("operator"), stage.caller("officer"));
    let register = plain_key("open", KEY);
    let registered = operator
        .ask(Version::V1_4, operation::Register, register)
        .await;
    let object = registered.object();
    let get = async |name: &str| {
        stage
            .caller(name)
            .ask(Version::V1_4, operation::Get, about(&object))
            .await
    };
    assert!(
        get("operator")
            .await
            .denied()
            .contains("needs the role key officer")
    );
    assert!(
        get("auditor")
            .await
            .denied()
            .contains("needs the role key officer")
    );
    assert!(
        get("viewer")
            .await
            .denied()
            .contains("Get: needs the role operator")
    );
    let answer = format!(
        "{:?}",
        officer
            .ask(Version::V1_4, operation::Get, about(&object))
            .await
            .payload()
    );
    assert!(answer.contains("KeyMaterial (16 bytes)"), "{answer}");
    let wrapping = Structure::new(tag::KeyWrappingSpecification)
        .enumeration(tag::WrappingMethod, values::WrappingMethod::Encrypt);
    let wrapped = operator
        .ask(
            Version::V1_4,
            operation::Get,
            about(&object).structure(wrapping),
        )
        .await;
    assert!(wrapped.denied().contains("KeyWrappingSpecification"));
    // It is in no file of the gateway's: log, trail, database.
    is_in_no_file(&stage);
}

/// The key is in no file of the gateway's.
pub(crate) fn is_in_no_file(stage: &Stage) {
    for entry in walk(stage.site.folder()) {
        let bytes = std::fs::read(&entry).unwrap_or_default();
        let found = bytes.windows(KEY.len()).any(|window| window == KEY);
        assert!(!found, "{}", entry.display());
    }
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => walk(&path),
            false => vec![path],
        })
        .collect()
}

#[tokio::test]
async fn batches_keep_their_order_and_stop_where_they_are_told_to() {
    let (stage, _server) = Stage::with_pykmip().await;
    let operator = stage.caller("operator");
    let batch = |message: Message| {
        message
            .item(
                operation::Register,
                opaque(Version::V1_4, &format!("b{}", rand_name()), b"1"),
            )
            .item(operation::Revoke, about("1"))
            .item(
                operation::Query,
                payload().enumeration(tag::QueryFunction, 1),
            )
            .item(operation::GetAttributes, about("no-such-object"))
            .item(operation::Locate, payload())
    };
    let all = operator
        .exchange(batch(Message::new(Version::V1_4).go_on()))
        .await;
    let operations: Vec<Option<u32>> = all.iter().map(|reply| reply.operation()).collect();
    assert_eq!(
        operations,
        [
            operation::Register,
            operation::Revoke,
            operation::Query,
            operation::GetAttributes,
            operation::Locate
        ]
        .map(Some)
    );
    let ids: Vec<Option<Vec<u8>>> = all.iter().map(|reply| reply.id()).collect();
    assert_eq!(ids, [0, 1, 2, 3, 4].map(|place| Some(vec![b'i', place])));
    let statuses: Vec<u32> = all.iter().map(|reply| reply.status()).collect();
    let (done, failed) = (status::Success, status::OperationFailed);
    assert_eq!(statuses, [done, failed, done, failed, done], "{all:?}");
    assert_eq!(all[1].denied(), "Revoke: needs the role key officer");

    let some = operator.exchange(batch(Message::new(Version::V1_4))).await;
    let statuses: Vec<u32> = some.iter().map(|reply| reply.status()).collect();
    assert_eq!(statuses, [done, failed]);
    // Within what is relayed together, an item may leave out the identifier of the one before.
    let placeholder = Message::new(Version::V1_4)
        .item(operation::Register, opaque(Version::V1_4, "held", b"2"))
        .item(operation::GetAttributes, payload());
    let replies = operator.exchange(placeholder).await;
    assert_eq!(replies[0].object(), replies[1].object());
}

/// A name that no other has.
fn rand_name() -> u128 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("after 1970").as_nanos()
}

#[tokio::test]
async fn the_gateway_says_itself_what_it_is() {
    let (stage, _server) = Stage::with_pykmip().await;
    let discover = async |name: &str, asked: Structure| {
        let reply = stage
            .caller(name)
            .ask(Version::V1_4, operation::DiscoverVersions, asked)
            .await;
        let payload = reply.payload();
        let payload = Field::of(&payload, tag::ResponsePayload).expect("a payload");
        let versions = payload.children(tag::ProtocolVersion).expect("versions");
        let number =
            |version: &Field<'_>, tag| version.child(tag).and_then(|number| number.integer());
        let numbers = versions.map(|version| {
            let major = number(&version, tag::ProtocolVersionMajor).expect("a number");
            (
                major,
                number(&version, tag::ProtocolVersionMinor).expect("a number"),
            )
        });
        numbers.collect::<Vec<_>>()
    };
    // PyKMIP has no 2.1.
    assert_eq!(discover("viewer", payload()).await, [(2, 0), (1, 4)]);
    let old = Structure::new(tag::ProtocolVersion)
        .integer(tag::ProtocolVersionMajor, 1)
        .integer(tag::ProtocolVersionMinor, 4);
    assert_eq!(discover("viewer", payload().structure(old)).await, [(1, 4)]);

    let query = async |name: &str| {
        let asked = payload()
            .enumeration(tag::QueryFunction, values::QueryFunction::QueryOperations)
            .enumeration(
                tag::QueryFunction,
                values::QueryFunction::QueryServerInformation,
            );
        let reply = stage
            .caller(name)
            .ask(Version::V1_4, operation::Query, asked)
            .await;
        let payload = reply.payload();
        let payload = Field::of(&payload, tag::ResponsePayload).expect("a payload");
        let vendor = payload.child(tag::VendorIdentification).expect("a vendor");
        assert!(vendor.text().expect("text").starts_with("Wardcast "));
        let operations = payload.children(tag::Operation).expect("operations");
        let operations = operations.map(|operation| operation.enumeration().expect("a number"));
        operations.collect::<Vec<u32>>()
    };
    let (viewer, officer) = (query("viewer").await, query("officer").await);
    assert!(viewer.contains(&operation::Poll) && viewer.contains(&operation::Locate));
    assert!(!viewer.contains(&operation::Get) && officer.contains(&operation::Get));
    assert!(!officer.contains(&operation::Archive), "PyKMIP has none");
    let newer = stage
        .caller("officer")
        .ask(Version::V2_1, operation::Locate, payload())
        .await;
    assert_eq!(newer.status(), status::OperationFailed);
    assert!(
        newer
            .message()
            .contains("the key store does not take the message"),
        "{newer:?}"
    );
}

#[tokio::test]
async fn what_nobody_knows_passes_unchanged_both_ways() {
    let own = Site::new();
    let seen: Arc<Mutex<Vec<Item>>> = Arc::default();
    let kept = seen.clone();
    let stub = Stub::start(&own, move |message| {
        kept.lock().expect("no panic").push(message.clone());
        let answer = respond(message, |item, begun| {
            let payload = item.child(tag::RequestPayload).expect("a payload");
            let echoed = payload.items().expect("items").to_vec();
            let payload = Structure::new(tag::ResponsePayload).items(echoed);
            begun
                .enumeration(tag::ResultStatus, status::Success)
                .structure(payload)
        });
        Reaction::Answer(encoded(&answer))
    })
    .await;
    let stage = Stage::start(own, &stub.url()).await;
    let strange = || {
        let inner = Structure::new(Tag::new(0x54, 2))
            .value(Tag::new(0x42, 0xfff), Value::DateTimeExtended(7))
            .enumeration(tag::ObjectType, 0x8000_0007);
        Item::from(inner)
    };
    let extension = Structure::new(tag::MessageExtension)
        .text(tag::VendorIdentification, "somebody")
        .boolean(tag::CriticalityIndicator, true);
    for view in [View::Ttlv, View::Json, View::Xml] {
        let mut message =
            Message::new(Version::V2_1).item(operation::Locate, payload().items([strange()]));
        message.beside = vec![extension.clone().into()];
        let answer = replies(&stage.caller("viewer").send(view, &message.into()).await);
        assert_eq!(
            answer[0].payload(),
            Structure::new(tag::ResponsePayload)
                .items([strange()])
                .into()
        );
        let relayed = seen.lock().expect("no panic").pop().expect("it came");
        let relayed = Field::of(&relayed, tag::RequestMessage).expect("a request");
        let item = relayed.child(tag::BatchItem).expect("an item");
        assert_eq!(
            *item.child(tag::RequestPayload).expect("a payload").item(),
            payload().items([strange()]).into()
        );
        assert_eq!(
            *item.child(tag::MessageExtension).expect("it").item(),
            extension.clone().into()
        );
    }
}

#[tokio::test]
async fn an_outage_upstream_is_told_at_once_and_a_lost_answer_as_unknown() {
    let (stage, mut server) = Stage::with_pykmip().await;
    let operator = stage.caller("operator");
    operator
        .ask(Version::V1_4, operation::Locate, payload())
        .await
        .payload();
    server.kill();
    let began = Instant::now();
    for _ in 0..10 {
        let reply = operator
            .ask(Version::V1_4, operation::Locate, payload())
            .await;
        assert_eq!(reply.reason(), Some(reason::GeneralFailure));
        assert!(reply.message().contains("try again"), "{}", reply.message());
    }
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    // What the gateway answers itself it still does.
    let query = payload().enumeration(tag::QueryFunction, values::QueryFunction::QueryOperations);
    operator
        .ask(Version::V1_4, operation::Query, query)
        .await
        .payload();
    server.restart();
    let began = Instant::now();
    while operator
        .ask(Version::V1_4, operation::Locate, payload())
        .await
        .status()
        != status::Success
    {
        assert!(began.elapsed() < SOON, "it is back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop((stage, server));

    let own = Site::new();
    let seen = Seen::default();
    let noted = seen.clone();
    let stub = Stub::start(&own, move |message| {
        noted.note(message);
        Reaction::Close
    })
    .await;
    let stage = Stage::start(own, &stub.url()).await;
    let register = opaque(Version::V1_4, OBJECT, b"x");
    let reply = stage
        .caller("operator")
        .ask(Version::V1_4, operation::Register, register)
        .await;
    assert!(
        reply.message().contains("unknown; look it up"),
        "{}",
        reply.message()
    );
    assert_eq!(
        seen.operations(),
        [operation::Register],
        "it is not sent again"
    );
}
