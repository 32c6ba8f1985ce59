//! Members join, agree on every epoch, are evicted, leave, come back.

use serde_json::json;
use wardcast::group::ids::{Epoch, Role};
use wardcast::group::wire::{Message, Push, PushReply, RefusalCode, RemovalReason};
use wardcast::member::{End, Event, JoinError};

use crate::support::members::{Ledger, Member};
use crate::support::{GROUP, Setup, Site, raw};

async fn crowd(site: &Site, names: &[&str], ledger: &Ledger) -> Vec<Member> {
    let mut members = Vec::new();
    for name in names {
        members.push(Member::join(site, name, ledger).await);
    }
    members
}

/// All members hold the group's newest epoch and send with it.
async fn current(site: &Site, members: &[Member]) -> Epoch {
    let epoch = site.group(GROUP).await.epoch;
    for member in members {
        member.holds(epoch).await;
        let sends = |record: &crate::support::members::Record| record.sending >= epoch;
        member.until("sends with the newest epoch", sends).await;
    }
    epoch
}

#[tokio::test(flavor = "multi_thread")]
async fn members_agree_through_joins_and_rotations() {
    let site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let ledger = Ledger::default();
    let members = crowd(&site, &["anna", "bert", "cleo", "dora", "emil"], &ledger).await;
    let joined = current(&site, &members).await;
    for _ in 0..3 {
        site.rotate(GROUP).await;
    }
    let rotated = current(&site, &members).await;
    assert!(rotated.0 >= joined.0 + 3);
    let began = std::time::Instant::now();
    while site.group(GROUP).await.acknowledged != 5 {
        assert!(began.elapsed() < crate::support::SOON, "all acknowledge");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    members[0]
        .until("retires what is old", |record| {
            record.events.contains(&Event::Retired { epoch: joined })
        })
        .await;
    assert!(ledger.check() >= 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evicted_member_is_told_and_gets_no_epoch_more() {
    let site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let ledger = Ledger::default();
    let mut members = crowd(&site, &["anna", "bert", "eve"], &ledger).await;
    let before = current(&site, &members).await;
    let eve = members.pop().expect("three members");
    site.evict(GROUP, eve.id()).await;
    site.rotate(GROUP).await;
    let after = current(&site, &members).await;
    assert!(after > before);

    let removed = Some(End::Removed(RemovalReason::Evicted));
    eve.until("is told", |record| record.ended == removed).await;
    assert_eq!(eve.record().newest, before);
    let again = site.client("eve").resume(eve.ticket.clone()).await;
    match again.expect_err("she is no member") {
        JoinError::Refused(refusal) => assert_eq!(refusal.code, RefusalCode::UnknownMember),
        other => panic!("{other}"),
    }
    assert_eq!(site.group(GROUP).await.members, 2);
    ledger.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_comes_back_with_its_leaf_and_one_that_left_does_not() {
    let site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let ledger = Ledger::default();
    let mut members = crowd(&site, &["anna", "bert", "cleo"], &ledger).await;
    let gone = members.pop().expect("three members");
    let ticket = gone.ticket.clone();
    gone.leave().await.expect("a farewell");
    assert_eq!(site.group(GROUP).await.members, 2);
    let again = site.client("cleo").resume(ticket).await;
    assert!(matches!(again, Err(JoinError::Refused(_))), "{again:?}");

    // Nothing is held by this process while it is away: its path alone brings it up to date.
    let bert = members.pop().expect("two members");
    let number = bert.id();
    let (away, back) = tokio::join!(
        async {
            for _ in 0..4 {
                site.rotate(GROUP).await;
            }
        },
        bert.resume(&site, &ledger)
    );
    let () = away;
    assert_eq!(back.id(), number);
    members.push(back);
    current(&site, &members).await;
    assert_eq!(site.group(GROUP).await.members, 2);
    ledger.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_gateway_says_goodbye_and_members_wait_for_the_next() {
    let mut site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let ledger = Ledger::default();
    let members = crowd(&site, &["anna", "bert"], &ledger).await;
    current(&site, &members).await;
    let ended = site.terminate().await;
    assert!(ended.success(), "{ended}");
    for member in &members {
        let lost = |event: &Event| matches!(event, Event::Disconnected { .. });
        member
            .until("notices", |record| record.events.iter().any(lost))
            .await;
    }
    site.restart().await;
    site.rotate(GROUP).await;
    current(&site, &members).await;
    for member in &members {
        assert_eq!(member.record().ended, None);
    }
    ledger.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn several_groups_share_a_connection() {
    let site = Site::start(Setup::default()).await;
    for name in ["north", "south"] {
        site.create(name, json!({})).await;
    }
    let client = site.client("anna");
    let mut north = client.join("north", Role::Both).await.expect("a grant");
    let mut south = client.join("south", Role::Both).await.expect("a grant");
    let other = site.client("bert");
    let south_too = other.join("south", Role::Both).await.expect("a grant");
    for (membership, name) in [(&mut north, "north"), (&mut south, "south")] {
        site.rotate(name).await;
        let newest = site.group(name).await.epoch;
        let installed = Event::Installed { epoch: newest };
        while membership.next().await.expect("it goes on") != installed {}
        let keys = membership.pull().await.expect("its keys");
        let state = keys.epochs.last().expect("an epoch");
        assert_eq!(state.epoch, newest);
        assert!(state.spi > 255, "IPsec reserves the lowest");
        let status = membership.status().await.expect("its status");
        assert_eq!(status.epoch, newest);
    }
    let (first, last) = (south.epochs(), south_too.epochs());
    let both = first.iter().find(|epoch| last.contains(epoch));
    let epoch = *both.expect("an epoch that both hold");
    let key = |membership: &wardcast::member::Membership| membership.export(epoch, "k", b"", 32);
    assert_eq!(key(&south).expect("held"), key(&south_too).expect("held"));
    let numbers = [south.sender_ids(), south_too.sender_ids()];
    assert!(
        !numbers[0].is_empty() && numbers[0] != numbers[1],
        "{numbers:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_member_is_sent_the_newest_epoch_only() {
    let site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let slow = raw::connect(&site, "slow").await.expect("a connection");
    let grant = raw::joined(&slow).await;
    for _ in 0..6 {
        site.rotate(GROUP).await;
    }
    let newest = site.group(GROUP).await.epoch;
    let epoch_of = |header: &[u8]| {
        let parsed = wardcast::group::wire::EpochHeader::parse(header).expect("a header");
        parsed.header.epoch
    };
    let mut sent = Vec::new();
    while sent.last() != Some(&newest) {
        let (push, mut reply) = raw::push(&slow).await;
        let held = match push {
            Push::Rekey(rekey) => {
                sent.push(epoch_of(&rekey.header));
                *sent.last().expect("just put there")
            }
            Push::Activate(activate) => activate.epoch,
            other => panic!("{other:?}"),
        };
        let reply_bytes = PushReply::ack(held).to_bytes();
        reply.write_all(&reply_bytes).await.expect("written");
        reply.finish().expect("an open stream");
    }
    // The first was on its way when the others came; of those only the newest is left.
    assert!(sent.len() <= 2, "{sent:?}");
    assert!(epoch_of(&grant.path.header) < newest);
}
