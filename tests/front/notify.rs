//! The key store says that something changed there: the gateway looks at once, although it would not have for an hour.
//!
//! PyKMIP never notifies, so the store is the tests' own: a small stand-in, whose part in notifying the test plays.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use wardcast::group::ids::Epoch;
use wardcast::kmip::client::{
    Attribute, Client, Endpoint, Locate, Object, OpaqueObject, Options, Register, Request, Revoke,
    Version,
};
use wardcast::kmip::codec::{View, tag, values};
use wardcast::kmip::message::Structure;
use wardcast::pki;
use wardcast::tls::Credentials;

use crate::kmip::{Message, about, payload, replies};
use crate::store::{self, Store};
use crate::support::members::{Ledger, Member};
use crate::support::{GROUP, SOON};
use crate::{Site, Stage};

use values::{Operation as operation, ResultReason as reason, ResultStatus as status};

/// Messages of a flood, with six notifications each: more than the windows of a busy machine's minute let through.
const FLOOD: usize = 80;
/// Notifications that are answered one by one in a minute.
const MOST: usize = 120;

/// Nothing is looked at again by itself while a test runs.
const MORE: &str = r#"
    poll_s = 3600
    [front]
    address = "127.0.0.1:0"
    notifiers = ["cn:store"]
    [front.roles]
    viewer = ["cn:viewer"]
"#;

/// A gateway under a store, and a client for what people do there.
async fn stage() -> (Stage, Client, Arc<Store>) {
    let own = Site::new();
    let store = Arc::new(Store::default());
    let url = store::serve(&own, store.clone()).await;
    let issued = own.authority.issue(&pki::Request::client("gateway"));
    let issued = issued.expect("a certificate");
    let credentials = Credentials::new(issued.chain(), issued.key());
    let endpoint = Endpoint::new(&url, View::Json).expect("an address");
    let client = Client::new(&[endpoint], credentials, &own.trust(), Options::default());
    let stage = Stage::start_with(own, &url, MORE).await;
    (stage, client.expect("a client"), store)
}

/// What a store of this version says when an object's state changed.
fn notify(version: Version, object: &str) -> Message {
    let state = |tag| Structure::new(tag).enumeration(tag::State, values::State::Deactivated);
    let payload = match version {
        Version::V1_4 => {
            let attribute = Structure::new(tag::Attribute)
                .text(tag::AttributeName, "State")
                .enumeration(tag::AttributeValue, values::State::Deactivated);
            about(object).structure(attribute)
        }
        _ => about(object).structure(state(tag::Attributes)),
    };
    Message::new(version).item(operation::Notify, payload)
}

