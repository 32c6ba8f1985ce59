//! Who may do what: the one table of roles and operations, and the roles of callers. Deny by default.

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::attributes::Values;
use crate::group::ids::Identity;
use crate::kmip::codec::values::Operation as operation;

/// What somebody is to the gateway's front.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Looks at objects: that they are there, their attributes and states.
    Viewer,
    /// Registers, activates and archives objects, and sees those that are no plain key.
    Operator,
    /// Decides about keys and access: gets, revokes and destroys them, grants and revokes access to groups.
    KeyOfficer,
    /// Reads the audit trail, and its batches in the key store.
    Auditor,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Viewer,
        Self::Operator,
        Self::KeyOfficer,
        Self::Auditor,
    ];

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::KeyOfficer => "key officer",
            Self::Auditor => "auditor",
        })
    }
}

/// Some of the roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// With one more.
    #[must_use]
    pub fn with(self, role: Role) -> Self {
        Self(self.0 | role.bit())
    }

    /// Those of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it is among them.
    #[must_use]
    pub fn has(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// Whether one of these is among them.
    #[must_use]
    pub fn has_one_of(self, roles: &[Role]) -> bool {
        roles.iter().any(|role| self.has(*role))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Roles in words, for whoever lacks them.
pub(super) fn named(roles: &[Role]) -> String {
    let names: Vec<String> = roles.iter().map(Role::to_string).collect();
    names.join(" or ")
}

/// What is known about one operation of KMIP.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// The operation.
    pub(super) operation: u32,
    /// Who may ask for it.
    pub(super) roles: &'static [Role],
    /// Whether doing it twice is as good as doing it once.
    pub(super) repeatable: bool,
    /// Whether it may be done later: neither its request nor its answer needs to hold a key, and so both may be on disk.
    pub(super) deferrable: bool,
}

const fn looks(operation: u32) -> Rule {
    Rule {
        operation,
        roles: &Role::ALL,
        repeatable: true,
        deferrable: true,
    }
}

const fn runs(operation: u32) -> Rule {
    Rule {
        operation,
        roles: &[Role::Operator, Role::KeyOfficer],
        repeatable: false,
        deferrable: true,
    }
}

const fn decides(operation: u32, deferrable: bool) -> Rule {
    Rule {
        operation,
        roles: &[Role::KeyOfficer],
        repeatable: false,
        deferrable,
    }
}

/// What is relayed to the key store. What is not here is not: messages from servers to clients, and what would change a
/// connection (log-ins, roles of its ends), which all callers share.
pub(super) const RELAYED: [Rule; 36] = [
    looks(operation::Locate),
    looks(operation::Check),
    looks(operation::GetAttributes),
    looks(operation::GetAttributeList),
    looks(operation::Validate),
    Rule {
        operation: operation::Get,
        roles: &[Role::Operator, Role::KeyOfficer, Role::Auditor],
        repeatable: true,
        deferrable: false,
    },
    runs(operation::Register),
    runs(operation::Create),
    runs(operation::CreateKeyPair),
    runs(operation::Activate),
    runs(operation::AddAttribute),
    runs(operation::ModifyAttribute),
    runs(operation::DeleteAttribute),
    runs(operation::SetAttribute),
    runs(operation::AdjustAttribute),
    runs(operation::Archive),
    runs(operation::Recover),
    decides(operation::Revoke, true),
    decides(operation::Destroy, true),
    decides(operation::ReKey, true),
    decides(operation::ReKeyKeyPair, true),
    decides(operation::ObtainLease, true),
    decides(operation::GetUsageAllocation, true),
    decides(operation::Certify, true),
    decides(operation::ReCertify, true),
    decides(operation::DeriveKey, false),
    decides(operation::CreateSplitKey, false),
    decides(operation::JoinSplitKey, false),
    decides(operation::Import, false),
    decides(operation::Export, false),
    decides(operation::Encrypt, false),
    decides(operation::Decrypt, false),
    decides(operation::Sign, false),
    decides(operation::SignatureVerify, false),
    decides(operation::MAC, false),
    decides(operation::MACVerify, false),
];

/// What the gateway answers by itself, to whoever has any role. Polling and cancelling is bound to the caller besides.
pub(super) const LOCAL: [u32; 4] = [
    operation::Query,
    operation::DiscoverVersions,
    operation::Poll,
    operation::Cancel,
];

/// The calls of the REST interface, by name.
pub(super) const CALLS: [(&str, &[Role]); 15] = [
    ("locate", &Role::ALL),
    ("show", &Role::ALL),
    ("exchange", &Role::ALL),
    ("cancel", &Role::ALL),
    ("request", &Role::ALL),
    ("requests", &Role::ALL),
    ("withdraw", &Role::ALL),
    ("register", &[Role::Operator, Role::KeyOfficer]),
    ("activate", &[Role::Operator, Role::KeyOfficer]),
    ("archive", &[Role::Operator, Role::KeyOfficer]),
    ("recover", &[Role::Operator, Role::KeyOfficer]),
    ("revoke", &[Role::KeyOfficer]),
    ("grant", &[Role::KeyOfficer]),
    ("exclude", &[Role::KeyOfficer]),
    ("audit", &[Role::Auditor]),
];

/// Whether there is a call of that name.
pub(super) fn is_call(name: &str) -> bool {
    CALLS.iter().any(|(call, _)| *call == name)
}

/// Who may make a call: nobody one that is not in the table.
pub(super) fn roles_of_call(name: &str) -> &'static [Role] {
    let found = CALLS.iter().find(|(call, _)| *call == name);
    found.map_or(&[], |(_, roles)| roles)
}

