//! One member in full, and who lacks the key.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use wardcast::group::ids::Role;
use wardcast::member::{Client, JoinError, Options, Presence};

use crate::support::members::{Ledger, Member};
use crate::support::{GROUP, Setup, Site, raw};
use crate::{overview, run, says, until};

async fn trace(site: &Site, who: &str) -> Value {
    let text = says(site, &["admin", "member", "show", GROUP, who, "--json"]).await;
    serde_json::from_str(&text).expect("JSON")
}

async fn lacking(site: &Site, group: &[&str]) -> Value {
    let words = [&["admin", "member", "lacking", "--json"], group].concat();
    serde_json::from_str(&says(site, &words).await).expect("JSON")
}

/// A group that admits all but mallory, with so many members that hold its newest epoch.
async fn site(names: &[&str]) -> (Site, Vec<Member>) {
    let site = Site::start(Setup::default()).await;
    let policy = json!({
        "admit": [
            { "identity": "cn:a*", "roles": ["both", "receiver"] },
            { "identity": "cn:b*", "roles": ["both"] },
        ],
    });
    site.create(GROUP, policy).await;
    let ledger = Ledger::default();
    let mut members = Vec::new();
    for name in names {
        members.push(Member::join(&site, name, &ledger).await);
    }
    rekey(&site, &members).await;
    (site, members)
}