/// The identifier of the one object in a group of the store whose name begins so, once there is one.
async fn object(client: &Client, name: &str) -> String {
    let locate = Locate {
        attributes: vec![Attribute::name(name)],
        maximum_items: None,
    };
    let began = Instant::now();
    loop {
        let found = client.call(&locate).await.expect("located");
        if let [one] = &found.unique_identifiers[..] {
            return one.clone();
        }
        assert!(began.elapsed() < SOON, "{name} is not there: {found:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn polls(stage: &Stage) -> u64 {
    stage.site.counter("wardcast_policy_polls_total").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_rolled_as_soon_as_the_store_says_that_its_key_was_revoked() {
    let (mut stage, client, _store) = stage().await;
    stage.site.create(GROUP, json!({})).await;
    let ledger = Ledger::default();
    let anna = Member::join(&stage.site, "anna", &ledger).await;
    anna.holds(Epoch(1)).await;
    let id = stage.site.group(GROUP).await.id;
    let key = object(&client, &format!("wardcast.key.{id}.1.1-1")).await;
    let revoke = Revoke {
        unique_identifier: key.clone(),
        reason: values::RevocationReasonCode::KeyCompromise,
        message: None,
        compromise_occurrence: None,
    };
    client.call(&revoke).await.expect("revoked");
    let replies = stage
        .caller("store")
        .exchange(notify(Version::V2_1, &key))
        .await;
    assert_eq!(replies[0].status(), status::Success);
    anna.holds(Epoch(2)).await;
    assert_eq!(ledger.check(), 2);
    assert!(stage.site.terminate().await.success());
    let trail = stage.site.audit();
    let told = |event: &str| {
        trail
            .iter()
            .filter(|record| record["event"] == event)
            .count()
    };
    assert_eq!(told("upstream_ended"), 1);
    let notified = trail.iter().find(|record| record["operation"] == "Notify");
    let notified = notified.expect("it is on record");
    assert_eq!(notified["object"], key.as_str());
    assert_eq!(notified["actor"]["name"], "cn:store");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_in_force_as_soon_as_the_store_says_so_in_any_encoding() {
    let (stage, client, store) = stage().await;
    let group = |name: &str| format!("wardcast.policy.{name}");
    let began = Instant::now();
    while polls(&stage).await == 0 {
        assert!(began.elapsed() < SOON, "it has not looked once");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let caller = stage.caller("store");
    let ways = [
        (View::Ttlv, Version::V1_4),
        (View::Json, Version::V2_0),
        (View::Xml, Version::V2_1),
    ];
    for (count, (view, version)) in (1..).zip(ways) {
        let register = Register {
            object: Object::Opaque(OpaqueObject {
                kind: 0x8000_0000,
                value: b"{\"quorum_percent\": 41}".as_slice().into(),
            }),
            attributes: vec![
                Attribute::name(&group(&format!("room-{count}"))),
                Attribute::object_group("wardcast.policies"),
            ],
        };
        let id = client.call(&register).await.expect("registered");
        let answer = caller.send(view, &notify(version, &id).into()).await;
        let reply = &replies(&answer)[0];
        assert_eq!(reply.status(), status::Success, "{reply:?}");
        assert_eq!(reply.operation(), Some(operation::Notify));
        assert!(
            !format!("{answer:?}").contains("ResponsePayload"),
            "it has none"
        );
        until_in_force(&stage, count).await;
    }
    // A store that does not name all says nothing of those that it does not name.
    *store.room.lock().expect("no panic") = Some(1);
    look(&stage).await;
    assert_eq!(in_force(&stage).await, 3);
    *store.room.lock().expect("no panic") = None;
    let gone = object(&client, &group("room-1")).await;
    store.forget(&gone);
    look(&stage).await;
    until_in_force(&stage, 2).await;
}

/// How many groups have a document in force.
async fn in_force(stage: &Stage) -> usize {
    let listed = stage.site.try_root(Method::GET, "v1/policies", None).await;
    let (_, listed) = listed.expect("the gateway answers");
    let rows = listed.as_array().expect("a list").iter();
    rows.filter(|row| row["about"] == "group").count()
}

async fn until_in_force(stage: &Stage, count: usize) {
    let began = Instant::now();
    while in_force(stage).await != count {
        assert!(began.elapsed() < SOON, "{count} are not in force");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Has the gateway look once more at documents, and waits for that.
async fn look(stage: &Stage) {
    let before = polls(stage).await;
    let replies = stage
        .caller("store")
        .exchange(notify(Version::V2_1, "1"))
        .await;
    assert_eq!(replies[0].status(), status::Success);
    let began = Instant::now();
    while polls(stage).await == before {
        assert!(began.elapsed() < SOON, "it does not look");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_notifies_nobody_puts_and_a_flood_costs_few_looks() {
    let (mut stage, _client, _store) = stage().await;
    let hints = async |stage: &Stage| stage.site.counter("wardcast_upstream_hints_total").await;
    for (who, may) in [("viewer", true), ("stranger", false)] {
        let caller = stage.caller(who);
        let denied = caller.exchange(notify(Version::V1_4, "1")).await[0].denied();
        assert!(denied.contains("front.notifiers"), "{denied}");
        let put = caller.ask(Version::V1_4, operation::Put, about("1")).await;
        let refused = match may {
            true => reason::OperationNotSupported,
            false => reason::PermissionDenied,
        };
        assert_eq!(put.reason(), Some(refused), "{put:?}");
        let look = caller.ask(Version::V2_1, operation::Query, payload()).await;
        assert_eq!(look.status() == status::Success, may, "{look:?}");
    }
    let caller = stage.caller("store");
    let put = caller.ask(Version::V2_1, operation::Put, about("1")).await;
    assert!(put.message().contains("send Notify instead"), "{put:?}");
    // It has no role, whatever it says.
    caller
        .ask(Version::V2_1, operation::Query, payload())
        .await
        .denied();
    let locate = Locate::default().payload(Version::V1_4);
    let locate = Message::new(Version::V1_4).raw(operation::Locate, locate);
    caller.exchange(locate).await[0].denied();
    let nothing = caller
        .ask(Version::V1_4, operation::Notify, payload())
        .await;
    assert_eq!(
        nothing.reason(),
        Some(reason::InvalidMessage),
        "{nothing:?}"
    );
    assert_eq!(hints(&stage).await, 0, "nothing of that was a hint");
    let began = Instant::now();
    let mut refused = 0;
    for _ in 0..FLOOD {
        let mut message = Message::new(Version::V2_1).go_on();
        for object in ["1", "2", "3", "4", "5", "6"] {
            message = message.item(operation::Notify, about(object));
        }
        let replies = caller.exchange(message).await;
        let limited = replies
            .iter()
            .filter(|reply| reply.reason() == Some(reason::ServerLimitExceeded));
        refused += limited.count();
    }
    // The first may have begun before.
    let windows = 2 + began.elapsed().as_secs() as usize / 60;
    let taken = 6 * FLOOD - refused;
    assert!(taken <= MOST * windows, "{taken} in {windows} minutes");
    while hints(&stage).await == 0 {
        assert!(began.elapsed() < SOON, "nobody looks");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What comes of it beyond is there by then. Two look: at documents and at objects.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let most = 2 * (began.elapsed().as_secs() + 1);
    let looked = hints(&stage).await;
    assert!(looked <= most, "{looked} looks, of {most}");
    assert!(stage.site.terminate().await.success());
    let trail: Vec<Value> = stage.site.audit();
    let by = |who: &str, event: &str| {
        let own = |record: &&Value| record["actor"]["name"] == who && record["event"] == event;
        trail.iter().filter(own).count()
    };
    assert!(by("cn:viewer", "denied") >= 1 && by("cn:stranger", "denied") >= 1);
    assert_eq!(by("cn:store", "relayed"), taken);
}
