//! Vectors: `tests/vectors/kmip/values.json` has each type in each encoding, `refused.json` what is refused and how.

use serde::Deserialize;
use wardcast::kmip::codec::{Layout, View};

#[derive(Deserialize)]
struct Vector {
    name: String,
    ttlv: String,
    json: String,
    xml: String,
}

#[derive(Deserialize)]
struct Refused {
    name: String,
    view: String,
    input: String,
    error: String,
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("../../vectors/kmip/values.json")).expect("vectors")
}

pub(super) fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex"))
        .collect()
}

#[test]
fn each_type_is_read_and_written_in_each_encoding() {
    for vector in vectors() {
        let name = &vector.name;
        let ttlv = unhex(&vector.ttlv);
        let item = View::Ttlv.decode(&ttlv).expect(name);
        let forms = [
            (View::Ttlv, &ttlv[..]),
            (View::Json, vector.json.as_bytes()),
            (View::Xml, vector.xml.as_bytes()),
        ];
        for (view, form) in forms {
            assert_eq!(view.decode(form), Ok(item.clone()), "{name}: {view} read");
            let written = view.encode(&item, Layout::OneLine).expect(name);
            let text = String::from_utf8_lossy;
            assert_eq!(text(&written), text(form), "{name}: {view} written");
            assert_eq!(view.decode_all(form), Ok(vec![item.clone()]), "{name}");
        }
        // JSON is JSON to others, too, and white space means nothing.
        let indented = View::Json.encode(&item, Layout::Indented).expect(name);
        let others = |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).expect(name);
        assert_eq!(others(&indented), others(vector.json.as_bytes()), "{name}");
    }
}

#[test]
fn what_is_refused_is_refused_with_the_place_and_the_reason() {
    let refused: Vec<Refused> =
        serde_json::from_str(include_str!("../../vectors/kmip/refused.json")).expect("vectors");
    for vector in refused {
        let (view, input) = match &*vector.view {
            "ttlv" => (View::Ttlv, unhex(&vector.input)),
            "json" => (View::Json, vector.input.into_bytes()),
            _ => (View::Xml, vector.input.into_bytes()),
        };
        let said = match view.decode(&input) {
            Ok(item) => format!("accepted: {item:?}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(said, vector.error, "{view}: {}", vector.name);
    }
}

#[test]
fn what_the_standard_leaves_open_is_read_too() {
    let pairs = [
        (
            View::Json,
            r#"{"value":"0x00000007","type":"Integer","tag":"0x42000D"}"#,
            "BatchCount 7",
        ),
        (
            View::Json,
            r#"{"tag":"0x540001","name":"ours","type":"Integer","value":"7"}"#,
            "0x540001 7",
        ),
        (
            View::Json,
            r#" { "tag" : "\u0044ata" , "value" : [ ] } "#,
            "Data []",
        ),
        (
            View::Json,
            r#"{"tag":"ResultStatus","type":"Enumeration","value":1}"#,
            "ResultStatus OperationFailed",
        ),
        (
            View::Json,
            r#"{"tag":"Fresh","type":"Boolean","value":"0x0000000000000001"}"#,
            "Fresh true",
        ),
        (
            View::Json,
            r#"{"tag":"TimeStamp","type":"DateTime","value":"0x0000000000000009"}"#,
            "TimeStamp 9 s",
        ),
        (
            View::Json,
            r#"{"tag":"CryptographicUsageMask","type":"Integer","value":"0x1 | Verify"}"#,
            "CryptographicUsageMask 3",
        ),
        (
            View::Xml,
            "<BatchCount type='Integer' value='0x7'></BatchCount>",
            "BatchCount 7",
        ),
        (
            View::Xml,
            "<BatchItem type='Structure'></BatchItem>",
            "BatchItem []",
        ),
        (
            View::Xml,
            "<TimeStamp type='DateTime' value='1970-01-01T10:00:09.999+10:00'/>",
            "TimeStamp 9 s",
        ),
        (
            View::Xml,
            "<TimeStamp type='DateTimeExtended' value='1970-01-01T00:00:00.000009Z'/>",
            "TimeStamp 9 us",
        ),
        (
            View::Xml,
            "<ResultMessage type='TextString' value='a\n&#65;&apos;'/>",
            r#"ResultMessage "a A'""#,
        ),
    ];
    for (view, text, meant) in pairs {
        let item = view.decode(text.as_bytes());
        assert_eq!(
            item.map(|item| format!("{item:?}")),
            Ok(meant.to_owned()),
            "{text}"
        );
    }
}
