//! Policy from a real key store: applied without a restart, refused when it is bad, and there again after a restart during an outage.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use wardcast::group::wire::{RefusalCode, Request, Response};
use wardcast::kmip::client::{
    Attribute, Client, Destroy, Endpoint, Object, OpaqueObject, Options, Register,
};
use wardcast::kmip::codec::View;
use wardcast::pki::{Authority, Request as Wanted};
use wardcast::tls::{Credentials, Trust};

use crate::pykmip::PyKmip;
use crate::support::members::{Ledger, Member};
use crate::support::{GROUP, SOON, Setup, Site, raw};

/// A key store, and a client of its own that does what operators do there.
struct Upstream {
    folder: tempfile::TempDir,
    server: PyKmip,
    client: Client,
}

impl Upstream {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new("upstream").expect("an authority");
        let server = PyKmip::start(&authority);
        let issued = authority.issue(&Wanted::client("gateway"));
        let issued = issued.expect("a certificate");
        issued
            .write(&folder.path().join("upstream"))
            .expect("written");
        let ca = folder.path().join("upstream-ca.pem");
        std::fs::write(ca, authority.certificate_pem()).expect("written");
        let credentials = Credentials::new(issued.chain(), issued.key());
        let trust = Trust::new([authority.certificate().clone()], Vec::new()).expect("trust");
        let endpoint = Endpoint::new(&server.url(), View::Ttlv).expect("an address");
        let options = Options {
            deadline: Duration::from_secs(20),
            attempt: Duration::from_secs(10),
            ..Options::default()
        };
        let client = Client::new(&[endpoint], credentials, &trust, options);
        Self {
            folder,
            server,
            client: client.expect("a client"),
        }
    }

    fn configuration(&self) -> String {
        let (root, url) = (self.folder.path().display(), self.server.url());
        format!(
            r#"
            [upstream]
            addresses = ["{url}"]
            certificate = "{root}/upstream.pem"
            key = "{root}/upstream.key"
            ca = "{root}/upstream-ca.pem"
            name = "site"
            poll_s = 1
            "#
        )
    }

    /// Registers a document, whatever it says.
    async fn register(&self, name: &str, text: &str) -> String {
        let register = Register {
            object: Object::Opaque(OpaqueObject {
                kind: 0x8000_0000,
                value: text.as_bytes().into(),
            }),
            attributes: vec![
                Attribute::name(name),
                Attribute::object_group("site.policies"),
            ],
        };
        self.client.call(&register).await.expect("it is registered")
    }

    async fn destroy(&self, id: &str) {
        let destroy = Destroy {
            unique_identifier: id.to_owned(),
        };
        self.client.call(&destroy).await.expect("it is destroyed");
    }

    /// `wardcast policy put`.
    async fn put(&self, site: &Site, file: &str, text: &str, about: &[&str]) -> Output {
        let path: PathBuf = self.folder.path().join(file);
        std::fs::write(&path, text).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_wardcast"));
        command.args(["policy", "put"]).arg(path).args(about);
        command
            .arg("--config")
            .arg(site.folder().join("wardcast.toml"));
        let ran = tokio::task::spawn_blocking(move || command.output());
        ran.await.expect("no panic").expect("it runs")
    }
}

/// What is in force, by what it is about.
async fn policies(site: &Site) -> Vec<Value> {
    let asked = site.try_root(Method::GET, "v1/policies", None).await;
    let (status, answer) = asked.expect("the gateway answers");
    assert_eq!(status, StatusCode::OK);
    answer.as_array().expect("a list").clone()
}

async fn about(site: &Site, what: &str) -> Value {
    let all = policies(site).await;
    let mut of = all.into_iter().filter(|policy| policy["about"] == what);
    of.next().unwrap_or_default()
}

