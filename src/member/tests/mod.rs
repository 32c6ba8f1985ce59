//! A client against a gateway that follows a script: what is granted, pushed, lost and refused.

mod channel;
mod gateway;
mod parked;

use std::time::Duration;

use self::gateway::{Gateway, Group, Wire, within};
use super::*;
use crate::group::ids::{Epoch, MemberId, Role, SenderId, Suite};
use crate::group::wire::{
    GoAway, Join, KeySet, Left, Message, NackCode, Offer, Push, PushReply, Refusal, RefusalCode,
    RemovalReason, Request, Response,
};

/// Grants the join that comes on this connection, and takes its acknowledgement.
async fn granting(wire: &Wire, group: &Group) {
    let (Request::Join(join), reply) = wire.asked().await else {
        panic!("not a join");
    };
    reply.say(&group.grant(&join)).await;
    assert_eq!(wire.acknowledged().await, Epoch(group.epoch));
}

async fn joined(options: Options, gateway: &Gateway, group: &Group) -> (Client, Membership, Wire) {
    let client = Client::new(options).expect("a client");
    let serve = async {
        let wire = gateway.accept().await;
        granting(&wire, group).await;
        wire
    };
    let (membership, wire) = tokio::join!(client.join("studio", Role::Both), serve);
    (client, membership.expect("it is granted"), wire)
}

async fn next(membership: &mut Membership) -> Event {
    let event = within("an event", membership.next()).await;
    event.expect("the membership lasts")
}

fn installed(epoch: u64) -> Event {
    let epoch = Epoch(epoch);
    Event::Installed { epoch }
}

fn send(epoch: u64) -> Event {
    let epoch = Epoch(epoch);
    Event::Send { epoch }
}

fn retired(epoch: u64) -> Event {
    let epoch = Epoch(epoch);
    Event::Retired { epoch }
}

fn agrees(membership: &Membership, group: &Group) -> bool {
    let exported = membership.export(Epoch(group.epoch), "test", b"", 32);
    exported.is_ok_and(|key| *key == group.exported())
}

async fn begun(membership: &mut Membership, group: &Group) {
    assert_eq!(next(membership).await, installed(group.epoch));
    assert_eq!(next(membership).await, send(group.epoch));
    assert!(agrees(membership, group));
}

#[tokio::test]
async fn a_member_follows_from_the_grant_to_its_removal() {
    let (gateway, mut group) = (Gateway::start(), Group::new());
    group.retirement_delay_ms = 30;
    let (_client, mut studio, wire) = joined(gateway.options(), &gateway, &group).await;
    begun(&mut studio, &group).await;
    assert_eq!(studio.sender(), Some((Epoch(1), vec![SenderId(77)])));

    group.ratchet();
    let reply = wire.push(group.rekey(vec![])).await;
    assert_eq!(reply, PushReply::ack(Epoch(2)));
    assert_eq!(next(&mut studio).await, installed(2));
    assert!(agrees(&studio, &group));
    assert_eq!(studio.sending(), Some(Epoch(1)));
    assert_eq!(wire.push(group.activate()).await, PushReply::ack(Epoch(2)));
    assert_eq!(next(&mut studio).await, send(2));
    assert_eq!(next(&mut studio).await, retired(1));
    assert_eq!(studio.epochs(), [Epoch(2)]);

    group.regenerate();
    let reply = wire.push(group.rekey(group.edges())).await;
    assert_eq!(reply, PushReply::ack(Epoch(3)));
    assert_eq!(next(&mut studio).await, installed(3));
    assert!(agrees(&studio, &group));

    let removed = group.removed(RemovalReason::Evicted);
    assert_eq!(wire.push(removed).await, PushReply::ack(Epoch(3)));
    let end = End::Removed(RemovalReason::Evicted);
    assert_eq!(next(&mut studio).await, Event::Ended(end));
    assert_eq!(within("the end", studio.next()).await, None);
    let gone = studio.export(Epoch(3), "test", b"", 32);
    assert_eq!(gone, Err(ExportError::NotHeld(Epoch(3))));
    // Whatever else comes for it is refused.
    let reply = wire.push(group.activate()).await;
    assert_eq!(reply, PushReply::nack(NackCode::UnknownGroup, Epoch(0)));
}

