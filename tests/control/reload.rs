//! The configuration and its files read anew, while members are connected.

use std::fs;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use wardcast::group::ids::{Epoch, Role};
use wardcast::member::Event;
use wardcast::pki::Authority;

use crate::support::members::{Ledger, Member};
use crate::support::{GROUP, SOON, Setup, Site};

const RESUMED: &str = "wardcast_handshakes_resumed_total";
const ROLES: &str = "viewers = []\nmonitors = []\n";

fn lost(member: &Member) -> bool {
    let events = member.record().events;
    events
        .iter()
        .any(|event| matches!(event, Event::Disconnected { .. }))
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < SOON, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn site(setup: Setup<'_>) -> Site {
    let site = Site::start(setup).await;
    site.create(GROUP, json!({})).await;
    site
}

#[tokio::test]
async fn what_can_be_reloaded_counts_at_once_and_what_cannot_is_named() {
    let site = site(Setup {
        admin: ROLES,
        ..Setup::default()
    })
    .await;
    let ledger = Ledger::default();
    let anna = Member::join(&site, "anna", &ledger).await;
    site.configure("viewers = []", "viewers = [\"cn:vera\"]");
    site.configure(
        "alive_ms = 500",
        "alive_ms = 600\n            pace_mbit_s = 500",
    );
    site.configure(
        "[store]",
        "[policy.default]\n            absence_s = 77\n            [store]",
    );
    site.signal("HUP");
    let done = site.recorded("reloaded", |_| true).await;
    assert_eq!(done["actor"]["kind"], "gateway");
    let applied = json!([
        "admin.viewers",
        "listen.pace_mbit_s",
        "policy.default.absence_s"
    ]);
    assert_eq!(done["applied"], applied);
    assert_eq!(done["needs_restart"], json!(["listen.alive_ms"]));
    let (status, _) = site.ask_as("vera", Method::GET, "v1/groups", None).await;
    assert_eq!(status, StatusCode::OK);
    let body = json!({ "name": "other" });
    let made = site.admin(Method::POST, "", Some(body)).await;
    assert_eq!(made["policy"]["absence_s"], 77);
    // What needs a restart is said each time; all else is as it is.
    let again = site.order("v1/reload", None).await;
    assert_eq!(
        again,
        json!({ "applied": [], "needs_restart": ["listen.alive_ms"] })
    );
    site.configure("viewers = [\"cn:vera\"]", "viewers = []");
    site.order("v1/reload", None).await;
    let (status, _) = site.ask_as("vera", Method::GET, "v1/groups", None).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    site.rotate(GROUP).await;
    anna.holds(site.group(GROUP).await.epoch).await;
    assert!(!lost(&anna), "connections stay");
    ledger.check();
}

#[tokio::test]
async fn a_bad_configuration_is_refused_as_a_whole_and_shown() {
    let site = site(Setup {
        admin: ROLES,
        ..Setup::default()
    })
    .await;
    let refused = async |says: &str| {
        let asked = site.try_root(Method::POST, "v1/reload", None).await;
        let (status, answer) = asked.expect("the gateway answers");
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
        assert_eq!(answer["code"], "bad_configuration");
        let error = answer["error"].as_str().expect("why");
        assert!(error.contains(says), "{error}");
        assert!(site.log_text().contains("what was in use stays"));
        site.recorded("reloaded", |record: &Value| {
            record["refused"]
                .as_str()
                .is_some_and(|why| why.contains(says))
        })
        .await;
        assert_eq!(site.counter("wardcast_configuration_refused").await, 1);
    };
    site.configure("viewers = []", "viewers = [\"cn:vera\"]");
    site.configure("drain_s = 5", "drain_s = 99999");
    refused("listen.drain_s").await;
    site.configure("drain_s = 99999", "drain_s = 5\n            drian_to = []");
    refused("did you mean listen.drain_to").await;
    site.configure("drian_to = []", "drain_to = [\"nowhere\"]");
    refused("listen.drain_to[0]").await;
    site.configure("drain_to = [\"nowhere\"]", "");
    fs::write(site.folder().join("rules"), "permit whatever").expect("written");
    site.configure(
        "[store]",
        "[policy]\n            rules = \"rules\"\n            [store]",
    );
    refused("[policy] rules").await;
    let (status, _) = site.ask_as("vera", Method::GET, "v1/groups", None).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "nothing of it was taken");
    fs::write(
        site.folder().join("rules"),
        "forbid (principal, action, resource);",
    )
    .expect("written");
    site.order("v1/reload", None).await;
    assert_eq!(site.counter("wardcast_configuration_refused").await, 0);
    let (status, _) = site.ask_as("vera", Method::GET, "v1/groups", None).await;
    assert_eq!(status, StatusCode::OK);
    // And the rules are those of the file.
    let joined = site.client("anna").join(GROUP, Role::Both).await;
    assert!(joined.is_err(), "by these nobody may");
    // As a file alone it counts too.
    let permit = "permit (principal, action, resource);";
    fs::write(site.folder().join("rules"), permit).expect("written");
    let done = site.order("v1/reload", None).await;
    assert_eq!(done["applied"], json!(["policy.rules"]));
    site.client("anna")
        .join(GROUP, Role::Both)
        .await
        .expect("by these all may");
}

