//! What a request is called, at the front, on record, and to the key store.

use std::sync::{Arc, Mutex};

use wardcast::kmip::client::Version;
use wardcast::kmip::codec::{Item, Value, tag, values::Operation as operation};
use wardcast::kmip::message::Field;

use crate::kmip::{Caller, about};
use crate::store::Store;
use crate::stub::{Reaction, Stub, encoded, operations, success};
use crate::{AUDITORS, OBJECT, ROLES, Seen, Site, Stage};

/// What callers' messages are called by.
type Names = Arc<Mutex<Vec<Option<String>>>>;

fn correlation(message: &Item) -> Option<String> {
    let message = Field::of(message, tag::RequestMessage).expect("a request");
    let header = message.child(tag::RequestHeader).expect("a header");
    let value = header.optional(tag::ClientCorrelationValue);
    match &value.expect("at most one")?.item().value {
        Value::TextString(name) => Some(name.clone()),
        other => panic!("{other:?}"),
    }
}

/// A gateway whose key store notes what is asked for callers, and by which name.
async fn stage(correlate: bool) -> (Stage, Stub, Names) {
    let own = Site::new();
    let names = Names::default();
    let (noted, seen) = (names.clone(), Seen::default());
    let stub = Stub::start(&own, move |message| {
        let name = correlation(message);
        match seen.note(message) {
            true => noted.lock().expect("no panic").push(name),
            // Before it changes an object, the gateway asks for the caller what it is called; and it asks for itself.
            false => assert!(
                name.is_none() || format!("{message:?}").contains(OBJECT),
                "{message:?}"
            ),
        }
        // With an answer to this alone it is a store that speaks a version.
        let answer = match operations(message)[..] {
            [operation::DiscoverVersions] => encoded(&Store::default().answer(message)),
            _ => success(message),
        };
        Reaction::Answer(answer)
    })
    .await;
    let more = format!("correlate = {correlate}\n{ROLES}{AUDITORS}");
    let stage = Stage::start_with(own, &stub.url(), &more).await;
    (stage, stub, names)
}

fn operator(stage: &Stage, request: &str) -> Caller {
    stage.caller("operator").named(request)
}

#[tokio::test]
async fn the_name_of_a_request_goes_to_the_store_and_on_record_also_where_it_is_done_later() {
    let (stage, _stub, names) = stage(true).await;
    let now = operator(&stage, "desk-17");
    let done = now.ask(Version::V1_4, operation::Activate, about(OBJECT));
    assert_eq!(done.await.object(), "1");
    let later = operator(&stage, "desk-18");
    let value = later.ask_later(operation::Activate, about(OBJECT)).await;
    // Whoever asks how it is, asks by another name.
    let asking = operator(&stage, "desk-19");
    assert_eq!(asking.answered(&value.pending()).await.object(), "1");

    let shown = now.http.get(format!(
        "https://localhost:{}/v1/objects/{OBJECT}",
        stage.site.front.expect("a front").port()
    ));
    let shown = shown.header("x-request-id", "desk-20").send();
    shown.await.expect("an answer");

    let names = names.lock().expect("no panic").clone();
    assert_eq!(
        names,
        ["desk-17", "desk-18", "desk-20"].map(|name| Some(name.to_owned()))
    );
    let mut on_record = Vec::new();
    for record in stage.site.audit() {
        if record["operation"] == "Activate" && record["outcome"] != "pending" {
            let said = |key: &str| record[key].as_str().expect("text").to_owned();
            on_record.push((said("request"), said("outcome")));
        }
    }
    let both = ["desk-17", "desk-18"].map(|name| ["begun", "done"].map(|outcome| (name, outcome)));
    let expected = both.as_flattened().iter();
    let expected = expected.map(|(name, outcome)| (name.to_string(), outcome.to_string()));
    assert_eq!(on_record, expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn a_store_that_is_not_to_be_told_is_not() {
    let (stage, _stub, names) = stage(false).await;
    let now = operator(&stage, "desk-17");
    let done = now.ask(Version::V1_4, operation::Activate, about(OBJECT));
    assert_eq!(done.await.object(), "1");
    assert_eq!(*names.lock().expect("no panic"), [None]);
}