#[tokio::test]
async fn a_lost_connection_is_resumed_and_not_joined_again() {
    let (gateway, mut group) = (Gateway::start(), Group::new());
    let (_client, mut studio, wire) = joined(gateway.options(), &gateway, &group).await;
    begun(&mut studio, &group).await;
    for _ in 0..3 {
        group.regenerate();
    }
    wire.0.close(0u32.into(), b"crashed");
    let lost = next(&mut studio).await;
    assert!(matches!(lost, Event::Disconnected { .. }));
    let wire = gateway.accept().await;
    // The gateway is busy at first.
    let (Request::Resume(resume), reply) = wire.asked().await else {
        panic!("not a resume");
    };
    assert_eq!((resume.member, resume.epoch), (group.member, Epoch(1)));
    let busy = Refusal::retry(RefusalCode::Busy, 20);
    reply.say(&Response::Refused(busy)).await;
    let (Request::Resume(_), reply) = wire.asked().await else {
        panic!("not a resume");
    };
    reply.say(&Response::Path(group.path(group.epoch))).await;
    assert_eq!(wire.acknowledged().await, Epoch(4));
    assert_eq!(next(&mut studio).await, installed(4));
    assert_eq!(next(&mut studio).await, send(4));
    let epoch = Epoch(4);
    assert_eq!(next(&mut studio).await, Event::Resumed { epoch });
    assert!(agrees(&studio, &group));
    let counters = studio.counters();
    assert_eq!((counters.joins, counters.resumes), (1, 1));
}

#[tokio::test]
async fn an_epoch_that_cannot_be_opened_is_repaired_by_a_pull() {
    let (gateway, mut group) = (Gateway::start(), Group::new());
    let (_client, mut studio, wire) = joined(gateway.options(), &gateway, &group).await;
    begun(&mut studio, &group).await;
    group.regenerate();
    let reply = wire.push(group.rekey(vec![])).await;
    assert_eq!(reply, PushReply::nack(NackCode::NeedPath, Epoch(1)));
    let (Request::Pull(pull), reply) = wire.asked().await else {
        panic!("not a pull");
    };
    assert_eq!((pull.member, pull.epoch), (group.member, Epoch(1)));
    let path = group.path(1);
    let epochs = vec![];
    reply.say(&Response::KeySet(KeySet { epochs, path })).await;
    assert_eq!(wire.acknowledged().await, Epoch(2));
    assert_eq!(next(&mut studio).await, installed(2));
    assert!(agrees(&studio, &group));
    let counters = studio.counters();
    assert_eq!((counters.pulls, counters.nacks), (1, 1));
}

#[tokio::test]
async fn what_the_token_did_not_sign_is_rejected_and_changes_nothing() {
    let (gateway, mut group) = (Gateway::start(), Group::new());
    let (_client, mut studio, wire) = joined(gateway.options(), &gateway, &group).await;
    begun(&mut studio, &group).await;
    let mut other = Group::new();
    other.id = group.id;
    other.ratchet();
    let reply = wire.push(other.rekey(other.edges())).await;
    assert_eq!(reply, PushReply::nack(NackCode::BadHeader, Epoch(1)));
    assert_eq!(studio.counters().rejected, 1);
    group.ratchet();
    let reply = wire.push(group.rekey(vec![])).await;
    assert_eq!(reply, PushReply::ack(Epoch(2)));
    assert!(agrees(&studio, &group));
}

#[tokio::test]
async fn a_push_that_overtakes_the_grant_waits_for_it() {
    let (gateway, mut group) = (Gateway::start(), Group::new());
    let client = Client::new(gateway.options()).expect("a client");
    let serve = async {
        let wire = gateway.accept().await;
        let (Request::Join(join), reply) = wire.asked().await else {
            panic!("not a join");
        };
        let granted = group.grant(&join);
        group.ratchet();
        let rekey = wire.push(group.rekey(vec![]));
        let grant = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            reply.say(&granted).await;
        };
        let (answer, ()) = tokio::join!(rekey, grant);
        assert_eq!(answer, PushReply::ack(Epoch(2)));
        wire
    };
    let (studio, _wire) = tokio::join!(client.join("studio", Role::Both), serve);
    assert!(agrees(&studio.expect("it is granted"), &group));
}

#[tokio::test]
async fn a_registration_that_is_forgotten_ends_unless_rejoining_is_allowed() {
    let (gateway, mut group) = (Gateway::start(), Group::new());
    let mut options = gateway.options();
    for rejoin in [false, true] {
        options.presence.rejoin = rejoin;
        let (_client, mut studio, wire) = joined(options.clone(), &gateway, &group).await;
        begun(&mut studio, &group).await;
        let before = group.epoch;
        group.replace_member();
        wire.0.close(0u32.into(), b"crashed");
        assert!(matches!(
            next(&mut studio).await,
            Event::Disconnected { .. }
        ));
        let wire = gateway.accept().await;
        let (Request::Resume(_), reply) = wire.asked().await else {
            panic!("not a resume");
        };
        let unknown = Refusal::new(RefusalCode::UnknownMember);
        reply.say(&Response::Refused(unknown.clone())).await;
        if !rejoin {
            let end = Event::Ended(End::Forgotten(unknown));
            assert_eq!(next(&mut studio).await, end);
            continue;
        }
        assert_eq!(next(&mut studio).await, retired(before));
        granting(&wire, &group).await;
        let member = group.member;
        assert_eq!(next(&mut studio).await, Event::Rejoined { member });
        begun(&mut studio, &group).await;
        assert!(group.is(&studio.ticket()));
        assert_eq!(studio.counters().joins, 2);
    }
}

