//! Answers that are none: too long, garbage, or of another request.

use wardcast::kmip::client::{
    Batch, ClientError, Locate, Options, Query, Request, ResponseFault, TransportError, Version,
};
use wardcast::kmip::codec::{Item, Value, tag, values};
use wardcast::kmip::message::Structure;

use crate::stub::{Reaction, Stub, encoded, respond, success};
use crate::{Site, hasty, opaque};

fn options() -> Options {
    Options {
        versions: Version::V2_1..=Version::V2_1,
        attempts: 1,
        max_response: 4_096,
        ..hasty()
    }
}

/// What the client makes of an answer to items.
async fn fault_of(
    items: &[&dyn Request],
    answer: impl Fn(&Item) -> Vec<u8> + Send + Sync + 'static,
) -> TransportError {
    let site = Site::new();
    let stub = Stub::start(&site, move |request| Reaction::Answer(answer(request))).await;
    let client = site.client(&[&stub.url()], options());
    let refused = client.exchange(items, Batch::default()).await;
    let Err(ClientError::Unreachable { error, .. }) = refused else {
        panic!("not refused, or not for this: {refused:?}");
    };
    let register = opaque("a", b"x");
    let mut with_register = vec![&register as &dyn Request];
    with_register.extend_from_slice(&items[1..]);
    let refused = client.exchange(&with_register, Batch::default()).await;
    let unknown = matches!(refused, Err(ClientError::Unknown { .. }));
    assert!(unknown, "a register may have been done: {refused:?}");
    error
}

/// A response whose items are changed.
fn changed(request: &Item, change: impl Fn(usize, Structure) -> Structure) -> Item {
    let mut place = 0;
    respond(request, |_, begun| {
        place += 1;
        let done = begun.enumeration(tag::ResultStatus, values::ResultStatus::Success);
        change(place - 1, done)
    })
}

#[tokio::test]
async fn a_long_answer_is_not_read() {
    let fault = fault_of(&[&Query], |_| {
        [0x42, 0x00, 0x7b, 0x01, 0x7f, 0xff, 0xff, 0xf0].to_vec()
    })
    .await;
    let length = 0x7fff_fff8;
    let limit = 4_096;
    assert_eq!(fault, TransportError::TooLong { length, limit });
}

#[tokio::test]
async fn garbage_is_told_from_an_answer() {
    let garbage = |_: &Item| b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec();
    assert!(matches!(
        fault_of(&[&Query], garbage).await,
        TransportError::TooLong { .. }
    ));
    let zeros = |_: &Item| vec![0; 64];
    assert!(matches!(
        fault_of(&[&Query], zeros).await,
        TransportError::Malformed(_)
    ));
    // What one store does to text of eight bytes: eight zeros behind it.
    let padded = |request: &Item| {
        let mut bytes = success(request);
        bytes.extend_from_slice(&[0; 8]);
        let length = (bytes.len() as u32 - 8).to_be_bytes();
        bytes[4..8].copy_from_slice(&length);
        bytes
    };
    assert!(matches!(
        fault_of(&[&Query], padded).await,
        TransportError::Malformed(_)
    ));
    let request = |request: &Item| encoded(request);
    let fault = fault_of(&[&Query], request).await;
    assert!(
        matches!(fault, TransportError::Response(ResponseFault::Message(_))),
        "{fault}"
    );
}

#[tokio::test]
async fn an_answer_belongs_to_its_request() {
    let one = Locate::default();
    let two: [&dyn Request; 2] = [&one, &one];
    let fault = fault_of(&[&one], |request| {
        let mut response = changed(request, |_, item| item);
        replace(&mut response, tag::ProtocolVersionMinor, &Value::Integer(0));
        encoded(&response)
    })
    .await;
    let asked = Version::V2_1;
    let answered = (2, 0);
    let version = ResponseFault::Version { asked, answered };
    assert_eq!(fault, TransportError::Response(version));

    let fault = fault_of(&[&one], |request| {
        let mut response = changed(request, |_, item| item);
        replace(&mut response, tag::BatchCount, &Value::Integer(2));
        encoded(&response)
    })
    .await;
    let count = ResponseFault::Count {
        asked: 1,
        said: 2,
        found: 1,
    };
    assert_eq!(fault, TransportError::Response(count));

    let fault = fault_of(&[&one], |request| {
        let mut response = changed(request, |_, item| item);
        let other = Value::Enumeration(values::Operation::Get);
        replace(&mut response, tag::Operation, &other);
        encoded(&response)
    })
    .await;
    let operation = matches!(
        fault,
        TransportError::Response(ResponseFault::Operation { place: 0, .. })
    );
    assert!(operation, "{fault}");

    let id = Value::ByteString(b"same".as_slice().into());
    for (change, place) in [(Some(id), 0), (None, 1)] {
        let fault = fault_of(&two, move |request| {
            let mut response = changed(request, |_, item| item);
            match &change {
                // None of the request's.
                Some(id) => replace(&mut response, tag::UniqueBatchItemID, id),
                // The first one's, twice.
                None => {
                    let first = find(&response, tag::UniqueBatchItemID).expect("an identifier");
                    replace(&mut response, tag::UniqueBatchItemID, &first);
                }
            }
            encoded(&response)
        })
        .await;
        let expected = ResponseFault::BatchItemId(place);
        assert_eq!(fault, TransportError::Response(expected));
    }
}

#[tokio::test]
async fn items_are_told_apart_by_their_identifiers() {
    let site = Site::new();
    let stub = Stub::start(&site, |request| {
        let response = respond(request, |item, begun| {
            // Each answers how many attributes it was asked for.
            let asked = item.child(tag::RequestPayload).expect("a payload");
            let maximum = asked.child(tag::MaximumItems).expect("a number");
            let payload = Structure::new(tag::ResponsePayload).text(
                tag::UniqueIdentifier,
                maximum.integer().expect("a number").to_string(),
            );
            begun
                .enumeration(tag::ResultStatus, values::ResultStatus::Success)
                .structure(payload)
        });
        let Value::Structure(mut items) = response.value else {
            panic!("a message is a structure");
        };
        items[1..].reverse();
        let response = Item::new(response.tag, Value::Structure(items));
        Reaction::Answer(encoded(&response))
    });
    let stub = stub.await;
    let client = site.client(&[&stub.url()], options());
    let locates: Vec<Locate> = (0..5)
        .map(|number| Locate {
            maximum_items: Some(number),
            ..Locate::default()
        })
        .collect();
    let items: Vec<&dyn Request> = locates.iter().map(|item| item as _).collect();
    let answers = client
        .exchange(&items, Batch::default())
        .await
        .expect("answers");
    for (place, locate) in locates.iter().enumerate() {
        let located = answers.read(place, locate).expect("located");
        assert_eq!(located.unique_identifiers, [place.to_string()]);
    }
}

/// The first value of a tag, at any depth.
fn find(item: &Item, tag: wardcast::kmip::codec::Tag) -> Option<Value> {
    if item.tag == tag {
        return Some(item.value.clone());
    }
    match &item.value {
        Value::Structure(items) => items.iter().find_map(|item| find(item, tag)),
        _ => None,
    }
}

/// Gives all items of a tag a value.
fn replace(item: &mut Item, tag: wardcast::kmip::codec::Tag, value: &Value) {
    if item.tag == tag {
        item.value = value.clone();
    } else if let Value::Structure(items) = &mut item.value {
        for item in items {
            replace(item, tag, value);
        }
    }
}