async fn rekey(site: &Site, members: &[Member]) {
    site.rotate(GROUP).await;
    until("all are known to hold it", async || {
        site.group(GROUP).await.behind == 0
    })
    .await;
    let epoch = site.group(GROUP).await.epoch;
    for member in members {
        member.holds(epoch).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_traced_by_its_number_and_by_its_name() {
    let (site, members) = site(&["anna", "bert"]).await;
    for _ in 0..3 {
        rekey(&site, &members).await;
    }
    let epoch = site.group(GROUP).await.epoch;
    let number = members[0].id().to_string();
    let view = trace(&site, &number).await;
    assert_eq!(view["identity"], "cn:anna");
    let own = &view["registrations"][0];
    assert_eq!(own["member"], members[0].id().0);
    assert_eq!(own["role"], "both");
    assert_eq!((&own["leaf"], &own["behind"]), (&json!(0), &json!(0)));
    assert_eq!(own["acknowledged"]["epoch"], epoch.0);
    assert_eq!(own["epochs"]["delivered"], epoch.0);
    let by = own["reach"]["by"].as_str().expect("text");
    assert!(["stream", "datagram"].contains(&by), "{own:#}");
    let sent = |name: &str| own["deliveries"][name].as_u64().expect("a number");
    assert!(sent("streams") + sent("datagrams") >= 3, "{own:#}");
    for at in [
        &own["joined"]["at"],
        &own["acknowledged"]["at"],
        &own["reach"]["since"],
    ] {
        assert!(
            at.as_str()
                .is_some_and(|at| at.starts_with("20") && at.ends_with('Z')),
            "{own:#}"
        );
    }
    // The time of joining is that of the audit trail.
    let trail = site.audit();
    let joined = trail
        .iter()
        .find(|record| record["event"] == "joined" && record["identity"] == "cn:anna");
    assert_eq!(
        own["joined"]["at"],
        joined.expect("it is on record")["time"]
    );
    let granted = &view["trail"]["granted"];
    assert!(
        granted["why"].as_str().is_some_and(|why| !why.is_empty()),
        "{view:#}"
    );
    assert_eq!(
        trace(&site, "cn:anna").await["registrations"][0]["member"],
        own["member"]
    );

    let table = says(&site, &["admin", "member", "show", GROUP, "cn:anna"]).await;
    for part in [
        "cn:anna",
        "acknowledged",
        "epochs behind",
        "reached",
        "granted",
        "searched",
    ] {
        assert!(table.contains(part), "{part}:\n{table}");
    }
    println!("{table}");
    let unknown = run(&site, &["admin", "member", "show", GROUP, "cn:nobody"]).await;
    assert_eq!(unknown.status.code(), Some(5), "{unknown:?}");
    let unknown = run(&site, &["admin", "member", "show", GROUP, "4711"]).await;
    assert_eq!(unknown.status.code(), Some(5), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_refused_or_is_gone_is_traced_as_well() {
    let (site, members) = site(&["anna", "bert"]).await;
    let ledger = Ledger::default();
    for _ in 0..2 {
        let refused = Member::try_join(site.client("mallory"), "mallory", &ledger).await;
        assert!(
            matches!(refused, Err(JoinError::Refused(_))),
            "is not admitted"
        );
    }
    let view = trace(&site, "cn:mallory").await;
    assert_eq!(view["registrations"], json!([]));
    let refused = &view["trail"]["refused"];
    let why = refused["why"].as_str().expect("a reason");
    let trail = site.audit();
    let record = trail.iter().find(|record| record["event"] == "refused");
    assert_eq!(record.expect("it is on record")["why"], why);
    let table = says(&site, &["admin", "member", "show", GROUP, "cn:mallory"]).await;
    assert!(
        table.contains("cn:mallory is no member") && table.contains("refused"),
        "{table}"
    );

    let gone = members[1].id();
    site.evict(GROUP, gone).await;
    let view = trace(&site, &gone.to_string()).await;
    assert_eq!(
        (&view["identity"], &view["registrations"]),
        (&json!("cn:bert"), &json!([]))
    );
    let why = view["trail"]["departed"]["why"].as_str().expect("a reason");
    assert!(why.contains("evicted") && why.contains("a test"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lacks_the_key_is_told_for_a_group_and_for_all() {
    let (site, mut members) = site(&["anna", "bert", "adam"]).await;
    site.create("empty", json!({})).await;
    let all = says(&site, &["admin", "member", "lacking"]).await;
    assert_eq!(all.trim(), "everybody holds the newest epoch");

    // One goes away, and what follows passes it by.
    let away = members.pop().expect("three");
    let number = away.id();
    let away = away.go_away().await;
    until("it is missed", async || {
        site.group(GROUP).await.present == 2
    })
    .await;
    rekey(&site, &members).await;
    rekey(&site, &members).await;
    for group in [&[GROUP][..], &[]] {
        let found = lacking(&site, group).await;
        let found = found.as_array().expect("a list");
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!(found[0]["group"], GROUP);
        assert_eq!(found[0]["member"], number.0);
        assert_eq!(found[0]["reach"]["by"], "absent");
        assert_eq!(found[0]["behind"], 2);
    }
    let table = says(&site, &["admin", "member", "lacking", GROUP]).await;
    for part in [
        "cn:adam",
        "absent",
        "1 lack the newest epoch, 0 of them present",
    ] {
        assert!(table.contains(part), "{part}:\n{table}");
    }
    println!("{table}");
    assert_eq!(lacking(&site, &["empty"]).await, json!([]));
    let unknown = run(&site, &["admin", "member", "lacking", "nowhere"]).await;
    assert_eq!(unknown.status.code(), Some(5), "{unknown:?}");
    let asked = site
        .try_root(Method::GET, "v1/lacking?after=nowhere", None)
        .await;
    assert_eq!(asked.expect("an answer").0, StatusCode::BAD_REQUEST);

    // It comes back, and nobody lacks anything.
    members.push(away.come_back(&site, &Ledger::default()).await);
    until("it holds the newest", async || {
        lacking(&site, &[]).await == json!([])
    })
    .await;
    let view = trace(&site, &number.to_string()).await;
    assert!(view["registrations"][0]["asked_at"].is_string(), "{view:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_counts_what_groups_do() {
    let (site, members) = site(&["anna", "bert", "adam"]).await;
    for _ in 0..4 {
        rekey(&site, &members).await;
    }
    let ended = async |view: &Value| {
        view["members"] == json!({ "members": 3, "present": 3, "acknowledged": 3, "behind": 0 })
    };
    until("all are counted", async || {
        ended(&overview(&site).await).await
    })
    .await;
    let view = overview(&site).await;
    assert_eq!(view["groups"], 1);
    let group = &view["busiest"][0];
    assert_eq!(group["name"], GROUP);
    assert_eq!(group["joins"], 3);
    assert!(group["rekeys"].as_u64() >= Some(5), "{group:#}");
    assert!(
        view["gateway"]["shards"]
            .as_array()
            .is_some_and(|shards| shards.iter().all(Value::is_u64))
    );
    assert_eq!(view["gateway"]["ready"]["ready"], true);
    let points = view["latency"]["points"].as_array().expect("a list");
    let acknowledged = points
        .iter()
        .filter_map(|point| point["acknowledged"].as_u64());
    // Each of five rekeys by all who were there.
    assert!(acknowledged.sum::<u64>() >= 15, "{points:?}");
    assert!(view["audit"]["sequence"].as_u64() > Some(5));

    site.admin(Method::DELETE, &format!("/{GROUP}"), None).await;
    until("the group is forgotten", async || {
        let view = overview(&site).await;
        view["groups"] == 0 && view["members"]["members"] == 0 && view["busiest"] == json!([])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_there_and_does_not_acknowledge_is_named() {
    let (site, _members) = site(&["anna", "bert"]).await;
    // It joins, and never answers a push.
    let mute = raw::connect(&site, "adam").await.expect("a connection");
    raw::joined(&mute).await;
    site.rotate(GROUP).await;
    until("it is the slowest", async || {
        overview(&site).await["slowest"][0]["identity"] == "cn:adam"
    })
    .await;
    let view = overview(&site).await;
    let slow = &view["slowest"][0];
    assert_eq!(
        (&slow["group"], &view["members"]["behind"]),
        (&json!(GROUP), &json!(1))
    );
    assert!(
        slow["behind"].as_u64() >= Some(1) && slow["waited_s"].as_u64() >= Some(1),
        "{slow}"
    );
    let found = lacking(&site, &[]).await;
    assert_eq!(found.as_array().map(Vec::len), Some(1), "{found:#}");
    assert_eq!(
        (&found[0]["identity"], &found[0]["reach"]["by"]),
        (&json!("cn:adam"), &json!("stream"))
    );
    let table = says(&site, &["admin", "member", "lacking"]).await;
    assert!(
        table.contains("1 lack the newest epoch, 1 of them present"),
        "{table}"
    );
    let top = says(&site, &["top", "--once"]).await;
    assert!(top.contains("slowest") && top.contains("cn:adam"), "{top}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_member_is_told_as_such_with_what_was_sent() {
    let (site, _members) = site(&["bert"]).await;
    let options = Options {
        presence: Presence {
            park_after: Some(Duration::from_millis(200)),
            ..Presence::default()
        },
        ..site.options("anna")
    };
    let client = Client::new(options).expect("a client");
    let anna = client.join(GROUP, Role::Receiver).await.expect("joins");
    until("it is parked", async || {
        trace(&site, "cn:anna").await["registrations"][0]["reach"]["by"] == "parked"
    })
    .await;
    site.rotate(GROUP).await;
    let epoch = site.group(GROUP).await.epoch;
    until("it is known to hold the newest", async || {
        let own = trace(&site, "cn:anna").await["registrations"][0].take();
        own["acknowledged"]["epoch"] == epoch.0
    })
    .await;
    let own = trace(&site, "cn:anna").await["registrations"][0].take();
    assert_eq!(
        (&own["role"], &own["behind"]),
        (&json!("receiver"), &json!(0))
    );
    assert!(
        own["deliveries"]["datagrams"].as_u64() >= Some(1),
        "{own:#}"
    );
    drop(anna);
}
