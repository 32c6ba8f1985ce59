//! Up: each object once, in its states, whatever is lost on the way.

use std::sync::Arc;

use wardcast::group::policy::GroupPolicy;
use wardcast::kmip::client::{Get, Object, Options, Query, SecretData};
use wardcast::kmip::codec::{View, values};
use wardcast::relay::lifecycle::EscrowError;

use super::*;
use crate::pykmip::PyKmip;
use crate::store::{self, Store};
use crate::{Site, calm, endpoint, hasty, opaque};

#[tokio::test]
async fn pykmip_has_the_objects_of_groups_in_their_states() {
    let site = Site::new();
    let server = PyKmip::start(&site.authority);
    let mut bench = Bench::new(site.client(&[&server.url()], calm())).await;
    bench.groups([1, 2], &GroupPolicy::default()).await;
    let begun = [
        (group_object(1), "active"),
        (group_object(2), "active"),
        (key_object(1, 1), "active"),
        (key_object(2, 1), "active"),
    ];
    assert_eq!(bench.objects().await, are(begun));
    let get = Get {
        unique_identifier: bench.object(&key_object(1, 1)).await,
    };
    let got = bench.client.call(&get).await.expect("got").object;
    let Object::SecretData(SecretData { value, .. }) = got else {
        panic!("{got:?}");
    };
    let said: serde_json::Value = serde_json::from_slice(value.as_bytes()).expect("JSON");
    assert_eq!(
        (&said["name"], &said["generation"]),
        (&"room 1".into(), &1.into())
    );

    let archive = GroupPolicy {
        archive: true,
        ..GroupPolicy::default()
    };
    let changed_policy = Event::PolicyChanged {
        policy: Box::new(archive),
    };
    // Three generations at once, of which the first two are over; steps are none.
    bench
        .take([
            (1, changed(1, 1, false)),
            (1, rekeyed(2)),
            (1, rekeyed(3)),
            (2, changed_policy),
            (2, rekeyed(2)),
        ])
        .await;
    let later = [
        (group_object(1), "active"),
        (group_object(2), "active"),
        (key_object(1, 3), "active"),
        // PyKMIP has no Archive.
        (key_object(2, 1), "deactivated"),
        (key_object(2, 2), "active"),
    ];
    assert_eq!(bench.objects().await, are(later));
    bench.take([(1, Event::GroupDestroyed)]).await;
    let last = [
        (group_object(2), "active"),
        (key_object(2, 1), "deactivated"),
        (key_object(2, 2), "active"),
    ];
    assert_eq!(bench.objects().await, are(last));
    assert_eq!(server.logged("Registered a SecretData"), 7);
    assert_eq!(
        server.logged("Processing operation: Locate"),
        4,
        "the test's own"
    );
}

/// The ledger as a crash would leave it that came before the batch's end.
pub(super) fn forget(bench: &mut Bench) {
    bench.lifecycle = None;
    let path = bench.folder.path().join("relay-lifecycle.db");
    let ledger = rusqlite::Connection::open(path).expect("opens");
    ledger.execute("DELETE FROM groups", []).expect("is done");
}

#[tokio::test]
async fn a_crash_before_the_cursor_moves_registers_nothing_twice() {
    let site = Site::new();
    let server = PyKmip::start(&site.authority);
    let mut bench = Bench::new(site.client(&[&server.url()], calm())).await;
    let policy = GroupPolicy::default();
    let mut batch = bench.batch([
        (1, created(&policy)),
        (1, rekeyed(1)),
        (1, rekeyed(2)),
        (2, created(&policy)),
        (2, rekeyed(1)),
        (2, Event::GroupDestroyed),
    ]);
    bench.try_take(&batch).await.expect("is taken");
    let all = are([(group_object(1), "active"), (key_object(1, 2), "active")]);
    assert_eq!(bench.objects().await, all);
    batch.again = true;
    bench.restart_from(0, 0).await;
    bench.try_take(&batch).await.expect("is taken");
    forget(&mut bench);
    bench.restart_from(0, 0).await;
    bench.try_take(&batch).await.expect("is taken");
    assert_eq!(bench.objects().await, all);
    assert_eq!(server.logged("Registered a SecretData"), 5, "each once");
    // Nor is anything lost of what follows.
    bench.take([(1, rekeyed(3))]).await;
    let all = are([(group_object(1), "active"), (key_object(1, 3), "active")]);
    assert_eq!(bench.objects().await, all);
}

#[tokio::test]
async fn without_a_ledger_objects_are_found_by_their_names() {
    let (client, store) = stand_in().await;
    let mut bench = Bench::new(client).await;
    bench.groups([1], &GroupPolicy::default()).await;
    bench.lifecycle = None;
    let ledger = bench.folder.path().join("relay-lifecycle.db");
    std::fs::remove_file(ledger).expect("is removed");
    bench.restart().await;
    bench.take([(1, rekeyed(2))]).await;
    let all = [
        (group_object(1), "active"),
        // Of this one nothing is known any more.
        (key_object(1, 1), "active"),
        (key_object(1, 2), "active"),
    ];
    assert_eq!(bench.objects().await, are(all));
    assert_eq!(bench.look().await, 0);
    drop(store);
}

