//! The list of a group's policy: which identities it has, in which roles.
//!
//! Entries are permissions only, so their order does not matter.

use super::pattern;
use crate::group::ids::{Identity, Role};
use crate::group::policy::{AdmissionRule, GroupPolicy};

/// Why an identity is not on a list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotListed {
    /// The list is empty.
    #[error("the policy admits nobody: it has no admit rules")]
    Empty,
    /// No entry's pattern matches.
    #[error("no admit rule's pattern matches {identity}")]
    NoMatch {
        /// Who asked.
        identity: Identity,
    },
    /// Patterns match, but not for this role.
    #[error("admit[{entry}] matches {identity}, but not in the role {role:?}")]
    WrongRole {
        /// Who asked.
        identity: Identity,
        /// As what.
        role: Role,
        /// The first entry whose pattern matches.
        entry: usize,
    },
}

/// Which entry of a policy's list has an identity in a role.
///
/// ```
/// use wardcast::group::ids::{Identity, Role};
/// use wardcast::group::policy::{AdmissionRule, GroupPolicy};
/// use wardcast::policy::admit;
///
/// let rule = AdmissionRule { identity: "spiffe://example.org/room/*".into(), roles: vec![Role::Receiver] };
/// let policy = GroupPolicy { admit: vec![rule], ..GroupPolicy::default() };
/// let anna = Identity("spiffe://example.org/room/anna".into());
/// assert_eq!(admit(&policy, &anna, Role::Receiver), Ok(0));
/// assert!(admit(&policy, &anna, Role::Both).is_err());
/// ```
pub fn admit(policy: &GroupPolicy, identity: &Identity, role: Role) -> Result<usize, NotListed> {
    let mut matched = None;
    for (index, rule) in policy.admit.iter().enumerate() {
        if !pattern::matches(&rule.identity, &identity.0) {
            continue;
        }
        if allows(rule, role) {
            return Ok(index);
        }
        matched = matched.or(Some(index));
    }
    let identity = identity.clone();
    Err(match matched {
        _ if policy.admit.is_empty() => NotListed::Empty,
        None => NotListed::NoMatch { identity },
        Some(entry) => NotListed::WrongRole {
            identity,
            role,
            entry,
        },
    })
}

/// `both` is to send and to receive: it includes the two, and the two together are it.
fn allows(rule: &AdmissionRule, role: Role) -> bool {
    let sends = rule.roles.iter().any(|role| role.sends());
    let receives = rule.roles.iter().any(|role| *role != Role::Sender);
    match role {
        Role::Receiver => receives,
        Role::Sender => sends,
        Role::Both => sends && receives,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(rules: &[(&str, &[Role])]) -> GroupPolicy {
        let rule = |(identity, roles): &(&str, &[Role])| AdmissionRule {
            identity: (*identity).into(),
            roles: roles.to_vec(),
        };
        let policy = GroupPolicy {
            admit: rules.iter().map(rule).collect(),
            ..GroupPolicy::default()
        };
        policy.validate().expect("a valid policy");
        policy
    }

    fn who(name: &str) -> Identity {
        Identity(name.into())
    }

    #[test]
    fn nobody_is_admitted_by_default() {
        let decision = admit(&GroupPolicy::default(), &who("cn:root"), Role::Receiver);
        assert_eq!(decision, Err(NotListed::Empty));
    }

    #[test]
    fn any_rule_admits_and_the_refusal_says_what_was_missing() {
        let policy = policy(&[
            ("spiffe://a/viewer/*", &[Role::Receiver]),
            ("spiffe://a/viewer/anna", &[Role::Sender]),
        ]);
        let anna = who("spiffe://a/viewer/anna");
        assert_eq!(admit(&policy, &anna, Role::Sender), Ok(1));
        let refused = |name: &str, role| {
            let refused = admit(&policy, &who(name), role);
            refused.expect_err("not on the list").to_string()
        };
        // Rules are not added up: no single one lets her do both.
        let why = refused("spiffe://a/viewer/anna", Role::Both);
        assert!(why.starts_with("admit[0] matches"), "{why}");
        let why = refused("spiffe://b/viewer/anna", Role::Receiver);
        assert!(why.starts_with("no admit rule's pattern"), "{why}");
    }

    #[test]
    fn both_is_sending_and_receiving() {
        use Role::{Both, Receiver, Sender};
        let cases: [(&[Role], [bool; 3]); 4] = [
            (&[Both], [true, true, true]),
            (&[Sender, Receiver], [true, true, true]),
            (&[Sender], [true, false, false]),
            (&[Receiver], [false, true, false]),
        ];
        for (roles, expected) in cases {
            let policy = policy(&[("**", roles)]);
            let found =
                [Sender, Receiver, Both].map(|role| admit(&policy, &who("cn:x"), role).is_ok());
            assert_eq!(found, expected, "{roles:?}");
        }
    }
}
