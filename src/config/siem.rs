//! `[siem]`: where the audit trail goes besides the key store: a log server, a collector of OCSF events, Splunk.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[siem]`: what follows the audit trail for those who watch over many systems.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Siem {
    /// The key that identifiers are hashed with: the content of this file, 32 random bytes or more.
    pub identifier_key_file: PathBuf,
    /// A log server.
    pub syslog: SiemSyslog,
    /// A collector of OCSF events.
    pub ocsf: SiemOcsf,
    /// Splunk.
    pub splunk: SiemSplunk,
}

/// `[siem.syslog]`: a log server, RFC 5424 over TLS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SiemSyslog {
    /// `HOST:PORT`; its certificate is for that host. None if empty.
    pub address: String,
    /// The authorities that its certificate may be from (PEM); those that the system trusts if empty.
    pub ca: PathBuf,
    /// The certificate shown to it (PEM); that of the gateway if empty.
    pub certificate: PathBuf,
    /// Its private key (PEM); that of the gateway if empty.
    pub key: PathBuf,
    /// The facility of messages.
    pub facility: u8,
    /// The private enterprise number in the name of messages' structured data.
    pub enterprise: u32,
    /// How long what it has received is in doubt still, in seconds.
    pub settle_s: u32,
    /// Whether identifiers are hashed.
    pub hash_identifiers: bool,
}

/// `[siem.ocsf]`: a collector of OCSF events, over HTTPS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SiemOcsf {
    /// Where events are posted to; none if empty.
    pub url: String,
    /// The authorities that its certificate may be from (PEM); those that the system trusts if empty.
    pub ca: PathBuf,
    /// The certificate shown to it (PEM); that of the gateway if empty, unless a token is.
    pub certificate: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
    /// The bearer token shown to it is the content of this file; none if empty.
    pub token_file: PathBuf,
    /// Whether identifiers are hashed.
    pub hash_identifiers: bool,
}

/// `[siem.splunk]`: the HTTP Event Collector of a Splunk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SiemSplunk {
    /// Where it is, without the path; none if empty.
    pub url: String,
    /// The authorities that its certificate may be from (PEM); those that the system trusts if empty.
    pub ca: PathBuf,
    /// The collector's token is the content of this file.
    pub token_file: PathBuf,
    /// The index that events go to; the token's own if empty.
    pub index: String,
    /// Within this time events are acknowledged, or they are posted again, in seconds.
    pub ack_s: u32,
    /// Whether identifiers are hashed.
    pub hash_identifiers: bool,
}

impl Default for SiemSyslog {
    fn default() -> Self {
        SiemSyslog {
            address: String::new(),
            ca: PathBuf::new(),
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            facility: 13,
            enterprise: 32_473,
            settle_s: 10,
            hash_identifiers: false,
        }
    }
}

impl Default for SiemSplunk {
    fn default() -> Self {
        SiemSplunk {
            url: String::new(),
            ca: PathBuf::new(),
            token_file: PathBuf::new(),
            index: String::new(),
            ack_s: 120,
            hash_identifiers: false,
        }
    }
}

impl Siem {
    /// The files that it names.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let Siem {
            identifier_key_file,
            syslog,
            ocsf,
            splunk,
        } = self;
        let paths = [
            identifier_key_file,
            &mut syslog.ca,
            &mut syslog.certificate,
            &mut syslog.key,
            &mut ocsf.ca,
            &mut ocsf.certificate,
            &mut ocsf.key,
            &mut ocsf.token_file,
            &mut splunk.ca,
            &mut splunk.token_file,
        ];
        paths
            .into_iter()
            .filter(|path| !path.as_os_str().is_empty())
    }
}
