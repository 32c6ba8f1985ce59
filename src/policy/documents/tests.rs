//! Good documents are in force, bad ones are told, and the last good one stays.

use super::*;
use crate::group::ids::Suite;
use crate::group::policy::GroupPolicy;
use crate::policy::{BUILT_IN, Decider};
use std::sync::Arc;

fn book() -> (Book, Arc<Decider>) {
    let decider = Arc::new(Decider::default());
    let configured = GroupPolicy {
        absence_s: 77,
        ..GroupPolicy::default()
    };
    (Book::new(configured, decider.clone()), decider)
}

fn studio() -> Subject {
    Subject::Group("studio".into())
}

fn upstream(id: &str) -> Source {
    Source::Upstream(id.into())
}

#[test]
fn a_document_takes_what_differs_and_keeps_the_rest() {
    let default = GroupPolicy {
        absence_s: 77,
        ..GroupPolicy::default()
    };
    let text = r#"{"quorum_percent": 50, "suite": 2, "admit": [{"identity": "cn:*", "roles": ["receiver"]}]}"#;
    let Document { policy, suite } = Document::parse(&default, text).expect("good");
    assert_eq!((policy.quorum_percent, policy.absence_s), (50, 77));
    assert_eq!((policy.admit.len(), suite), (1, Some(Suite::Two)));
    let empty = Document::parse(&default, "{}").expect("good");
    assert_eq!((empty.policy, empty.suite), (default, None));
}

