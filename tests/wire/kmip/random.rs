//! Random trees survive any chain of conversions; random bytes give an error or a tree that is written as those bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use wardcast::kmip::codec::{BigInteger, EncodeError, Item, Layout, Tag, Type, Value, View, tag};

/// Half of them have names, and some of these have values with names.
fn any_tag() -> impl Strategy<Value = Tag> {
    prop_oneof![
        (0x42_0000..0x42_0180u32).prop_map(|number| Tag::from_number(number).expect("24 bits")),
        prop::sample::select(
            &[
                tag::CryptographicUsageMask,
                tag::ResultStatus,
                tag::AttributeName,
                tag::AttributeValue,
                tag::AttributeReference,
            ][..]
        ),
        (0..0x100_0000u32).prop_map(|number| Tag::from_number(number).expect("24 bits")),
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    let number = prop_oneof![any::<i64>(), -9..9i64, (1i64 << 52) - 2..(1 << 52) + 2];
    prop_oneof![
        any::<i32>().prop_map(Value::Integer),
        number.clone().prop_map(Value::LongInteger),
        number
            .clone()
            .prop_map(|number| Value::BigInteger(number.into())),
        vec(any::<u8>(), 1..40).prop_map(|bytes| {
            Value::BigInteger(BigInteger::from_signed(&bytes).expect("bytes"))
        }),
        prop_oneof![any::<u32>(), 0..64u32].prop_map(Value::Enumeration),
        any::<bool>().prop_map(Value::Boolean),
        any::<String>().prop_map(Value::TextString),
        prop::sample::select(&["State", "Cryptographic Usage Mask", "x-Ours"][..])
            .prop_map(|name| Value::TextString(name.to_owned())),
        vec(any::<u8>(), 0..40).prop_map(|bytes| Value::ByteString(bytes.into())),
        number.clone().prop_map(Value::DateTime),
        (0..4_102_444_800i64).prop_map(Value::DateTime),
        any::<u32>().prop_map(Value::Interval),
        number.prop_map(Value::DateTimeExtended),
    ]
}

fn tree() -> impl Strategy<Value = Item> {
    let leaf = (any_tag(), scalar()).prop_map(|(tag, value)| Item::new(tag, value));
    leaf.prop_recursive(6, 64, 8, |inner| {
        let structure = (any_tag(), vec(inner, 0..8));
        structure.prop_map(|(tag, items)| Item::new(tag, Value::Structure(items)))
    })
}

fn view() -> impl Strategy<Value = View> {
    prop::sample::select(&[View::Ttlv, View::Json, View::Xml][..])
}

fn layout() -> impl Strategy<Value = Layout> {
    prop::sample::select(&[Layout::OneLine, Layout::Indented][..])
}

/// The first character of text that XML cannot write.
fn holds_what_xml_cannot(item: &Item) -> bool {
    let cannot = |c: char| (c < ' ' && !"\t\n\r".contains(c)) || "\u{fffe}\u{ffff}".contains(c);
    match &item.value {
        Value::Structure(items) => items.iter().any(holds_what_xml_cannot),
        Value::TextString(text) => text.contains(cannot),
        _ => false,
    }
}

proptest! {
    #[test]
    fn trees_survive_any_chain_of_conversions(
        tree in tree(),
        steps in vec((view(), layout()), 1..6),
    ) {
        let mut item = tree.clone();
        for (view, layout) in steps {
            let written = view.encode(&item, layout);
            if let Err(EncodeError::NotXml { .. }) = written {
                prop_assert!(view == View::Xml && holds_what_xml_cannot(&tree));
                continue;
            }
            prop_assert!(view != View::Xml || !holds_what_xml_cannot(&tree));
            item = view.decode(&written.expect("within the bounds")).expect("what was written");
            prop_assert_eq!(&item, &tree);
        }
    }

    #[test]
    fn damaged_messages_are_refused_or_are_others(
        tree in tree(),
        view in view(),
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
    ) {
        if let Ok(written) = view.encode(&tree, Layout::OneLine) {
            let mut bytes = written.to_vec();
            let at = at.index(bytes.len());
            bytes[at] = to;
            match view.decode(&bytes) {
                Err(error) => prop_assert!(error.offset <= bytes.len()),
                Ok(item) if view == View::Ttlv => {
                    let again = view.encode(&item, Layout::OneLine).expect("within the bounds");
                    prop_assert_eq!(&again[..], &bytes[..]);
                }
                Ok(_) => {}
            }
            prop_assert!(view.decode(&bytes[..at]).is_err(), "a part is no message");
        }
    }

    #[test]
    fn random_bytes_are_no_trouble(bytes in vec(any::<u8>(), 0..200), view in view()) {
        if let Err(error) = view.decode(&bytes) {
            prop_assert!(error.offset <= bytes.len());
        }
    }

    #[test]
    fn what_looks_like_json_is_json_to_others(text in r#"[{}\[\]:, "a-z0-9\\u.+-]{0,40}"#) {
        if View::Json.decode(text.as_bytes()).is_ok() {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
        }
    }
}

#[test]
fn every_type_is_among_the_trees() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..500 {
        seen.insert(
            scalar()
                .new_tree(&mut runner)
                .expect("a value")
                .current()
                .kind(),
        );
    }
    assert_eq!(
        seen.len(),
        Type::ALL.len() - 1,
        "all but structures: {seen:?}"
    );
}
