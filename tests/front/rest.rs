//! The REST interface: documents and their life in a real PyKMIP, access to groups, the trail; and its description.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use wardcast::kmip::client::Version;
use wardcast::kmip::codec::values::Operation;

use crate::kmip::{Caller, plain_key};
use crate::pykmip::python;
use crate::stub::{Reaction, Stub, success};
use crate::support::SOON;
use crate::support::members::{Ledger, Member};
use crate::{Site, Stage};

const DESCRIPTION: &str = "src/front/rest/openapi.json";

/// All that was asked and answered, for the description to be checked against.
struct Book<'s> {
    stage: &'s Stage,
    answers: Mutex<Vec<Value>>,
}

struct Answer {
    status: StatusCode,
    body: Value,
    headers: reqwest::header::HeaderMap,
}

impl<'s> Book<'s> {
    fn new(stage: &'s Stage) -> Self {
        let answers = Mutex::default();
        Self { stage, answers }
    }

    /// One call of somebody: method and path as the description writes them, with what stands in the place of the path's braces. There
    /// is no body if it is null.
    async fn call(&self, name: &str, what: &str, place: &str, body: Value) -> Answer {
        let (method, path) = what.split_once(' ').expect("a method and a path");
        let caller = self.stage.caller(name);
        let answer = call(&caller, self.stage, method, &filled(path, place), &body).await;
        let described = path.split('?').next().expect("a path");
        // What is refused may be so because it is not as it is described.
        let request = answer.status.is_success().then_some(body);
        self.answers.lock().expect("no panic").push(json!({
            "method": method, "path": described, "status": answer.status.as_u16(),
            "body": answer.body, "request": request,
        }));
        answer
    }

    async fn done(&self, name: &str, what: &str, place: &str, body: Value) -> Value {
        let Answer { status, body, .. } = self.call(name, what, place, body).await;
        assert!(status.is_success(), "{what} {place}: {status}: {body}");
        body
    }

    /// The code of a failure.
    async fn fails(&self, name: &str, what: &str, place: &str, body: Value) -> String {
        let Answer { status, body, .. } = self.call(name, what, place, body).await;
        assert!(!status.is_success(), "{what} {place}: {body}");
        body["code"].as_str().expect("a code").to_owned()
    }