#[tokio::test]
async fn a_registration_is_taken_up_by_another_process() {
    let (gateway, mut group) = (Gateway::start(), Group::new());
    let (client, studio, _wire) = joined(gateway.options(), &gateway, &group).await;
    let saved = studio.ticket().save();
    drop((client, studio));
    group.regenerate();
    let ticket = Ticket::load(&saved).expect("it was saved");
    let client = Client::new(gateway.options()).expect("a client");
    let serve = async {
        let wire = gateway.accept().await;
        let (Request::Resume(_), reply) = wire.asked().await else {
            panic!("not a resume");
        };
        reply.say(&Response::Path(group.path(group.epoch))).await;
        assert_eq!(wire.acknowledged().await, Epoch(2));
        wire
    };
    let (studio, _wire) = tokio::join!(client.resume(ticket), serve);
    let mut studio = studio.expect("it is known");
    begun(&mut studio, &group).await;
    assert_eq!(studio.counters().joins, 0);
}

#[tokio::test]
async fn a_token_that_is_not_the_pinned_one_is_refused() {
    let (gateway, group) = (Gateway::start(), Group::new());
    let mut options = gateway.options();
    let pinned = Fingerprint([1; 32]);
    options.keys.issuers = vec![pinned];
    let client = Client::new(options).expect("a client");
    let serve = async {
        let wire = gateway.accept().await;
        let (Request::Join(join), reply) = wire.asked().await else {
            panic!("not a join");
        };
        reply.say(&group.grant(&join)).await;
        wire
    };
    let (refused, _wire) = tokio::join!(client.join("studio", Role::Both), serve);
    let Err(JoinError::Unusable(Unusable::OtherIssuer { pinned: named, .. })) = refused else {
        panic!("it was not refused: {refused:?}");
    };
    assert_eq!(named, pinned);
}

#[tokio::test]
async fn a_member_that_is_told_to_go_comes_back_later() {
    let (gateway, group) = (Gateway::start(), Group::new());
    let (_client, mut studio, wire) = joined(gateway.options(), &gateway, &group).await;
    begun(&mut studio, &group).await;
    let before = std::time::Instant::now();
    let retry_after_ms = 600;
    let reply = wire
        .push(Push::GoAway(GoAway {
            retry_after_ms,
            to: None,
        }))
        .await;
    assert_eq!(reply, PushReply::ack(Epoch(0)));
    let lost = next(&mut studio).await;
    assert!(matches!(lost, Event::Disconnected { .. }));
    let _wire = gateway.accept().await;
    assert!(before.elapsed() >= Duration::from_millis(600));
}

#[tokio::test]
async fn a_gateway_that_does_not_follow_the_protocol_is_left() {
    let (gateway, group) = (Gateway::start(), Group::new());
    let (_client, mut studio, wire) = joined(gateway.options(), &gateway, &group).await;
    begun(&mut studio, &group).await;
    // A kind of a later version costs one stream only.
    let later = wire.push_bytes(&[0x82, 0x18, 0x63, 0xa0]).await;
    assert!(matches!(
        later,
        Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(code))) if code == 1u32.into()
    ));
    assert!(wire.0.close_reason().is_none());
    let _ = wire.push_bytes(b"nonsense").await;
    let closed = within("the close", wire.0.closed()).await;
    let quinn::ConnectionError::ApplicationClosed(closed) = closed else {
        panic!("not closed by the member: {closed}");
    };
    assert_eq!(closed.error_code, 1u32.into());
    gateway.accept().await;
}

