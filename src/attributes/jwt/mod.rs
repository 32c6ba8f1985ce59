//! Bearer tokens of an identity provider (OpenID Connect): JSON Web Tokens (RFC 7519), signed by keys that the provider publishes
//! as a key set (RFC 7517).
//!
//! Only signatures by a private key that the provider alone has are taken ([`ALGORITHMS`]): never `none`, and never HMAC, where
//! whoever can check a token can make one. What a token says about its own key (`jwk`, `jku`, `x5c`, `x5u`) is not read. A token
//! that is bound to a certificate (RFC 8705 section 3) says to which, and whoever takes the token compares.
//!
//! A token is never logged, and neither is a part of it that is a secret: a refusal names claims, never the signature.

mod claims;
mod jwks;
mod keys;

use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, TokenData, Validation, decode, decode_header};
use serde_json::{Map, Value};

use crate::tls::{self, TlsError, Trust};

pub use crate::group::limits::MAX_TOKEN;
pub use claims::Claims;
use jwks::Jwks;

/// The longest part of a token or of a key set that is told in a reason, in characters.
const MAX_TOLD: usize = 128;

/// The signatures that are taken, all of them by private keys.
pub const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
];

/// Whose tokens are taken, and what of them.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who issues them: their `iss`, exactly.
    pub issuer: String,
    /// Whom they are for: this must be among their `aud`.
    pub audience: String,
    /// Where the issuer's keys are: an `https` URL.
    pub jwks: String,
    /// What the clocks of issuer and gateway may differ by.
    pub leeway: Duration,
    /// How old the keys become before they are fetched again.
    pub refresh: Duration,
    /// How old they become while they cannot be fetched before they are not used any more.
    pub stale: Duration,
    /// The claims that become attributes: the name of a claim, or the path of one within others, such as `realm_access.roles`.
    pub claims: Vec<String>,
}

/// Why tokens cannot be taken at all.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The address of the keys.
    #[error(
        "jwks: {url:?} is no https URL: keys that come any other way could be anybody's; use https://HOST/PATH"
    )]
    NotHttps {
        /// What was named.
        url: String,
    },
    /// Whom its server must have a certificate of.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The client of its server.
    #[error("the client for the issuer's keys cannot be made: {0}")]
    Client(#[from] reqwest::Error),
}

/// Why a token is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no token, or one with parts that nobody here understands.
    #[error("the token is malformed: {0}")]
    Malformed(String),
    /// It is signed in a way that is not taken.
    #[error("the token is signed with {0:?}, which is not taken")]
    Algorithm(String),
    /// The issuer publishes no such key.
    #[error("the token is signed by a key that its issuer does not publish: {0:?}")]
    UnknownKey(String),
    /// The signature is not of the issuer's key.
    #[error("the token's signature is not its issuer's")]
    BadSignature,
    /// It has run out.
    #[error("the token has expired")]
    Expired,
    /// It is for later.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// Somebody else issued it.
    #[error("the token is of another issuer than {expected:?}")]
    WrongIssuer {
        /// Whose are taken.
        expected: String,
    },
    /// It is for somebody else.
    #[error("the token is for another audience than {expected:?}")]
    WrongAudience {
        /// What is taken.
        expected: String,
    },
    /// It does not say what it has to.
    #[error("the token has no claim {0:?}, or one that is none")]
    Missing(String),
    /// The issuer's keys are not known, or not any more.
    #[error("the issuer's keys cannot be had, so no token can be checked: {0}")]
    Unreachable(String),
}

impl Refused {
    /// A word for it, for metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Refused::Malformed(_) => "malformed",
            Refused::Algorithm(_) => "algorithm",
            Refused::UnknownKey(_) => "unknown_key",
            Refused::BadSignature => "bad_signature",
            Refused::Expired => "expired",
            Refused::NotYetValid => "not_yet_valid",
            Refused::WrongIssuer { .. } => "wrong_issuer",
            Refused::WrongAudience { .. } => "wrong_audience",
            Refused::Missing(_) => "missing_claim",
            Refused::Unreachable(_) => "issuer_unreachable",
        }
    }
}

/// Checks tokens of one issuer. Cheap to clone; clones share the issuer's keys.
///
/// ```no_run
/// # use wardcast::attributes::jwt::{Options, Refused, Tokens};
/// # async fn of(tokens: Tokens, presented: &str) -> Result<(), Refused> {
/// let claims = tokens.verify(presented).await?;
/// println!("{} has {:?}", claims.subject.unwrap_or_default(), claims.attributes);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Tokens {
    validation: Validation,
    authority: String,
    claims: Vec<String>,
    jwks: Jwks,
}

