//! One pending delivery a member, whatever happens meanwhile.

use bytes::Bytes;

use super::*;
use crate::group::ids::Time;
use crate::group::machine::{Cause, Why};

const WHO: Registration = (GroupId([7; 16]), MemberId(1));

fn rekey(epoch: u64) -> Arc<Rekey> {
    Arc::new(Rekey {
        group: WHO.0,
        epoch: Epoch(epoch),
        previous: Epoch(epoch - 1),
        active: Epoch(0),
        why: Why {
            cause: Cause::Rotation,
            since: Time(0),
        },
        header: Bytes::new(),
        head: Bytes::new(),
        chunks: Vec::new(),
    })
}

fn outbox(held: u64) -> Arc<Outbox> {
    let outbox = Outbox::new();
    outbox.attach(WHO, 3, Epoch(held));
    outbox
}

fn epoch_of(delivery: Option<Delivery>) -> Option<Epoch> {
    match delivery?.push {
        DuePush::Rekey { rekey, leaf: 3 } => Some(rekey.epoch),
        other => panic!("expected an epoch, got {other:?}"),
    }
}

#[test]
fn an_epoch_that_follows_is_pushed_as_it_is() {
    let outbox = outbox(4);
    assert!(!outbox.rekey(WHO, &rekey(5)));
    assert_eq!(epoch_of(outbox.take()), Some(Epoch(5)));
    assert!(outbox.take().is_none());
}

#[test]
fn a_newer_epoch_replaces_one_that_waits_and_then_a_path_is_due() {
    let outbox = outbox(4);
    outbox.rekey(WHO, &rekey(5));
    assert!(outbox.rekey(WHO, &rekey(6)));
    assert_eq!(outbox.conflated(), 1);
    let delivery = outbox.take().expect("a push");
    assert!(matches!(delivery.push, DuePush::Path), "{delivery:?}");
}

#[test]
fn one_push_is_under_way_at_a_time() {
    let outbox = outbox(4);
    outbox.rekey(WHO, &rekey(5));
    assert_eq!(epoch_of(outbox.take()), Some(Epoch(5)));
    outbox.rekey(WHO, &rekey(6));
    assert!(outbox.take().is_none());
    outbox.done(WHO, Outcome::Held(Epoch(5)));
    assert_eq!(epoch_of(outbox.take()), Some(Epoch(6)));
}

#[test]
fn a_member_that_cannot_use_a_push_is_sent_a_path() {
    let outbox = outbox(4);
    outbox.rekey(WHO, &rekey(5));
    outbox.take();
    outbox.done(WHO, Outcome::NeedsPath);
    let delivery = outbox.take().expect("a push");
    assert!(matches!(delivery.push, DuePush::Path), "{delivery:?}");
}

#[test]
fn the_switch_follows_the_epoch_that_it_is_about() {
    let outbox = outbox(4);
    outbox.activate(WHO, Epoch(5));
    outbox.rekey(WHO, &rekey(5));
    assert_eq!(epoch_of(outbox.take()), Some(Epoch(5)));
    outbox.done(WHO, Outcome::Held(Epoch(5)));
    let delivery = outbox.take().expect("a push");
    assert!(
        matches!(delivery.push, DuePush::Activate(Epoch(5))),
        "{delivery:?}"
    );
}

#[test]
fn nothing_follows_a_removal() {
    let outbox = outbox(4);
    outbox.rekey(WHO, &rekey(5));
    outbox.remove(WHO, RemovalReason::Evicted);
    outbox.rekey(WHO, &rekey(6));
    let delivery = outbox.take().expect("a push");
    assert!(
        matches!(delivery.push, DuePush::Removed(RemovalReason::Evicted)),
        "{delivery:?}"
    );
    outbox.done(WHO, Outcome::Held(Epoch(4)));
    assert!(outbox.is_empty());
    assert!(outbox.take().is_none());
}

#[test]
fn a_removal_waits_for_the_push_that_is_under_way_and_is_told() {
    let outbox = outbox(4);
    outbox.activate(WHO, Epoch(4));
    outbox.take().expect("a push");
    outbox.remove(WHO, RemovalReason::Evicted);
    outbox.done(WHO, Outcome::Held(Epoch(4)));
    let delivery = outbox.take().expect("a push");
    assert!(
        matches!(delivery.push, DuePush::Removed(RemovalReason::Evicted)),
        "{delivery:?}"
    );
    outbox.done(WHO, Outcome::NeedsPath);
    assert!(outbox.is_empty());
}

#[tokio::test]
async fn closing_ends_whoever_waits() {
    let outbox = outbox(4);
    let waiting = tokio::spawn({
        let outbox = outbox.clone();
        async move { outbox.next().await.is_none() }
    });
    tokio::task::yield_now().await;
    outbox.close();
    assert!(waiting.await.expect("no panic"));
}