async fn until<F: Future<Output = bool>>(what: &str, is: impl Fn() -> F) {
    let began = Instant::now();
    while !is().await {
        assert!(began.elapsed() < SOON, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn quorum(site: &Site) -> u8 {
    let policy = site.group(GROUP).await.policy;
    policy.expect("is shown").quorum_percent
}

fn document(quorum: u8) -> String {
    let rule = json!({ "identity": "**", "roles": ["both"] });
    json!({
        "quorum_percent": quorum, "admit": [rule], "batch_interval_ms": 10,
        "activation_delay_ms": 200, "registrations_per_identity": 16,
    })
    .to_string()
}

/// A gateway with a group, below this key store.
async fn gateway(upstream: &Upstream) -> Site {
    let more = upstream.configuration();
    let setup = Setup {
        more: &more,
        ..Setup::default()
    };
    let site = Site::start(setup).await;
    assert_eq!(about(&site, "rules").await["source"], "configured");
    site
}

/// Runs a command to its end, and what it says.
async fn said(mut command: Command) -> String {
    let ran = tokio::task::spawn_blocking(move || command.output());
    let ran = ran.await.expect("no panic").expect("it runs");
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

async fn put_document(upstream: &Upstream, site: &Site, text: &str) -> Output {
    let about = ["--group", GROUP];
    upstream.put(site, "policy.json", text, &about).await
}

const BAD: &str = "{\"quorum_percent\": 0}";

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_document_is_refused_and_the_last_good_one_stays() {
    let upstream = Upstream::start();
    let site = gateway(&upstream).await;
    site.create(GROUP, json!({})).await;
    let put = put_document(&upstream, &site, &document(41)).await;
    assert!(put.status.success(), "{put:?}");
    until("the document is applied", async || {
        quorum(&site).await == 41
    })
    .await;
    let first = about(&site, "group").await;
    assert_eq!(first["group"], GROUP);

    // One that is bad never gets there by the command, but may by others.
    let put = put_document(&upstream, &site, BAD).await;
    let why = String::from_utf8_lossy(&put.stderr).into_owned();
    assert!(
        !put.status.success() && why.contains("quorum_percent: 0"),
        "{why}"
    );
    let bad = upstream
        .register(&format!("site.policy.{GROUP}"), BAD)
        .await;
    until("the bad one is seen", async || {
        about(&site, "group").await["refused"].is_object()
    })
    .await;
    let view = about(&site, "group").await;
    for key in ["source", "revision", "since"] {
        assert_eq!(view[key], first[key], "{key}");
    }
    let refused = &view["refused"];
    assert_eq!(refused["source"], format!("object {bad} upstream"));
    let why = refused["why"].as_str().unwrap_or_default();
    assert!(why.starts_with("quorum_percent: 0"), "{why}");
    assert_eq!(quorum(&site).await, 41, "the last good one stays");
    let counted = site.counter("wardcast_policy_documents_refused_total");
    assert_eq!(counted.await, 1);

    let mut list = Command::new(env!("CARGO_BIN_EXE_wardcast"));
    list.args(["admin", "policy", "list", "--server"]);
    list.arg(site.admin_address());
    list.args(site.certificate_arguments("operator"));
    let listed = said(list).await;
    for words in ["group studio", "quorum_percent: 0"] {
        assert!(listed.contains(words), "{listed}");
    }
    let refused = format!("\"object\":\"{bad}\",\"refused\":\"quorum_percent: 0");
    until("it is on record", async || {
        let mut export = Command::new(env!("CARGO_BIN_EXE_wardcast"));
        export.args(["audit", "export"]);
        export.arg(site.folder().join("audit"));
        said(export).await.contains(&refused)
    })
    .await;

    upstream.destroy(&bad).await;
    until("the refusal is over", async || {
        about(&site, "group").await["refused"].is_null()
    })
    .await;
    assert_eq!(quorum(&site).await, 41);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_rolls_over_and_comes_before_what_operators_set() {
    let upstream = Upstream::start();
    let site = gateway(&upstream).await;
    site.create(GROUP, json!({})).await;
    let ledger = Ledger::default();
    let anna = Member::join(&site, "anna", &ledger).await;
    let mut text: Value = serde_json::from_str(&document(42)).expect("JSON");
    text["suite"] = 2.into();
    let put = put_document(&upstream, &site, &text.to_string()).await;
    assert!(put.status.success(), "{put:?}");
    until("it is applied", async || quorum(&site).await == 42).await;
    until("the group is rolled over", async || {
        site.group(GROUP).await.keys.suite == 2
    })
    .await;
    site.rotate(GROUP).await;
    anna.holds(site.group(GROUP).await.epoch).await;
    ledger.check();

    let path = format!("/{GROUP}/policy");
    let asked = site.try_admin(Method::PUT, &path, Some(json!({}))).await;
    let (status, answer) = asked.expect("the gateway answers");
    assert_eq!(status, StatusCode::CONFLICT);
    let why = answer["error"].as_str().unwrap_or_default();
    assert!(why.contains("the policy of a document"), "{why}");
    // A group that is created when there is a document begins with it.
    let other = "{\"quorum_percent\": 43}";
    let other = upstream.register("site.policy.other", other).await;
    until("it is known", async || policies(&site).await.len() == 4).await;
    let body = json!({ "name": "other", "policy": {} });
    let asked = site.try_admin(Method::POST, "", Some(body)).await;
    assert_eq!(asked.expect("the gateway answers").0, StatusCode::CONFLICT);
    let body = json!({ "name": "other" });
    let created = site.admin(Method::POST, "", Some(body)).await;
    assert_eq!(created["policy"]["quorum_percent"], 43);
    // Without its document a group keeps its policy, and operators may set another.
    upstream.destroy(&other).await;
    until("it is gone", async || policies(&site).await.len() == 3).await;
    site.policy("other", json!({ "quorum_percent": 44 })).await;
}

/// Whether somebody is let into the group.
async fn is_admitted(site: &Site, name: &str) -> bool {
    let connection = raw::connect(site, name).await.expect("a connection");
    match raw::ask(&connection, &Request::Join(raw::join(GROUP))).await {
        Response::Granted(_) => true,
        Response::Refused(refusal) => {
            // A token that has not answered yet says so, and it passes.
            let known = refusal.code == RefusalCode::NotAdmitted || refusal.code.passes();
            assert!(known, "{refusal}");
            false
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_come_down_members_stay_and_an_outage_with_a_restart_keeps_them() {
    let mut upstream = Upstream::start();
    let mut site = gateway(&upstream).await;
    let name = format!("site.policy.{GROUP}");
    upstream.register(&name, &document(51)).await;
    let default = "{\"absence_s\": 4321}";
    upstream.register("site.policy", default).await;
    until("the documents are known", async || {
        policies(&site).await.len() == 3
    })
    .await;
    let body = json!({ "name": GROUP });
    let created = site.admin(Method::POST, "", Some(body)).await;
    assert_eq!(created["policy"]["absence_s"], 4321, "it has the default");
    let ledger = Ledger::default();
    let anna = Member::join(&site, "anna", &ledger).await;
    let closed = "@id(\"closed for today\") forbid (principal, action, resource);";
    let put = upstream
        .put(&site, "rules.cedar", closed, &["--rules"])
        .await;
    assert!(put.status.success(), "{put:?}");
    until("the rules are in force", async || {
        about(&site, "rules").await["source"] != "configured"
    })
    .await;
    let rules = about(&site, "rules").await;

    upstream.server.kill();
    site.kill();
    site.restart().await;
    assert_eq!(about(&site, "rules").await, rules, "since then");
    assert_eq!(quorum(&site).await, 51);
    let body = json!({ "name": "new" });
    let created = site.admin(Method::POST, "", Some(body)).await;
    assert_eq!(created["policy"]["absence_s"], 4321);
    assert!(!is_admitted(&site, "bert").await);
    let told = "forbidden by rule closed for today";
    until("it is told", async || site.log_text().contains(told)).await;
    // Who is a member is not decided anew.
    site.rotate(GROUP).await;
    anna.holds(site.group(GROUP).await.epoch).await;

    // It is back, with other rules.
    upstream.server.restart();
    let open = "permit (principal, action, resource) when { context.listed };";
    upstream.register("site.rules", open).await;
    until("others are let in", async || {
        is_admitted(&site, "carl").await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_a_newer_build_cannot_read_admit_nobody_and_take_nothing_away() {
    let mut upstream = Upstream::start();
    let mut site = gateway(&upstream).await;
    site.create(GROUP, json!({})).await;
    let put = put_document(&upstream, &site, &document(51)).await;
    assert!(put.status.success(), "{put:?}");
    until("the document is applied", async || {
        quorum(&site).await == 51
    })
    .await;
    let open = "permit (principal, action, resource) when { context.listed };";
    upstream.register("site.rules", open).await;
    until("the rules are in force", async || {
        about(&site, "rules").await["source"] != "configured"
    })
    .await;
    let ledger = Ledger::default();
    let anna = Member::join(&site, "anna", &ledger).await;

    upstream.server.kill();
    site.kill();
    let path = site.folder().join("policies.json");
    let text = std::fs::read_to_string(&path).expect("what is kept");
    assert!(text.contains("context.listed"), "{text}");
    let other = text.replace("context.listed", "context.unheard");
    std::fs::write(&path, other).expect("written");
    site.restart().await;
    until("it says why", async || {
        let said = site.ready(false).await["why"].to_string();
        said.contains("unheard") && said.contains("policies.json")
    })
    .await;
    // By what is configured he would be let in.
    assert!(!is_admitted(&site, "bert").await);
    assert!(
        site.log_text()
            .contains("the rules that were in force cannot be read")
    );
    until("it is counted", async || {
        site.counter("wardcast_policy_rules_lost").await == 1
    })
    .await;
    let rules = about(&site, "rules").await;
    assert!(
        rules["source"].is_null() && rules["refused"].is_object(),
        "{rules}"
    );
    site.rotate(GROUP).await;
    anna.holds(site.group(GROUP).await.epoch).await;

    // The key store has them as they were.
    upstream.server.restart();
    until("others are let in", async || {
        is_admitted(&site, "carl").await
    })
    .await;
    site.ready(true).await;

    // Or the operator decides: what is configured.
    upstream.server.kill();
    site.kill();
    let kept = std::fs::read_to_string(&path).expect("what is kept");
    std::fs::write(&path, kept.replace("context.listed", "context.unheard")).expect("written");
    site.restart().await;
    site.ready(false).await;
    site.kill();
    std::fs::remove_file(&path).expect("it is there");
    site.restart().await;
    until("the configured rules serve", async || {
        is_admitted(&site, "dora").await
    })
    .await;
}
