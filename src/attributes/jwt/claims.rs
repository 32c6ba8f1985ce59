//! What a token claims, as attributes.

use std::collections::BTreeSet;

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};

use super::Refused;
use crate::attributes::{MAX_NAMES, MAX_VALUE, MAX_VALUES, Values};

/// What a token that was verified claims.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Whom it is about: `sub`.
    pub subject: Option<String>,
    /// SHA-256 of the certificate that it is bound to: `cnf` with `x5t#S256` (RFC 8705 section 3.1). With any other certificate
    /// it is nobody's.
    pub bound_to: Option<[u8; 32]>,
    /// Until when it is taken, in seconds since 1970: its `exp`, and what clocks may differ by.
    pub until: i64,
    /// The claims that were asked for, by the names that they were asked for by. What a token does not have is not there.
    pub attributes: Values,
}

impl Claims {
    pub(super) fn new(claims: Map<String, Value>, wanted: &[String]) -> Result<Self, Refused> {
        let attributes = wanted.iter().take(MAX_NAMES).filter_map(|name| {
            let values = match (name.as_str(), find(&claims, name)?) {
                // RFC 8693 section 4.2: a list with spaces between.
                ("scope", Value::String(scope)) => bounded(scope.split(' ').map(str::to_owned)),
                (_, value) => texts(value),
            };
            (!values.is_empty()).then(|| (name.clone(), values))
        });
        Ok(Self {
            subject: claims.get("sub").and_then(Value::as_str).map(str::to_owned),
            bound_to: bound_to(claims.get("cnf"))?,
            until: claims
                .get("exp")
                .and_then(Value::as_f64)
                .map_or(0, |until| until as i64),
            attributes: attributes.collect(),
        })
    }
}

/// A claim by its whole name, which may have dots in it (an URL has), else by its path.
fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(found) = claims.get(name) {
        return Some(found);
    }
    let mut parts = name.split('.');
    let first = claims.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.as_object()?.get(part))
}

/// The texts of a claim. An object has none, nor has a list within a list.
fn texts(value: &Value) -> BTreeSet<String> {
    let all = match value {
        Value::Array(all) => all.as_slice(),
        one => std::slice::from_ref(one),
    };
    bounded(all.iter().filter_map(text))
}

fn bounded(texts: impl Iterator<Item = String>) -> BTreeSet<String> {
    let fits = texts.filter(|text| (1..=MAX_VALUE).contains(&text.len()));
    fits.take(MAX_VALUES).collect()
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A binding that is not understood must not be taken for none.
fn bound_to(confirmation: Option<&Value>) -> Result<Option<[u8; 32]>, Refused> {
    let Some(confirmation) = confirmation else {
        return Ok(None);
    };
    let thumbprint = confirmation.get("x5t#S256").and_then(Value::as_str);
    let thumbprint = thumbprint.and_then(|text| BASE64URL_NOPAD.decode(text.as_bytes()).ok());
    match thumbprint.and_then(|bytes| bytes.try_into().ok()) {
        Some(thumbprint) => Ok(Some(thumbprint)),
        None => Err(Refused::Malformed(
            "it is bound by its claim \"cnf\" to something else than a certificate".into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(value: Value, wanted: &[&str]) -> Result<Claims, Refused> {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        let Value::Object(map) = value else {
            panic!("an object")
        };
        Claims::new(map, &wanted)
    }

    #[test]
    fn claims_become_sets_of_texts_by_name_or_path() {
        let token = json!({
            "sub": "anna", "level": 3, "staff": true, "groups": ["crew", 7, {"no": 1}, ["nor"]],
            "realm_access": {"roles": ["sender"]}, "https://example.org/desk": "news", "none": null, "empty": [], "scope": "join watch"
        });
        let wanted = [
            "level",
            "staff",
            "groups",
            "scope",
            "realm_access.roles",
            "https://example.org/desk",
            "none",
            "empty",
            "realm_access",
            "level.deeper",
            "absent",
        ];
        let claims = claims(token, &wanted).expect("good claims");
        assert_eq!(claims.subject.as_deref(), Some("anna"));
        assert_eq!(claims.bound_to, None);
        let found: Vec<(&str, Vec<&str>)> = claims
            .attributes
            .iter()
            .map(|(name, values)| (name.as_str(), values.iter().map(String::as_str).collect()))
            .collect();
        let expected = [
            ("groups", vec!["7", "crew"]),
            ("https://example.org/desk", vec!["news"]),
            ("level", vec!["3"]),
            ("realm_access.roles", vec!["sender"]),
            ("scope", vec!["join", "watch"]),
            ("staff", vec!["true"]),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_a_token_may_bring_is_bounded() {
        let many: Vec<String> = (0..2 * MAX_VALUES).map(|at| at.to_string()).collect();
        let long = "x".repeat(MAX_VALUE + 1);
        let claims = claims(
            json!({"many": many, "long": [long, "short"]}),
            &["many", "long"],
        );
        let attributes = claims.expect("good claims").attributes;
        assert_eq!(attributes["many"].len(), MAX_VALUES);
        assert_eq!(attributes["long"], BTreeSet::from(["short".to_owned()]));
    }

    #[test]
    fn a_binding_is_known_or_refused() {
        let thumbprint = BASE64URL_NOPAD.encode(&[7; 32]);
        let bound = claims(json!({"cnf": {"x5t#S256": thumbprint}}), &[]).expect("good claims");
        assert_eq!(bound.bound_to, Some([7; 32]));
        for other in [
            json!({"jkt": "x"}),
            json!({"x5t#S256": "short"}),
            json!("x"),
        ] {
            let refused = claims(json!({ "cnf": other }), &[]);
            assert!(matches!(refused, Err(Refused::Malformed(_))), "{other}");
        }
    }
}
