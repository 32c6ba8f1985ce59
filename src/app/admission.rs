//! What decides who may join, and where more about them comes from, as the configuration says.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::attributes::jwt::{self, Tokens};
use crate::attributes::ldap::{self, Bind, Directory, Filter, FilterError, Password};
use crate::attributes::{Sources, ldap::PasswordError};
use crate::config::{Config, Jwt, Ldap};
use crate::policy::{Decider, Rules, RulesError};
use crate::tls::{self, Credentials, TlsError, Trust};

/// Why it cannot be decided who may join.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// The file of the rules.
    #[error("[policy] rules: {}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The rules.
    #[error("[policy] rules: {}: {source}", path.display())]
    Rules {
        /// Their file.
        path: PathBuf,
        /// What is wrong with them.
        source: RulesError,
    },
    /// Bearer tokens.
    #[error("[jwt] {0}")]
    Tokens(#[from] jwt::SetupError),
    /// The authorities of the server of the issuer's keys.
    #[error("[jwt] ca: {0}")]
    TokensTrust(#[source] TlsError),
    /// The directory's certificate, or that which is shown to it.
    #[error("[ldap] {0}")]
    Directory(#[source] TlsError),
    /// Its filter.
    #[error("[ldap] filter: {0}")]
    Filter(#[from] FilterError),
    /// Its password.
    #[error("[ldap] {0}")]
    Password(#[from] PasswordError),
    /// The folder of credentials.
    #[error(
        "[ldap] password_credential: the service manager passes no credentials: $CREDENTIALS_DIRECTORY is not set"
    )]
    NoCredentials,
}

/// The rules of the configured file, or the built-in ones.
pub(super) fn decider(config: &Config) -> Result<Arc<Decider>, AdmissionError> {
    let rules = rules(&config.policy.rules)?;
    tracing::info!(revision = %rules.revision(), count = rules.count(), "rules about who may join");
    Ok(Arc::new(Decider::new(rules)))
}

/// The rules of a file, or the built-in ones.
pub fn rules(path: &Path) -> Result<Rules, AdmissionError> {
    if path.as_os_str().is_empty() {
        return Ok(Rules::built_in());
    }
    let text = std::fs::read_to_string(path).map_err(|source| AdmissionError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    Rules::parse(&text).map_err(|source| AdmissionError::Rules {
        path: path.to_owned(),
        source,
    })
}

/// Whoever is asked about who joins.
pub(super) fn sources(
    config: &Config,
    credentials: &Credentials,
) -> Result<Sources, AdmissionError> {
    let (jwt, ldap) = (&config.jwt, &config.ldap);
    Ok(Sources {
        tokens: match jwt.issuer.is_empty() {
            true => None,
            false => Some(tokens(jwt)?),
        },
        directory: match ldap.addresses.is_empty() {
            true => None,
            false => Some(directory(ldap, credentials)?),
        },
    })
}

fn trust(ca: &Path) -> Result<Trust, TlsError> {
    match ca.as_os_str().is_empty() {
        true => Trust::system(),
        false => Trust::load(ca, &[]),
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

fn tokens(jwt: &Jwt) -> Result<Tokens, AdmissionError> {
    let options = jwt::Options {
        issuer: jwt.issuer.clone(),
        audience: jwt.audience.clone(),
        jwks: jwt.jwks.clone(),
        leeway: seconds(jwt.leeway_s),
        refresh: seconds(jwt.refresh_s),
        stale: seconds(jwt.stale_s),
        claims: jwt.claims.clone(),
    };
    let trust = trust(&jwt.ca).map_err(AdmissionError::TokensTrust)?;
    Ok(Tokens::new(options, &trust)?)
}

fn directory(ldap: &Ldap, credentials: &Credentials) -> Result<Directory, AdmissionError> {
    let trust = trust(&ldap.ca).map_err(AdmissionError::Directory)?;
    let (bind, tls) = match ldap.bind_dn.is_empty() {
        true => {
            let tls = tls::key_store_client_config(credentials.clone(), &trust);
            (Bind::External, tls)
        }
        false => {
            let bind = Bind::Simple(ldap.bind_dn.clone(), password(ldap)?);
            (bind, tls::anonymous_client_config(&trust, &[]))
        }
    };
    let options = ldap::Options {
        addresses: ldap.addresses.clone(),
        bind,
        base: ldap.base.clone(),
        filter: Filter::new(&ldap.filter)?,
        attributes: ldap.attributes.clone(),
        times: ldap::Times {
            deadline: Duration::from_millis(ldap.deadline_ms.into()),
            fresh: seconds(ldap.fresh_s),
            stale: seconds(ldap.stale_s),
        },
    };
    Ok(Directory::new(
        options,
        tls.map_err(AdmissionError::Directory)?,
    ))
}

fn password(ldap: &Ldap) -> Result<Password, AdmissionError> {
    if ldap.password_credential.is_empty() {
        return Ok(Password::read(&ldap.password_file)?);
    }
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or(AdmissionError::NoCredentials)?;
    Ok(Password::read(
        &PathBuf::from(folder).join(&ldap.password_credential),
    )?)
}
