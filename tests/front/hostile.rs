//! What comes from outside and is no good: each is refused in its own way, and nothing of it reaches the store.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use wardcast::kmip::client::Version;
use wardcast::kmip::codec::{Item, Layout, Value, View, tag, values};
use wardcast::kmip::message::Structure;
use wardcast::pki::{Authority, Request};
use wardcast::tls::{self, Credentials};

use crate::kmip::{Caller, Message, about, replies};
use crate::stub::{Reaction, Stub, success};
use crate::support::SOON;
use crate::{OBJECT, Seen, Site, Stage};

use values::{Operation as operation, ResultReason as reason};

async fn with_stub() -> (Stage, Seen) {
    let own = Site::new();
    let seen = Seen::default();
    let noted = seen.clone();
    let stub = Stub::start(&own, move |message| {
        noted.note(message);
        Reaction::Answer(success(message))
    })
    .await;
    (Stage::start(own, &stub.url()).await, seen)
}

fn encoded(view: View, message: Message) -> Vec<u8> {
    let item: Item = message.into();
    view.encode(&item, Layout::OneLine)
        .expect("encoded")
        .to_vec()
}

#[tokio::test]
async fn what_is_no_message_is_answered_as_such_in_its_own_encoding() {
    let (stage, seen) = with_stub().await;
    let viewer = stage.caller("viewer");
    let deep = |open: &str, close: &str| open.repeat(40) + &close.repeat(40);
    let cases = [
        (View::Ttlv, b"nonsense".to_vec()),
        (View::Ttlv, Vec::new()),
        (
            View::Ttlv,
            [0x42, 0, 0x78, 1, 0x7f, 0xff, 0xff, 0xf8].to_vec(),
        ),
        (View::Json, b"{".to_vec()),
        (
            View::Json,
            deep(r#"{"tag":"BatchItem","value":["#, "]}").into_bytes(),
        ),
        (
            View::Xml,
            b"<!DOCTYPE x [<!ENTITY a \"b\">]><RequestMessage/>".to_vec(),
        ),
        (View::Xml, deep("<BatchItem>", "</BatchItem>").into_bytes()),
        (View::Xml, b"<ResponseMessage/>".to_vec()),
        (View::Json, encoded(View::Json, Message::new(Version::V1_4))),
    ];
    for (view, body) in cases {
        let (status, answer) = viewer.post(view.content_type(), body).await;
        assert_eq!(status, StatusCode::OK);
        let answer = replies(&view.decode(&answer).expect("a message"));
        assert_eq!(
            answer[0].reason(),
            Some(reason::InvalidMessage),
            "{view}: {answer:?}"
        );
        assert!(!answer[0].message().is_empty());
    }
    assert!(seen.operations().is_empty());
}

#[tokio::test]
async fn what_is_not_spoken_here_says_so() {
    let (stage, seen) = with_stub().await;
    let viewer = stage.caller("viewer");
    let other = Structure::new(tag::ProtocolVersion)
        .integer(tag::ProtocolVersionMajor, 3)
        .integer(tag::ProtocolVersionMinor, 0);
    let header = Structure::new(tag::RequestHeader)
        .structure(other)
        .integer(tag::BatchCount, 1);
    let future = Structure::new(tag::RequestMessage).structure(header);
    let answer = replies(&viewer.send(View::Ttlv, &future.into()).await);
    assert_eq!(answer[0].reason(), Some(reason::UnsupportedProtocolVersion));
    let ask = async |header: Item, asked: u32| {
        let message = Message::new(Version::V1_4).header(header);
        let replies = viewer.exchange(message.item(asked, about(OBJECT))).await;
        replies[0].reason()
    };
    let credentials = Structure::new(tag::Authentication);
    let refused = ask(credentials.into(), operation::Locate).await;
    assert_eq!(refused, Some(reason::FeatureNotSupported));
    let undo = values::BatchErrorContinuationOption::Undo;
    let undo = Item::new(tag::BatchErrorContinuationOption, Value::Enumeration(undo));
    let refused = ask(undo, operation::Locate).await;
    assert_eq!(refused, Some(reason::FeatureNotSupported));
    let small = Item::new(tag::MaximumResponseSize, Value::Integer(40));
    let refused = ask(small, operation::DiscoverVersions).await;
    assert_eq!(refused, Some(reason::ResponseTooLarge));
    assert!(seen.operations().is_empty());
}

#[tokio::test]
async fn bounds_and_content_types_are_https_business() {
    let (stage, _seen) = with_stub().await;
    let viewer = stage.caller("viewer");
    let good = || {
        encoded(
            View::Json,
            Message::new(Version::V1_4).item(operation::Locate, about(OBJECT)),
        )
    };
    let (status, _) = viewer.post("application/json; charset=utf-8", good()).await;
    assert_eq!(status, StatusCode::OK);
    for kind in ["text/plain", "application/jsonx", ""] {
        let (status, why) = viewer.post(kind, good()).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{kind}");
        assert!(String::from_utf8_lossy(&why).contains("text/xml"));
    }
    let (status, _) = viewer
        .post("application/json", vec![b' '; 4 * 1024 * 1024 + 1])
        .await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    // What fits HTTP may still be more than a message.
    let (status, answer) = viewer
        .post("application/octet-stream", vec![0; 2 * 1024 * 1024])
        .await;
    assert_eq!(status, StatusCode::OK);
    let answer = replies(&View::Ttlv.decode(&answer).expect("a message"));
    assert_eq!(answer[0].reason(), Some(reason::InvalidMessage));
    let port = stage.site.front.expect("a front").port();
    let get = async |path: &str| {
        let answer = viewer
            .http
            .get(format!("https://localhost:{port}{path}"))
            .send()
            .await;
        answer.expect("an answer").status()
    };
    assert_eq!(get("/kmip").await, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(get("/nowhere").await, StatusCode::NOT_FOUND);
    let page = viewer.http.post(format!("https://localhost:{port}/kmip"));
    let page = page
        .header("origin", "https://example.org")
        .header("content-type", "application/json");
    assert_eq!(
        page.body(good()).send().await.expect("an answer").status(),
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn strangers_are_not_served() {
    let (stage, seen) = with_stub().await;
    let good = || {
        encoded(
            View::Json,
            Message::new(Version::V1_4).item(operation::Locate, about(OBJECT)),
        )
    };
    let unknown = Caller::new(&stage.site, None);
    let (status, _) = unknown.post("application/json", good()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let port = stage.site.front.expect("a front").port();
    let page = unknown
        .http
        .get(format!("https://localhost:{port}/v1/objects"));
    let answer = page.send().await.expect("an answer");
    assert_eq!(
        answer.headers()["connection"],
        "close",
        "no place is kept for a stranger"
    );
    let (status, why) = Caller::new(&stage.site, Some("viewer"))
        .bearing("x.y.z")
        .post("application/json", good())
        .await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(String::from_utf8_lossy(&why).contains("bearer tokens are not taken"));
    let answer = stage
        .caller("nobody")
        .ask(Version::V1_4, operation::Locate, about(OBJECT))
        .await;
    assert!(
        answer
            .denied()
            .contains("needs the role viewer or operator or key officer or auditor")
    );

    let other = Authority::new("another").expect("an authority");
    let own = other
        .issue(&Request::client("officer"))
        .expect("a certificate");
    let credentials = Credentials::new(own.chain(), own.key());
    let tls = tls::client_config(credentials, &stage.site.trust(), &[b"http/1.1"]);
    let http = reqwest::Client::builder()
        .tls_backend_preconfigured(tls.expect("a TLS configuration"))
        .build()
        .expect("a client");
    let answer = http
        .post(format!("https://localhost:{port}/kmip"))
        .body(good())
        .send()
        .await;
    assert!(answer.is_err(), "another authority's officer");
    assert!(seen.operations().is_empty());
}

#[tokio::test]
async fn who_does_not_wait_is_on_record_all_the_same() {
    let own = Site::new();
    let seen = Seen::default();
    let noted = seen.clone();
    let stub = Stub::start(&own, move |message| match noted.note(message) {
        true => Reaction::Silence,
        false => Reaction::Answer(success(message)),
    })
    .await;
    let stage = Stage::start(own, &stub.url()).await;
    let officer = stage.caller("officer");
    let began = Instant::now();
    let pause = Duration::from_millis(10);
    let reached = async {
        while seen.operations().is_empty() {
            assert!(began.elapsed() < SOON, "it does not reach the store");
            tokio::time::sleep(pause).await;
        }
    };
    tokio::select! {
        reply = officer.ask(Version::V1_4, operation::Destroy, about(OBJECT)) => {
            panic!("nobody answers: {reply:?}")
        }
        () = reached => {}
    }
    drop(officer);
    let on_record = || {
        let trail = stage.site.audit();
        let destroyed = trail
            .iter()
            .filter(|record| record["operation"] == "Destroy");
        let outcomes: Vec<&serde_json::Value> =
            destroyed.map(|record| &record["outcome"]).collect();
        // Before it reached the store, too.
        assert_eq!(*outcomes[0], "begun");
        outcomes.len() == 2
    };
    while !on_record() {
        assert!(began.elapsed() < 2 * SOON, "it is not on record");
        tokio::time::sleep(pause).await;
    }
}
