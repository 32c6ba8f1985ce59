//! Answers that come later: polled by their own caller alone, also after an outage of the store and after `kill -9` of the gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wardcast::kmip::client::Version;
use wardcast::kmip::codec::{Item, Value, tag, values};
use wardcast::kmip::message::Field;

use crate::kmip::{Message, Reply, about, payload, plain_key};
use crate::relay::{KEY, is_in_no_file};
use crate::stub::{Reaction, Stub, success};
use crate::support::SOON;
use crate::{OBJECT, Seen, Site, Stage};

use values::{
    AsynchronousIndicator as indicator, Operation as operation, ResultReason as reason,
    ResultStatus as status,
};

fn cancellation(reply: &Reply) -> u32 {
    let payload: Item = reply.payload();
    let payload = Field::of(&payload, tag::ResponsePayload).expect("a payload");
    let result = payload.child(tag::CancellationResult).expect("a result");
    result.enumeration().expect("a number")
}

#[tokio::test]
async fn a_request_is_answered_by_poll_also_when_the_store_comes_back_late_and_the_gateway_was_killed()
 {
    let (mut stage, mut server) = Stage::with_pykmip().await;
    let operator = stage.caller("operator");
    let register = plain_key("late", b"0123456789abcdef");
    let object = operator
        .ask(Version::V1_4, operation::Register, register)
        .await
        .object();
    let located = operator
        .ask_later(operation::Locate, payload())
        .await
        .pending();
    assert!(located.len() >= 16);
    let answer = operator.answered(&located).await;
    assert_eq!(answer.object(), object);
    // As if it had been answered at once.
    assert_eq!(answer.operation(), Some(operation::Locate));
    // The answer stays.
    assert_eq!(operator.poll(&located).await.object(), object);

    server.kill();
    let activate = operator
        .ask_later(operation::Activate, about(&object))
        .await
        .pending();
    let looked = operator
        .ask_later(operation::GetAttributeList, about(&object))
        .await
        .pending();
    assert_eq!(operator.poll(&activate).await.pending(), activate);
    stage.site.kill();
    stage.site.restart().await;
    assert_eq!(operator.poll(&looked).await.pending(), looked);
    server.restart();
    assert_eq!(operator.answered(&activate).await.object(), object);
    assert_eq!(operator.answered(&looked).await.object(), object);
    let state = payload()
        .text(tag::UniqueIdentifier, &*object)
        .text(tag::AttributeName, "State");
    let state = operator
        .ask(Version::V1_4, operation::GetAttributes, state)
        .await
        .payload();
    assert!(format!("{state:?}").contains("Attribute"), "{state:?}");
    stage.site.kill();
    stage.site.restart().await;
    assert_eq!(
        operator.answered(&activate).await.object(),
        object,
        "answers outlive a kill too"
    );
    let trail = stage.site.audit();
    let outcomes = |name: &str| -> Vec<String> {
        let own = trail.iter().filter(|record| record["operation"] == name);
        own.map(|record| record["outcome"].to_string()).collect()
    };
    // It may be begun before it is told that it is pending.
    let (pending, found): (Vec<String>, Vec<String>) = outcomes("Activate")
        .into_iter()
        .partition(|outcome| outcome == "\"pending\"");
    assert_eq!(
        (pending.len(), found),
        (1, vec!["\"begun\"".to_owned(), "\"done\"".to_owned()])
    );
}

#[tokio::test]
async fn nobody_else_can_poll_or_cancel() {
    let (stage, _server) = Stage::with_pykmip().await;
    let (operator, officer) = (stage.caller("operator"), stage.caller("officer"));
    let value = operator
        .ask_later(operation::Locate, payload())
        .await
        .pending();
    let unknown = Some(reason::InvalidAsynchronousCorrelationValue);
    for stranger in [&officer, &stage.caller("viewer")] {
        assert_eq!(stranger.poll(&value).await.reason(), unknown);
        assert_eq!(stranger.cancel(&value).await.reason(), unknown);
    }
    assert_eq!(
        stage.caller("nobody").poll(&value).await.reason(),
        Some(reason::PermissionDenied)
    );
    let mut other = value.clone();
    other[7] ^= 1;
    assert_eq!(operator.poll(&other).await.reason(), unknown);
    assert_eq!(operator.poll(b"").await.reason(), unknown);
    operator.answered(&value).await;
}

