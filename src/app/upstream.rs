//! The client of the key store upstream, as the configuration says.

use std::time::Duration;

use super::AppError;
use crate::config::{Config, Encoding, Upstream};
use crate::kmip::client::{Client, Endpoint, EndpointError, Options, SetupError};
use crate::kmip::codec::View;
use crate::tls::{Credentials, TlsError, Trust};

/// How long an address is left alone after failures: at first, and at most. What waits for it goes on so soon after it is back.
const REST: Duration = Duration::from_millis(500);
const LONGEST_REST: Duration = Duration::from_secs(10);

/// Why the key store upstream cannot be used, whether or not it is there.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// An address.
    #[error("addresses: {0}")]
    Address(#[from] EndpointError),
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// What is asked of the client.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

/// A client of the key store upstream; none if there is none.
///
/// # Errors
/// When its addresses or certificates are bad.
pub fn client(config: &Config) -> Result<Option<Client>, AppError> {
    named(config, Options::default().metrics)
}

/// Another one, for what callers of the front ask for: they shall neither take the places of what the gateway has to say itself, nor
/// make an address rest for it.
pub(super) fn of_front(config: &Config) -> Result<Option<Client>, AppError> {
    named(config, "wardcast_front_upstream")
}

fn named(config: &Config, metrics: &'static str) -> Result<Option<Client>, AppError> {
    let upstream = &config.upstream;
    if upstream.addresses.is_empty() {
        return Ok(None);
    }
    Ok(Some(connectable(config, upstream, metrics)?))
}

fn connectable(
    config: &Config,
    upstream: &Upstream,
    metrics: &'static str,
) -> Result<Client, UpstreamError> {
    let view = match upstream.encoding {
        Encoding::Ttlv => View::Ttlv,
        Encoding::Json => View::Json,
        Encoding::Xml => View::Xml,
    };
    let endpoints = upstream
        .addresses
        .iter()
        .map(|url| Endpoint::new(url, view));
    let endpoints = endpoints.collect::<Result<Vec<_>, _>>()?;
    let own = upstream.certificate.as_os_str().is_empty();
    let (certificate, key) = match own {
        true => (&config.tls.certificate, &config.tls.key),
        false => (&upstream.certificate, &upstream.key),
    };
    let credentials = Credentials::load(certificate, key)?;
    let trust = match upstream.ca.as_os_str().is_empty() {
        true => Trust::load(&config.tls.client_ca, &config.tls.crl)?,
        false => Trust::load(&upstream.ca, &[])?,
    };
    let deadline = Duration::from_millis(upstream.deadline_ms.into());
    let options = Options {
        connections: upstream.connections as usize,
        deadline,
        attempt: deadline * 2 / 5,
        rest: (REST, LONGEST_REST),
        metrics,
        ..Options::default()
    };
    Ok(Client::new(&endpoints, credentials, &trust, options)?)
}
