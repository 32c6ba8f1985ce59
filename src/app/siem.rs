//! What follows the audit trail to a log server, a collector, Splunk: as the configuration says.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::admin::{self, api};
use crate::audit::Audit;
use crate::config::{Config, Siem, SiemOcsf, SiemSplunk, SiemSyslog};
use crate::relay::{Pauses, Relay, RelayError};
use crate::siem::identifiers::{IdentifierKey, Identifiers};
use crate::siem::ocsf::{self, OcsfSink};
use crate::siem::secret::{SecretError, Token};
use crate::siem::splunk::{self, SplunkSink};
use crate::siem::syslog::{self, SyslogSink};
use crate::siem::{self, SetupError};
use crate::tls::{self, Credentials, TlsError, Trust};

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

/// Makes what is configured; nothing is connected yet.
pub(super) fn sinks(config: &Config, credentials: &Credentials) -> Result<Sinks, SiemError> {
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
        sinks.syslog = Some(of_syslog(syslog, credentials, identifiers)?);
    }
    if !ocsf.url.is_empty() {
        let identifiers = identifiers(ocsf.hash_identifiers);
        sinks.ocsf = Some(of_ocsf(ocsf, credentials, identifiers)?);
    }
    if !splunk.url.is_empty() {
        let identifiers = identifiers(splunk.hash_identifiers);
        sinks.splunk = Some(of_splunk(splunk, identifiers)?);
    }
    Ok(sinks)
}

/// Feeds them from now on; nothing waits for them.
pub(super) fn start(sinks: Sinks, audit: &Audit) -> Result<Relay, SiemError> {
    let mut relay = Relay::new(audit.clone(), Pauses::default());
    if let Some(sink) = sinks.syslog {
        relay.feed(sink)?;
    }
    if let Some(sink) = sinks.ocsf {
        relay.feed(sink)?;
    }
    if let Some(sink) = sinks.splunk {
        relay.feed(sink)?;
    }
    tokio::spawn(relay.status().show());
    Ok(relay)
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
    credentials: &Credentials,
    identifiers: Identifiers,
) -> Result<SyslogSink, SiemError> {
    let own = own(&config.certificate, &config.key, credentials)?;
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
    credentials: &Credentials,
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
            let own = own(&config.certificate, &config.key, credentials)?;
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

fn own(certificate: &Path, key: &Path, gateways: &Credentials) -> Result<Credentials, TlsError> {
    match certificate.as_os_str().is_empty() {
        true => Ok(gateways.clone()),
        false => Credentials::load(certificate, key),
    }
}