#[tokio::test]
async fn what_waits_is_cancelled_and_what_was_interrupted_is_owned_up_to() {
    let own = Site::new();
    let silent = Arc::new(AtomicBool::new(true));
    let quiet = silent.clone();
    let seen = Seen::default();
    let noted = seen.clone();
    // What the gateway asks for itself it is told, such as whether the store is there.
    let stub = Stub::start(&own, move |message| match noted.note(message) {
        true if quiet.load(Ordering::Relaxed) => Reaction::Silence,
        _ => Reaction::Answer(success(message)),
    })
    .await;
    let mut stage = Stage::start(own, &stub.url()).await;
    let officer = stage.caller("officer");
    // As many as are done at a time, the first of them one that must not be done twice.
    use operation::{Destroy, Locate, Revoke};
    let running = [Destroy, Locate, Locate, Locate];
    let mut values = Vec::new();
    for asked in running {
        values.push(officer.ask_later(asked, about(OBJECT)).await.pending());
    }
    let began = Instant::now();
    let begun = || seen.operations();
    while begun().len() < running.len() {
        assert!(began.elapsed() < SOON, "{:?}", begun());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let waiting = officer.ask_later(Revoke, about(OBJECT)).await.pending();
    use values::CancellationResult as result;
    let cancel = async |value: &[u8]| cancellation(&officer.cancel(value).await);
    assert_eq!(cancel(&values[0]).await, result::UnableToCancel);
    assert_eq!(cancel(&waiting).await, result::Canceled);
    let why = officer.poll(&waiting).await.reason();
    assert_eq!(why, Some(reason::OperationCanceledByRequester));

    stage.site.kill();
    silent.store(false, Ordering::Relaxed);
    stage.site.restart().await;
    let said = officer.answered(&values[0]).await.message();
    assert!(said.contains("unknown; look it up"), "{said}");
    for repeated in &values[1..] {
        assert_eq!(officer.answered(repeated).await.object(), "1");
    }
    assert_eq!(cancel(&values[1]).await, result::Completed);
    assert_eq!(cancel(&values[0]).await, result::Failed);
    let destroyed = begun().iter().filter(|asked| **asked == Destroy).count();
    assert_eq!(destroyed, 1, "it is not done twice");
    assert!(!begun().contains(&Revoke));
}

#[tokio::test]
async fn each_version_says_by_its_own_means_that_it_can_wait_and_keys_are_never_kept() {
    let (stage, _server) = Stage::with_pykmip().await;
    let officer = stage.caller("officer");
    let ask = async |version: Version, how: Value, asked: u32, payload| {
        let message = Message::new(version).later(how).item(asked, payload);
        officer.exchange(message).await.remove(0)
    };
    let number = |value: u32| Value::Enumeration(value);
    let located = ask(
        Version::V2_0,
        number(indicator::Mandatory),
        operation::Locate,
        payload(),
    )
    .await;
    officer.answered(&located.pending()).await;
    for how in [number(indicator::Optional), number(indicator::Prohibited)] {
        let at_once = ask(Version::V2_0, how, operation::Locate, payload()).await;
        assert_eq!(at_once.status(), status::Success);
    }
    let at_once = ask(
        Version::V1_4,
        Value::Boolean(false),
        operation::Locate,
        payload(),
    )
    .await;
    assert_eq!(at_once.status(), status::Success);

    // What may hold a key is answered at once, or not at all.
    let key = plain_key("kept?", KEY);
    let registered = ask(
        Version::V1_4,
        Value::Boolean(true),
        operation::Register,
        key,
    )
    .await;
    let object = registered.object();
    let got = ask(
        Version::V1_4,
        Value::Boolean(true),
        operation::Get,
        about(&object),
    )
    .await;
    assert_eq!(got.status(), status::Success);
    let must = ask(
        Version::V2_0,
        number(indicator::Mandatory),
        operation::Get,
        about(&object),
    )
    .await;
    assert_eq!(must.reason(), Some(reason::FeatureNotSupported));
    is_in_no_file(&stage);
    let several = Message::new(Version::V2_0)
        .later(number(indicator::Mandatory))
        .item(operation::Locate, payload())
        .item(operation::Locate, payload());
    let replies = officer.exchange(several).await;
    assert_eq!(replies[0].reason(), Some(reason::FeatureNotSupported));
}

#[tokio::test]
async fn a_caller_has_so_many_and_no_more() {
    let own = Site::new();
    let stub = Stub::start(&own, |_| Reaction::Silence).await;
    let stage = Stage::start(own, &stub.url()).await;
    let officer = stage.caller("officer");
    for _ in 0..64 {
        officer
            .ask_later(operation::Locate, payload())
            .await
            .pending();
    }
    let refused = officer.ask_later(operation::Locate, payload()).await;
    assert_eq!(
        refused.reason(),
        Some(reason::ServerLimitExceeded),
        "{refused:?}"
    );
    stage
        .caller("second")
        .ask_later(operation::Locate, payload())
        .await
        .pending();
    let long = payload().text(tag::ObjectGroup, "x".repeat(64 * 1024));
    let refused = stage
        .caller("second")
        .ask_later(operation::Locate, long)
        .await;
    assert_eq!(refused.reason(), Some(reason::ServerLimitExceeded));
    assert_eq!(stage.site.counter("wardcast_front_refused_total").await, 2);
}

#[tokio::test]
async fn who_has_no_role_any_more_has_nothing_done_later() {
    let (mut stage, mut server) = Stage::with_pykmip().await;
    let operator = stage.caller("operator");
    let register = plain_key("late", b"0123456789abcdef");
    let object = operator
        .ask(Version::V1_4, operation::Register, register)
        .await
        .object();
    server.kill();
    let activate = operator
        .ask_later(operation::Activate, about(&object))
        .await
        .pending();
    let look = operator.ask_later(operation::Locate, payload()).await;
    let look = look.pending();
    stage.site.kill();
    let path = stage.site.folder().join("wardcast.toml");
    let text = std::fs::read_to_string(&path).expect("a configuration");
    let (was, is) = ("viewer = [", "viewer = [\"cn:operator\", ");
    let (had, has) = ("operator = [\"cn:operator\"]", "operator = []");
    assert!(text.contains(was) && text.contains(had), "{text}");
    std::fs::write(&path, text.replace(had, has).replace(was, is)).expect("written");
    stage.site.restart().await;
    server.restart();
    let refused = operator.answered(&activate).await;
    assert_eq!(refused.reason(), Some(reason::PermissionDenied));
    let said = refused.message();
    assert!(said.contains("needs the role operator"), "{said}");
    // What its role is for still is done. Batches of the audit trail may be there by then.
    let found = operator.answered(&look).await.objects();
    assert!(found.contains(&object), "{object} in {found:?}");
    let trail = stage.site.audit();
    let own = trail
        .iter()
        .filter(|record| record["operation"] == "Activate");
    let outcomes: Vec<&str> = own
        .filter_map(|record| record["outcome"].as_str())
        .collect();
    assert_eq!(outcomes, ["pending", "PermissionDenied"]);
}
