//! What the rules decide, and that the built-in ones decide as the list does.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::attributes::certificate::Certificate;
use crate::group::ids::Identity;
use crate::group::policy::AdmissionRule;

const ROLES: [Role; 3] = [Role::Receiver, Role::Sender, Role::Both];

fn who(identity: &str) -> Attributes {
    let certificate = Certificate {
        common_name: Some("anna".into()),
        organizations: BTreeSet::from(["Studio".into()]),
        units: BTreeSet::new(),
        serial: "0abc".into(),
        not_after: 2_000_000_000,
        thumbprint: [7; 32],
    };
    Attributes::new(Identity(identity.into()), certificate)
}

fn with(
    mut who: Attributes,
    claims: &[(&str, &[&str])],
    directory: &[(&str, &[&str])],
) -> Attributes {
    let values = |all: &[(&str, &[&str])]| {
        let sets = all.iter().map(|(name, texts)| {
            let texts = texts.iter().map(|text| (*text).to_owned()).collect();
            ((*name).to_owned(), texts)
        });
        sets.collect()
    };
    who.claims = values(claims);
    who.directory = values(directory);
    who
}

fn admits(pattern: &str, roles: &[Role]) -> GroupPolicy {
    GroupPolicy {
        admit: vec![AdmissionRule {
            identity: pattern.into(),
            roles: roles.to_vec(),
        }],
        ..GroupPolicy::default()
    }
}

fn decider(rules: &str) -> Decider {
    Decider::new(Rules::parse(rules).expect("good rules"))
}

fn why(decision: Decision) -> String {
    match decision {
        Decision::Refused { why } => why.to_string(),
        Decision::Admitted { rule } => panic!("admitted by {rule}"),
    }
}