impl Tokens {
    /// Whose tokens are taken, and for whom they are: of tokens of another authority nothing counts here.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Nothing is fetched before the first token. The server of the keys must have a certificate of `trust`.
    pub fn new(options: Options, trust: &Trust) -> Result<Self, SetupError> {
        if !options.jwks.starts_with("https://") {
            return Err(SetupError::NotHttps { url: options.jwks });
        }
        let mut validation = Validation::new(ALGORITHMS[0]);
        validation.leeway = options.leeway.as_secs();
        validation.validate_nbf = true;
        validation.set_issuer(&[&options.issuer]);
        validation.set_audience(&[&options.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        let tls = tls::anonymous_client_config(trust, &[b"http/1.1"])?;
        Ok(Self {
            validation,
            authority: format!("{} for {}", options.issuer, options.audience),
            jwks: Jwks::new(options.jwks, tls, options.refresh, options.stale)?,
            claims: options.claims,
        })
    }

    /// What a token claims, if it is to be believed. May wait for the issuer's keys, for a few seconds at most.
    pub async fn verify(&self, token: &str) -> Result<Claims, Refused> {
        let verified = self.check(token).await;
        if let Err(refused) = &verified {
            metrics::counter!("wardcast_bearer_tokens_refused_total", "reason" => refused.word())
                .increment(1);
        }
        verified
    }

    async fn check(&self, token: &str) -> Result<Claims, Refused> {
        let header = header(token)?;
        let key = self.jwks.key(header.kid.as_deref(), header.alg).await?;
        let validation = Validation {
            algorithms: vec![header.alg],
            ..self.validation.clone()
        };
        let decoded: Result<TokenData<Map<String, Value>>, _> = decode(token, &key, &validation);
        let decoded = decoded.map_err(|error| self.refused(error.kind()))?;
        let claims = Claims::new(decoded.claims, &self.claims)?;
        let leeway = i64::try_from(self.validation.leeway).unwrap_or(i64::MAX);
        Ok(Claims {
            until: claims.until.saturating_add(leeway),
            ..claims
        })
    }

    fn refused(&self, kind: &ErrorKind) -> Refused {
        let only = |set: &Option<std::collections::HashSet<String>>| {
            set.iter().flatten().next().cloned().unwrap_or_default()
        };
        match kind {
            ErrorKind::ExpiredSignature => Refused::Expired,
            ErrorKind::ImmatureSignature => Refused::NotYetValid,
            ErrorKind::InvalidIssuer => Refused::WrongIssuer {
                expected: only(&self.validation.iss),
            },
            ErrorKind::InvalidAudience => Refused::WrongAudience {
                expected: only(&self.validation.aud),
            },
            ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => {
                Refused::Missing(claim.clone())
            }
            ErrorKind::InvalidToken | ErrorKind::Utf8(_) => {
                Refused::Malformed("it is not made of three parts of base64url".into())
            }
            ErrorKind::Base64(error) => Refused::Malformed(error.to_string()),
            ErrorKind::Json(_) => Refused::Malformed("its claims are no JSON object".into()),
            // What is wrong with a key of the issuer's is that this token is not signed with it.
            _ => Refused::BadSignature,
        }
    }
}

/// The header of a token that could be taken.
fn header(token: &str) -> Result<Header, Refused> {
    let malformed = |why: &str| Refused::Malformed(why.to_owned());
    if token.len() > MAX_TOKEN {
        return Err(malformed(&format!(
            "it has {} bytes; at most {MAX_TOKEN}",
            token.len()
        )));
    }
    let mut parts = token.split('.');
    let (Some(first), Some(_), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed("it is not made of three parts"));
    };
    // Read first by itself: the names of algorithms that nobody knows are to be told as such.
    let text = data_encoding::BASE64URL_NOPAD
        .decode(first.as_bytes())
        .map_err(|_| malformed("its header is no base64url"))?;
    let plain: Map<String, Value> =
        serde_json::from_slice(&text).map_err(|_| malformed("its header is no JSON object"))?;
    let algorithm = plain.get("alg").and_then(Value::as_str).unwrap_or_default();
    let taken: Option<Algorithm> = algorithm.parse().ok();
    if taken.is_none_or(|algorithm| !ALGORITHMS.contains(&algorithm)) {
        return Err(Refused::Algorithm(told(algorithm)));
    }
    if plain.contains_key("crit") {
        // RFC 7515 section 4.1.11: what has to be understood, and is not.
        return Err(malformed("its header has critical extensions"));
    }
    decode_header(token).map_err(|_| malformed("its header is none of a token"))
}

/// As much of a peer's text as belongs into a log.
fn told(text: &str) -> String {
    text.chars().take(MAX_TOLD).collect()
}
