//! Back: what people do to objects upstream, members of the group notice.

use std::time::Instant;

use serde_json::json;
use wardcast::audit::{Event, verify};
use wardcast::group::ids::Epoch;
use wardcast::group::wire::{RefusalCode, Request};
use wardcast::kmip::client::Destroy;
use wardcast::kmip::codec::values::RevocationReasonCode as reason;

use super::Upstream;
use crate::support::members::{Ledger, Member};
use crate::support::{GROUP, SOON, Site, raw};

/// A gateway with a group of this policy, and a member in it.
async fn site(upstream: &Upstream, on_revoked: &str, ledger: &Ledger) -> (Site, Member) {
    let site = upstream.site().await;
    site.create(GROUP, json!({ "on_revoked": on_revoked }))
        .await;
    let anna = Member::join(&site, "anna", ledger).await;
    anna.holds(Epoch(1)).await;
    (site, anna)
}

/// What the trail says was found upstream.
fn found(site: &Site) -> Vec<String> {
    let mut all = Vec::new();
    let whole = verify(&site.folder().join("audit"), |record, _| {
        if let Event::UpstreamEnded { state, action, .. } = &record.entry.event {
            all.push(format!("{state}: {action}"));
        }
    });
    whole.expect("is whole");
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_revoked_upstream_is_replaced_with_all_others() {
    let (upstream, ledger) = (Upstream::start(), Ledger::default());
    let (mut site, anna) = site(&upstream, "roll", &ledger).await;
    let id = site.group(GROUP).await.id;
    let group = format!("test.group.{id}");
    let key = |generation: u32| format!("test.key.{id}.1.1-{generation}");
    let before = upstream.active(&[&group, &key(1)]).await;
    upstream
        .revoke(&before[&key(1)].0, reason::KeyCompromise)
        .await;
    anna.holds(Epoch(2)).await;
    // A rollover gives every node its next generation, and the root one of its own besides.
    let began = Instant::now();
    let after = loop {
        let objects = upstream.objects().await;
        if !objects.contains_key(&key(1)) && objects.len() == 2 {
            break objects;
        }
        assert!(began.elapsed() < SOON * 2, "no new key: {objects:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    let newest = after
        .keys()
        .find(|name| name.starts_with("test.key"))
        .expect("a key");
    let all = upstream.active(&[&group, newest]).await;
    assert_eq!(all[&group], before[&group]);
    // The group's own object, by destruction: it has a successor.
    upstream
        .revoke(&before[&group].0, reason::CessationOfOperation)
        .await;
    let destroy = Destroy {
        unique_identifier: before[&group].0.clone(),
    };
    upstream.client.call(&destroy).await.expect("destroyed");
    anna.holds(Epoch(3)).await;
    let second = format!("{group}.2");
    let began = Instant::now();
    while !upstream.objects().await.contains_key(&second) {
        assert!(began.elapsed() < SOON, "no successor");
    }
    // Looked at several times more: nothing else happens.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(anna.record().newest, Epoch(3));
    assert_eq!(ledger.check(), 3);
    assert!(site.terminate().await.success());
    let told = found(&site);
    assert_eq!(told[0], "compromised: roll");
    assert_eq!(told.len(), 2, "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_revoked_upstream_is_frozen_and_members_keep_their_keys() {
    let (upstream, ledger) = (Upstream::start(), Ledger::default());
    let (mut site, anna) = site(&upstream, "freeze", &ledger).await;
    let id = site.group(GROUP).await.id;
    let group = format!("test.group.{id}");
    let key = format!("test.key.{id}.1.1-1");
    let before = upstream.active(&[&group, &key]).await;
    upstream
        .revoke(&before[&group].0, reason::PrivilegeWithdrawn)
        .await;
    let began = Instant::now();
    let why = loop {
        if let Some(why) = site.group(GROUP).await.frozen {
            break why;
        }
        assert!(began.elapsed() < SOON, "it is not frozen");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!(why, format!("its object {group} was revoked upstream"));
    let stranger = raw::connect(&site, "carl").await.expect("a connection");
    let refusal = raw::refused(&stranger, &Request::Join(raw::join(GROUP))).await;
    assert_eq!(refusal.code, RefusalCode::Frozen);
    site.rotate(GROUP).await;
    anna.holds(Epoch(2)).await;
    site.admin(reqwest::Method::POST, &format!("/{GROUP}/thaw"), None)
        .await;
    let (second, key) = (format!("{group}.2"), format!("test.key.{id}.1.1-2"));
    upstream.active(&[&second, &key]).await;
    let bert = Member::join(&site, "bert", &ledger).await;
    bert.holds(Epoch(3)).await;
    assert!(site.terminate().await.success());
    assert_eq!(found(&site), ["revoked: freeze"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_destroyed_upstream_is_over() {
    let (upstream, ledger) = (Upstream::start(), Ledger::default());
    let (mut site, anna) = site(&upstream, "destroy", &ledger).await;
    let id = site.group(GROUP).await.id;
    let group = format!("test.group.{id}");
    let key = format!("test.key.{id}.1.1-1");
    let before = upstream.active(&[&group, &key]).await;
    upstream
        .revoke(&before[&group].0, reason::CessationOfOperation)
        .await;
    anna.until("is told", |record| record.ended.is_some()).await;
    upstream.active(&[]).await;
    assert!(site.terminate().await.success());
    let told = found(&site);
    assert_eq!(told, ["revoked: destroy"]);
}
