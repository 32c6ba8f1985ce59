//! What the gateway shows to those whom it calls: its own certificate, or one that it has for them alone.

use std::path::Path;

use super::{AppError, SiemError, UpstreamError};
use crate::config::Config;
use crate::tls::{Credentials, TlsError};

/// Its certificates: its own, and by the section that names them those that it has besides.
pub(super) struct Shown {
    own: Credentials,
    pub(super) upstream: Option<Credentials>,
    pub(super) syslog: Option<Credentials>,
    pub(super) ocsf: Option<Credentials>,
}

impl Shown {
    /// Reads those that are in use, besides its own.
    pub(super) fn load(config: &Config, own: &Credentials) -> Result<Self, AppError> {
        let (upstream, syslog, ocsf) = (&config.upstream, &config.siem.syslog, &config.siem.ocsf);
        let to_store = !upstream.addresses.is_empty();
        let to_store = load(to_store, &upstream.certificate, &upstream.key);
        let to_syslog = load(!syslog.address.is_empty(), &syslog.certificate, &syslog.key);
        let to_ocsf = load(!ocsf.url.is_empty(), &ocsf.certificate, &ocsf.key);
        Ok(Self {
            own: own.clone(),
            upstream: to_store.map_err(UpstreamError::Tls)?,
            syslog: to_syslog.map_err(SiemError::Tls)?,
            ocsf: to_ocsf.map_err(SiemError::Tls)?,
        })
    }

    /// That one, or the gateway's own if there is none.
    pub(super) fn or_own(&self, one: &Option<Credentials>) -> Credentials {
        one.as_ref().unwrap_or(&self.own).clone()
    }

    /// Each, by the section that names it.
    pub(super) fn all(&self) -> [(&'static str, Option<&Credentials>); 4] {
        [
            ("tls", Some(&self.own)),
            ("upstream", self.upstream.as_ref()),
            ("siem.syslog", self.syslog.as_ref()),
            ("siem.ocsf", self.ocsf.as_ref()),
        ]
    }
}

fn load(used: bool, certificate: &Path, key: &Path) -> Result<Option<Credentials>, TlsError> {
    let named = used && !certificate.as_os_str().is_empty();
    named
        .then(|| Credentials::load(certificate, key))
        .transpose()
}
