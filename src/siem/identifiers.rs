//! Who and what the trail names, as a sink may have it: in clear, or as hashes that nobody undoes who has not the key.
//!
//! A hash is `h:` and the first 128 bits of HMAC-SHA256 (RFC 2104, FIPS 198-1) over the identifier's UTF-8, in hexadecimal digits:
//! `h:9d3c2a…`. The same identifier has the same hash wherever it stands, so that records are still about somebody, and
//! `wardcast audit hash` finds who that is among those one knows of. Without the key nobody can try out names.
//!
//! What is not known to be none counts as an identifier: of what a record says, only the words of the gateway's own stay (events,
//! roles, suites, outcomes, reasons of departures), digests, signatures, times, numbers, and the random identifiers of groups. Names
//! within the paths of calls are hashed by themselves, so that the rest of a path stays.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::secret::{self, SecretError};

/// What hashes begin with.
const PREFIX: &str = "h:";
/// Bytes of one.
const BYTES: usize = 16;
/// Fields whose text names nobody: words of the gateway's own, keys of its configuration, digests and signatures, times.
const CLEAR: &[&str] = &[
    "action",
    "applied",
    "digest",
    "event",
    "head",
    "issuer",
    "kind",
    "needs_restart",
    "nonce",
    "operation",
    "outcome",
    "previous",
    "reason",
    "role",
    "roles",
    "signature",
    "since",
    "state",
    "suite",
    "time",
    "version",
];
/// What stands in the paths of calls before a name.
const BEFORE_NAMES: &[&str] = &["groups", "members", "objects"];

/// Hashes identifiers, with the key of a file. Shown as `IdentifierKey(..)`, erased on drop.
#[derive(Clone)]
pub struct IdentifierKey(Arc<Zeroizing<Vec<u8>>>);

impl IdentifierKey {
    /// The content of a file, all of it.
    ///
    /// # Errors
    /// When it cannot be read, or is too short to be a key.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        Ok(Self(Arc::new(secret::key(path)?)))
    }

    /// The hash of an identifier: an identity such as `cn:alice`, or a group's name, as the trail has it.
    pub fn hash(&self, identifier: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0)
            .expect("HMAC takes keys of any length (RFC 2104, section 2)");
        mac.update(identifier.as_bytes());
        let hash = mac.finalize().into_bytes();
        format!("{PREFIX}{}", HEXLOWER.encode(&hash[..BYTES]))
    }
}

impl fmt::Debug for IdentifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentifierKey(..)")
    }
}

/// How a sink has identifiers.
#[derive(Clone, Debug, Default)]
pub enum Identifiers {
    /// As they are.
    #[default]
    Clear,
    /// As hashes.
    Hashed(IdentifierKey),
}

impl Identifiers {
    /// One identifier.
    pub(super) fn name(&self, name: &str) -> String {
        match self {
            Identifiers::Clear => name.to_owned(),
            Identifiers::Hashed(key) => key.hash(name),
        }
    }

    /// A field, with all that is in it.
    pub(super) fn field(&self, field: &str, value: &mut Value) {
        let Identifiers::Hashed(key) = self else {
            return;
        };
        match value {
            Value::String(_) if CLEAR.contains(&field) => {}
            Value::String(text) if field == "call" => *text = call(key, text),
            Value::String(text) if !text.is_empty() => *text = key.hash(text),
            Value::Array(values) => values.iter_mut().for_each(|value| self.field(field, value)),
            Value::Object(fields) => fields
                .iter_mut()
                .for_each(|(field, value)| self.field(field, value)),
            _ => {}
        }
    }
}

/// The names in a call, such as `PUT /v1/groups/studio/policy`; all of what is no call of ours.
fn call(key: &IdentifierKey, call: &str) -> String {
    let known = call.split_once(' ').filter(|(method, path)| {
        method.bytes().all(|sign| sign.is_ascii_uppercase()) && path.starts_with("/v1/")
    });
    let Some((method, path)) = known else {
        return match call.bytes().all(|sign| sign.is_ascii_alphabetic()) {
            true => call.to_owned(), // an operation's name
            false => key.hash(call),
        };
    };
    let mut is_name = false;
    let segments = path.split('/').map(|segment| {
        let shown = match is_name {
            true => key.hash(&percent_decode_str(segment).decode_utf8_lossy()),
            false => segment.to_owned(),
        };
        is_name = BEFORE_NAMES.contains(&segment);
        shown
    });
    let path: Vec<String> = segments.collect();
    format!("{method} {}", path.join("/"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key() -> IdentifierKey {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        std::fs::write(&path, [0x0b; 32]).expect("written");
        IdentifierKey::read(&path).expect("a key")
    }

    #[test]
    fn a_hash_is_the_beginning_of_the_standards_one() {
        // As `openssl dgst -sha256 -mac HMAC -macopt hexkey:0b0b…` has it.
        let hash = key().hash("cn:alice");
        assert_eq!(hash, "h:63f250771401058b435846b9562bc3cd");
        assert_eq!(format!("{:?}", key()), "IdentifierKey(..)");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        std::fs::write(&path, [1; 31]).expect("written");
        let short = IdentifierKey::read(&path).expect_err("is too short");
        assert!(matches!(short, SecretError::NoKey { length: 31, .. }));
    }

    #[test]
    fn what_may_be_an_identifier_is_hashed_and_what_is_none_stays() {
        let key = key();
        let hash = |text: &str| key.hash(text);
        let hashed = Identifiers::Hashed(key.clone());
        let mut value = json!({
            "identity": "cn:alice",
            "role": "both",
            "epoch": 7,
            "note": "left with cn:bob",
            "applied": ["tls.certificate"],
            "new field": "cn:carol",
            "policy": { "admit": [{ "identity": "dns:*.test", "roles": ["sender"] }] },
            "call": "PUT /v1/groups/board%20room/policy",
        });
        hashed.field("", &mut value);
        let expected = json!({
            "identity": hash("cn:alice"),
            "role": "both",
            "epoch": 7,
            "note": hash("left with cn:bob"),
            "applied": ["tls.certificate"],
            "new field": hash("cn:carol"),
            "policy": { "admit": [{ "identity": hash("dns:*.test"), "roles": ["sender"] }] },
            "call": format!("PUT /v1/groups/{}/policy", hash("board room")),
        });
        assert_eq!(value, expected);
        assert_eq!(call(&key, "Locate"), "Locate");
        assert_eq!(call(&key, "GET /secret"), hash("GET /secret"));
    }
}