#[tokio::test]
async fn a_join_is_tried_until_it_is_answered_for_good() {
    let (gateway, group) = (Gateway::start(), Group::new());
    let mut options = gateway.options();
    options.patience = Duration::from_millis(700);
    let client = Client::new(options).expect("a client");
    let (first, second) = (client.join("studio", Role::Both), async {
        let wire = gateway.accept().await;
        let (Request::Join(_), reply) = wire.asked().await else {
            panic!("not a join");
        };
        let busy = Refusal::retry(RefusalCode::TokenUnusable, 10);
        reply.say(&Response::Refused(busy)).await;
        granting(&wire, &group).await;
        wire
    });
    let (studio, wire) = tokio::join!(first, second);
    drop(studio.expect("it is granted"));
    let refusal = Refusal::new(RefusalCode::NotAdmitted);
    let (refused, ()) = tokio::join!(client.join("other", Role::Both), async {
        let (_, reply) = wire.asked().await;
        reply.say(&Response::Refused(refusal.clone())).await;
    });
    assert!(matches!(refused, Err(JoinError::Refused(why)) if why == refusal));
    // Nobody answers.
    let gave_up = client.join("other", Role::Both).await;
    assert!(matches!(gave_up, Err(JoinError::GaveUp { .. })));
}

#[tokio::test]
async fn a_member_that_only_acknowledges_opens_nothing_after_its_grant() {
    let (gateway, mut group) = (Gateway::start(), Group::new());
    let mut options = gateway.options();
    options.presence.fidelity = Fidelity::AcknowledgeOnly;
    let (_client, mut studio, wire) = joined(options, &gateway, &group).await;
    begun(&mut studio, &group).await;
    group.regenerate();
    let reply = wire.push(group.rekey(vec![])).await;
    assert_eq!(reply, PushReply::ack(Epoch(2)));
    assert_eq!(wire.push(group.activate()).await, PushReply::ack(Epoch(2)));
    assert_eq!(studio.epochs(), [Epoch(1)]);
}

#[tokio::test]
async fn leaving_and_closing_end_a_membership() {
    let (gateway, group) = (Gateway::start(), Group::new());
    let (client, studio, wire) = joined(gateway.options(), &gateway, &group).await;
    let (left, ()) = tokio::join!(studio.leave(), async {
        let (Request::Leave(leave), reply) = wire.asked().await else {
            panic!("not a leave");
        };
        let left = Left {
            member: leave.member,
        };
        reply.say(&Response::Left(left)).await;
    });
    left.expect("it is answered");
    let (studio, ()) = tokio::join!(client.join("studio", Role::Both), granting(&wire, &group));
    let mut studio = studio.expect("it is granted");
    assert_eq!(studio.member(), MemberId(1));
    client.close().await;
    // What happened before comes first, as far as it was not read.
    let mut event = next(&mut studio).await;
    while matches!(event, Event::Installed { .. } | Event::Send { .. }) {
        event = next(&mut studio).await;
    }
    assert_eq!(event, Event::Ended(End::Closed));
    assert!(studio.epochs().is_empty());
    let late = client.join("studio", Role::Both).await;
    assert!(matches!(late, Err(JoinError::Closed)));
}

#[tokio::test]
async fn what_is_held_is_told_with_the_request_for_a_channel_and_by_itself_if_there_is_none() {
    let (gateway, group) = (Gateway::start(), Group::new());
    let mut options = gateway.options();
    options.sockets.shared = None;
    let client = Client::new(options).expect("a client");
    let serve = async {
        let wire = gateway.accept().await;
        let (Request::Join(join), reply) = wire.asked().await else {
            panic!("not a join");
        };
        assert!(join.channel, "it says that it wants one");
        reply.say(&group.grant(&join)).await;
        let later = Refusal::retry(RefusalCode::Busy, 1);
        for refusal in [later, Refusal::new(RefusalCode::NoChannel)] {
            let (Request::OpenChannel(open), reply) = wire.asked().await else {
                panic!("no channel is asked for");
            };
            assert_eq!(open.epoch, Some(Epoch(group.epoch)));
            reply.say(&Response::Refused(refusal)).await;
        }
        assert_eq!(wire.acknowledged().await, Epoch(group.epoch));
        wire
    };
    let (membership, _wire) = tokio::join!(client.join("studio", Role::Both), serve);
    assert!(agrees(&membership.expect("it is granted"), &group));
}

#[tokio::test]
async fn clients_share_a_socket() {
    let (gateway, group) = (Gateway::start(), Group::new());
    let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into()).expect("a socket");
    let mut options = gateway.options();
    options.sockets.shared = Some(endpoint.clone());
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(joined(options.clone(), &gateway, &group).await);
    }
    assert_eq!(endpoint.open_connections(), 3);
    assert!(members.iter().all(|(_, studio, _)| agrees(studio, &group)));
}

#[test]
fn requests_fit_what_a_gateway_reads() {
    let request = Request::Join(Join {
        group: "g".repeat(128),
        role: Role::Both,
        offer: Offer::of(Suite::One, vec![4; 65]).with(Suite::Two, vec![4; 1_216]),
        token: None,
        channel: true,
    });
    assert!(request.to_bytes().len() <= Request::LIMIT);
}
