//! The decision point: who is admitted to which group, in which role.
//!
//! Two things decide. A group's policy has a list `admit` of identity patterns and roles ([`admit`]), and the gateway has rules for
//! all groups, in [Cedar](https://www.cedarpolicy.com): they look at who asks (identity, certificate, the claims of a bearer token,
//! what a directory has) and at whether the list has him. The [built-in rules](BUILT_IN) admit who is listed. An operator's own
//! rules take their place: they may forbid what the list allows, or permit by attributes what it does not.
//!
//! ```cedar
//! @id("listed")
//! permit (principal, action in Action::"join", resource) when { context.listed };
//!
//! @id("crew of the newsroom may watch")
//! permit (principal, action == Action::"receiver", resource == Group::"newsroom")
//! when { principal.claims.hasTag("groups") && principal.claims.getTag("groups").contains("crew") };
//!
//! @id("nobody who is locked")
//! forbid (principal, action, resource)
//! when { principal.directory.hasTag("locked") && principal.directory.getTag("locked").contains("TRUE") };
//! ```
//!
//! Deny by default: what no rule permits is refused, what one forbids is refused whatever others permit, and so is everything
//! while a rule cannot be evaluated. Rules are [held against a schema](SCHEMA) as they are loaded, so a misspelt attribute is an
//! error then, not a rule that never applies.
//!
//! Who is a member is not decided anew: rules that change, claims that run out and entries that go take away nothing that members
//! hold, and neither resume nor pull asks here. To remove somebody is to evict him.

mod catalogue;
pub mod documents;
mod list;
mod pattern;
mod request;
mod rules;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use cedar_policy::{Authorizer, Decision as Effect};

use crate::attributes::Attributes;
use crate::attributes::recent::Recent;
use crate::group::ids::Role;
use crate::group::policy::GroupPolicy;
pub use catalogue::METRICS;
pub use list::{NotListed, admit};
pub use rules::{BUILT_IN, MAX_RULES, MAX_TEXT, Revision, Rules, RulesError, SCHEMA};

/// Answers that are kept, in each of two generations.
const KEPT: usize = 16_384;
/// Names of rules that are told of one decision.
const MAX_TOLD: usize = 8;

/// The answer to a request to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is admitted.
    Admitted {
        /// By which rules, and by which entry of the list where it was on it.
        rule: String,
    },
    /// It is not.
    Refused {
        /// Why, for the operator's log. A peer is told only that it was not admitted.
        why: Refused,
    },
}

/// Why somebody was not admitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No rule permits it. Where nothing but the list could, that is why.
    #[error("no rule permits it{}", told(.0))]
    NotPermitted(Option<NotListed>),
    /// Rules forbid it.
    #[error("forbidden by rule {}", .0.join(", "))]
    Forbidden(Arc<[String]>),
    /// What forbade it may be in rules that cannot be read any more.
    #[error("the rules that were in force cannot be read: {0}")]
    Lost(Arc<str>),
    /// Rules cannot be evaluated, so they might have forbidden it.
    #[error("rule cannot be evaluated: {0}")]
    Failed(Arc<str>),
}

/// SHA-256 of everything that an answer depends on.
type Key = [u8; 32];

/// What the rules say, by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Permitted(Arc<[String]>),
    NotPermitted,
    Forbidden(Arc<[String]>),
    Failed(Arc<str>),
}

/// Decides by rules, which can be changed while it does. Answers are cached by all that they depend on.
pub struct Decider {
    rules: RwLock<Rules>,
    /// Why the rules that are to be in force are not known; nobody is admitted meanwhile.
    lost: RwLock<Option<Arc<str>>>,
    authorizer: Authorizer,
    cache: Mutex<Recent<Key, Verdict>>,
}

impl Decision {
    /// Whether the answer is yes.
    pub fn is_admitted(&self) -> bool {
        matches!(self, Decision::Admitted { .. })
    }
}

impl Default for Decider {
    /// By the built-in rules.
    fn default() -> Self {
        Self::new(Rules::built_in())
    }
}

