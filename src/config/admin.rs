//! `[admin]`: the admin interface.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::optional;
use crate::group::ids::Identity;

/// `[admin]`: the HTTPS admin interface.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// TCP address and port; none if empty.
    #[serde(with = "optional")]
    pub address: Option<SocketAddr>,
    /// Who changes groups, tokens and the gateway: identities, exactly as their certificates say.
    pub operators: Vec<Identity>,
    /// Who looks at everything.
    pub viewers: Vec<Identity>,
    /// Who scrapes metrics and asks for health.
    pub monitors: Vec<Identity>,
    /// TCP address and port of plain HTTP that answers `/livez` and `/readyz`, to anybody; none if empty.
    #[serde(with = "optional")]
    pub health_address: Option<SocketAddr>,
}

impl Admin {
    /// Its lists of identities, by their keys.
    pub fn by_key(&self) -> [(&'static str, &[Identity]); 3] {
        [
            ("admin.operators", &self.operators),
            ("admin.viewers", &self.viewers),
            ("admin.monitors", &self.monitors),
        ]
    }
}
