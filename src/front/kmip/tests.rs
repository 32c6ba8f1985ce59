//! However strange a message is, it is read or refused, and the answer can be written and read.

use proptest::prelude::*;

use super::message::{Asked, Later, Reply, rejection};
use crate::kmip::client::Version;
use crate::kmip::codec::{Item, Tag, Value, tag, ttlv, values};
use crate::kmip::message::{Field, Structure};

/// Tags that mean something in a request, and one that means nothing.
const TAGS: [Tag; 14] = [
    tag::RequestHeader,
    tag::ProtocolVersion,
    tag::ProtocolVersionMajor,
    tag::ProtocolVersionMinor,
    tag::BatchCount,
    tag::BatchItem,
    tag::Operation,
    tag::UniqueBatchItemID,
    tag::RequestPayload,
    tag::AsynchronousIndicator,
    tag::BatchErrorContinuationOption,
    tag::MaximumResponseSize,
    tag::ClientCorrelationValue,
    Tag::new(0x54, 1),
];

fn strange() -> impl Strategy<Value = Item> {
    let leaf = prop_oneof![
        (-1..5_i32).prop_map(Value::Integer),
        (0..64_u32).prop_map(Value::Enumeration),
        any::<bool>().prop_map(Value::Boolean),
        "[a-z]{0,3}".prop_map(Value::TextString),
        any::<[u8; 2]>().prop_map(|bytes| Value::ByteString(bytes.as_slice().into())),
    ];
    let tagged = |value| (proptest::sample::select(&TAGS[..]), value);
    let leaf = tagged(leaf.boxed()).prop_map(|(tag, value)| Item::new(tag, value));
    leaf.prop_recursive(4, 40, 5, move |inner| {
        let items = proptest::collection::vec(inner, 0..5);
        (proptest::sample::select(&TAGS[..]), items)
            .prop_map(|(tag, items)| Item::new(tag, Value::Structure(items)))
    })
}

/// A good request with one operation, and what else its header has.
fn request(more: impl IntoIterator<Item = Item>) -> Vec<Item> {
    let version = Structure::new(tag::ProtocolVersion)
        .integer(tag::ProtocolVersionMajor, 2)
        .integer(tag::ProtocolVersionMinor, 1);
    let header = Structure::new(tag::RequestHeader)
        .structure(version)
        .items(more)
        .integer(tag::BatchCount, 1);
    let item = Structure::new(tag::BatchItem)
        .enumeration(tag::Operation, values::Operation::Locate)
        .structure(Structure::new(tag::RequestPayload));
    vec![header.into(), item.into()]
}

fn message(items: Vec<Item>) -> Item {
    Item::new(tag::RequestMessage, Value::Structure(items))
}

fn answered(message: &Item) -> Result<usize, String> {
    let (answer, items) = match Asked::read(message) {
        Ok(asked) => {
            let replies = asked.items.iter().map(|_| Reply::done([]));
            (asked.answer(replies.collect()), asked.items.len())
        }
        Err(rejected) => (rejection(&rejected), 1),
    };
    let bytes = ttlv::encode(&answer).map_err(|error| error.to_string())?;
    let read = ttlv::decode(&bytes).map_err(|error| error.to_string())?;
    let read = Field::of(&read, tag::ResponseMessage).map_err(|error| error.to_string())?;
    let found = read
        .children(tag::BatchItem)
        .map_err(|error| error.to_string())?;
    match found.count() {
        count if count == items => Ok(count),
        count => Err(format!("{count} answers to {items} items")),
    }
}

proptest! {
    #[test]
    fn whatever_comes_is_answered(items in proptest::collection::vec(strange(), 0..6)) {
        prop_assert!(answered(&message(items)).is_ok());
    }

    #[test]
    fn so_is_a_good_request_in_strange_company(
        header in proptest::collection::vec(strange(), 0..3),
        beside in proptest::collection::vec(strange(), 0..3),
        place in 0..3_usize,
    ) {
        let mut items = request(header);
        for item in beside {
            items.insert(place.min(items.len()), item);
        }
        prop_assert!(answered(&message(items)).is_ok());
    }
}

#[test]
fn whether_an_answer_may_come_later_is_said_in_two_ways() {
    use values::AsynchronousIndicator as indicator;
    let read = |value: Option<Value>| {
        let item = value.map(|value| Item::new(tag::AsynchronousIndicator, value));
        let asked = Asked::read(&message(request(item)));
        asked
            .map(|asked| asked.later)
            .map_err(|rejected| rejected.reason)
    };
    assert_eq!(read(None), Ok(Later::No));
    assert_eq!(read(Some(Value::Boolean(true))), Ok(Later::May));
    assert_eq!(read(Some(Value::Boolean(false))), Ok(Later::No));
    let number = |value: u32| Some(Value::Enumeration(value));
    assert_eq!(read(number(indicator::Mandatory)), Ok(Later::Must));
    assert_eq!(read(number(indicator::Optional)), Ok(Later::No));
    assert_eq!(read(number(indicator::Prohibited)), Ok(Later::No));
    let wrong = read(Some(Value::Integer(1)));
    assert_eq!(wrong, Err(values::ResultReason::InvalidMessage));
}

#[test]
fn what_a_caller_calls_its_request_and_its_items_comes_back() {
    let own = Item::new(
        tag::ClientCorrelationValue,
        Value::TextString("mine".into()),
    );
    let mut items = request([own.clone()]);
    if let Value::Structure(item) = &mut items[1].value {
        item.insert(
            1,
            Item::new(
                tag::UniqueBatchItemID,
                Value::ByteString(b"7".as_slice().into()),
            ),
        );
    }
    let asked = Asked::read(&message(items)).expect("a request");
    assert_eq!(asked.version, Version::V2_1);
    let answer = asked.answer(vec![Reply::failed(
        values::ResultReason::ItemNotFound,
        "no",
    )]);
    let answer = Field::of(&answer, tag::ResponseMessage).expect("an answer");
    let header = answer.child(tag::ResponseHeader).expect("a header");
    let called = header
        .child(tag::ClientCorrelationValue)
        .expect("it is there");
    assert_eq!(*called.item(), own);
    let item = answer.child(tag::BatchItem).expect("one");
    let id = item.child(tag::UniqueBatchItemID).expect("it is there");
    assert_eq!(id.bytes(), Ok(b"7".as_slice()));
}