/// A client of a stand-in of one's own.
pub(super) async fn stand_in() -> (Client, Arc<Store>) {
    let site = Site::new();
    let store = Arc::new(Store::default());
    let url = store::serve(&site, store.clone()).await;
    let options = Options {
        attempts: 1,
        failures: 100,
        ..hasty()
    };
    let client = site.client_of("gateway", &[endpoint(&url, View::Json)], options);
    (client, store)
}

#[tokio::test]
async fn whichever_answer_is_lost_each_object_is_there_once() {
    let policy = GroupPolicy::default();
    let mut losses = 0;
    for lost in 0.. {
        let (client, store) = stand_in().await;
        // The version is agreed on before.
        client.call(&Query).await.expect("facts");
        let mut bench = Bench::new(client).await;
        let mut batch = bench.batch([
            (1, created(&policy)),
            (1, rekeyed(1)),
            (1, rekeyed(2)),
            (2, created(&policy)),
            (2, Event::GroupDestroyed),
        ]);
        *store.lose.lock().expect("no panic") = Some(lost);
        let first = bench.try_take(&batch).await;
        let was_lost = store.lose.lock().expect("no panic").is_none();
        assert_eq!(first.is_err(), was_lost, "{first:?}");
        if was_lost {
            assert!(matches!(first, Err(SinkError::Unreachable(_))), "{first:?}");
            if lost % 2 == 0 {
                batch.again = true;
                bench.restart_from(0, 0).await;
            }
            bench.try_take(&batch).await.expect("is taken");
        }
        *store.lose.lock().expect("no panic") = None;
        let all = [
            (group_object(1), "active"),
            (group_object(2), "destroyed"),
            (key_object(1, 1), "destroyed"),
            (key_object(1, 2), "active"),
        ];
        assert_eq!(bench.objects().await, are(all), "answer {lost} was lost");
        assert_eq!(bench.look().await, 0, "nobody else did anything");
        losses += usize::from(was_lost);
        if !was_lost {
            break;
        }
    }
    assert_eq!(losses, 5, "register, activate, revoke twice, destroy");
}

#[tokio::test]
async fn what_is_over_is_archived_where_policy_and_store_say_so() {
    let (client, _store) = stand_in().await;
    let mut bench = Bench::new(client).await;
    let policy = GroupPolicy {
        archive: true,
        ..GroupPolicy::default()
    };
    bench.groups([1], &policy).await;
    let batch = bench.batch([(1, rekeyed(2))]);
    bench.try_take(&batch).await.expect("is taken");
    let all = [
        (group_object(1), "active"),
        (key_object(1, 2), "active"),
        ("?".to_owned(), "archived"),
    ];
    assert_eq!(bench.objects().await, are(all));
    bench.take([(1, Event::GroupDestroyed)]).await;
    let archived = ("?".to_owned(), "archived".to_owned());
    assert_eq!(bench.objects().await, vec![archived; 3]);
}

#[tokio::test]
async fn a_key_for_escrow_goes_up_wrapped_and_is_waited_for() {
    let site = Site::new();
    let server = PyKmip::start(&site.authority);
    let mut bench = Bench::new(site.client(&[&server.url()], calm())).await;
    let policy = GroupPolicy {
        escrow: true,
        ..GroupPolicy::default()
    };
    let unavailable = EscrowError::Unavailable("the token is down".to_owned());
    bench
        .script
        .with(|script| script.escrow = Some(Err(unavailable)));
    let batch = bench.batch([(1, created(&policy)), (1, rekeyed(1))]);
    let waits = bench.try_take(&batch).await;
    assert!(
        matches!(&waits, Err(SinkError::Unreachable(why)) if why.contains("the token is down")),
        "{waits:?}"
    );
    assert_eq!(bench.objects().await, are([]), "in order: nothing is sent");

    // The store has the escrow key, by that name.
    let escrow_key = opaque("escrow key", b"whatever it is");
    let escrow_key = bench.client.call(&escrow_key).await.expect("registered");
    bench
        .script
        .with(|script| script.escrow = Some(Ok([9; 40])));
    bench.try_take(&batch).await.expect("is taken");
    let get = |id: String| Get {
        unique_identifier: id,
    };
    let key = bench.object(&key_object(1, 1)).await;
    let got = bench.client.call(&get(key)).await.expect("got").object;
    let Object::WrappedKey(got) = got else {
        panic!("{got:?}");
    };
    assert_eq!(got.material.as_bytes(), [9; 40]);
    assert_eq!(got.wrapping.unique_identifier, escrow_key);
    let mode = values::BlockCipherMode::NISTKeyWrap;
    assert_eq!((got.wrapping.block_cipher_mode, got.length), (mode, 256));

    bench.script.with(|script| script.escrow = None);
    bench.take([(1, rekeyed(2))]).await;
    let key = bench.object(&key_object(1, 2)).await;
    let got = bench.client.call(&get(key)).await.expect("got").object;
    let Object::SecretData(SecretData { value, .. }) = got else {
        panic!("{got:?}");
    };
    let said = String::from_utf8_lossy(value.as_bytes());
    assert!(
        said.contains(r#""escrow":"impossible: there is no escrow key""#),
        "{said}"
    );
}
