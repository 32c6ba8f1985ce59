//! Policies as operators write them, what differs from the default, and which documents are in force.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::api::{Failure, FailureCode, PolicyRefusal, PolicyView};
use super::routes::Shared;
use crate::group::policy::GroupPolicy;
use crate::policy::documents::{Book, DocumentError, Entry, Source, Subject, merged};

/// The default with what `changes` names in its place, if that is a possible policy.
pub(super) fn apply(default: &GroupPolicy, changes: Value) -> Result<GroupPolicy, Failure> {
    let bad = |why: DocumentError| {
        let why = match why {
            why @ DocumentError::Key { .. } => format!("policy: {why}"),
            why => why.to_string(),
        };
        Failure::new(FailureCode::BadPolicy, why)
    };
    match changes {
        Value::Object(changes) => merged(default, changes).map_err(bad),
        _ => Err(bad(DocumentError::NoObject)),
    }
}

/// Whether a group's policy is an operator's to set: that of a group with a document is not.
pub(super) fn free(book: &Book, name: &str) -> Result<(), Failure> {
    match book.of(name) {
        Some((_, source)) => Err(taken(&source)),
        None => Ok(()),
    }
}

fn taken(source: &Source) -> Failure {
    let why = format!(
        "the group has the policy of a document, {}: change that, or destroy it first",
        told(source)
    );
    Failure::new(FailureCode::Conflict, why)
}

/// The policy of a new group, and what is wrong with asking for another than its document's.
pub(super) fn of_new(
    book: &Book,
    name: &str,
    changes: Option<Value>,
) -> Result<GroupPolicy, Failure> {
    match (book.of(name), changes) {
        (Some((_, source)), Some(_)) => Err(taken(&source)),
        (Some((document, _)), None) => Ok(document.policy),
        (None, changes) => {
            let changes = changes.unwrap_or_else(|| Value::Object(Default::default()));
            apply(&book.default_policy(), changes)
        }
    }
}

/// Lists what is in force.
pub(super) async fn list(State(shared): State<Arc<Shared>>) -> Json<Vec<PolicyView>> {
    Json(shared.book.list().into_iter().map(view).collect())
}

fn view(entry: Entry) -> PolicyView {
    let (about, group) = match entry.subject {
        Subject::Rules => ("rules", None),
        Subject::Default => ("default", None),
        Subject::Group(name) => ("group", Some(name)),
    };
    PolicyView {
        about: about.to_owned(),
        group,
        source: entry.source.as_ref().map(told),
        revision: entry.revision.map(|revision| revision.to_string()),
        since: rfc3339(entry.since),
        refused: entry.refused.map(|refused| PolicyRefusal {
            source: told(&refused.source),
            why: refused.why,
            at: rfc3339(refused.at),
        }),
    }
}

fn told(source: &Source) -> String {
    match source {
        Source::Configured => "configured".to_owned(),
        Source::Upstream(id) => format!("object {id} upstream"),
    }
}

pub(super) fn rfc3339(time: SystemTime) -> String {
    let formatted = OffsetDateTime::from(time).format(&Rfc3339);
    formatted.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Decider;
    use serde_json::json;

    #[test]
    fn names_the_key_that_is_wrong() {
        let cases = [
            (json!({ "quorum_percent": 101 }), "policy: quorum_percent"),
            (json!({ "multicast": "10.0.0.1:7445" }), "policy: multicast"),
            (json!([]), "object"),
        ];
        for (changes, named) in cases {
            let failure = apply(&GroupPolicy::default(), changes).expect_err("not possible");
            assert_eq!(failure.code, FailureCode::BadPolicy);
            assert!(failure.error.contains(named), "{}", failure.error);
        }
    }

    #[test]
    fn a_group_with_a_document_has_its_policy_and_no_other() {
        let book = Book::new(GroupPolicy::default(), Arc::new(Decider::default()));
        let subject = Subject::Group("studio".into());
        let source = Source::Upstream("7".into());
        let offered = book.offer(&subject, source, r#"{"quorum_percent": 50}"#, None);
        offered.expect("good");
        let policy = of_new(&book, "studio", None).expect("the document's");
        assert_eq!(policy.quorum_percent, 50);
        let other = of_new(&book, "studio", Some(json!({}))).expect_err("another");
        assert_eq!(other.code, FailureCode::Conflict);
        assert!(other.error.contains("object 7 upstream"), "{}", other.error);
        assert!(free(&book, "studio").is_err() && free(&book, "other").is_ok());
        let other = of_new(&book, "other", Some(json!({"quorum_percent": 60})));
        assert_eq!(other.expect("its own").quorum_percent, 60);
        let views: Vec<PolicyView> = book.list().into_iter().map(view).collect();
        let about: Vec<&str> = views.iter().map(|view| view.about.as_str()).collect();
        assert_eq!(about, ["rules", "default", "group"]);
        assert!(views[2].since.starts_with("20") && views[2].since.ends_with('Z'));
    }
}
