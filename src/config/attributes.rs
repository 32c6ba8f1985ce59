//! `[jwt]` and `[ldap]`: what is known about members besides their certificates.

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

/// `[ldap]`: a directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ldap {
    /// Its addresses, the first that answers is used: `ldaps://HOST`, or `ldap://HOST` for StartTLS. No directory if empty.
    pub addresses: Vec<String>,
    /// The authorities that its certificate may be from (PEM); those that the system trusts if empty.
    pub ca: PathBuf,
    /// The name (DN) that it is asked by; that of the gateway's certificate if empty (SASL EXTERNAL).
    pub bind_dn: String,
    /// The file with the password of that name.
    pub password_file: PathBuf,
    /// The service manager's credential with the password of that name.
    pub password_credential: String,
    /// Below which entry it is searched.
    pub base: String,
    /// For which entry: `{identity}`, `{name}` and `{last}` stand for whoever joins.
    pub filter: String,
    /// What is taken of the entry.
    pub attributes: Vec<String>,
    /// Within this it answers, or counts as down, in milliseconds.
    pub deadline_ms: u32,
    /// For so long an answer serves without asking again, in seconds.
    pub fresh_s: u32,
    /// For so long it serves while the directory is down, in seconds.
    pub stale_s: u32,
}

impl Default for Ldap {
    fn default() -> Self {
        Ldap {
            addresses: Vec::new(),
            ca: PathBuf::new(),
            bind_dn: String::new(),
            password_file: PathBuf::new(),
            password_credential: String::new(),
            base: String::new(),
            filter: "(uid={last})".into(),
            attributes: Vec::new(),
            deadline_ms: 3_000,
            fresh_s: 300,
            stale_s: 3_600,
        }
    }
}

impl Ldap {
    /// The files that it names.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let paths = [&mut self.ca, &mut self.password_file];
        paths
            .into_iter()
            .filter(|path| !path.as_os_str().is_empty())
    }
}