impl Decider {
    /// By these rules.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules: RwLock::new(rules),
            lost: RwLock::default(),
            authorizer: Authorizer::new(),
            cache: Mutex::new(Recent::new(KEPT)),
        }
    }

    /// The rules that it decides by.
    pub fn rules(&self) -> Rules {
        self.rules
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Decides by other rules from now on.
    pub fn replace(&self, rules: Rules) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
        *self.lost.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Admits nobody until there are [other rules](Self::replace): those that are to be in force cannot be read, and any others may admit
    /// whom they forbade.
    pub fn lose(&self, why: &str) {
        *self.lost.write().unwrap_or_else(PoisonError::into_inner) = Some(why.into());
    }

    /// Why nobody is admitted, if [that is so](Self::lose).
    pub fn lost(&self) -> Option<Arc<str>> {
        let lost = self.lost.read().unwrap_or_else(PoisonError::into_inner);
        lost.clone()
    }

    /// Whether somebody may join a group that has this policy.
    ///
    /// ```
    /// use wardcast::attributes::{Attributes, certificate::Certificate};
    /// use wardcast::group::ids::{Identity, Role};
    /// use wardcast::group::policy::{AdmissionRule, GroupPolicy};
    /// use wardcast::policy::{Decider, Decision};
    ///
    /// # let certificate = Certificate::default();
    /// let rule = AdmissionRule { identity: "cn:anna".into(), roles: vec![Role::Receiver] };
    /// let policy = GroupPolicy { admit: vec![rule], ..GroupPolicy::default() };
    /// let anna = Attributes::new(Identity("cn:anna".into()), certificate);
    /// let decider = Decider::default();
    /// let decision = decider.decide("studio", &policy, &anna, Role::Receiver);
    /// assert_eq!(decision, Decision::Admitted { rule: "listed, admit[0]".into() });
    /// assert!(!decider.decide("studio", &policy, &anna, Role::Both).is_admitted());
    /// ```
    pub fn decide(
        &self,
        group: &str,
        policy: &GroupPolicy,
        attributes: &Attributes,
        role: Role,
    ) -> Decision {
        if let Some(why) = self.lost() {
            let why = Refused::Lost(why);
            return Decision::Refused { why };
        }
        let listed = admit(policy, &attributes.identity, role);
        let verdict = self.verdict(group, attributes, role, listed.is_ok());
        let refused = |why| Decision::Refused { why };
        match (verdict, listed) {
            (Verdict::Permitted(rules), Ok(entry)) => Decision::Admitted {
                rule: format!("{}, admit[{entry}]", rules.join(", ")),
            },
            (Verdict::Permitted(rules), Err(_)) => Decision::Admitted {
                rule: rules.join(", "),
            },
            (Verdict::NotPermitted, listed) => refused(Refused::NotPermitted(listed.err())),
            (Verdict::Forbidden(rules), _) => refused(Refused::Forbidden(rules)),
            (Verdict::Failed(why), _) => refused(Refused::Failed(why)),
        }
    }

    fn verdict(&self, group: &str, attributes: &Attributes, role: Role, listed: bool) -> Verdict {
        let rules = self.rules();
        let key = key(&rules, group, attributes, role, listed);
        if let Some(verdict) = self.cache().get(&key) {
            count("cached");
            return verdict;
        }
        count("evaluated");
        let verdict = self.evaluate(&rules, group, attributes, role, listed);
        self.cache().put(key, verdict.clone());
        verdict
    }

    fn cache(&self) -> MutexGuard<'_, Recent<Key, Verdict>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn evaluate(
        &self,
        rules: &Rules,
        group: &str,
        attributes: &Attributes,
        role: Role,
        listed: bool,
    ) -> Verdict {
        let (request, entities) = match request::build(group, attributes, role, listed) {
            Ok(built) => built,
            Err(why) => return Verdict::Failed(why.into()),
        };
        let response = self
            .authorizer
            .is_authorized(&request, rules.policies(), &entities);
        let diagnostics = response.diagnostics();
        // Cedar leaves out what it cannot evaluate, which may have been what forbids.
        if let Some(error) = diagnostics.errors().next() {
            return Verdict::Failed(error.to_string().into());
        }
        let mut names: Vec<String> = diagnostics.reason().map(ToString::to_string).collect();
        names.sort();
        // More are never told, and each answer that is kept would have all of them.
        names.truncate(MAX_TOLD);
        match (response.decision(), names.is_empty()) {
            (Effect::Allow, _) => Verdict::Permitted(names.into()),
            (Effect::Deny, true) => Verdict::NotPermitted,
            (Effect::Deny, false) => Verdict::Forbidden(names.into()),
        }
    }
}

/// Of everything that an answer depends on, and of nothing that rules do not look at: by the built-in ones all who are listed have
/// the same answer. The policy of a group is in it by what the list says.
fn key(rules: &Rules, group: &str, attributes: &Attributes, role: Role, listed: bool) -> Key {
    use sha2::{Digest, Sha256};
    let looks = rules.looks();
    let mut hash = Sha256::new();
    hash.update(rules.revision().0);
    hash.update([role as u8, u8::from(listed)]);
    if looks.group {
        hash.update((group.len() as u64).to_be_bytes());
        hash.update(group);
    }
    if looks.member {
        hash.update(attributes.digest());
    }
    hash.finalize().into()
}

fn count(how: &'static str) {
    metrics::counter!("wardcast_decisions_total", "how" => how).increment(1);
}

fn told(listed: &Option<NotListed>) -> String {
    listed
        .as_ref()
        .map_or_else(String::new, |why| format!("; {why}"))
}

#[cfg(test)]
mod tests;