/// The rule of an operation that is relayed.
pub(super) fn rule(operation: u32) -> Option<&'static Rule> {
    RELAYED.iter().find(|rule| rule.operation == operation)
}

/// Whom roles are given to. Certificates have them by identity and tokens by claim alone, so that no token's subject can pass for a
/// certificate's name.
#[derive(Clone, Debug, Default)]
pub struct Appointments {
    identities: HashMap<Identity, Roles>,
    claims: HashMap<(String, String), Roles>,
    notifiers: HashSet<Identity>,
}

impl Appointments {
    /// Gives a role to an identity, or to tokens with a claim, written as `claim:NAME=VALUE`.
    pub fn appoint(&mut self, role: Role, whom: &Identity) {
        let claim = whom.0.strip_prefix("claim:");
        let roles = match claim.and_then(|claim| claim.split_once('=')) {
            Some((name, value)) => {
                let claim = (name.to_owned(), value.to_owned());
                self.claims.entry(claim).or_default()
            }
            None => self.identities.entry(whom.clone()).or_default(),
        };
        *roles = roles.with(role);
    }

    /// The key store has this identity when it says that something changed there. That is no role: it may do nothing else by it.
    pub fn appoint_notifier(&mut self, whom: &Identity) {
        self.notifiers.insert(whom.clone());
    }

    /// Whether the owner of a certificate is the key store.
    #[must_use]
    pub fn notifies(&self, identity: &Identity) -> bool {
        self.notifiers.contains(identity)
    }

    /// The roles of the owner of a certificate.
    #[must_use]
    pub fn of_identity(&self, identity: &Identity) -> Roles {
        self.identities.get(identity).copied().unwrap_or_default()
    }

    /// Those claims of a token that give a role.
    #[must_use]
    pub fn held(&self, claims: &Values) -> Vec<(String, String)> {
        let held = |(name, value): &&(String, String)| {
            let values = claims.get(name);
            values.is_some_and(|values| values.contains(value))
        };
        self.claims.keys().filter(held).cloned().collect()
    }

