//! Members without a connection: they get rekeys by datagram, and connect again when they need something.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;
use wardcast::group::ids::{Epoch, Role};
use wardcast::member::{Client, Event, Membership, Options, Presence};

use crate::channel::{Network, reaches};
use crate::support::{GROUP, SOON, Setup, Site};

const PARKINGS: &str = "wardcast_parkings_total";
const GIVEN_UP: &str = "wardcast_datagrams_given_up_total";
/// TLS sessions, for which no certificate was looked at.
const RESUMED_SESSIONS: &str = "wardcast_handshakes_resumed_total";
const PARK_AFTER: Duration = Duration::from_millis(200);

async fn site() -> Site {
    let site = Site::start(Setup {
        log: "info,wardcast=debug",
        ..Setup::default()
    })
    .await;
    site.create(GROUP, json!({})).await;
    site
}

async fn join(site: &Site, name: &str, gateway: SocketAddr, role: Role) -> Membership {
    let options = Options {
        address: gateway,
        presence: Presence {
            park_after: Some(PARK_AFTER),
            ..Presence::default()
        },
        ..site.options(name)
    };
    let client = Client::new(options).expect("a client");
    client.join(GROUP, role).await.expect("is admitted")
}

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < SOON, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until members have given their connections up so often, all together.
async fn parked(members: &[Membership], times: u64) {
    until("they are parked", async || {
        let parkings = members.iter().map(|member| member.counters().parkings);
        parkings.sum::<u64>() >= times
    })
    .await;
}

/// Has a group rekeyed, and waits until all its members hold that, as they know and as the gateway does.
async fn rekey(site: &Site, members: &[Membership]) -> Epoch {
    site.rotate(GROUP).await;
    held(site, members).await
}

async fn held(site: &Site, members: &[Membership]) -> Epoch {
    let epoch = site.group(GROUP).await.epoch;
    until("all hold the newest epoch", async || {
        let newest = |member: &Membership| member.epochs().last().copied();
        members.iter().all(|member| newest(member) >= Some(epoch))
    })
    .await;
    until("all are known to hold it", async || {
        site.group(GROUP).await.acknowledged as usize >= members.len()
    })
    .await;
    epoch
}

fn resumes(members: &[Membership]) -> u64 {
    members.iter().map(|member| member.counters().resumes).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_members_get_rekeys_without_a_connection() {
    let site = site().await;
    let mut members = Vec::new();
    for name in ["anna", "bert", "cleo"] {
        members.push(join(&site, name, site.quic, Role::Receiver).await);
    }
    let sender = join(&site, "dora", site.quic, Role::Both).await;
    parked(&members, 3).await;
    until("their connections are closed", async || {
        site.log_text().matches("parked").count() >= 3
    })
    .await;
    members.push(sender);
    for _ in 0..4 {
        rekey(&site, &members).await;
        // Signs of life are answered meanwhile.
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    assert_eq!(resumes(&members), 0);
    assert_eq!(site.counter(PARKINGS).await, 3, "who may send is connected");
    assert_eq!(site.group(GROUP).await.present, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_brings_the_connection_back_and_it_is_given_up_again() {
    let site = site().await;
    let members = [join(&site, "anna", site.quic, Role::Receiver).await];
    parked(&members, 1).await;
    let status = members[0].status().await.expect("is answered");
    assert_eq!(status.members, 1);
    parked(&members, 2).await;
    assert_eq!(resumes(&members), 1);
    assert_eq!(site.counter(RESUMED_SESSIONS).await, 1, "no signature");
    rekey(&site, &members).await;
    let [member] = members;
    member.leave().await.expect("it leaves");
    assert_eq!(site.group(GROUP).await.members, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_member_that_missed_an_epoch_comes_back_for_it() {
    let site = site().await;
    let network = Network::start(site.quic).await;
    let members = [join(&site, "anna", network.address, Role::Receiver).await];
    // Datagrams are lost altogether: its signs of life are not answered.
    parked(&members, 1).await;
    network.eats.store(100, Ordering::Relaxed);
    rekey(&site, &members).await;
    assert_eq!(resumes(&members), 1);
    // It is parked again when they get through, and only rekeys are lost for a while.
    network.eats.store(0, Ordering::Relaxed);
    parked(&members, 2).await;
    let before = site.counter(GIVEN_UP).await;
    network.eats.store(100, Ordering::Relaxed);
    site.rotate(GROUP).await;
    reaches(&site, GIVEN_UP, before + 1).await;
    network.eats.store(0, Ordering::Relaxed);
    held(&site, &members).await;
    assert_eq!(resumes(&members), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_member_comes_back_when_its_address_changes_or_the_gateway_forgot_it() {
    let mut site = site().await;
    let network = Network::start(site.quic).await;
    let mut members = vec![join(&site, "anna", network.address, Role::Receiver).await];
    parked(&members, 1).await;
    network.moves();
    parked(&members, 2).await;
    assert_eq!(resumes(&members), 1);
    rekey(&site, &members).await;
    members.push(join(&site, "bert", site.quic, Role::Receiver).await);
    parked(&members, 3).await;
    site.kill();
    site.restart().await;
    rekey(&site, &members[1..]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_member_that_is_evicted_is_told_so_when_it_asks() {
    let site = site().await;
    let mut members = [join(&site, "anna", site.quic, Role::Receiver).await];
    parked(&members, 1).await;
    site.evict(GROUP, members[0].member()).await;
    let ended = async {
        loop {
            if let Some(Event::Ended(end)) = members[0].next().await {
                return end;
            }
        }
    };
    let ended = tokio::time::timeout(SOON, ended).await;
    ended.expect("it is told");
    assert!(members[0].epochs().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_member_that_is_no_more_is_absent() {
    let site = site().await;
    let member = join(&site, "anna", site.quic, Role::Receiver).await;
    let members = [member];
    parked(&members, 1).await;
    assert_eq!(site.group(GROUP).await.present, 1);
    drop(members);
    until("it is absent", async || {
        site.group(GROUP).await.present == 0
    })
    .await;
}
