//! The interface over a real connection: an engine on a real store and a software token behind it.

use std::sync::Arc;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::api::{Failure, FailureCode, GroupView, MemberView};
use super::*;
use crate::attributes::Attributes;
use crate::attributes::certificate::Certificate;
use crate::crypto::EphemeralKey;
use crate::engine::{self, Gate, Handle, Outbox, Parts};
use crate::group::ids::{Identity, MasterId, Role, Suite};
use crate::group::policy::GroupPolicy;
use crate::group::wire::{Grant, Join, Offer, RefusalCode};
use crate::hsm::{Lane, PinSource, Pool, PoolOptions, TokenConfig, TokenKind};
use crate::pki::{Authority, Request};
use crate::policy::documents::Book;
use crate::store::SqliteStore;
use crate::tls;

struct Site {
    engine: Handle,
    authority: Authority,
    url: String,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Site {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = engine(folder.path()).await;
        let authority = Authority::new("test").expect("an authority");
        let gateway = authority
            .issue(&Request::server("gateway").host("127.0.0.1"))
            .expect("a certificate");
        let options = Options {
            credentials: Credentials::new(gateway.chain(), gateway.key()),
            trust: trust(&authority),
            appointments: Arc::new(ArcSwap::from_pointee(appointments())),
            book: Arc::new(Book::new(
                GroupPolicy {
                    absence_s: 77,
                    ..GroupPolicy::default()
                },
                engine.decider().clone(),
            )),
            audit: None,
            metrics: Arc::new(|_| "wardcast_members 3\n".to_owned()),
            upstream: None,
            siem: Arc::new(Vec::new),
            control: Control {
                // Nobody carries orders out here.
                orders: tokio::sync::mpsc::channel(1).0,
                vital: Vital {
                    pulse: Pulse::new(|| async { Vec::new() }),
                    draining: Arc::default(),
                },
            },
        };
        let any = "127.0.0.1:0".parse().expect("an address");
        let server = AdminServer::bind(any, None, options, engine.clone()).await;
        let server = server.expect("a free port");
        let url = format!("https://{}/v1/groups", server.local_addr());
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(server.serve(async {
            let _ = stopped.await;
        }));
        Self {
            engine,
            authority,
            url,
            stop: Some(stop),
            served,
            _folder: folder,
        }
    }