#[tokio::test]
async fn new_certificates_are_noticed_and_one_without_its_key_is_not_taken() {
    let site = site(Setup::default()).await;
    let ledger = Ledger::default();
    let anna = Member::join(&site, "anna", &ledger).await;
    let issued = site.issued_to_gateway();
    let prefix = site.folder().join("next");
    issued.write(&prefix).expect("written");
    let to = |kind: &str| site.folder().join(format!("gateway.{kind}"));
    fs::rename(prefix.with_extension("pem"), to("pem")).expect("renamed");
    let refused = |record: &Value| !record["refused"].is_null();
    let told = site.recorded("reloaded", refused).await;
    let why = told["refused"].as_str().expect("why");
    assert!(
        why.contains("gateway.pem") && why.contains("gateway.key"),
        "{why}"
    );
    assert_eq!(site.counter("wardcast_configuration_refused").await, 1);
    // The one from before is shown still.
    let bert = Member::join(&site, "bert", &ledger).await;
    fs::rename(prefix.with_extension("key"), to("key")).expect("renamed");
    let taken = |record: &Value| record["refused"].is_null();
    let told = site.recorded("reloaded", taken).await;
    assert_eq!(told["applied"], json!(["tls.certificate", "tls.key"]));
    assert_eq!(site.counter("wardcast_configuration_refused").await, 0);
    assert_eq!(
        shown(&site).await,
        issued.chain()[0].as_ref(),
        "on the admin interface"
    );
    let carl = Member::join(&site, "carl", &ledger).await;
    site.rotate(GROUP).await;
    let epoch = site.group(GROUP).await.epoch;
    for member in [&anna, &bert, &carl] {
        member.holds(epoch).await;
        assert!(!lost(member), "{}", member.name);
    }
    ledger.check();
}

#[tokio::test]
async fn a_file_of_authorities_counts_for_all_but_those_who_read_it_at_the_start_alone() {
    let site = site(Setup {
        more: "[jwt]\nissuer = \"https://localhost:1\"\naudience = \"gateway\"\njwks = \"https://localhost:1/keys\"\nca = \"ca.pem\"\n\
               [ldap]\naddresses = [\"ldaps://localhost:1\"]\nbase = \"dc=test\"\nca = \"ca.pem\"\n\
               [trace]\nendpoint = \"https://localhost:1/v1/traces\"\nca = \"ca.pem\"\n",
        ..Setup::default()
    })
    .await;
    let unchanged = json!({ "applied": [], "needs_restart": [] });
    assert_eq!(site.order("v1/reload", None).await, unchanged);
    let path = site.folder().join("ca.pem");
    let text = fs::read_to_string(&path).expect("an authority");
    // The same one for all others, who read it anew as soon as it is another file.
    fs::write(path, text + "\n").expect("written");
    let told = site.recorded("reloaded", |told| {
        !told["applied"].as_array().expect("keys").is_empty()
    });
    let told = told.await;
    let keys = json!(["jwt.ca", "ldap.ca", "tls.client_ca"]);
    assert_eq!(told["applied"], keys);
    assert_eq!(told["needs_restart"], json!(["trace.ca"]));
    let left = json!({ "applied": [], "needs_restart": ["trace.ca"] });
    assert_eq!(site.order("v1/reload", None).await, left);
}

