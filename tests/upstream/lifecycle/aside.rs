//! Objects that the store refuses for good, and several of one name: the others' life goes on.

use std::sync::Arc;

use wardcast::group::policy::GroupPolicy;
use wardcast::kmip::client::{Object, Register, SecretData};
use wardcast::kmip::codec::values::{self, Operation as operation};
use wardcast::relay::lifecycle::{Aside, REFUSALS};

use super::up::{forget, stand_in};
use super::*;
use crate::store::Store;

fn refuse(store: &Arc<Store>, refused: &[(u32, String)]) {
    *store.refuse.lock().expect("no panic") = refused.to_vec();
}

/// Gives a batch until it is taken; how often it was refused.
async fn refusals(bench: &mut Bench, batch: &Batch) -> u32 {
    // Beginnings first, then ends.
    for refused in 0..=2 * REFUSALS {
        match bench.try_take(batch).await {
            Ok(()) => return refused,
            Err(error) => assert!(matches!(error, SinkError::Refused(_)), "{error}"),
        }
    }
    panic!("it is refused for ever");
}

fn asides(bench: &Bench) -> Vec<(String, String)> {
    let (lifecycle, _) = bench.lifecycle.as_ref().expect("it runs");
    let told = |aside: Aside| (aside.object, aside.operation);
    lifecycle.asides().list().into_iter().map(told).collect()
}

async fn retry(bench: &Bench) {
    let (lifecycle, _) = bench.lifecycle.as_ref().expect("it runs");
    lifecycle.retry().await.expect("the store answers");
}

#[tokio::test]
async fn an_object_that_is_refused_is_set_aside_and_the_others_go_on() {
    let (client, store) = stand_in().await;
    let mut bench = Bench::new(client).await;
    let policy = GroupPolicy::default();
    let bad = key_object(1, 1);
    refuse(&store, &[(operation::Register, bad.clone())]);
    let batch = bench.batch([
        (1, created(&policy)),
        (1, rekeyed(1)),
        (2, created(&policy)),
        (2, rekeyed(1)),
    ]);
    assert_eq!(refusals(&mut bench, &batch).await, REFUSALS - 1);
    let others = [
        (group_object(1), "active"),
        (group_object(2), "active"),
        (key_object(2, 1), "active"),
    ];
    assert_eq!(bench.objects().await, are(others.clone()));
    let aside = [(format!("test.{bad}"), "register".to_owned())];
    assert_eq!(asides(&bench), aside);
    assert_eq!(bench.look().await, 0, "nobody ended it");
    // Another life knows it, and has no more luck.
    bench.restart().await;
    assert_eq!(asides(&bench), aside);
    retry(&bench).await;
    assert_eq!(asides(&bench), aside);
    assert_eq!(bench.objects().await, are(others));
    // Somebody has seen to it.
    refuse(&store, &[]);
    retry(&bench).await;
    assert_eq!(asides(&bench), []);
    let all = [
        (group_object(1), "active"),
        (group_object(2), "active"),
        (key_object(1, 1), "active"),
        (key_object(2, 1), "active"),
    ];
    assert_eq!(bench.objects().await, are(all));
    bench.take([(1, rekeyed(2))]).await;
    let all = [
        (group_object(1), "active"),
        (group_object(2), "active"),
        (key_object(1, 1), "destroyed"),
        (key_object(1, 2), "active"),
        (key_object(2, 1), "active"),
    ];
    assert_eq!(bench.objects().await, are(all));
}

#[tokio::test]
async fn an_end_that_is_refused_is_made_up_for_and_a_beginning_that_is_over_is_not() {
    let (client, store) = stand_in().await;
    let mut bench = Bench::new(client).await;
    let policy = GroupPolicy::default();
    bench.groups([1], &policy).await;
    refuse(
        &store,
        &[
            (operation::Revoke, key_object(1, 1)),
            (operation::Activate, key_object(1, 2)),
        ],
    );
    let batch = bench.batch([(1, rekeyed(2))]);
    refusals(&mut bench, &batch).await;
    let stuck = [
        (group_object(1), "active"),
        (key_object(1, 1), "active"),
        (key_object(1, 2), "pre-active"),
    ];
    assert_eq!(bench.objects().await, are(stuck));
    assert_eq!(asides(&bench).len(), 2);
    bench.take([(1, rekeyed(3))]).await;
    refuse(&store, &[]);
    bench.restart().await;
    retry(&bench).await;
    assert_eq!(asides(&bench), []);
    let all = [
        (group_object(1), "active"),
        (key_object(1, 1), "destroyed"),
        (key_object(1, 2), "destroyed"),
        (key_object(1, 3), "active"),
    ];
    assert_eq!(bench.objects().await, are(all));
}

/// Somebody else's object, under one of the gateway's names.
async fn stranger(bench: &Bench, name: &str) {
    let register = Register {
        object: Object::SecretData(SecretData {
            kind: values::SecretDataType::Seed,
            value: b"a stranger's".as_slice().into(),
        }),
        attributes: vec![Attribute::name(&format!("test.{name}"))],
    };
    bench.client.call(&register).await.expect("registered");
}

#[tokio::test]
async fn of_several_of_a_name_the_gateways_own_is_taken_and_none_if_that_is_unclear() {
    let (client, _store) = stand_in().await;
    let mut bench = Bench::new(client).await;
    let policy = GroupPolicy::default();
    stranger(&bench, &group_object(1)).await;
    let mut batch = bench.batch([(1, created(&policy)), (1, rekeyed(1))]);
    bench.try_take(&batch).await.expect("is taken");
    // The ledger and the cursor come from before it.
    forget(&mut bench);
    batch.again = true;
    bench.restart_from(0, 0).await;
    bench.try_take(&batch).await.expect("is taken");
    bench.take([(1, Event::GroupDestroyed)]).await;
    let own = [
        (group_object(1), "destroyed"),
        (key_object(1, 1), "destroyed"),
    ];
    assert_eq!(
        bench.objects().await,
        are(own),
        "the stranger's is in no object group"
    );
    let strangers = bench.locate(Attribute::name(&format!("test.{}", group_object(1))));
    assert_eq!(strangers.await.len(), 2, "it is there still, and no third");

    for _ in 0..2 {
        stranger(&bench, &group_object(2)).await;
    }
    let mut batch = bench.batch([(2, created(&policy)), (2, rekeyed(1))]);
    batch.again = true;
    refusals(&mut bench, &batch).await;
    let aside = [(format!("test.{}", group_object(2)), "register".to_owned())];
    assert_eq!(asides(&bench), aside);
    let objects = bench.objects().await;
    assert!(objects.contains(&(key_object(2, 1), "active".to_owned())));
}