    fn client(&self, name: &str) -> Client {
        let own = self.authority.issue(&Request::client(name));
        let own = own.expect("a certificate");
        let credentials = Credentials::new(own.chain(), own.key());
        let tls = tls::client_config(credentials, &trust(&self.authority), &[b"http/1.1"]);
        Client::builder()
            .tls_backend_preconfigured(tls.expect("a TLS configuration"))
            .build()
            .expect("a client")
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let request = self
            .client("olga")
            .request(method, format!("{}{path}", self.url));
        send(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    async fn fail(&self, method: Method, path: &str, body: Option<Value>) -> Failure {
        let (status, answer) = self.ask(method, path, body).await;
        assert!(status.is_client_error(), "{status}: {answer}");
        serde_json::from_value(answer).expect("a typed failure")
    }

    async fn join(&self, name: &str) -> Grant {
        let identity = Arc::new(Identity(format!("cn:{name}")));
        let known = Attributes::new((*identity).clone(), Certificate::default());
        self.engine
            .join(&identity, join(), Ok(known), &Outbox::new(), None)
            .await
            .expect("a grant")
    }
}

fn appointments() -> Appointments {
    let mut appointments = Appointments::default();
    for (role, name) in [
        (role::Role::Operator, "cn:olga"),
        (role::Role::Viewer, "cn:vera"),
        (role::Role::Monitor, "cn:prometheus"),
    ] {
        appointments.appoint(role, &Identity(name.into()));
    }
    appointments
}

fn join() -> Join {
    Join {
        group: "room 1/a".into(),
        role: Role::Both,
        offer: Offer::of(Suite::One, EphemeralKey::generate().public().to_vec()),
        token: None,
        channel: false,
    }
}

async fn engine(folder: &std::path::Path) -> Handle {
    let pin = folder.join("pin");
    std::fs::write(&pin, "correct horse").expect("a PIN file");
    let config = TokenConfig {
        kind: TokenKind::Soft {
            path: folder.join("token"),
        },
        pin: PinSource::File(pin),
        master: MasterId(1),
        escrow: None,
    };
    crate::hsm::provision(&config).expect("a token");
    let opener = crate::hsm::open(&config).expect("the token");
    let lane = Lane {
        name: "soft".to_owned(),
        opener,
    };
    let options = PoolOptions {
        workers: 1,
        queue: 100,
        ..PoolOptions::default()
    };
    let parts = Parts {
        store: Arc::new(SqliteStore::open(folder.join("store")).expect("a store")),
        audit: None,
        token: Arc::new(Pool::start(vec![lane], options).expect("a pool")),
        shards: 1,
        lanes: 1,
        gate: Gate::open(),
        decider: Arc::default(),
        multicast: None,
    };
    engine::start(parts).await.expect("an engine")
}

fn trust(authority: &Authority) -> Trust {
    Trust::new([authority.certificate().clone()], Vec::new()).expect("an authority")
}

async fn send(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let answer = request.send().await.expect("an answer");
    let status = answer.status();
    let body = answer.bytes().await.expect("a body");
    let body = if body.is_empty() { &b"null"[..] } else { &body };
    (status, serde_json::from_slice(body).expect("JSON"))
}

fn room() -> Value {
    json!({
        "name": "room 1/a",
        "policy": {
            "batch_interval_ms": 5,
            "admit": [{ "identity": "cn:*", "roles": ["both"] }],
        },
    })
}

const ROOM: &str = "/room%201%2Fa";

#[tokio::test]
async fn an_operator_runs_a_group_from_its_creation_to_its_end() {
    let site = Site::start().await;
    let (status, created) = site.ask(Method::POST, "", Some(room())).await;
    assert_eq!(status, StatusCode::CREATED);
    let created: GroupView = serde_json::from_value(created).expect("a group");
    let policy = created.policy.expect("its policy");
    assert_eq!((policy.absence_s, policy.batch_interval_ms), (77, 5));

    let grants = [site.join("anna").await, site.join("bert").await];
    let (_, members) = site
        .ask(Method::GET, &format!("{ROOM}/members"), None)
        .await;
    let members: Vec<MemberView> = serde_json::from_value(members).expect("members");
    let names: Vec<&str> = members.iter().map(|view| &*view.identity.0).collect();
    assert_eq!(names, ["cn:anna", "cn:bert"]);
    let rest = format!("{ROOM}/members?after={}&limit=1", members[0].member);
    let (_, rest) = site.ask(Method::GET, &rest, None).await;
    assert_eq!(rest, json!([members[1]]));

    let evict = json!({ "members": [grants[0].member], "urgent": true, "reason": "test" });
    let (status, _) = site
        .ask(Method::POST, &format!("{ROOM}/evict"), Some(evict))
        .await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, _) = site
        .ask(Method::POST, &format!("{ROOM}/rotate"), None)
        .await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let changes = json!({ "quorum_percent": 60 });
    let (status, changed) = site
        .ask(Method::PUT, &format!("{ROOM}/policy"), Some(changes))
        .await;
    assert_eq!(status, StatusCode::OK, "{changed}");
    assert_eq!(changed["policy"]["quorum_percent"], 60);

    let (_, all) = site.ask(Method::GET, "", None).await;
    assert_eq!(all[0]["name"], "room 1/a");
    assert_eq!(all[0]["members"], 1);
    assert_eq!(all[0].get("policy"), None);
    let (_, none) = site.ask(Method::GET, "?after=room%201%2Fa", None).await;
    assert_eq!(none, json!([]));
    let (status, _) = site.ask(Method::DELETE, ROOM, None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let gone = site.fail(Method::GET, ROOM, None).await;
    assert_eq!(gone.code, FailureCode::NotFound);
}

#[tokio::test]
async fn a_frozen_group_admits_nobody_until_it_is_thawed() {
    let site = Site::start().await;
    site.ask(Method::POST, "", Some(room())).await;
    site.join("anna").await;
    let freeze = json!({ "reason": "an inquiry" });
    let (status, frozen) = site
        .ask(Method::POST, &format!("{ROOM}/freeze"), Some(freeze))
        .await;
    assert_eq!(
        (status, &frozen["frozen"]),
        (StatusCode::OK, &json!("an inquiry"))
    );
    let identity = Arc::new(Identity("cn:bert".into()));
    let known = Attributes::new((*identity).clone(), Certificate::default());
    let refused = site
        .engine
        .join(&identity, join(), Ok(known), &Outbox::new(), None)
        .await;
    let refusal = refused.expect_err("nobody is admitted");
    assert_eq!(refusal.code, RefusalCode::Frozen);
    let (_, all) = site.ask(Method::GET, "", None).await;
    assert_eq!(
        (&all[0]["frozen"], &all[0]["members"]),
        (&json!("an inquiry"), &json!(1))
    );
    // Twice is as good as once.
    for _ in 0..2 {
        let (status, thawed) = site.ask(Method::POST, &format!("{ROOM}/thaw"), None).await;
        assert_eq!((status, thawed.get("frozen")), (StatusCode::OK, None));
    }
    site.join("bert").await;
}

#[tokio::test]
async fn what_cannot_be_done_says_why() {
    let site = Site::start().await;
    site.ask(Method::POST, "", Some(room())).await;
    let bad_policy = json!({ "name": "b", "policy": { "quorum_percent": 0 } });
    let evict = |members: Value| Some(json!({ "members": members }));
    let path = format!("{ROOM}/evict");
    let cases = [
        (Method::POST, "", Some(room()), FailureCode::Conflict),
        (Method::POST, "", Some(bad_policy), FailureCode::BadPolicy),
        (
            Method::POST,
            "",
            Some(json!({ "name": "" })),
            FailureCode::BadRequest,
        ),
        (
            Method::POST,
            "",
            Some(json!({ "nmae": "b" })),
            FailureCode::BadRequest,
        ),
        (Method::POST, "", None, FailureCode::BadRequest),
        (Method::GET, "?limit=many", None, FailureCode::BadRequest),
        (Method::GET, "/nowhere", None, FailureCode::NotFound),
        (Method::GET, "/nowhere/at/all", None, FailureCode::NotFound),
        (Method::PATCH, ROOM, None, FailureCode::BadMethod),
        (
            Method::POST,
            &path,
            evict(json!([])),
            FailureCode::BadRequest,
        ),
        (
            Method::POST,
            &path,
            evict(json!([9])),
            FailureCode::NotFound,
        ),
    ];
    for (method, path, body, code) in cases {
        let failure = site.fail(method.clone(), path, body).await;
        assert_eq!(failure.code, code, "{method} {path}: {}", failure.error);
    }
    let long = json!({ "name": "x".repeat(2 * 1024 * 1024) });
    let failure = site.fail(Method::POST, "", Some(long)).await;
    assert_eq!(failure.code, FailureCode::TooLarge);
}

#[tokio::test]
async fn only_operators_are_served_and_no_web_page() {
    let site = Site::start().await;
    let (status, failure) = send(site.client("mallory").get(&site.url)).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(failure["code"], "not_operator");
    for (header, value) in [
        ("origin", "https://example.org"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let page = site.client("olga").get(&site.url);
        let (status, _) = send(page.header(header, value)).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{header}");
    }
    let own =
        |request: reqwest::RequestBuilder| send(request.header("sec-fetch-site", "same-origin"));
    let (status, _) = own(site.client("olga").get(&site.url)).await;
    assert_eq!(status, StatusCode::OK, "a browser may look");
    let (status, _) = own(site.client("olga").post(&site.url)).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "and change nothing");

    let stranger = Authority::new("another").expect("an authority");
    let own = stranger.issue(&Request::client("olga")).expect("issued");
    let credentials = Credentials::new(own.chain(), own.key());
    let tls = tls::client_config(credentials, &trust(&site.authority), &[b"http/1.1"]);
    let client = Client::builder()
        .tls_backend_preconfigured(tls.expect("a TLS configuration"))
        .build()
        .expect("a client");
    assert!(
        client.get(&site.url).send().await.is_err(),
        "another authority's operator"
    );
}

#[tokio::test]
async fn each_role_may_do_what_is_its_own_and_hears_what_it_lacks() {
    let site = Site::start().await;
    let root = site.url.replace("/v1/groups", "");
    for (who, path, allowed) in [
        ("prometheus", "/livez", true),
        ("prometheus", "/v1/groups", false),
        ("vera", "/livez", true),
        ("vera", "/v1/groups", true),
        ("vera", "/v1/policies", true),
    ] {
        let (status, answer) = send(site.client(who).get(format!("{root}{path}"))).await;
        assert_eq!(status.is_success(), allowed, "{who} {path}: {answer}");
        if !allowed {
            let why = answer["error"].as_str().expect("why");
            assert!(why.contains("admin.viewers"), "{why}");
        }
    }
    for who in ["prometheus", "vera"] {
        let scraped = site.client(who).get(format!("{root}/metrics")).send().await;
        assert!(scraped.expect("an answer").status().is_success(), "{who}");
    }
    let request = site.client("vera").delete(format!("{}/studio", site.url));
    let (status, answer) = send(request).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let why = answer["error"].as_str().expect("why");
    assert!(
        why.contains("needs an operator") && why.contains("admin.operators"),
        "{why}"
    );
}

#[tokio::test]
async fn metrics_are_for_those_who_have_a_role() {
    let site = Site::start().await;
    let url = site.url.replace("/v1/groups", "/metrics");
    let (status, _) = send(site.client("mallory").get(&url)).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let shown = site
        .client("olga")
        .get(&url)
        .send()
        .await
        .expect("an answer");
    assert_eq!(
        shown.headers()["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    assert_eq!(shown.text().await.expect("text"), "wardcast_members 3\n");
}

#[tokio::test]
async fn stopping_closes_idle_connections() {
    let mut site = Site::start().await;
    let client = site.client("olga");
    send(client.get(&site.url)).await;
    drop(site.stop.take());
    let stopped = tokio::time::timeout(std::time::Duration::from_secs(5), site.served);
    stopped.await.expect("in time").expect("no panic");
    assert!(
        client.get(&site.url).send().await.is_err(),
        "nobody listens"
    );
}
