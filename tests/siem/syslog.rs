//! The audit trail in a real rsyslog.

use std::collections::HashMap;

use reqwest::Method;
use serde_json::{Value, json};
use wardcast::audit::{Digest, verify};
use wardcast::pki::Authority;

use crate::rsyslog::Rsyslog;
use crate::support::{Setup, Site};
use crate::{check_order, life, sink, until, wait};

/// Groups whose policies are changed over and over, and how often each.
const GROUPS: usize = 10;
const CHANGES: usize = 500;
/// Each change is a record, and its call another.
const RECORDS: usize = 2 * GROUPS * CHANGES;

async fn site(server: &Rsyslog, more: &str) -> Site {
    let setup = Setup {
        more: &server.config(more),
        // What is on the trail as it ends is sent as well, however busy the machine is.
        environment: &[("WARDCAST_LISTEN__DRAIN_S", "60")],
        ..Setup::default()
    };
    Site::start(setup).await
}

/// The digest of each record's line, by number.
fn digests(site: &Site) -> HashMap<u64, String> {
    let mut digests = HashMap::new();
    let whole = verify(&site.folder().join("audit"), |record, line| {
        digests.insert(record.sequence, Digest::of(line).to_string());
    });
    whole.expect("is whole");
    digests
}

/// That the server wrote all of the trail of a gateway that has ended, in order, and no other. How many messages that took.
pub(crate) fn check_all(server: &Rsyslog, site: &Site) -> usize {
    let digests = digests(site);
    let messages = server.messages();
    let number = |text: Option<&str>| text.expect("a number").parse::<u64>().expect("a number");
    for message in &messages {
        let sequence = number(message.parameter("sequence"));
        let hash = message.parameter("hash").expect("a digest");
        assert_eq!(digests[&sequence], hash, "{message:?}");
        assert_eq!(message.parameter("event"), Some(&*message.kind));
        assert_eq!(message.application, "wardcast");
    }
    let all = messages.iter().map(|one| number(one.parameter("sequence")));
    check_order(all, digests.len() as u64);
    messages.len()
}