    /// Waits for an exchange that was accepted.
    async fn ended(&self, name: &str, accepted: &Answer) -> Value {
        assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.body);
        let value = accepted.body["exchange"].as_str().expect("a value");
        let place = accepted.headers["location"].to_str().expect("text");
        assert_eq!(place, format!("/v1/exchanges/{value}"));
        let began = Instant::now();
        loop {
            let now = self.done(name, LOOK, value, Value::Null).await;
            if now["state"] != "pending" {
                return now;
            }
            assert!(began.elapsed() < SOON, "still pending");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// The description is a good one, and every answer is as it says.
    fn check(&self) {
        let mut command = Command::new(python());
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        command
            .arg(root.join("tests/python/openapi.py"))
            .arg(root.join(DESCRIPTION));
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("Python runs");
        let answers = self.answers.lock().expect("no panic");
        let mut input = child.stdin.take().expect("it is piped");
        for answer in answers.iter() {
            writeln!(input, "{answer}").expect("it reads");
        }
        drop(input);
        let output = child.wait_with_output().expect("it ends");
        let (said, wrong) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{wrong}");
        assert_eq!(said.trim(), format!("{{\"checked\": {}}}", answers.len()));
    }
}

fn filled(path: &str, place: &str) -> String {
    match (path.find('{'), path.find('}')) {
        (Some(from), Some(to)) => format!("{}{place}{}", &path[..from], &path[to + 1..]),
        _ => path.to_owned(),
    }
}

async fn call(caller: &Caller, stage: &Stage, method: &str, path: &str, body: &Value) -> Answer {
    let port = stage.site.front.expect("a front").port();
    let method: Method = method.parse().expect("a method");
    let url = format!("https://localhost:{port}{path}");
    let request = caller.http.request(method, url);
    let request = match body {
        Value::Null => request,
        body => request.json(body),
    };
    let answer = request.send().await.expect("an answer");
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = answer.bytes().await.expect("a body");
    Answer {
        status,
        body: serde_json::from_slice(&body).unwrap_or_default(),
        headers,
    }
}

const NONE: Value = Value::Null;
const LOOK: &str = "GET /v1/exchanges/{value}";
const ACTIVATE: &str = "POST /v1/objects/{id}/activate";
const ARCHIVE: &str = "POST /v1/objects/{id}/archive";
const REVOKE: &str = "POST /v1/objects/{id}/revoke";
const SHOW: &str = "GET /v1/objects/{id}";
const REGISTER: &str = "POST /v1/objects";
const REQUEST: &str = "POST /v1/requests";
const GRANT: &str = "POST /v1/requests/{id}/grant";
const WITHDRAW: &str = "DELETE /v1/requests/{id}";
const EXCLUDE: &str = "POST /v1/groups/{name}/exclude";

async fn with_stub() -> Stage {
    let own = Site::new();
    let stub = Stub::start(&own, |message| Reaction::Answer(success(message))).await;
    Stage::start(own, &stub.url()).await
}

#[tokio::test]
async fn of_many_who_register_a_name_at_once_one_does() {
    let (stage, _server) = Stage::with_pykmip().await;
    let book = Book::new(&stage);
    let register = || {
        let document = json!({ "name": "one", "document": 1 });
        book.call("operator", REGISTER, "", document)
    };
    let all = tokio::join!(register(), register(), register(), register());
    let statuses = [all.0, all.1, all.2, all.3].map(|answer| answer.status);
    let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    let counts = (count(StatusCode::CREATED), count(StatusCode::CONFLICT));
    assert_eq!(counts, (1, 3), "{statuses:?}");
    let found = book
        .done("viewer", "GET /v1/objects?name=one", "", NONE)
        .await;
    assert_eq!(found["objects"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_document_is_registered_found_and_shown() {
    let (stage, _server) = Stage::with_pykmip().await;
    let book = Book::new(&stage);
    let document =
        json!({ "name": "studio policy", "group": "studio", "document": { "quorum_percent": 90 } });
    let registered = book.done("operator", REGISTER, "", document.clone()).await;
    let id = registered["id"].as_str().expect("an identifier");
    assert_eq!(
        book.fails("operator", REGISTER, "", document).await,
        "conflict"
    );
    let found = book
        .done("viewer", "GET /v1/objects?name=studio%20policy", "", NONE)
        .await;
    assert_eq!(found, json!({ "objects": [id] }));
    let shown = book.done("auditor", SHOW, id, NONE).await;
    let expected =
        json!({ "id": id, "name": "studio policy", "type": "OpaqueObject", "groups": ["studio"] });
    // PyKMIP has no states for opaque objects; what it says of that is told.
    assert_eq!(shown, expected);
    let activated = book.call("operator", ACTIVATE, id, NONE).await;
    let activated = book.ended("operator", &activated).await;
    assert_eq!(activated["state"], "failed", "{activated}");
    assert_eq!(activated["reason"], "IllegalOperation");
    assert_eq!(book.fails("viewer", SHOW, "77", NONE).await, "not_found");
    book.check();
}

#[tokio::test]
async fn a_key_is_activated_and_revoked_and_what_waits_is_cancelled() {
    let (stage, mut server) = Stage::with_pykmip().await;
    let book = Book::new(&stage);
    let key = plain_key("a key", b"0123456789abcdef");
    let key = stage
        .caller("officer")
        .ask(Version::V1_4, Operation::Register, key)
        .await;
    let id = &key.object();
    let activated = book.call("operator", ACTIVATE, id, NONE).await;
    let activated = book.ended("operator", &activated).await;
    assert_eq!(
        (&activated["state"], &activated["object"]),
        (&json!("done"), &json!(id))
    );
    assert_eq!(book.done("viewer", SHOW, id, NONE).await["state"], "Active");
    let revocation = json!({ "reason": "key_compromise", "message": "lost" });
    assert_eq!(
        book.fails("operator", REVOKE, id, revocation.clone()).await,
        "forbidden"
    );
    let revoked = book.call("officer", REVOKE, id, revocation).await;
    assert_eq!(book.ended("officer", &revoked).await["state"], "done");
    assert_eq!(
        book.done("viewer", SHOW, id, NONE).await["state"],
        "Compromised"
    );
    let value = revoked.body["exchange"].as_str().expect("a value");
    assert_eq!(
        book.fails("second", LOOK, value, NONE).await,
        "not_found",
        "nobody else's"
    );

    server.kill();
    let away = book.call("viewer", "GET /v1/objects", "", NONE).await;
    assert_eq!(away.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(away.headers.contains_key("retry-after"), "{}", away.body);
    let waits = book.call("operator", ARCHIVE, id, NONE).await;
    let value = waits.body["exchange"].as_str().expect("a value");
    let cancelled = book
        .done("operator", "DELETE /v1/exchanges/{value}", value, NONE)
        .await;
    assert_eq!(cancelled["state"], "cancelled");
    assert_eq!(
        book.done("operator", LOOK, value, NONE).await["state"],
        "cancelled"
    );
    book.check();
}

#[tokio::test]
async fn access_is_asked_for_granted_by_another_and_taken_away() {
    let stage = with_stub().await;
    let book = Book::new(&stage);
    stage.site.create("studio", json!({ "admit": [] })).await;
    let ledger = Ledger::default();
    let join = async || Member::try_join(stage.site.client("viewer"), "viewer", &ledger).await;
    assert!(join().await.is_err(), "nobody is admitted");
    let wish = json!({ "group": "studio", "role": "both", "reason": "the show begins" });
    let asked = book.done("viewer", REQUEST, "", wish.clone()).await;
    assert_eq!(asked["identity"], "cn:viewer");
    let number = &asked["request"].to_string();
    let nowhere = json!({ "group": "nowhere", "role": "both" });
    assert_eq!(
        book.fails("viewer", REQUEST, "", nowhere).await,
        "not_found"
    );
    let all = "GET /v1/requests";
    assert_eq!(
        book.done("operator", all, "", NONE).await,
        json!({ "requests": [] })
    );
    assert_eq!(
        book.fails("operator", WITHDRAW, number, NONE).await,
        "not_found"
    );
    assert_eq!(
        book.done("officer", all, "", NONE).await["requests"][0],
        asked
    );
    assert_eq!(book.fails("viewer", GRANT, number, NONE).await, "forbidden");
    let own = &book.done("officer", REQUEST, "", wish).await["request"].to_string();
    assert_eq!(
        book.fails("officer", GRANT, own, NONE).await,
        "forbidden",
        "not their own"
    );
    book.done("officer", WITHDRAW, own, NONE).await;
    book.done("officer", GRANT, number, NONE).await;
    assert_eq!(
        book.fails("officer", GRANT, number, NONE).await,
        "not_found"
    );

    let member = join().await.expect("it is admitted now");
    let exclude = json!({ "identity": "cn:viewer", "reason": "the show is over" });
    let excluded = book
        .done("second", EXCLUDE, "studio", exclude.clone())
        .await;
    assert_eq!(
        excluded,
        json!({ "rules": 1, "evicted": 1, "patterns": [] })
    );
    member
        .until("it is told", |record| record.ended.is_some())
        .await;
    assert!(join().await.is_err(), "it does not come back");
    assert_eq!(
        book.fails("second", EXCLUDE, "studio", exclude).await,
        "not_found"
    );
    book.check();
}

#[tokio::test]
async fn auditors_read_the_trail_page_by_page() {
    let stage = with_stub().await;
    let book = Book::new(&stage);
    stage.site.create("studio", json!({})).await;
    for _ in 0..4 {
        let wish = json!({ "group": "studio", "role": "both" });
        book.done("viewer", REQUEST, "", wish).await;
    }
    book.done("officer", GRANT, "1", NONE).await;
    let (mut after, mut records) = (0, Vec::new());
    loop {
        let what = format!("GET /v1/audit?after={after}&limit=3");
        let page = book.done("auditor", &what, "", NONE).await;
        let found = page["records"].as_array().expect("records");
        records.extend(found.iter().cloned());
        let newest = page["newest"].as_u64().expect("a number");
        after = records.len() as u64;
        // Each look at it is on record too.
        if found.is_empty() || after + 1 >= newest {
            break;
        }
    }
    let numbers = records
        .iter()
        .filter_map(|record| record["sequence"].as_u64());
    assert!(numbers.eq(1..=records.len() as u64), "{records:#?}");
    let granted = records.iter().find(|record| record["operation"] == "grant");
    let granted = granted.expect("it is on record");
    assert_eq!(granted["object"], "cn:viewer in studio");
    assert_eq!(
        granted["actor"],
        json!({ "kind": "caller", "name": "cn:officer" })
    );
    for stranger in ["viewer", "operator", "officer", "nobody"] {
        assert_eq!(
            book.fails(stranger, "GET /v1/audit", "", NONE).await,
            "forbidden"
        );
    }
    book.check();
}

#[tokio::test]
async fn what_is_described_is_served_and_nothing_else() {
    let stage = with_stub().await;
    let nobody = stage.caller("nobody");
    let described = call(&nobody, &stage, "GET", "/openapi.json", &NONE)
        .await
        .body;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DESCRIPTION);
    let committed = std::fs::read_to_string(path).expect("it is there");
    let committed: Value = serde_json::from_str(&committed).expect("JSON");
    assert_eq!(described, committed);
    let mut calls = 0;
    for (path, methods) in described["paths"].as_object().expect("paths") {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let answer = call(&nobody, &stage, method, &filled(path, "1"), &NONE).await;
            let is = methods.get(method.to_lowercase()).is_some();
            let known = answer.status != StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(known, is, "{method} {path}: {}", answer.status);
            let missing = "there is no such path; /openapi.json lists all";
            assert!(answer.body["error"] != missing, "{path}");
            calls += usize::from(is);
        }
    }
    assert_eq!(calls, 17);
}

#[tokio::test]
async fn what_is_not_as_described_is_refused() {
    let stage = with_stub().await;
    let book = Book::new(&stage);
    let bad = [
        (REGISTER, json!({ "name": "a" })),
        (REGISTER, json!({ "name": "", "content": "eA==" })),
        (REGISTER, json!({ "name": "a", "content": "?" })),
        (
            REGISTER,
            json!({ "name": "a", "content": "eA==", "document": 1 }),
        ),
        (REGISTER, json!({ "nmae": "a", "document": 1 })),
        (REQUEST, json!({ "group": "a", "role": "king" })),
        (REQUEST, json!({ "group": "a\n", "role": "both" })),
        (REVOKE, json!({ "reason": "none" })),
        (
            REVOKE,
            json!({ "reason": "superseded", "compromised_since": 1 }),
        ),
        (EXCLUDE, json!({ "identity": "" })),
        ("GET /v1/objects?limit=many", NONE),
        ("GET /v1/requests?before=1", NONE),
    ];
    for (what, body) in bad {
        let said = body.to_string();
        let code = book.fails("officer", what, "1", body).await;
        assert_eq!(code, "bad_request", "{what}: {said}");
    }
    let code = book
        .fails("auditor", "GET /v1/audit?after=-1", "", NONE)
        .await;
    assert_eq!(code, "bad_request");
    for own in [
        json!({ "name": "wardcast.policy.studio", "content": "eA==" }),
        json!({ "name": "a", "group": "wardcast.policies", "content": "eA==" }),
    ] {
        let code = book.fails("officer", REGISTER, "", own).await;
        assert_eq!(code, "forbidden");
    }
    for place in ["zz", "00", &"0".repeat(64)] {
        assert_eq!(book.fails("viewer", LOOK, place, NONE).await, "not_found");
    }
    let wish = |name: &str| json!({ "group": name, "role": "receiver" });
    stage.site.create("studio", json!({})).await;
    for _ in 0..16 {
        book.done("viewer", REQUEST, "", wish("studio")).await;
    }
    assert_eq!(
        book.fails("viewer", REQUEST, "", wish("studio")).await,
        "too_many"
    );
    book.check();
}
