//! `[upstream]`: the key store that policy comes from, and that keys' life cycle and the audit trail go to.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[upstream]`: the key store, by KMIP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Upstream {
    /// Its addresses as URLs, the first that answers is used: `kmips://host:5696` or `https://host/kmip`. No key store if empty.
    pub addresses: Vec<String>,
    /// How messages are encoded over HTTPS.
    pub encoding: Encoding,
    /// The certificate shown to it (PEM); that of the gateway if empty.
    pub certificate: PathBuf,
    /// Its private key (PEM); that of the gateway if empty.
    pub key: PathBuf,
    /// The authorities that its certificate may be from (PEM); those of the clients if empty.
    pub ca: PathBuf,
    /// What names of the gateway's objects begin with there.
    pub name: String,
    /// Whether it is told the name of the request that a caller of the front asks something by (ClientCorrelationValue), for its log. PyKMIP
    /// refuses such messages.
    pub correlate: bool,
    /// Connections at a time; as many again for callers of the front.
    pub connections: u32,
    /// Within this a request is answered, in milliseconds.
    pub deadline_ms: u32,
    /// How often it is looked what changed there, in seconds.
    pub poll_s: u32,
}

/// An encoding of KMIP's messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// The binary one.
    #[default]
    Ttlv,
    /// JSON, over HTTPS only.
    Json,
    /// XML, over HTTPS only.
    Xml,
}

impl Default for Upstream {
    fn default() -> Self {
        Upstream {
            addresses: Vec::new(),
            encoding: Encoding::Ttlv,
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            ca: PathBuf::new(),
            name: "wardcast".into(),
            correlate: false,
            connections: 8,
            deadline_ms: 10_000,
            poll_s: 30,
        }
    }
}

impl Upstream {
    /// The files that it names.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let paths = [&mut self.certificate, &mut self.key, &mut self.ca];
        paths
            .into_iter()
            .filter(|path| !path.as_os_str().is_empty())
    }
}
