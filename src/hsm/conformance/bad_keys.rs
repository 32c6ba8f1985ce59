//! Members' keys that are none: answered, and never a reason to refuse the rest of a batch.

use super::*;

/// Public keys that are none, from the vectors, with the reason.
fn bad_keys(suite: Suite) -> Vec<(String, Bytes)> {
    let vectors = match suite {
        Suite::One => include_str!("../../../tests/vectors/suite1.json"),
        Suite::Two => include_str!("../../../tests/vectors/suite2.json"),
    };
    let vectors: serde_json::Value = serde_json::from_str(vectors).expect("vectors parse");
    let bytes = |value: &serde_json::Value| -> Vec<u8> {
        let text = value.as_str().expect("a string");
        let digits = (0..text.len()).step_by(2).map(|at| &text[at..at + 2]);
        let bytes = digits.map(|digits| u8::from_str_radix(digits, 16).expect("hexadecimal"));
        bytes.collect()
    };
    let list = |name: &str| vectors[name].as_array().expect("a list").iter();
    let why = |case: &serde_json::Value| case["why"].as_str().expect("a reason").to_owned();
    match suite {
        Suite::One => list("bad_points")
            .map(|case| (why(case), bytes(&case["public"]).into()))
            .collect(),
        Suite::Two => list("bad_keys")
            .map(|case| {
                let mut key = bytes(&vectors["grants"][0]["member_public"]);
                let (at, bad) = (
                    case["at"].as_u64().expect("a number"),
                    bytes(&case["bytes"]),
                );
                let at = usize::try_from(at).expect("a position");
                key[at..at + bad.len()].copy_from_slice(&bad);
                (why(case), key.into())
            })
            .collect(),
    }
}

pub(super) fn bad_keys_are_answered_and_the_rest_is_executed(config: &TokenConfig, suite: Suite) {
    let mut token = session(config);
    let member = MemberKey::generate(suite);
    let leaf = key(0, 0, 1, 0);
    let issuer = issuer(token.as_ref(), suite);
    let short = ("cut short".to_owned(), member.public().slice(1..));
    for (why, public) in bad_keys(suite).into_iter().chain([short]) {
        let bad = Operation::Grant {
            leaf,
            member: public,
            transcript: vec![],
        };
        let outputs = token.execute_one(&batch_of(suite, vec![bad, grant(leaf, &member)]));
        let outputs = outputs.expect("executes");
        assert_eq!(outputs[0], Output::BadPublicKey, "{why}");
        assert!(opened(&member, &issuer, &outputs[1]).is_some(), "{why}");
    }
}
