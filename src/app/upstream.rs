//! The client of the key store upstream, as the configuration says.

use std::time::Duration;

use super::AppError;
use super::shown::Shown;
use crate::config::{Config, Encoding};
use crate::kmip::client::{Client, Endpoint, EndpointError, Options, Renewal, SetupError};
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
    let (upstream, tls) = (&config.upstream, &config.tls);
    if upstream.addresses.is_empty() {
        return Ok(None);
    }
    let (certificate, key) = match upstream.certificate.as_os_str().is_empty() {
        true => (&tls.certificate, &tls.key),
        false => (&upstream.certificate, &upstream.key),
    };
    let credentials = Credentials::load(certificate, key).map_err(UpstreamError::Tls)?;
    Ok(Some(made(config, credentials, Options::default().metrics)?))
}

/// Those of a gateway: one for what it has to say itself, and another one for what callers of the front ask for, who shall neither take
/// the places of that, nor make an address rest for it.
pub(super) fn clients(
    config: &Config,
    shown: &Shown,
) -> Result<(Option<Client>, Option<Client>), AppError> {
    if config.upstream.addresses.is_empty() {
        return Ok((None, None));
    }
    let credentials = || shown.or_own(&shown.upstream);
    let own = made(config, credentials(), Options::default().metrics)?;
    let front = config
        .front
        .address
        .map(|_| made(config, credentials(), "wardcast_front_upstream"));
    Ok((Some(own), front.transpose()?))
}

/// Other credentials for clients of it.
pub(super) fn renewals<'c>(
    config: &Config,
    shown: &Shown,
    clients: impl IntoIterator<Item = &'c Client>,
) -> Result<Vec<Renewal>, UpstreamError> {
    let renewals = clients.into_iter().map(|client| {
        let credentials = shown.or_own(&shown.upstream);
        Ok(client.renewal(credentials, &trust(config)?)?)
    });
    renewals.collect()
}

fn trust(config: &Config) -> Result<Trust, TlsError> {
    let ca = &config.upstream.ca;
    match ca.as_os_str().is_empty() {
        true => Trust::load(&config.tls.client_ca, &config.tls.crl),
        false => Trust::load(ca, &[]),
    }
}

fn made(
    config: &Config,
    credentials: Credentials,
    metrics: &'static str,
) -> Result<Client, UpstreamError> {
    let upstream = &config.upstream;
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
    let deadline = Duration::from_millis(upstream.deadline_ms.into());
    let options = Options {
        connections: upstream.connections as usize,
        deadline,
        attempt: deadline * 2 / 5,
        rest: (REST, LONGEST_REST),
        metrics,
        ..Options::default()
    };
    Ok(Client::new(
        &endpoints,
        credentials,
        &trust(config)?,
        options,
    )?)
}
