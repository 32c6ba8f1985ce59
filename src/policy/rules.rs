//! Rules for all groups, in Cedar: read, and held against the schema before one of them decides anything.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use cedar_policy::{Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::causes::chain;

/// The rules of a gateway that is configured with none of its own.
pub const BUILT_IN: &str = include_str!("rules.cedar");
/// What rules can look at.
pub const SCHEMA: &str = include_str!("rules.cedarschema");

/// The longest text of rules, in bytes.
pub const MAX_TEXT: usize = 256 * 1024;
/// How many rules there may be: a decision looks at all of them.
pub const MAX_RULES: usize = 256;
/// How deep brackets may stand in brackets. Cedar's parser calls itself for each without looking at its stack, and running out of
/// that ends the process.
const MAX_NESTED: usize = 32;
/// The longest name of a rule, in bytes: it goes into the audit trail.
const MAX_ID: usize = 128;
/// Errors that are told of rules that are refused.
const MAX_TOLD: usize = 8;

static CHECKED: LazyLock<Schema> = LazyLock::new(|| {
    let (schema, _) =
        Schema::from_cedarschema_str(SCHEMA).expect("the schema in this crate is one");
    schema
});

/// Rules that were found to be good. Cheap to clone.
#[derive(Clone)]
pub struct Rules(Arc<Checked>);

struct Checked {
    policies: PolicySet,
    revision: Revision,
    looks: Looks,
}

/// What rules look at besides the role and whether somebody is listed. Answers are the same for whatever they do not look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Looks {
    /// At who asks.
    pub(super) member: bool,
    /// At the group that he asks for.
    pub(super) group: bool,
}

/// SHA-256 of the rules' text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Revision(pub [u8; 32]);

/// What is wrong with rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// Too long.
    #[error("{0} bytes; at most {MAX_TEXT}")]
    TooLong(usize),
    /// Not Cedar.
    #[error("not Cedar: {0}")]
    Syntax(String),
    /// None, or too many.
    #[error("{0} rules; must be from 1 to {MAX_RULES}")]
    Count(usize),
    /// A rule for others to fill in: nobody does.
    #[error("rule {0:?} is a template; write rules without ?principal and ?resource")]
    Template(String),
    /// A name that cannot be told.
    #[error("rule {0:?}: @id must have 1 to {MAX_ID} bytes, and no rule's twice")]
    Name(String),
    /// Rules that look at what there is not, or compare what cannot be equal.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
}

impl Rules {
    /// The rules of a gateway that is configured with none of its own.
    pub fn built_in() -> Self {
        Self::parse(BUILT_IN).expect("the rules in this crate are good")
    }

    /// Reads rules, and holds them against the schema. They are named by their annotation `@id("…")`, or as they are numbered.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        if text.len() > MAX_TEXT {
            return Err(RulesError::TooLong(text.len()));
        }
        if is_too_deep(text) {
            let why = format!("brackets stand more than {MAX_NESTED} deep in brackets");
            return Err(RulesError::Syntax(why));
        }
        let read = PolicySet::from_str(text).map_err(|error| RulesError::Syntax(chain(&error)))?;
        if let Some(template) = read.templates().next() {
            return Err(RulesError::Template(template.id().to_string()));
        }
        let policies = named(&read)?;
        let result = Validator::new(CHECKED.clone()).validate(&policies, ValidationMode::Strict);
        let errors = result.validation_errors().take(MAX_TOLD);
        let errors: Vec<String> = errors.map(ToString::to_string).collect();
        match errors.is_empty() {
            true => Ok(Self(Arc::new(Checked {
                looks: Looks::of(&policies),
                policies,
                revision: Revision(Sha256::digest(text).into()),
            }))),
            false => Err(RulesError::Invalid(errors)),
        }
    }

    /// Which rules these are.
    pub fn revision(&self) -> Revision {
        self.0.revision
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.policies.policies().count()
    }

    pub(super) fn policies(&self) -> &PolicySet {
        &self.0.policies
    }

    pub(super) fn looks(&self) -> Looks {
        self.0.looks
    }
}

impl Looks {
    /// Of all these rules together.
    fn of(policies: &PolicySet) -> Self {
        policies.policies().fold(Self::default(), |all, rule| {
            let one = Self::of_one(rule);
            Self {
                member: all.member || one.member,
                group: all.group || one.group,
            }
        })
    }

    /// By the rule's form in JSON, which names variables and entities alike wherever they stand.
    fn of_one(rule: &Policy) -> Self {
        let Ok(rule) = rule.to_json() else {
            return Self {
                member: true,
                group: true,
            };
        };
        let bounded = |scope: &str| rule[scope]["op"] != "All";
        let conditions = &rule["conditions"];
        // An entity that is named outright may be anybody's, and the group's.
        let entity = mentions(conditions, &|name, _| name == "__entity");
        let variable = |wanted: &str| {
            let is = |name: &str, value: &Value| name == "Var" && value == wanted;
            mentions(conditions, &is)
        };
        Self {
            member: bounded("principal") || entity || variable("principal"),
            group: bounded("resource") || entity || variable("resource"),
        }
    }
}

/// Whether such a field stands anywhere in a value.
fn mentions(value: &Value, field: &dyn Fn(&str, &Value) -> bool) -> bool {
    match value {
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| field(name, value) || mentions(value, field)),
        Value::Array(values) => values.iter().any(|value| mentions(value, field)),
        _ => false,
    }
}

