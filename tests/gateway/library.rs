//! What the client library offers beyond following a group: key sets, identifiers to send under, pins, shared sockets.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::json;
use wardcast::group::ids::{Role, SenderId};
use wardcast::group::wire::spi;
use wardcast::member::{
    Client, Event, Fidelity, Fingerprint, JoinError, Membership, Ticket, Unusable,
};

use crate::support::{GROUP, SOON, Setup, Site};

async fn join(client: &Client, role: Role) -> Membership {
    let joined = client.join(GROUP, role).await;
    joined.unwrap_or_else(|error| panic!("cannot join: {error}"))
}

/// Waits for something to be true of a membership.
async fn until(what: &str, is: impl Fn() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < SOON, "{what}: not within {SOON:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_concentrator_pulls_keys_by_index_and_lifetime() {
    let site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({ "rekey_period_s": 3_600 })).await;
    let anna = join(&site.client("anna"), Role::Both).await;
    until("sends", || anna.sending().is_some()).await;
    let keys = anna.pull().await.expect("it is answered");
    let [now] = keys.epochs[..] else {
        panic!("one epoch is in use: {keys:?}");
    };
    let group = anna.ticket().group_id;
    assert_eq!((now.epoch, now.active), (anna.epochs()[0], true));
    assert_eq!(now.spi, spi(&group, now.epoch));
    assert!((1..=3_600).contains(&now.lifetime_s.expect("it is rekeyed by the hour")));
    let status = anna.status().await.expect("it is answered");
    assert_eq!((status.epoch, status.members), (now.epoch, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_ever_sends_under_an_identifier_that_another_one_had() {
    let site = Site::start(Setup::default()).await;
    // Four identifiers for six registrations: twice all of them must be given anew, with a new epoch.
    site.create(GROUP, json!({ "sender_id_bits": 2 })).await;
    let mut senders = Vec::new();
    for name in ["anna", "bert", "cleo", "dora"] {
        let client = site.client(name);
        let mut sender = join(&client, Role::Both).await;
        until("sends", || sender.sender().is_some()).await;
        if name == "bert" || name == "dora" {
            sender.leave().await.expect("it is answered");
            sender = join(&client, Role::Both).await;
            until("sends again", || sender.sender().is_some()).await;
        }
        senders.push(sender);
        let newest = site.group(GROUP).await.epoch;
        for sender in &senders {
            until("sends with the newest epoch", || {
                sender.sending() >= Some(newest)
            })
            .await;
        }
        let ids: HashSet<SenderId> = senders.iter().flat_map(Membership::sender_ids).collect();
        assert_eq!(ids.len(), senders.len(), "two send under the same: {ids:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_pinned_token_is_believed() {
    let site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let mut options = site.options("anna");
    options.keys.issuers = vec![Fingerprint([0; 32])];
    let client = Client::new(options.clone()).expect("a client");
    let refused = client.join(GROUP, Role::Both).await;
    let Err(JoinError::Unusable(Unusable::OtherIssuer { found, .. })) = refused else {
        panic!("it was not refused: {refused:?}");
    };
    options.keys.issuers = vec![found];
    let client = Client::new(options).expect("a client");
    assert_eq!(
        join(&client, Role::Both).await.ticket().fingerprint(),
        found
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_members_share_a_socket_and_some_only_acknowledge() {
    const MEMBERS: u32 = 24;
    let site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into()).expect("a socket");
    let mut options = site.options("anna");
    options.sockets.shared = Some(endpoint.clone());
    let mut members = Vec::new();
    for index in 0..MEMBERS {
        let name = format!("member-{index}");
        options.credentials = site.credentials(&name);
        options.presence.fidelity = match index % 4 {
            0 => Fidelity::Full,
            _ => Fidelity::AcknowledgeOnly,
        };
        let client = Client::new(options.clone()).expect("a client");
        members.push(join(&client, Role::Both).await);
    }
    assert_eq!(endpoint.open_connections(), members.len());
    site.rotate(GROUP).await;
    let epoch = site.group(GROUP).await.epoch;
    let began = Instant::now();
    while site.group(GROUP).await.acknowledged != MEMBERS {
        assert!(began.elapsed() < SOON, "all acknowledge");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut keys = HashSet::new();
    for (index, member) in members.iter().enumerate() {
        let key = member.export(epoch, "test", b"", 16);
        assert_eq!(key.is_ok(), index % 4 == 0, "{member:?}");
        keys.extend(key.map(|key| key.to_vec()));
    }
    assert_eq!(keys.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_registration_outlives_its_process_and_the_gateway() {
    let mut site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let saved = {
        let anna = join(&site.client("anna"), Role::Both).await;
        anna.ticket().save()
    };
    site.kill();
    site.restart().await;
    let ticket = Ticket::load(&saved).expect("it was saved");
    let member = ticket.member;
    let mut anna = site
        .client("anna")
        .resume(ticket)
        .await
        .expect("it is known");
    assert_eq!(anna.member(), member);
    assert!(matches!(anna.next().await, Some(Event::Installed { .. })));
    // Somebody else cannot take it up.
    let ticket = Ticket::load(&saved).expect("it was saved");
    let stolen = site.client("eve").resume(ticket).await;
    assert!(matches!(stolen, Err(JoinError::Refused(_))), "{stolen:?}");
}
