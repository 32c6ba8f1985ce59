//! `[jwt]`: what is known about members besides their certificates.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[jwt]`: bearer tokens of an identity provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Jwt {
    /// Who issues them: their `iss`, exactly. Tokens are not looked at if empty.
    pub issuer: String,
    /// Whom they are for: this must be among their `aud`.
    pub audience: String,
    /// Where the issuer's keys are: an `https` URL.
    pub jwks: String,
    /// The authorities that the certificate of the keys' server may be from (PEM); those that the system trusts if empty.
    pub ca: PathBuf,
    /// What the clocks of issuer and gateway may differ by, in seconds.
    pub leeway_s: u32,
    /// How old the keys become before they are fetched again, in seconds.
    pub refresh_s: u32,
    /// How old they become while they cannot be fetched before they are not used any more, in seconds.
    pub stale_s: u32,
    /// The claims that rules can look at: names, or paths such as `realm_access.roles`.
    pub claims: Vec<String>,
}

impl Default for Jwt {
    fn default() -> Self {
        Jwt {
            issuer: String::new(),
            audience: String::new(),
            jwks: String::new(),
            ca: PathBuf::new(),
            leeway_s: 60,
            refresh_s: 900,
            stale_s: 86_400,
            claims: vec!["sub".into(), "groups".into(), "scope".into()],
        }
    }
}

impl Jwt {
    /// The files that it names.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        std::iter::once(&mut self.ca).filter(|path| !path.as_os_str().is_empty())
    }
}
