//! Who may do what: the roles of operators, and which one a call needs. Deny by default.

use std::collections::HashMap;
use std::fmt;

use axum::http::Method;

use crate::group::ids::Identity;

/// What somebody is to the admin interface. Each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Scrapes metrics and asks whether the gateway lives and is ready; sees nobody's name. For monitoring systems.
    Monitor,
    /// Looks at everything.
    Viewer,
    /// Changes groups, tokens and the gateway.
    Operator,
}

impl Role {
    /// The key of the configuration that appoints to it.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Monitor => "admin.monitors",
            Self::Viewer => "admin.viewers",
            Self::Operator => "admin.operators",
        }
    }

    /// With its article, for whoever lacks it.
    fn needed(self) -> &'static str {
        match self {
            Self::Monitor => "a monitor",
            Self::Viewer => "a viewer",
            Self::Operator => "an operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Monitor => "monitor",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        })
    }
}

/// Who has which role. Whoever is not here has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appointments(HashMap<Identity, Role>);

impl Appointments {
    /// Appoints somebody, as his certificate names him. Of two roles he has the one that may more.
    pub fn appoint(&mut self, role: Role, whom: &Identity) {
        let own = self.0.entry(whom.clone()).or_insert(role);
        *own = role.max(*own);
    }

    /// The role that somebody has.
    #[must_use]
    pub fn of(&self, identity: &Identity) -> Option<Role> {
        self.0.get(identity).copied()
    }
}

/// The role that a call needs: what is not known to be harmless is an operator's.
pub(super) fn needed(method: &Method, path: &str) -> Role {
    match (method.is_safe(), path) {
        (true, "/metrics" | "/livez" | "/readyz") => Role::Monitor,
        (true, _) => Role::Viewer,
        (false, _) => Role::Operator,
    }
}

/// What somebody is told who lacks a role.
pub(super) fn lacking(who: &Identity, own: Option<Role>, needed: Role) -> String {
    let (what, key) = (needed.needed(), needed.key());
    match own {
        Some(own) => format!("{who} is a {own}, and this needs {what}: name it in {key}"),
        None => format!("{who} is not {what}: name it in {key}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_changes_something_is_an_operator_and_whoever_has_two_roles_has_the_greater() {
        for (method, path, role) in [
            (Method::GET, "/metrics", Role::Monitor),
            (Method::GET, "/readyz", Role::Monitor),
            (Method::GET, "/v1/groups", Role::Viewer),
            (Method::GET, "/no/such/path", Role::Viewer),
            (Method::POST, "/metrics", Role::Operator),
            (Method::DELETE, "/v1/groups/a", Role::Operator),
            (Method::CONNECT, "/", Role::Operator),
        ] {
            assert_eq!(needed(&method, path), role, "{method} {path}");
        }
        let (anna, bert) = (Identity("cn:anna".into()), Identity("cn:bert".into()));
        let mut appointed = Appointments::default();
        appointed.appoint(Role::Operator, &anna);
        appointed.appoint(Role::Monitor, &anna);
        assert_eq!(appointed.of(&anna), Some(Role::Operator));
        assert_eq!(appointed.of(&bert), None);
        let told = lacking(&bert, None, Role::Operator);
        assert_eq!(
            told,
            "cn:bert is not an operator: name it in admin.operators"
        );
        let told = lacking(&bert, Some(Role::Viewer), Role::Operator);
        assert!(
            told.contains("is a viewer") && told.contains("admin.operators"),
            "{told}"
        );
    }
}
