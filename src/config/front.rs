//! `[front]`: the front for programs.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::optional;
use crate::group::ids::Identity;

/// `[front]`: the key store upstream by KMIP, and the mission's operations by REST, over HTTPS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Front {
    /// TCP address and port; none if empty.
    #[serde(with = "optional")]
    pub address: Option<SocketAddr>,
    /// What the key store upstream is called where it says that something changed there: identities, exactly as its certificates say.
    pub notifiers: Vec<Identity>,
    /// Who may do what.
    pub roles: Roles,
}

/// `[front.roles]`: identities, exactly as their certificates say, and claims of tokens, as `claim:NAME=VALUE`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Roles {
    /// Who looks at objects.
    pub viewer: Vec<Identity>,
    /// Who registers and archives them.
    pub operator: Vec<Identity>,
    /// Who decides about keys and access.
    pub key_officer: Vec<Identity>,
    /// Who reads the audit trail.
    pub auditor: Vec<Identity>,
}

impl Roles {
    /// All of them, by name.
    pub fn by_name(&self) -> [(&'static str, &[Identity]); 4] {
        [
            ("viewer", &self.viewer),
            ("operator", &self.operator),
            ("key_officer", &self.key_officer),
            ("auditor", &self.auditor),
        ]
    }
}
