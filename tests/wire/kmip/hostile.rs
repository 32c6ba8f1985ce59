//! Hostile input: each bound is kept, at a cost linear in what is there.

use std::time::{Duration, Instant};

use wardcast::kmip::codec::limits::{MAX_DEPTH, MAX_ITEMS, MAX_MESSAGE, MAX_TEXT};
use wardcast::kmip::codec::{EncodeError, Fault, Item, Layout, Value, View, tag};

const VIEWS: [View; 3] = [View::Ttlv, View::Json, View::Xml];

/// Structures within each other.
fn nested(depth: usize) -> Item {
    let empty = Item::new(tag::Data, Value::Structure(Vec::new()));
    (1..depth).fold(empty, |item, _| {
        Item::new(tag::Data, Value::Structure(vec![item]))
    })
}

/// The same in each encoding, written by hand: the encoders refuse what is too deep.
fn nested_by_hand(view: View, depth: usize) -> Vec<u8> {
    match view {
        View::Ttlv => {
            let header = |level: usize| {
                let length = u32::try_from(8 * (depth - level)).expect("short");
                [&[0x42, 0x00, 0xc2, 1][..], &length.to_be_bytes()].concat()
            };
            (1..=depth).flat_map(header).collect()
        }
        View::Json => {
            let open = r#"{"tag":"Data","value":["#.repeat(depth);
            (open + &"]}".repeat(depth)).into_bytes()
        }
        View::Xml => ("<Data>".repeat(depth) + &"</Data>".repeat(depth)).into_bytes(),
    }
}

#[test]
fn depth_is_bounded() {
    for view in VIEWS {
        let deepest = nested(MAX_DEPTH);
        let written = view
            .encode(&deepest, Layout::OneLine)
            .expect("as deep as may be");
        assert_eq!(view.decode(&written), Ok(deepest));
        assert_eq!(
            view.encode(&nested(MAX_DEPTH + 1), Layout::OneLine),
            Err(EncodeError::TooDeep)
        );
        for depth in [MAX_DEPTH + 1, 1000, 50_000] {
            let error = view
                .decode(&nested_by_hand(view, depth))
                .expect_err("too deep");
            assert_eq!(error.fault, Fault::TooDeep, "{view}, {depth}");
        }
        let unfinished = nested_by_hand(view, 100_000);
        assert!(view.decode(&unfinished[..unfinished.len() / 2]).is_err());
    }
}

#[test]
fn items_are_bounded() {
    let wide = |count: usize| {
        let empty = Item::new(tag::Data, Value::Structure(Vec::new()));
        Item::new(tag::BatchItem, Value::Structure(vec![empty; count]))
    };
    let many = |view: View, count: usize| match view {
        View::Ttlv => {
            let length = u32::try_from(8 * count).expect("short");
            let mut bytes = [&[0x42, 0x00, 0x0f, 1][..], &length.to_be_bytes()].concat();
            bytes.extend([0x42, 0x00, 0xc2, 1, 0, 0, 0, 0].repeat(count));
            bytes
        }
        View::Json => {
            let items = vec![r#"{"tag":"Data","value":[]}"#; count].join(",");
            format!(r#"{{"tag":"BatchItem","value":[{items}]}}"#).into_bytes()
        }
        View::Xml => format!("<BatchItem>{}</BatchItem>", "<Data/>".repeat(count)).into_bytes(),
    };
    for view in VIEWS {
        let widest = wide(MAX_ITEMS - 1);
        let written = view
            .encode(&widest, Layout::Indented)
            .expect("as wide as may be");
        assert_eq!(view.decode(&written), Ok(widest));
        assert_eq!(
            view.encode(&wide(MAX_ITEMS), Layout::OneLine),
            Err(EncodeError::TooMany)
        );
        let error = view.decode(&many(view, MAX_ITEMS)).expect_err("too many");
        assert_eq!(error.fault, Fault::TooMany, "{view}");
    }
}

#[test]
fn length_is_bounded() {
    let of = |length: usize| Item::new(tag::KeyMaterial, Value::ByteString(vec![7; length].into()));
    for view in VIEWS {
        let longest = of(MAX_MESSAGE - 8);
        let written = view
            .encode(&longest, Layout::OneLine)
            .expect("as long as may be");
        assert_eq!(view.decode(&written), Ok(longest));
        assert_eq!(
            view.encode(&of(MAX_MESSAGE), Layout::OneLine),
            Err(EncodeError::TooLarge(MAX_MESSAGE))
        );
    }
    for view in [View::Json, View::Xml] {
        let error = view
            .decode(&vec![b' '; MAX_TEXT + 1])
            .expect_err("too long");
        assert_eq!(error.fault, Fault::TooLarge(MAX_TEXT));
    }
}

#[test]
fn the_most_that_can_be_written_can_be_read() {
    // Masks of all bits and characters that need six.
    let mask = Item::new(tag::CryptographicUsageMask, Value::Integer(-1));
    let mut items = vec![mask; MAX_ITEMS - 2];
    let left = MAX_MESSAGE - 16 * (MAX_ITEMS - 1);
    items.push(Item::new(
        tag::ResultMessage,
        Value::TextString("\"".repeat(left)),
    ));
    let item = Item::new(tag::BatchItem, Value::Structure(items));
    for view in VIEWS {
        let written = view
            .encode(&item, Layout::Indented)
            .expect("within the bounds");
        assert_eq!(view.decode(&written), Ok(item.clone()), "{view}");
    }
}

#[test]
fn cost_is_linear() {
    // Any of these would take minutes if it were quadratic.
    let began = Instant::now();
    let attributes: String = (0..400_000).map(|n| format!(" xmlns:a{n}=''")).collect();
    let cases = [
        (View::Xml, format!("<Data{attributes}/>")),
        (View::Xml, format!("<{}/>", "a".repeat(4_000_000))),
        (View::Xml, format!("<Data {}", "a='".repeat(1_000_000))),
        (View::Xml, "<!--".repeat(1_000_000)),
        (
            View::Json,
            format!(r#"{{"tag":"{}"}}"#, "\\u0041".repeat(2_000_000)),
        ),
        (
            View::Json,
            format!(r#"{{"tag":"Data","value":{}}}"#, "9".repeat(4_000_000)),
        ),
        (
            View::Json,
            format!(
                r#"{{"tag":"Modulus","type":"BigInteger","value":{}}}"#,
                "9".repeat(4_000_000)
            ),
        ),
        (View::Json, r#"{"value":["#.repeat(400_000)),
        (
            View::Json,
            format!(
                r#"{{"tag":"CryptographicUsageMask","type":"Integer","value":"{}"}}"#,
                "Sing|".repeat(1_000_000)
            ),
        ),
    ];
    for (view, text) in cases {
        let error = view.decode(text.as_bytes()).expect_err("refused");
        assert!(error.to_string().len() < 300, "{error}");
    }
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
}
