//! Typed configuration: unknown keys refused, every default in one committed file.
//!
//! Sources, each over the one before: the defaults below, a TOML file, the environment. Every key has a variable:
//! `policy.default.quorum_percent` is `WARDCAST_POLICY__DEFAULT__QUORUM_PERCENT`. `config/wardcast.full.toml` names
//! every key with its default; a test holds the two together.
//!
//! No secret stands in a configuration: it names where the PIN comes from. Relative paths are relative to the
//! file's folder. This module is data; whoever composes the gateway turns it into what the parts take.

mod check;
mod error;
mod load;
mod optional;
mod suggest;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use error::{ConfigError, Origin, Problem};
pub use load::{Loaded, Setting};

use crate::group::ids::Identity;
use crate::group::policy::GroupPolicy;

/// The PIN's credential when no source of it is configured.
pub const DEFAULT_PIN_CREDENTIAL: &str = "wardcast-pin";

/// The whole configuration of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where members connect.
    pub listen: Listen,
    /// Certificates of the gateway and of those it trusts.
    pub tls: Tls,
    /// The token that holds the master key.
    pub token: Token,
    /// Durable state.
    pub store: Store,
    /// The HTTPS admin interface.
    pub admin: Admin,
    /// What operators decide about groups.
    pub policy: Policy,
    /// How the groups' work is shared out.
    pub engine: Engine,
    /// Bounds on what peers can make the gateway hold.
    pub limits: Limits,
    /// Logs.
    pub log: Log,
}

/// `[listen]`: where members connect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// UDP address and port of QUIC.
    pub address: SocketAddr,
    /// How long a stopping gateway waits for what is under way, in seconds.
    pub drain_s: u32,
}

/// `[tls]`: certificates, for QUIC and for the admin interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// The gateway's certificate chain (PEM).
    pub certificate: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
    /// The authorities whose certificates members and operators may use (PEM).
    pub client_ca: PathBuf,
    /// Revocation lists of these authorities (PEM).
    pub crl: Vec<PathBuf>,
}

/// The two kinds of token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// A sealed file: not an HSM.
    Soft,
    /// A PKCS#11 token.
    Pkcs11,
}

/// `[token]`: the token that holds the master key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Token {
    /// Which kind.
    pub kind: TokenKind,
    /// The software token's file.
    pub path: PathBuf,
    /// The vendor's PKCS#11 library.
    #[serde(with = "optional")]
    pub module: Option<PathBuf>,
    /// The label of the PKCS#11 token.
    #[serde(with = "optional")]
    pub token_label: Option<String>,
    /// The PIN is the content of this file.
    #[serde(with = "optional")]
    pub pin_file: Option<PathBuf>,
    /// The PIN is in the environment variable of this name.
    #[serde(with = "optional")]
    pub pin_env: Option<String>,
    /// The PIN is the service manager's credential of this name.
    #[serde(with = "optional")]
    pub pin_credential: Option<String>,
    /// The master key of the ring that new groups are created under.
    pub master: u32,
    /// Sessions with the token, each with a thread.
    pub workers: usize,
    /// Batches that may wait for the token at each priority.
    pub queue: usize,
}

/// Where the token's PIN comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinSource<'a> {
    /// A file's content.
    File(&'a PathBuf),
    /// An environment variable, by name.
    Env(&'a str),
    /// A credential of the service manager, by name.
    Credential(&'a str),
}

impl Token {
    /// The PIN's source; the credential [`DEFAULT_PIN_CREDENTIAL`] if none is configured. Two are refused on loading.
    pub fn pin(&self) -> PinSource<'_> {
        match (&self.pin_file, &self.pin_env, &self.pin_credential) {
            (Some(path), _, _) => PinSource::File(path),
            (None, Some(name), _) => PinSource::Env(name),
            (None, None, Some(name)) => PinSource::Credential(name),
            (None, None, None) => PinSource::Credential(DEFAULT_PIN_CREDENTIAL),
        }
    }
}

/// `[store]`: durable state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// The database; no other process may have it open.
    pub path: PathBuf,
}

/// `[admin]`: the HTTPS admin interface.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// TCP address and port; none if empty.
    #[serde(with = "optional")]
    pub address: Option<SocketAddr>,
    /// Who may use it: identities, exactly as their certificates say.
    pub operators: Vec<Identity>,
}

/// `[policy]`: what operators decide about groups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// The policy of groups that are created without one of their own.
    pub default: GroupPolicy,
}

/// `[engine]`: how the groups' work is shared out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Engine {
    /// Single-writer loops; one for each processor if 0.
    pub shards: usize,
}

/// `[limits]`: bounds on what peers can make the gateway hold. Beyond them they are told to come back later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections at a time.
    pub connections: u32,
    /// Connections at a time with the same identity.
    pub connections_per_identity: u32,
    /// Handshakes at a time; from half of it on, clients must prove their address first (QUIC Retry).
    pub handshakes: u32,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[log]`: logs, on standard error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// What is logged: a level, or directives such as `info,wardcast::quic=debug`.
    pub level: String,
    /// How.
    pub format: LogFormat,
}

impl Default for Listen {
    fn default() -> Self {
        Listen {
            address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 7443)),
            drain_s: 10,
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Tls {
            certificate: "/etc/wardcast/gateway.pem".into(),
            key: "/etc/wardcast/gateway.key".into(),
            client_ca: "/etc/wardcast/ca.pem".into(),
            crl: Vec::new(),
        }
    }
}

impl Default for Token {
    fn default() -> Self {
        Token {
            kind: TokenKind::Soft,
            path: "/var/lib/wardcast/token".into(),
            module: None,
            token_label: None,
            pin_file: None,
            pin_env: None,
            pin_credential: None,
            master: 1,
            workers: 2,
            queue: 1_024,
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Store {
            path: "/var/lib/wardcast/state.db".into(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 100_000,
            connections_per_identity: 16,
            handshakes: 1_024,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Log {
            level: "info".into(),
            format: LogFormat::Text,
        }
    }
}