#[test]
fn a_bad_document_is_refused_with_the_key_that_is_wrong() {
    let cases = [
        ("", "not JSON"),
        ("[]", "object"),
        (r#"{"quorum_percent": 101}"#, "quorum_percent: 101"),
        (
            r#"{"quorum_percent": "all"}"#,
            "quorum_percent: invalid type",
        ),
        (r#"{"qourum_percent": 50}"#, "qourum_percent: unknown field"),
        (
            r#"{"admit": [{"identity": "cn:a", "roles": ["king"]}]}"#,
            "admit[0].roles[0]",
        ),
        (r#"{"suite": 3}"#, "suite: 3"),
        (r#"{"suite": "one"}"#, "suite: \"one\""),
        (r#"{"activation_delay_ms": 6000}"#, "activation_delay_ms"),
    ];
    for (text, why) in cases {
        let refused = Document::parse(&GroupPolicy::default(), text).expect_err(text);
        assert!(refused.to_string().contains(why), "{text}: {refused}");
    }
    let long = format!("{{{}}}", " ".repeat(MAX_DOCUMENT));
    let refused = Document::parse(&GroupPolicy::default(), &long);
    assert!(matches!(refused, Err(DocumentError::TooLong(_))));
}

#[test]
fn the_last_good_document_stays_and_a_refusal_shows() {
    let (book, _) = book();
    assert!(book.of("studio").is_none());
    let offer = |id: &str, text: &str| book.offer(&studio(), upstream(id), text, None);
    offer("1", r#"{"quorum_percent": 50}"#).expect("good");
    let refused = offer("2", r#"{"quorum_percent": 0}"#).expect_err("bad");
    assert!(refused.starts_with("quorum_percent: 0"), "{refused}");
    let (document, source) = book.of("studio").expect("in force");
    assert_eq!(
        (document.policy.quorum_percent, source),
        (50, upstream("1"))
    );
    let entry = book.list().pop().expect("an entry");
    assert_eq!(
        (entry.subject, entry.source),
        (studio(), Some(upstream("1")))
    );
    let told = entry.refused.expect("a refusal");
    assert_eq!((told.source, told.why), (upstream("2"), refused));
    // Nor does trouble with the one in force hide it, or the end of that.
    let of = || book.list().pop().and_then(|entry| entry.refused);
    for why in [Some("a token is away".to_owned()), None] {
        book.hindered(&studio(), why);
        assert!(of().is_some_and(|refused| refused.source == upstream("2")));
    }
    book.newest(&studio());
    assert!(of().is_none());
    book.hindered(&studio(), Some("a token is away".into()));
    assert!(of().is_some_and(|refused| refused.source == upstream("1")));
    book.hindered(&studio(), None);
    assert!(of().is_none());
    offer("3", r#"{"quorum_percent": 60}"#).expect("good");
    assert!(
        book.list()
            .pop()
            .is_some_and(|entry| entry.refused.is_none())
    );
    // One that was never good is seen as well.
    let other = Subject::Group("other".into());
    assert!(book.offer(&other, upstream("4"), "?", None).is_err());
    let list = book.list();
    let entry = list.iter().find(|entry| entry.subject == other);
    assert!(entry.is_some_and(|entry| entry.source.is_none() && entry.refused.is_some()));
    book.gone(&studio());
    assert!(book.of("studio").is_none());
}

#[test]
fn documents_of_groups_stand_on_the_default() {
    let (book, _) = book();
    let offer = |subject: &Subject, text: &str| book.offer(subject, upstream("1"), text, None);
    offer(&studio(), r#"{"retirement_delay_ms": 3000}"#).expect("good");
    offer(&Subject::Default, r#"{"quorum_percent": 40}"#).expect("good");
    assert_eq!(book.default_policy().absence_s, 77, "as configured");
    let quorum = || book.of("studio").expect("in force").0.policy.quorum_percent;
    assert_eq!(quorum(), 40);
    // With this one the group's document is impossible: its receivers would drop keys that are still used.
    let slow = r#"{"quorum_percent": 30, "activation_delay_ms": 4000}"#;
    offer(&Subject::Default, slow).expect("good");
    assert_eq!(quorum(), 40, "as it was");
    let entry = book.list().pop().expect("an entry");
    let why = entry.refused.expect("a refusal").why;
    assert!(
        why.starts_with("with the new default: activation_delay_ms"),
        "{why}"
    );
    assert!(offer(&Subject::Default, r#"{"suite": 1}"#).is_err());
    // What is not there any more stays in force.
    book.gone(&Subject::Default);
    assert_eq!(book.default_policy().quorum_percent, 30);
    offer(&Subject::Default, r#"{"quorum_percent": 20}"#).expect("good");
    assert_eq!(quorum(), 20);
    let entry = book.list().pop().expect("an entry");
    assert!(entry.refused.is_none(), "it stands on the default again");
}

#[test]
fn rules_are_replaced_by_good_ones_alone() {
    let (book, decider) = book();
    let before = decider.rules().revision();
    let offer = |text: &str| book.offer(&Subject::Rules, upstream("1"), text, None);
    assert!(offer("permit (principal, action, resource) when { context.lisded };").is_err());
    assert_eq!(decider.rules().revision(), before);
    offer(&format!("{BUILT_IN} // the same")).expect("good");
    assert_ne!(decider.rules().revision(), before);
    assert_eq!(
        decider.rules().revision(),
        book.list()[0].revision.expect("one")
    );
    book.gone(&Subject::Rules);
    assert_ne!(decider.rules().revision(), before, "they stay");
}

#[test]
fn what_is_kept_is_what_came_from_upstream() {
    let (one, _) = book();
    assert!(one.kept().is_empty(), "what is configured is not kept");
    one.offer(&studio(), upstream("7"), "{}", None)
        .expect("good");
    one.offer(&Subject::Rules, upstream("8"), BUILT_IN, None)
        .expect("good");
    let kept = one.kept();
    let (other, _) = book();
    for Kept {
        subject,
        object,
        text,
        since,
    } in &kept
    {
        let offered = other.offer(subject, upstream(object), text, Some(*since));
        offered.expect("good");
    }
    assert_eq!(other.kept(), kept);
}

#[test]
fn another_configuration_counts_where_no_document_comes_before_it() {
    let (book, decider) = book();
    let configured = GroupPolicy {
        absence_s: 88,
        quorum_percent: 40,
        ..GroupPolicy::default()
    };
    let rules = || crate::policy::Rules::parse("forbid (principal, action, resource);");
    book.configure(configured.clone(), rules().expect("rules"));
    assert_eq!(book.default_policy(), configured);
    assert_eq!(
        decider.rules().revision(),
        rules().expect("rules").revision()
    );
    let own = book.entry(&Subject::Rules).expect("there are some");
    assert_eq!(own.source, Some(Source::Configured));

    // The key store's say comes first, and stands on what is configured.
    let text = r#"{"quorum_percent": 50}"#;
    let offered = book.offer(&Subject::Default, upstream("1"), text, None);
    offered.expect("good");
    let offered = book.offer(&Subject::Rules, upstream("2"), BUILT_IN, None);
    offered.expect("good");
    let configured = GroupPolicy {
        absence_s: 99,
        quorum_percent: 60,
        ..GroupPolicy::default()
    };
    book.configure(configured, rules().expect("rules"));
    let default = book.default_policy();
    assert_eq!((default.absence_s, default.quorum_percent), (99, 50));
    assert_ne!(
        decider.rules().revision(),
        rules().expect("rules").revision()
    );
}