#[tokio::test]
async fn what_cannot_be_used_by_others_keeps_no_revocation_list_from_being_taken() {
    let other = Authority::new("other").expect("an authority");
    let folder = tempfile::tempdir().expect("a folder");
    let keys = folder.path().join("keys.pem");
    fs::write(&keys, other.certificate_pem()).expect("written");
    let more = format!(
        "[jwt]\nissuer = \"https://localhost:1\"\naudience = \"gateway\"\njwks = \"https://localhost:1/keys\"\nca = {keys:?}\n"
    );
    let site = site(Setup {
        revoked: &["mallory"],
        more: &more,
        ..Setup::default()
    })
    .await;
    site.revoke(&[]);
    let applied = |keys: Value| move |record: &Value| record["applied"] == keys;
    site.recorded("reloaded", applied(json!(["tls.crl[0]"])))
        .await;
    fs::write(&keys, "nothing of use").expect("written");
    let refused = |record: &Value| {
        record["refused"]
            .as_str()
            .is_some_and(|why| why.contains("keys.pem"))
    };
    site.recorded("reloaded", refused).await;
    site.client("mallory")
        .join(GROUP, Role::Both)
        .await
        .expect("is not revoked");
    site.revoke(&["mallory"]);
    let taken = applied(json!(["tls.crl[0]"]));
    let began = Instant::now();
    while site.audit().iter().filter(|record| taken(record)).count() < 2 {
        assert!(began.elapsed() < SOON, "it is taken");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(
        site.client("mallory")
            .join(GROUP, Role::Both)
            .await
            .is_err()
    );
    assert_eq!(site.counter("wardcast_configuration_refused").await, 1);
    fs::write(&keys, other.certificate_pem()).expect("written");
    until("all can be used", async || {
        site.counter("wardcast_configuration_refused").await == 0
    })
    .await;
}

/// The certificate that the admin interface shows.
async fn shown(site: &Site) -> Vec<u8> {
    let tls =
        wardcast::tls::client_config(site.credentials("operator"), &site.trust(), &[b"http/1.1"]);
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(tls.expect("a client")));
    let stream = tokio::net::TcpStream::connect(site.admin_address())
        .await
        .expect("it listens");
    let name = "localhost".try_into().expect("a name");
    let stream = connector.connect(name, stream).await.expect("a handshake");
    let chain = stream
        .get_ref()
        .1
        .peer_certificates()
        .expect("a certificate");
    chain[0].to_vec()
}

#[tokio::test]
async fn whoever_is_revoked_does_not_come_back_and_is_a_member_until_he_is_evicted() {
    let site = site(Setup {
        revoked: &["mallory"],
        ..Setup::default()
    })
    .await;
    site.revoke(&[]);
    site.recorded("reloaded", |record| {
        record["applied"] == json!(["tls.crl[0]"])
    })
    .await;
    let ledger = Ledger::default();
    let anna = Member::join(&site, "anna", &ledger).await;
    // One client, so that its TLS session can be resumed.
    let mallory = site.client("mallory");
    let membership = mallory
        .join(GROUP, Role::Both)
        .await
        .expect("not revoked yet");
    let number = membership.ticket().member;
    site.revoke(&["mallory"]);
    let reloads = async || {
        let reloads = site.audit().into_iter();
        let reloads = reloads.filter(|record| record["event"] == "reloaded");
        reloads.count() == 2
    };
    until("the list is noticed", reloads).await;
    // Connected, and a member: keys are not taken away by a certificate.
    site.rotate(GROUP).await;
    let epoch = site.group(GROUP).await.epoch;
    anna.holds(epoch).await;
    until("mallory holds it", async || {
        membership.epochs().last() >= Some(&epoch)
    })
    .await;
    // What comes back shows its certificate anew: with tickets of before nobody gets in.
    let resumed = site.counter(RESUMED).await;
    site.signal("STOP");
    until("connections are lost", async || lost(&anna)).await;
    site.signal("CONT");
    until("mallory is refused", async || {
        let records = site.audit().into_iter();
        let mut refused = records.filter(|record| record["event"] == "unauthenticated");
        refused.any(|record| {
            record["why"]
                .as_str()
                .is_some_and(|why| why.contains("evoked"))
        })
    })
    .await;
    site.rotate(GROUP).await;
    let epoch = site.group(GROUP).await.epoch;
    anna.holds(epoch).await;
    assert_eq!(site.counter(RESUMED).await, resumed);
    assert_eq!(site.group(GROUP).await.members, 2, "and a member still");
    site.evict(GROUP, number).await;
    until("it is none", async || site.group(GROUP).await.members == 1).await;
    assert!(site.group(GROUP).await.epoch > Epoch(0));
    ledger.check();
}
