//! Typed configuration: unknown keys refused, every default in one committed file.
//!
//! Sources, each over the one before: the defaults below, a TOML file, the environment. Every key has a variable:
//! `policy.default.quorum_percent` is `WARDCAST_POLICY__DEFAULT__QUORUM_PERCENT`. `config/wardcast.full.toml` names
//! every key with its default; a test holds the two together.
//!
//! No secret stands in a configuration: it names where the PIN comes from. Relative paths are relative to the
//! file's folder. This module is data; whoever composes the gateway turns it into what the parts take.

mod admin;
mod attributes;
mod check;
mod difference;
mod error;
mod front;
mod load;
mod optional;
mod siem;
mod suggest;
#[cfg(test)]
mod tests;
mod token;
mod trace;
mod upstream;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use admin::Admin;
pub use attributes::{Jwt, Ldap};
pub use check::check_level;
pub use difference::changes;
pub use error::{ConfigError, Origin, Problem};
pub use front::{Front, Roles};
pub use load::{Loaded, Setting};
pub use siem::{Siem, SiemOcsf, SiemSplunk, SiemSyslog};
pub use token::{
    DEFAULT_PIN_CREDENTIAL, HostMode, PinSource, Replica, Sandbox, Token, TokenHost, TokenKind,
    TokenPool,
};
pub use trace::Trace;
pub use upstream::{Encoding, Upstream};

use crate::group::policy::GroupPolicy;

/// The whole configuration of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where members connect.
    pub listen: Listen,
    /// Certificates of the gateway and of those it trusts.
    pub tls: Tls,
    /// The tokens that hold the master key.
    pub token: Token,
    /// Durable state.
    pub store: Store,
    /// The audit trail.
    pub audit: Audit,
    /// IP multicast.
    pub multicast: Multicast,
    /// The HTTPS admin interface.
    pub admin: Admin,
    /// What operators decide about groups.
    pub policy: Policy,
    /// The key store upstream.
    pub upstream: Upstream,
    /// The front for programs.
    pub front: Front,
    /// Bearer tokens.
    pub jwt: Jwt,
    /// A directory.
    pub ldap: Ldap,
    /// How the groups' work is shared out.
    pub engine: Engine,
    /// Bounds on what peers can make the gateway hold.
    pub limits: Limits,
    /// Logs.
    pub log: Log,
    /// What follows the audit trail besides the key store.
    pub siem: Siem,
    /// Traces.
    pub trace: Trace,
}

/// `[listen]`: where members connect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// UDP address and port of QUIC.
    pub address: SocketAddr,
    /// UDP sockets on that port, each with threads of its own; one for each processor, and at most 8, if 0.
    pub sockets: u8,
    /// Megabits a second that rekeys are sent with at most by datagram, to all members together; no limit if 0.
    pub pace_mbit_s: u32,
    /// Within how long a gateway that is told to end does, in seconds.
    pub drain_s: u32,
    /// Where its members are told to go then, as HOST:PORT; to come back here if empty.
    pub drain_to: Vec<String>,
    /// How often members without a connection say that they are there, in milliseconds; after three times as long without a word
    /// they are absent.
    pub alive_ms: u32,
}

/// `[multicast]`: rekeys by IP multicast, of the groups whose policy names an address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Multicast {
    /// The interface to send on; nothing is multicast if empty.
    pub interface: String,
    /// How many networks a datagram may cross; 1 stays on the interface's own.
    pub ttl: u8,
    /// A rekey is sent again, unchanged, after each of these pauses, in milliseconds.
    pub repeat_after_ms: Vec<u32>,
    /// How often a group's heartbeat tells which epoch is the newest, in milliseconds.
    pub heartbeat_ms: u32,
    /// Within how many seconds each member that listens reports what it holds.
    pub report_s: u32,
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

/// `[store]`: durable state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// The database; no other process may have it open.
    pub path: PathBuf,
}

/// `[audit]`: the trail of what happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// The folder of the trail; `audit` beside the store if empty.
    pub directory: PathBuf,
    /// Megabytes that it may take; at this bound nobody is admitted.
    pub max_mb: u32,
}

/// `[policy]`: what operators decide about groups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// The rules of all groups (Cedar); the built-in ones if empty.
    pub rules: PathBuf,
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
    /// Handshakes at a time, those that wait for their turn among them; from half of it on, or 320, clients must
    /// prove their address first (QUIC Retry).
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
            sockets: 0,
            pace_mbit_s: 1_000,
            drain_s: 10,
            drain_to: Vec::new(),
            alive_ms: 20_000,
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

impl Default for Multicast {
    fn default() -> Self {
        Multicast {
            interface: String::new(),
            ttl: 1,
            repeat_after_ms: vec![50, 200],
            heartbeat_ms: 1_000,
            report_s: 30,
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

impl Default for Audit {
    fn default() -> Self {
        Audit {
            directory: PathBuf::new(),
            max_mb: 16_384,
        }
    }
}

impl Config {
    /// The folder of the audit trail.
    pub fn audit_directory(&self) -> PathBuf {
        match self.audit.directory.as_os_str().is_empty() {
            true => self.store.path.with_file_name("audit"),
            false => self.audit.directory.clone(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 100_000,
            connections_per_identity: 16,
            handshakes: 4_096,
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
