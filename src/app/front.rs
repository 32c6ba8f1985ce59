//! The front for programs, as the configuration says.

use std::net::SocketAddr;
use std::time::Duration;

use super::AppError;
use crate::attributes::jwt::{self, Tokens};
use crate::audit::Audit;
use crate::config::{Config, Front as Configured};
use crate::engine::Handle;
use crate::front::role::{Appointments, Role};
use crate::front::{Front, Options, StartError};
use crate::kmip::client::Client;
use crate::tls::{Credentials, TlsError, Trust};

/// The front's own database, beside the store.
const DATABASE: &str = "front.db";

/// Why there is no front.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// It cannot start.
    #[error("[front] {0}")]
    Start(#[from] StartError),
    /// Tokens cannot be checked.
    #[error("[jwt] {0}")]
    Tokens(#[from] jwt::SetupError),
    /// The authorities of the issuer's server.
    #[error("[jwt] {0}")]
    Tls(#[from] TlsError),
}

/// What a front is made of, before there is an engine; none if there is to be none.
pub(super) struct Needs {
    address: SocketAddr,
    options: Options,
}

/// What the front needs of what is there already.
pub(super) fn needs(
    config: &Config,
    (credentials, trust): (Credentials, Trust),
    audit: Audit,
    upstream: Option<Client>,
) -> Result<Option<Needs>, AppError> {
    let Some(address) = config.front.address else {
        return Ok(None);
    };
    let options = Options {
        credentials,
        trust,
        appointments: appointments(&config.front),
        tokens: tokens(config)?,
        upstream,
        audit,
        audit_directory: config.audit_directory(),
        database: config.store.path.with_file_name(DATABASE),
    };
    Ok(Some(Needs { address, options }))
}

/// Listens.
pub(super) async fn bind(needs: Option<Needs>, engine: Handle) -> Result<Option<Front>, AppError> {
    let Some(Needs { address, options }) = needs else {
        return Ok(None);
    };
    let front = Front::bind(address, options, engine).await;
    Ok(Some(front.map_err(FrontError::from)?))
}

fn appointments(front: &Configured) -> Appointments {
    let roles = &front.roles;
    let appointed = [
        (Role::Viewer, &roles.viewer),
        (Role::Operator, &roles.operator),
        (Role::KeyOfficer, &roles.key_officer),
        (Role::Auditor, &roles.auditor),
    ];
    let mut table = Appointments::default();
    for (role, whom) in appointed {
        for one in whom {
            table.appoint(role, one);
        }
    }
    table
}

fn tokens(config: &Config) -> Result<Option<Tokens>, FrontError> {
    let jwt = &config.jwt;
    if jwt.issuer.is_empty() {
        return Ok(None);
    }
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let trust = match jwt.ca.as_os_str().is_empty() {
        true => Trust::system()?,
        false => Trust::load(&jwt.ca, &[])?,
    };
    let options = jwt::Options {
        issuer: jwt.issuer.clone(),
        audience: jwt.audience.clone(),
        jwks: jwt.jwks.clone(),
        leeway: seconds(jwt.leeway_s),
        refresh: seconds(jwt.refresh_s),
        stale: seconds(jwt.stale_s),
        claims: jwt.claims.clone(),
    };
    Ok(Some(Tokens::new(options, &trust)?))
}
