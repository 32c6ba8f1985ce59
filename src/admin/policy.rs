//! Policies as operators write them: what differs from the configured default.

use serde_json::Value;

use super::api::{Failure, FailureCode};
use crate::group::policy::GroupPolicy;

/// The default with what `changes` names in its place, if that is a possible policy.
pub(super) fn apply(default: &GroupPolicy, changes: Value) -> Result<GroupPolicy, Failure> {
    let bad = |why: String| Failure::new(FailureCode::BadPolicy, why);
    let Value::Object(changes) = changes else {
        return Err(bad("the policy must be an object of its keys".into()));
    };
    let mut whole = serde_json::to_value(default).expect("a policy has text keys only");
    let keys = whole.as_object_mut().expect("a policy is a map");
    keys.extend(changes);
    let policy: GroupPolicy = serde_path_to_error::deserialize(whole)
        .map_err(|error| bad(format!("policy: {}: {}", error.path(), error.inner())))?;
    policy
        .validate()
        .map_err(|error| bad(format!("policy: {error}")))?;
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn takes_what_differs_and_keeps_the_rest() {
        let default = GroupPolicy {
            absence_s: 77,
            ..GroupPolicy::default()
        };
        let changes = json!({
            "quorum_percent": 50,
            "admit": [{ "identity": "cn:*", "roles": ["receiver"] }],
        });
        let policy = apply(&default, changes).expect("possible");
        assert_eq!((policy.quorum_percent, policy.absence_s), (50, 77));
        assert_eq!(policy.admit.len(), 1);
    }

    #[test]
    fn names_the_key_that_is_wrong() {
        let cases = [
            (json!({ "quorum_percent": 101 }), "quorum_percent"),
            (json!({ "quorum_percent": "all" }), "quorum_percent"),
            (json!({ "qourum_percent": 50 }), "qourum_percent"),
            (
                json!({ "admit": [{ "identity": "cn:a", "roles": ["king"] }] }),
                "admit[0].roles[0]",
            ),
            (json!({ "multicast": "10.0.0.1:7445" }), "multicast"),
            (json!([]), "object"),
        ];
        for (changes, named) in cases {
            let failure = apply(&GroupPolicy::default(), changes).expect_err("not possible");
            assert_eq!(failure.code, FailureCode::BadPolicy);
            assert!(failure.error.contains(named), "{}", failure.error);
        }
    }
}
