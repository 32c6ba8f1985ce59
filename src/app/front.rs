//! The front for programs, as the configuration says.

use std::net::SocketAddr;

use super::AppError;
use crate::attributes::jwt::Tokens;
use crate::audit::Audit;
use crate::config::{Config, Front as Configured};
use crate::engine::Handle;
use crate::front::role::{Appointments, Role};
use crate::front::{Front, Options, StartError};
use crate::kmip::client::Client;
use crate::tls::{Credentials, Trust};

/// The front's own database, beside the store.
const DATABASE: &str = "front.db";

/// Why there is no front.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// It cannot start.
    #[error("[front] {0}")]
    Start(#[from] StartError),
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
    (audit, tokens): (Audit, Option<Tokens>),
    upstream: Option<Client>,
) -> Option<Needs> {
    let address = config.front.address?;
    let options = Options {
        credentials,
        trust,
        appointments: appointments(&config.front),
        tokens,
        upstream,
        audit,
        audit_directory: config.audit_directory(),
        database: config.store.path.with_file_name(DATABASE),
    };
    Some(Needs { address, options })
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