    /// The roles of the bearer of a token with these claims.
    #[must_use]
    pub fn of_claims(&self, held: &[(String, String)]) -> Roles {
        let found = held.iter().filter_map(|claim| self.claims.get(claim));
        found.fold(Roles::default(), |all, roles| all.and(*roles))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kmip::codec::{tag, value_name};

    /// Each operation with who may ask for it: v(iewer), o(perator), k(ey officer), a(uditor).
    const EXPECTED: &str = "
        Create ok, CreateKeyPair ok, Register ok, ReKey k, DeriveKey k, Certify k, ReCertify k, Locate voka, Check voka,
        Get oka, GetAttributes voka, GetAttributeList voka, AddAttribute ok, ModifyAttribute ok, DeleteAttribute ok,
        ObtainLease k, GetUsageAllocation k, Activate ok, Revoke k, Destroy k, Archive ok, Recover ok, Validate voka,
        ReKeyKeyPair k, Encrypt k, Decrypt k, Sign k, SignatureVerify k, MAC k, MACVerify k, CreateSplitKey k, JoinSplitKey k,
        Import k, Export k, AdjustAttribute ok, SetAttribute ok";

    #[test]
    fn every_operation_is_for_those_that_it_is_meant_for_and_all_others_for_nobody() {
        let mut relayed = 0;
        for operation in 0..=0xffff_u32 {
            let name = value_name(tag::Operation, operation).unwrap_or("?");
            let mut expected = EXPECTED.split(',').map(str::trim);
            let who = expected.find_map(|entry| entry.strip_prefix(name)?.strip_prefix(' '));
            for (role, letter) in Role::ALL.into_iter().zip("voka".chars()) {
                let may = rule(operation)
                    .is_some_and(|rule| Roles::default().with(role).has_one_of(rule.roles));
                let meant = who.is_some_and(|who| who.contains(letter));
                assert_eq!(may, meant, "{name} by {role}");
            }
            let nobody =
                rule(operation).is_some_and(|rule| Roles::default().has_one_of(rule.roles));
            assert!(!nobody, "{name} by nobody");
            relayed += usize::from(rule(operation).is_some());
        }
        assert_eq!(relayed, RELAYED.len(), "none is there twice");
        assert!(LOCAL.iter().all(|local| rule(*local).is_none()));
    }

    #[test]
    fn what_is_repeatable_changes_nothing_and_what_gives_keys_is_never_deferred() {
        let names = |wanted: &dyn Fn(&Rule) -> bool| -> Vec<&str> {
            let found = RELAYED.iter().filter(|rule| wanted(rule));
            let named = |rule: &Rule| value_name(tag::Operation, rule.operation);
            found.filter_map(named).collect()
        };
        assert_eq!(
            names(&|rule| rule.repeatable),
            [
                "Locate",
                "Check",
                "GetAttributes",
                "GetAttributeList",
                "Validate",
                "Get"
            ]
        );
        assert_eq!(
            names(&|rule| !rule.deferrable),
            [
                "Get",
                "DeriveKey",
                "CreateSplitKey",
                "JoinSplitKey",
                "Import",
                "Export",
                "Encrypt",
                "Decrypt",
                "Sign",
                "SignatureVerify",
                "MAC",
                "MACVerify"
            ]
        );
    }

    #[test]
    fn calls_are_for_whom_operations_of_the_same_effect_are_for() {
        let same = [
            ("locate", operation::Locate),
            ("show", operation::GetAttributes),
            ("register", operation::Register),
            ("activate", operation::Activate),
            ("archive", operation::Archive),
            ("recover", operation::Recover),
            ("revoke", operation::Revoke),
        ];
        for (call, operation) in same {
            let roles = rule(operation).expect("it is relayed").roles;
            assert_eq!(roles_of_call(call), roles, "{call}");
        }
        for (call, only) in [
            ("grant", Role::KeyOfficer),
            ("exclude", Role::KeyOfficer),
            ("audit", Role::Auditor),
        ] {
            assert_eq!(roles_of_call(call), [only]);
        }
        for call in ["exchange", "cancel", "request", "requests", "withdraw"] {
            assert_eq!(roles_of_call(call), Role::ALL, "{call}: of one's own");
        }
        assert!(roles_of_call("else").is_empty());
    }

    #[test]
    fn certificates_have_roles_by_name_and_tokens_by_claim() {
        let mut table = Appointments::default();
        table.appoint(Role::Viewer, &Identity("cn:anna".into()));
        table.appoint(Role::Auditor, &Identity("cn:anna".into()));
        table.appoint(Role::KeyOfficer, &Identity("claim:groups=keys=a".into()));
        let anna = table.of_identity(&Identity("cn:anna".into()));
        assert_eq!(
            anna,
            Roles::default().with(Role::Viewer).with(Role::Auditor)
        );
        assert!(table.of_identity(&Identity("cn:bert".into())).is_empty());
        let claims = |claims: &[(&str, &[&str])]| -> Values {
            let texts = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
            let claims = claims.iter();
            claims
                .map(|(name, values)| ((*name).to_owned(), texts(values)))
                .collect()
        };
        let officer = claims(&[("sub", &["cn:anna"]), ("groups", &["b", "keys=a"])]);
        let held = table.held(&officer);
        assert_eq!(
            table.of_claims(&held),
            Roles::default().with(Role::KeyOfficer)
        );
        let others = claims(&[("sub", &["cn:anna"]), ("groups", &["keys"])]);
        assert!(table.held(&others).is_empty());
        // They are looked at anew wherever there is another table.
        assert!(Appointments::default().of_claims(&held).is_empty());
        let claimed = Identity("claim:groups=keys=a".into());
        assert!(table.of_identity(&claimed).is_empty());
    }
}
