//! What follows the audit trail to a log server, a collector, Splunk: as the configuration says.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use super::shown::Shown;
use crate::admin::{self, api};
use crate::audit::Audit;
use crate::config::{Config, Siem, SiemOcsf, SiemSplunk, SiemSyslog};
use crate::relay::{Pauses, Relay, RelayError, Succession};
use crate::siem::identifiers::{IdentifierKey, Identifiers};
use crate::siem::ocsf::{self, OcsfSink};
use crate::siem::secret::{SecretError, Token};
use crate::siem::splunk::{self, SplunkSink};
use crate::siem::syslog::{self, SyslogSink};
use crate::siem::{self, SetupError};
use crate::tls::{self, TlsError, Trust};

/// Why a sink cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SiemError {
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A token, or the key for identifiers.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// An address.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// How far it had come.
    #[error(transparent)]
    Relay(#[from] RelayError),
}

/// The sinks that are configured, before they are fed.
#[derive(Default)]
pub(super) struct Sinks {
    syslog: Option<SyslogSink>,
    ocsf: Option<OcsfSink>,
    splunk: Option<SplunkSink>,
}

impl Sinks {
    /// Those that a change is for, which `concerns` says by what its key begins with.
    pub(super) fn only(mut self, config: &Config, concerns: impl Fn(&str) -> bool) -> Self {
        let (syslog, ocsf) = (&config.siem.syslog, &config.siem.ocsf);
        let hashed = concerns("siem.identifier_key_file");
        let own = concerns("tls.certificate") || concerns("tls.key");
        let concerned =
            |section: &str, shows_own: bool| concerns(section) || hashed || (own && shows_own);
        let none = |path: &Path| path.as_os_str().is_empty();
        self.syslog = self
            .syslog
            .filter(|_| concerned("siem.syslog.", none(&syslog.certificate)));
        let own_to_ocsf = none(&ocsf.certificate) && none(&ocsf.token_file);
        self.ocsf = self.ocsf.filter(|_| concerned("siem.ocsf.", own_to_ocsf));
        self.splunk = self.splunk.filter(|_| concerned("siem.splunk.", false));
        self
    }
}

/// The sinks that are fed, each of which another one takes the place of where it is configured anew.
#[derive(Clone, Default)]
pub(super) struct Fed {
    syslog: Option<Succession<SyslogSink>>,
    ocsf: Option<Succession<OcsfSink>>,
    splunk: Option<Succession<SplunkSink>>,
}

impl Fed {
    /// Feeds these from now on. There are no others than there were.
    pub(super) fn replace(&self, sinks: Sinks) {
        fn each<S>(fed: Option<&Succession<S>>, sink: Option<S>) {
            if let Some((fed, sink)) = fed.zip(sink) {
                fed.replace(sink);
            }
        }
        each(self.syslog.as_ref(), sinks.syslog);
        each(self.ocsf.as_ref(), sinks.ocsf);
        each(self.splunk.as_ref(), sinks.splunk);
    }
}

/// Makes what is configured; nothing is connected yet.
pub(super) fn sinks(config: &Config, shown: &Shown) -> Result<Sinks, SiemError> {
    let Siem {
        identifier_key_file,
        syslog,
        ocsf,
        splunk,
    } = &config.siem;
    let key = match identifier_key_file.as_os_str().is_empty() {
        true => None,
        false => Some(IdentifierKey::read(identifier_key_file)?),
    };
    let identifiers = |hashed: bool| match &key {
        Some(key) if hashed => Identifiers::Hashed(key.clone()),
        _ => Identifiers::Clear,
    };
    let mut sinks = Sinks::default();
    if !syslog.address.is_empty() {
        let identifiers = identifiers(syslog.hash_identifiers);
        sinks.syslog = Some(of_syslog(syslog, shown, identifiers)?);
    }
    if !ocsf.url.is_empty() {
        let identifiers = identifiers(ocsf.hash_identifiers);
        sinks.ocsf = Some(of_ocsf(ocsf, shown, identifiers)?);
    }
    if !splunk.url.is_empty() {
        let identifiers = identifiers(splunk.hash_identifiers);
        sinks.splunk = Some(of_splunk(splunk, identifiers)?);
    }
    Ok(sinks)
}

/// Feeds them from now on; nothing waits for them.
pub(super) fn start(sinks: Sinks, audit: &Audit) -> Result<(Relay, Fed), SiemError> {
    let mut relay = Relay::new(audit.clone(), Pauses::default());
    let mut fed = Fed::default();
    if let Some(sink) = sinks.syslog {
        fed.syslog = Some(relay.feed(sink)?);
    }
    if let Some(sink) = sinks.ocsf {
        fed.ocsf = Some(relay.feed(sink)?);
    }
    if let Some(sink) = sinks.splunk {
        fed.splunk = Some(relay.feed(sink)?);
    }
    tokio::spawn(relay.status().show());
    Ok((relay, fed))
}

/// What operators are shown.
pub(super) fn shown(relay: &Relay) -> admin::Siem {
    let status = relay.status();
    Arc::new(move || {
        let views = status.views().into_iter();
        views.map(api::SinkView::from).collect()
    })
}

fn of_syslog(
    config: &SiemSyslog,
    shown: &Shown,
    identifiers: Identifiers,
) -> Result<SyslogSink, SiemError> {
    let own = shown.or_own(&shown.syslog);
    let tls = tls::key_store_client_config(own, &trust(&config.ca)?)?;
    let options = syslog::Options {
        address: config.address.clone(),
        facility: config.facility,
        enterprise: config.enterprise,
        settle: Duration::from_secs(config.settle_s.into()),
        host: siem::host(),
        identifiers,
    };
    Ok(SyslogSink::new(options, tls)?)
}

fn of_ocsf(
    config: &SiemOcsf,
    shown: &Shown,
    identifiers: Identifiers,
) -> Result<OcsfSink, SiemError> {
    let token = match config.token_file.as_os_str().is_empty() {
        true => None,
        false => Some(Token::read(&config.token_file)?),
    };
    let trust = trust(&config.ca)?;
    let tls: ClientConfig = match &token {
        Some(_) if config.certificate.as_os_str().is_empty() => {
            tls::anonymous_client_config(&trust, &[])?
        }
        _ => {
            let own = shown.or_own(&shown.ocsf);
            tls::key_store_client_config(own, &trust)?
        }
    };
    let options = ocsf::Options {
        url: config.url.clone(),
        token,
        host: siem::host(),
        identifiers,
    };
    Ok(OcsfSink::new(options, tls)?)
}

fn of_splunk(config: &SiemSplunk, identifiers: Identifiers) -> Result<SplunkSink, SiemError> {
    let tls = tls::anonymous_client_config(&trust(&config.ca)?, &[])?;
    let options = splunk::Options {
        url: config.url.clone(),
        token: Token::read(&config.token_file)?,
        index: config.index.clone(),
        acknowledged: Duration::from_secs(config.ack_s.into()),
        host: siem::host(),
        identifiers,
    };
    Ok(SplunkSink::new(options, tls)?)
}

fn trust(ca: &Path) -> Result<Trust, TlsError> {
    match ca.as_os_str().is_empty() {
        true => Trust::system(),
        false => Trust::load(ca, &[]),
    }
}