/// Whether brackets stand deeper in brackets than they may. Those in a text or a comment are none.
fn is_too_deep(text: &str) -> bool {
    let (mut depth, mut in_text) = (0_usize, false);
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if in_text => {
                bytes.next();
            }
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'/' if bytes.peek() == Some(&b'/') => {
                while bytes.next_if(|byte| !b"\r\n".contains(byte)).is_some() {}
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_NESTED {
            return true;
        }
    }
    false
}

/// The same rules, by their own names.
fn named(read: &PolicySet) -> Result<PolicySet, RulesError> {
    let mut rules: Vec<&Policy> = read.policies().collect();
    if rules.is_empty() || rules.len() > MAX_RULES {
        return Err(RulesError::Count(rules.len()));
    }
    rules.sort_by_key(|rule| rule.id());
    let (mut names, mut policies) = (BTreeSet::new(), PolicySet::new());
    for rule in rules {
        let name = rule
            .annotation("id")
            .map_or_else(|| rule.id().to_string(), str::to_owned);
        let fits = (1..=MAX_ID).contains(&name.len()) && !name.contains(char::is_control);
        if !fits || !names.insert(name.clone()) {
            return Err(RulesError::Name(name.chars().take(MAX_ID).collect()));
        }
        let rule = rule.new_id(PolicyId::new(&name));
        policies
            .add(rule)
            .map_err(|error| RulesError::Syntax(error.to_string()))?;
    }
    Ok(policies)
}

pub(super) fn schema() -> &'static Schema {
    &CHECKED
}

impl fmt::Display for Revision {
    /// As much of it as tells it from others.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0[..6]))
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rules({})", self.0.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Rules::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn the_rules_of_this_crate_are_good() {
        assert_eq!(Rules::built_in().count(), 1);
        assert_eq!(Rules::built_in().revision().to_string().len(), 12);
    }

    #[test]
    fn it_is_known_what_rules_look_at() {
        let looks = |text: &str| {
            let Looks { member, group } = Rules::parse(text).expect(text).looks();
            (member, group)
        };
        assert_eq!(looks(BUILT_IN), (false, false));
        let when = |condition: &str| {
            let all = "permit (principal, action, resource)";
            looks(&format!("{BUILT_IN}\n{all} when {{ {condition} }};"))
        };
        assert_eq!(when("action in Action::\"join\""), (true, true), "named");
        assert_eq!(when("[principal.name].contains(\"a\")"), (true, false));
        assert_eq!(
            when("!context.listed && resource.name like \"a*\""),
            (false, true)
        );
        let named = "Attributes::\"claims\".hasTag(\"level\")";
        assert_eq!(when(named), (true, true));
        for (scope, expected) in [
            (
                "principal == Member::\"cn:anna\", action, resource",
                (true, false),
            ),
            ("principal is Member, action, resource", (true, false)),
            (
                "principal, action, resource == Group::\"studio\"",
                (false, true),
            ),
            (
                "principal, action in Action::\"send\", resource",
                (false, false),
            ),
        ] {
            assert_eq!(looks(&format!("permit ({scope});")), expected, "{scope}");
        }
        let unless =
            "forbid (principal, action, resource) unless { principal.kind == \"spiffe\" };";
        assert_eq!(looks(unless), (true, false));
    }

    #[test]
    fn rules_that_cannot_work_are_refused_with_the_reason() {
        let cases = [
            ("", "0 rules"),
            ("permit", "not Cedar"),
            (
                "permit (principal, action, resource) when { context.lisded };",
                "lisded",
            ),
            (
                "permit (principal, action, resource) when { principal.name == 3 };",
                "types",
            ),
            (
                "permit (principal == ?principal, action, resource);",
                "template",
            ),
            (
                "permit (principal, action == Action::\"eat\", resource);",
                "eat",
            ),
            // Not everybody has one: it must be asked for first.
            (
                "permit (principal, action, resource) when { principal.path == \"/a\" };",
                "path",
            ),
            (
                "permit (principal, action, resource) when { principal.claims.getTag(\"a\").contains(\"b\") };",
                "tag",
            ),
            (
                "@id(\"a\") permit (principal, action, resource); @id(\"a\") forbid (principal, action, resource);",
                "\"a\"",
            ),
            ("@id(\"\") permit (principal, action, resource);", "@id"),
        ];
        for (text, why) in cases {
            assert!(refused(text).contains(why), "{text}: {}", refused(text));
        }
        assert!(refused(&" ".repeat(MAX_TEXT + 1)).contains("bytes"));
        let nested = |depth: usize| {
            let (open, close) = ("(".repeat(depth), ")".repeat(depth));
            let comment = "[".repeat(2 * MAX_NESTED);
            format!(
                "permit (principal, action, resource) // {comment}\nwhen {{ {open}true{close} && \"{comment}\" != \"\\\"\" }};"
            )
        };
        assert!(Rules::parse(&nested(8)).is_ok());
        assert!(refused(&nested(MAX_NESTED)).contains("deep in brackets"));
        assert!(refused(&nested(100_000)).contains("deep in brackets"));
        let many = "permit (principal, action, resource);".repeat(MAX_RULES + 1);
        assert!(refused(&many).starts_with("257 rules"));
    }
}
