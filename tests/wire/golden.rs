//! Golden vectors: `tests/vectors/wire.json` holds every message byte for byte, for this implementation and any other.
//!
//! After a change of the format that is meant, write them anew and read the difference:
//! `WARDCAST_REGENERATE=1 cargo test --test wire`. Refused where `CI` is set.

use std::fmt::Debug;
use std::path::Path;

use serde_json::{Value, json};
use wardcast::group::ids::{Epoch, GroupId, MemberId, Suite};
use wardcast::group::wire::*;

use crate::samples::{self, GROUP, KEY_ID, SIGNATURE, TAG};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/wire.json");

/// Meaning for people, bytes for programs.
fn vector(name: &str, bytes: &[u8]) -> Value {
    json!({
        "name": name,
        "meaning": samples::diagnostic(bytes),
        "hex": hex(bytes),
    })
}

fn messages<M: Message>(samples: &[(&'static str, M)]) -> Value {
    let vectors = samples.iter();
    vectors
        .map(|(name, message)| vector(name, &message.to_bytes()))
        .collect()
}

fn names() -> Value {
    let (leaf, public, agreement) = (samples::key(0, 27, 1, 0), [0x04; 65], [0x05; 65]);
    let transcript = grant_transcript(
        Suite::One,
        &GROUP,
        MemberId(70_001),
        &leaf,
        &public,
        &agreement,
    );
    let transcript_two = grant_transcript(
        Suite::Two,
        &GROUP,
        MemberId(70_001),
        &leaf,
        &[0x06; 1_216],
        &[0x07; 32],
    );
    let indices = [
        (0, 1),
        (0, 255),
        (0, 256),
        (0, 300),
        (0x67aa_c604, 1),
        (7, (1 << 32) + 9),
    ];
    let indices = indices.map(|(group, epoch)| {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&u32::to_be_bytes(group));
        let id = GroupId(id);
        json!({ "group": id.to_string(), "epoch": epoch, "spi": spi(&id, Epoch(epoch)) })
    });
    json!({
        "grant transcript": vector("grant transcript", &transcript),
        "grant transcript in suite 2, before the ciphertext": hex(&transcript_two),
        "spi": indices,
        "key id": { "signing": hex(&public), "key id": hex(&key_id(&public)) },
    })
}

fn header() -> Value {
    let header = samples::header();
    let bytes = header.assemble(KEY_ID, TAG, &SIGNATURE);
    json!({
        "header": vector("header", &bytes),
        "prefix": hex(&header.prefix(KEY_ID)),
        "tag": hex(&TAG),
        "signature": hex(&SIGNATURE),
        "key id": hex(&KEY_ID),
    })
}

/// Of suite 2: another algorithm, and a signature of 3309 bytes.
fn header_two() -> Value {
    let header = samples::header_two();
    let bytes = header.assemble(KEY_ID, TAG, &samples::SIGNATURE_TWO);
    json!({
        "header": vector("header", &bytes),
        "prefix": hex(&header.prefix(KEY_ID)),
    })
}

/// What a token signs of an audit trail: no message, but what an auditor's own program has to build.
fn audit_head() -> Value {
    let head = TrailHead {
        sequence: 70_000,
        digest: [0xd1; 32],
    };
    json!({
        "sequence": head.sequence,
        "digest": hex(&head.digest),
        "signed": hex(&head.signed(Suite::One)),
        "signed in suite 2": hex(&head.signed(Suite::Two)),
    })
}

fn numbers() -> Value {
    macro_rules! table {
        ($name:ident) => {
            $name::ALL
                .iter()
                .map(|reason| (reason.number().to_string(), json!(reason.text())))
                .collect::<serde_json::Map<_, _>>()
        };
    }
    json!({
        "refusals": table!(RefusalCode),
        "removals": table!(RemovalReason),
        "nacks": table!(NackCode),
        "closes": table!(CloseCode),
    })
}

fn expected() -> Value {
    json!({
        "about": "Messages of wardcast/1, written by tests/wire/golden.rs; hex is normative, meaning is CBOR diagnostic notation.",
        "requests": messages(&samples::requests()),
        "responses": messages(&samples::responses()),
        "pushes": messages(&samples::pushes()),
        "push replies": messages(&samples::push_replies()),
        "epoch header": header(),
        "epoch header in suite 2": header_two(),
        "audit head": audit_head(),
        "names": names(),
        "numbers": numbers(),
    })
}

/// Whether vectors are to be written anew.
pub(crate) fn regenerating() -> bool {
    let asked = std::env::var_os("WARDCAST_REGENERATE").is_some();
    assert!(
        !asked || std::env::var_os("CI").is_none(),
        "golden vectors are not written in CI"
    );
    asked
}

/// Writes vectors; at once, as other tests may be reading them.
pub(crate) fn replace(file: &str, vectors: &Value) {
    let mut vectors = vectors.clone();
    // In an order that no feature of the library changes.
    vectors.sort_all_objects();
    let text = serde_json::to_string_pretty(&vectors).unwrap();
    let new = Path::new(file).with_extension("new");
    std::fs::write(&new, text + "\n").unwrap();
    std::fs::rename(&new, file).unwrap();
}

fn golden() -> Value {
    serde_json::from_slice(&std::fs::read(FILE).unwrap()).unwrap()
}

#[test]
fn golden_messages_are_what_is_encoded() {
    let expected = expected();
    if regenerating() {
        replace(FILE, &expected);
    }
    let golden = golden();
    for (section, vectors) in expected.as_object().unwrap() {
        assert_eq!(&golden[section], vectors, "section {section:?} of {FILE}");
    }
    assert_eq!(golden, expected);
}

fn decodes<M: Message + PartialEq + Debug>(section: &str, samples: &[(&'static str, M)]) {
    let golden = golden();
    let vectors = golden[section].as_array().unwrap();
    assert_eq!(vectors.len(), samples.len(), "{section}");
    for (vector, (name, message)) in vectors.iter().zip(samples) {
        assert_eq!(vector["name"], *name);
        let bytes = unhex(vector["hex"].as_str().unwrap());
        assert_eq!(
            M::from_bytes(&bytes).as_ref(),
            Ok(message),
            "{section}: {name}"
        );
    }
}

#[test]
fn golden_messages_decode_to_what_they_mean() {
    decodes("requests", &samples::requests());
    decodes("responses", &samples::responses());
    decodes("pushes", &samples::pushes());
    decodes("push replies", &samples::push_replies());
}

#[test]
fn the_golden_header_parses() {
    let golden = golden();
    let field = |name: &str| unhex(golden["epoch header"][name].as_str().unwrap());
    let bytes = unhex(golden["epoch header"]["header"]["hex"].as_str().unwrap());
    let parsed = EpochHeader::parse(&bytes).unwrap();
    assert_eq!(parsed.header, samples::header());
    assert_eq!(parsed.prefix(), field("prefix"));
    assert_eq!(parsed.tag[..], field("tag"));
    assert_eq!(parsed.signature[..], field("signature"));
    assert_eq!(parsed.key_id[..], field("key id"));
}

#[test]
fn every_numbered_reason_reads_back() {
    for number in 0..1000 {
        assert_eq!(RefusalCode::from_number(number).number(), number);
        assert_eq!(RemovalReason::from_number(number).number(), number);
        assert_eq!(NackCode::from_number(number).number(), number);
        assert_eq!(CloseCode::from_number(number).number(), number);
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