#[test]
fn a_directory_can_forbid_what_the_list_allows() {
    let rules = format!(
        "{BUILT_IN} @id(\"no locked accounts\") forbid (principal, action, resource)
         when {{ principal.directory.hasTag(\"locked\") && principal.directory.getTag(\"locked\").contains(\"TRUE\") }};"
    );
    let (decider, policy) = (decider(&rules), admits("cn:*", &ROLES));
    let decide = |locked: &[&str]| {
        let who = with(who("cn:anna"), &[], &[("locked", locked)]);
        decider.decide("studio", &policy, &who, Role::Both)
    };
    let admitted = |rule: &str| Decision::Admitted { rule: rule.into() };
    assert_eq!(decide(&["FALSE"]), admitted("listed, admit[0]"));
    assert_eq!(
        why(decide(&["TRUE"])),
        "forbidden by rule no locked accounts"
    );
    // Again, from the cache.
    assert_eq!(
        why(decide(&["TRUE"])),
        "forbidden by rule no locked accounts"
    );
    assert_eq!(decide(&["FALSE"]), admitted("listed, admit[0]"));
}

#[test]
fn a_claim_can_permit_what_the_list_does_not() {
    let decider = decider(
        "@id(\"crew\") permit (principal, action in Action::\"receive\", resource == Group::\"studio\")
         when { principal.claims.hasTag(\"groups\") && principal.claims.getTag(\"groups\").contains(\"crew\") }
         unless { action in Action::\"send\" && principal.kind != \"spiffe\" };",
    );
    let nobody = GroupPolicy::default();
    let decide = |group: &str, who: Attributes, role| {
        let crew = with(who, &[("groups", &["cast", "crew"])], &[]);
        decider.decide(group, &nobody, &crew, role)
    };
    let crew = Decision::Admitted {
        rule: "crew".into(),
    };
    assert_eq!(decide("studio", who("cn:anna"), Role::Receiver), crew);
    assert_eq!(decide("studio", who("spiffe://a/b"), Role::Both), crew);
    for (group, identity, role) in [
        ("studio", "cn:anna", Role::Both),
        ("studio", "spiffe://a/b", Role::Sender),
        ("other", "spiffe://a/b", Role::Receiver),
    ] {
        let refused = why(decide(group, who(identity), role));
        assert!(
            refused.starts_with("no rule permits it; the policy admits nobody"),
            "{refused}"
        );
    }
    let without = decider.decide("studio", &nobody, &who("cn:anna"), Role::Receiver);
    assert!(!without.is_admitted());
}

#[test]
fn everything_in_the_schema_can_be_asked_for() {
    let decider = decider(
        "permit (principal, action, resource) when {
            principal.identity == \"spiffe://a.org/room/anna\" && principal.name == \"a.org/room/anna\" &&
            principal has trust_domain && principal.trust_domain == \"a.org\" &&
            principal has path && principal.path like \"/room/*\" &&
            principal.certificate has common_name && principal.certificate.common_name == \"anna\" &&
            principal.certificate.organizations.contains(\"Studio\") &&
            principal.certificate.organizational_units.isEmpty() &&
            principal.certificate.serial == \"0abc\" && principal.certificate.not_after > 1900000000 &&
            resource.name == \"studio\" && !context.listed
        };",
    );
    let decide = |who| decider.decide("studio", &GroupPolicy::default(), &who, Role::Sender);
    assert_eq!(
        decide(who("spiffe://a.org/room/anna")),
        Decision::Admitted {
            rule: "policy0".into()
        }
    );
    assert!(!decide(who("cn:anna")).is_admitted());
}

#[test]
fn a_rule_that_cannot_be_evaluated_admits_nobody() {
    let decider = decider(&format!(
        "{BUILT_IN} @id(\"much\") forbid (principal, action, resource) when {{
            principal.certificate.not_after * 9000000000000 > 0 }};"
    ));
    let refused = why(decider.decide("studio", &admits("**", &ROLES), &who("cn:anna"), Role::Both));
    assert!(
        refused.contains("much") && refused.contains("overflow"),
        "{refused}"
    );
}

#[test]
fn rules_are_replaced_and_what_was_cached_goes_with_them() {
    let (decider, policy) = (Decider::default(), admits("**", &ROLES));
    let decide = || decider.decide("studio", &policy, &who("cn:anna"), Role::Both);
    assert!(decide().is_admitted());
    let nobody = "@id(\"closed\") forbid (principal, action, resource);";
    decider.replace(Rules::parse(nobody).expect("good rules"));
    assert_eq!(why(decide()), "forbidden by rule closed");
    decider.replace(Rules::built_in());
    assert!(decide().is_admitted());
}

#[test]
fn hostile_names_are_only_names() {
    let decider = Decider::default();
    for identity in [
        "cn:\"; permit (principal, action, resource); //",
        "cn:\\",
        "cn:ü::\"x\"",
        "cn:*",
    ] {
        let decision = decider.decide(
            "a\"b",
            &admits("cn:anna", &ROLES),
            &who(identity),
            Role::Both,
        );
        assert!(!decision.is_admitted(), "{identity}");
        let decision = decider.decide("a\"b", &admits("cn:**", &ROLES), &who(identity), Role::Both);
        assert!(decision.is_admitted(), "{identity}");
    }
}

fn identity() -> impl Strategy<Value = String> {
    let name = "[ab]{1,2}";
    prop_oneof![
        (name, name).prop_map(|(a, b)| format!("spiffe://{a}/{b}")),
        (name, name).prop_map(|(a, b)| format!("dns:{a}.{b}")),
        name.prop_map(|a| format!("cn:{a}")),
    ]
}

fn pattern() -> impl Strategy<Value = String> {
    let part = prop_oneof![Just("*".to_owned()), Just("**".to_owned()), "[ab]{1,2}"];
    let part = part.boxed();
    prop_oneof![
        Just("**".to_owned()),
        (part.clone(), part.clone()).prop_map(|(a, b)| format!("spiffe://{a}/{b}")),
        (part.clone(), part.clone()).prop_map(|(a, b)| format!("dns:{a}.{b}")),
        part.prop_map(|a| format!("cn:{a}")),
    ]
}

fn list() -> impl Strategy<Value = Vec<AdmissionRule>> {
    let roles = proptest::collection::vec(proptest::sample::select(ROLES.to_vec()), 1..3);
    let entry = (pattern(), roles).prop_map(|(identity, roles)| AdmissionRule { identity, roles });
    proptest::collection::vec(entry, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// One decider for all roles of a case: its cache must not mix them up.
    #[test]
    fn the_built_in_rules_decide_as_the_list_does(admit_list in list(), names in proptest::collection::vec(identity(), 1..4)) {
        let policy = GroupPolicy { admit: admit_list, ..GroupPolicy::default() };
        prop_assert!(policy.validate().is_ok());
        let decider = Decider::default();
        for name in names.iter().chain(&names) {
            for role in ROLES {
                let decision = decider.decide("studio", &policy, &who(name), role);
                let expected = match admit(&policy, &Identity(name.clone()), role) {
                    Ok(entry) => Decision::Admitted { rule: format!("listed, admit[{entry}]") },
                    Err(why) => Decision::Refused { why: Refused::NotPermitted(Some(why)) },
                };
                prop_assert_eq!(decision, expected);
            }
        }
    }
}