fn cursor(site: &Site) -> u64 {
    let file = site.folder().join("audit/relay-syslog.json");
    let text = std::fs::read_to_string(file).expect("a cursor");
    let cursor: Value = serde_json::from_str(&text).expect("JSON");
    cursor["sequence"].as_u64().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_records_reach_rsyslog_though_it_is_stopped_once_and_killed_once() {
    let authority = Authority::new("logs'").expect("an authority");
    let mut server = Rsyslog::start(&authority, "localhost");
    let mut site = site(&server, "").await;
    let (http, url) = site.operator();
    let mut work = tokio::task::JoinSet::new();
    for group in 0..GROUPS {
        let name = format!("group-{group}");
        site.create(&name, json!({})).await;
        let (http, url) = (http.clone(), format!("{url}/v1/groups/{name}/policy"));
        work.spawn(async move {
            for change in 0..CHANGES {
                let policy = json!({ "quorum_percent": 1 + change % 100 });
                let answer = http.put(&url).json(&policy).send().await;
                let status = answer.expect("the gateway answers").status();
                assert!(status.is_success(), "{status}");
            }
        });
    }
    wait("a part has come", || server.records() >= RECORDS / 8).await;
    server.stop();
    let stopped = site.audit().len();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    server.restart();
    let enough = stopped.max(RECORDS / 3);
    wait("more has come", || server.records() > enough).await;
    server.kill();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    server.restart();
    while let Some(done) = work.join_next().await {
        done.expect("no panic");
    }
    until(&site, "syslog", |view| view["lag_records"] == 0).await;
    assert!(site.terminate().await.success());
    let last = digests(&site).len();
    assert!(last >= RECORDS, "{last} records");
    assert_eq!(cursor(&site), last as u64, "it ended in good order");
    wait("all is written", || server.records() == last).await;
    let messages = check_all(&server, &site);
    eprintln!("{last} records, {messages} messages");
    assert!(
        messages > last,
        "what may not have been taken is sent again"
    );
    // What ended in good order is not sent again.
    site.restart().await;
    assert!(site.terminate().await.success());
    let more = digests(&site).len();
    wait("all is written", || server.records() == more).await;
    assert_eq!(check_all(&server, &site), messages + more - last);
}

#[tokio::test]
async fn messages_say_what_happened_and_nothing_breaks_out_of_its_place() {
    let authority = Authority::new("logs'").expect("an authority");
    let server = Rsyslog::start(&authority, "localhost");
    let mut site = site(&server, "facility = 10\nenterprise = 64999").await;
    life(&site, "board] \"room").await;
    until(&site, "syslog", |view| view["lag_records"] == 0).await;
    assert!(site.terminate().await.success());
    let last = digests(&site).len();
    wait("all is written", || server.records() == last).await;
    assert_eq!(check_all(&server, &site), last, "each once");
    let messages = server.messages();
    let of = |kind: &str| {
        let mut own = messages.iter().filter(|message| message.kind == kind);
        own.next().unwrap_or_else(|| panic!("no {kind}")).clone()
    };
    let frozen = of("frozen");
    // Facility 10, severity 6.
    assert_eq!(frozen.priority, "86");
    assert!(frozen.data.starts_with("[wardcast@64999 "), "{frozen:?}");
    assert_eq!(frozen.parameter("actor"), Some("operator"));
    assert_eq!(frozen.parameter("actorName"), Some("cn:operator"));
    assert!(
        frozen.data.contains(r#" group="board\] \"room" "#),
        "{frozen:?}"
    );
    let says = r#"operator cn:operator froze group "board] \"room": a "drill" [1]\"#;
    assert!(frozen.text.ends_with(says), "{frozen:?}");
    let joined = of("joined");
    assert_eq!(joined.parameter("identity"), Some("cn:alice"));
    assert_eq!(joined.parameter("outcome"), Some("success"));
    assert!(joined.parameter("member").is_some() && joined.parameter("epoch").is_some());
    let refused = of("refused");
    assert_eq!(refused.priority, "84");
    assert_eq!(refused.parameter("outcome"), Some("failure"));
    assert_eq!(of("stopped").parameter("actor"), Some("gateway"));
}

#[tokio::test]
async fn a_server_whose_certificate_is_for_another_host_is_told_nothing_and_holds_up_nothing() {
    let authority = Authority::new("logs'").expect("an authority");
    let server = Rsyslog::start(&authority, "elsewhere.test");
    let mut site = site(&server, "").await;
    life(&site, "studio").await;
    let view = until(&site, "syslog", |view| view["failures"].as_u64() > Some(1)).await;
    let why = view["error"].as_str().expect("why");
    assert!(why.contains("certificate"), "{why}");
    assert_eq!(view["sequence"], 0);
    assert!(sink(&site, "syslog").await["lag_records"].as_u64() > Some(5));
    let behind = "wardcast_siem_lag_records{sink=\"syslog\"}";
    let (http, url) = site.operator();
    let began = std::time::Instant::now();
    loop {
        let answer = http.get(format!("{url}/metrics")).send().await;
        let text = answer.expect("is answered").text().await.expect("text");
        let value = text.lines().find_map(|line| line.strip_prefix(behind));
        if value.is_some_and(|value| value.trim().parse::<f64>().expect("a number") > 5.0) {
            break;
        }
        assert!(began.elapsed() < crate::PATIENCE, "{text}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let arguments = site.certificate_arguments("operator");
    let table = std::process::Command::new(env!("CARGO_BIN_EXE_wardcast"))
        .args(["admin", "--server", url.trim_start_matches("https://")])
        .args(arguments)
        .args(["siem", "show"])
        .output()
        .expect("it runs");
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(
        table.contains("syslog") && table.contains("certificate"),
        "{table}"
    );
    assert!(
        site.try_root(Method::GET, "readyz", None)
            .await
            .expect("is answered")
            .0
            .is_success()
    );
    assert!(site.terminate().await.success());
    assert_eq!(server.messages(), Vec::new());
}
