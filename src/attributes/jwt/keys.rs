//! A key set as an issuer publishes it (RFC 7517): the keys of it that check signatures, by their names.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use super::Refused;

/// Keys of a set that are taken; providers have a handful.
const MAX_KEYS: usize = 64;
/// The name of a key that a token does not name.
const UNNAMED: &str = "(none named)";

/// The keys of an issuer.
#[derive(Default)]
pub(super) struct Keys(Vec<Known>);

struct Known {
    id: Option<String>,
    /// All that it may be used with.
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

impl Keys {
    /// Keys of kinds that nobody here knows do no harm to the others (RFC 7517 section 5); a set with none that serves does.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let set: Set =
            serde_json::from_slice(text).map_err(|error| format!("it is no key set: {error}"))?;
        if set.keys.len() > MAX_KEYS {
            return Err(format!("{} keys; at most {MAX_KEYS}", set.keys.len()));
        }
        let keys: Vec<Known> = set.keys.into_iter().filter_map(known).collect();
        match keys.is_empty() {
            true => Err("it has no public key for signatures".into()),
            false => Ok(Self(keys)),
        }
    }

    /// The key of this name that serves with the algorithm. A token that names none is of the only one that serves.
    pub(super) fn find(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<DecodingKey, Refused> {
        let serves = |known: &&Known| known.algorithms.contains(&algorithm);
        let named = |known: &&Known| id.is_none() || known.id.as_deref() == id;
        let mut found = self.0.iter().filter(serves).filter(named);
        match (found.next(), found.next()) {
            (Some(known), None) => Ok(known.key.clone()),
            // Of several with one name none is the one that is meant.
            _ => Err(Refused::UnknownKey(super::told(id.unwrap_or(UNNAMED)))),
        }
    }
}

fn known(value: Value) -> Option<Known> {
    let stated = value.get("alg").cloned();
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let signs = !matches!(
        jwk.common.public_key_use,
        Some(PublicKeyUse::Encryption | PublicKeyUse::Other(_))
    );
    let fits = algorithms(&jwk.algorithm);
    let algorithms: Vec<Algorithm> = match stated {
        None => fits,
        Some(stated) => {
            let stated: Option<Algorithm> = stated.as_str().and_then(|name| name.parse().ok());
            fits.into_iter()
                .filter(|fit| Some(*fit) == stated)
                .collect()
        }
    };
    (signs && !algorithms.is_empty()).then_some(())?;
    Some(Known {
        id: jwk.common.key_id.clone(),
        algorithms,
        key: DecodingKey::from_jwk(&jwk).ok()?,
    })
}

/// What a kind of key can be used with; nothing for secrets, which are no keys of an issuer.
fn algorithms(parameters: &AlgorithmParameters) -> Vec<Algorithm> {
    match parameters {
        AlgorithmParameters::RSA(_) => AlgorithmFamily::Rsa.algorithms().to_vec(),
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => vec![Algorithm::ES256],
            EllipticCurve::P384 => vec![Algorithm::ES384],
            _ => Vec::new(),
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            vec![Algorithm::EdDSA]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// RFC 7517 appendix A.1.
    const X: &str = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";
    const Y: &str = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM";

    fn ec(changes: Value) -> Value {
        let mut key = json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y, "kid": "a"});
        let (Some(key), Value::Object(changes)) = (key.as_object_mut(), changes) else {
            panic!("two objects")
        };
        key.extend(changes);
        Value::Object(key.clone())
    }

    fn parse(keys: &[Value]) -> Result<Keys, String> {
        Keys::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn keys_are_found_by_name_and_by_what_they_serve_for() {
        let strange = [json!({"kty": "new", "kid": "b"}), json!(7), json!({})];
        let other = ec(json!({"kid": "c", "use": "sig", "alg": "ES256"}));
        let keys = parse(&[&strange[..], &[ec(json!({})), other]].concat()).expect("two keys");
        assert!(keys.find(Some("a"), Algorithm::ES256).is_ok());
        assert!(keys.find(Some("c"), Algorithm::ES256).is_ok());
        for (id, algorithm) in [
            (Some("a"), Algorithm::RS256),
            (Some("b"), Algorithm::ES256),
            (None, Algorithm::ES256),
        ] {
            assert!(matches!(
                keys.find(id, algorithm),
                Err(Refused::UnknownKey(_))
            ));
        }
        let alone = parse(&[ec(json!({}))]).expect("a key");
        assert!(alone.find(None, Algorithm::ES256).is_ok());
        let twice = parse(&[ec(json!({})), ec(json!({}))]).expect("two keys");
        assert!(twice.find(Some("a"), Algorithm::ES256).is_err());
    }

    #[test]
    fn what_is_no_public_key_for_signatures_is_left_out() {
        let secret = json!({"kty": "oct", "k": "c2VjcmV0", "kid": "a", "alg": "HS256"});
        for unusable in [
            secret,
            ec(json!({"use": "enc"})),
            ec(json!({"alg": "ES384"})),
            ec(json!({"alg": "none"})),
            ec(json!({"crv": "P-521"})),
        ] {
            let refused = parse(std::slice::from_ref(&unusable)).err();
            assert!(
                refused.is_some_and(|why| why.contains("no public key")),
                "{unusable}"
            );
        }
        let many = vec![ec(json!({})); MAX_KEYS + 1];
        assert!(parse(&many).is_err_and(|why| why.starts_with("65 keys")));
        assert!(Keys::parse(b"<html>").is_err());
    }
}
