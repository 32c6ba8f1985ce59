//! Exchanges on disk: their own caller's alone, in bounds, and honest after a restart.

use super::*;
use crate::store::StoreError;

fn job(caller: &str) -> Job {
    Job {
        caller: caller.to_owned(),
        version: 0,
        operation: 8,
        object: None,
        request: b"asked".to_vec(),
        bearer: None,
        named: None,
    }
}

fn open(folder: &tempfile::TempDir) -> Exchanges {
    let path = folder.path().join("front.db");
    Exchanges::new(Durable::open(&path).expect("a database"))
}

async fn submit(exchanges: &Exchanges, caller: &str) -> [u8; VALUE] {
    let taken = exchanges.submit(100, job(caller)).await.expect("written");
    taken.expect("there is room")
}

#[tokio::test]
async fn an_exchange_is_answered_to_its_own_caller() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchanges = open(&folder);
    let value = submit(&exchanges, "cn:anna").await;
    let look =
        async |caller: &str, value: &[u8]| exchanges.look(caller, value).await.expect("read");
    assert_eq!(look("cn:anna", &value).await, Found::Pending);
    let (id, taken) = exchanges.take(0).await.expect("read").expect("one waits");
    assert_eq!(
        (taken.caller.as_str(), &taken.request[..]),
        ("cn:anna", &b"asked"[..])
    );
    assert!(
        exchanges.take(0).await.expect("read").is_none(),
        "it is taken once"
    );
    exchanges
        .finish(id, b"told".to_vec())
        .await
        .expect("written");
    assert_eq!(look("cn:anna", &value).await, Found::Done(b"told".to_vec()));
    assert_eq!(
        look("cn:anna", &value).await,
        Found::Done(b"told".to_vec()),
        "again"
    );
    assert_eq!(look("cn:bert", &value).await, Found::Nothing);
    assert_eq!(look("cn:anna", &[0; VALUE]).await, Found::Nothing);
    let cancelled = exchanges.cancel("cn:bert", &value).await.expect("read");
    assert_eq!(cancelled, Cancelled::Nothing);
}

#[tokio::test]
async fn what_waits_can_be_cancelled_and_what_runs_cannot() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchanges = open(&folder);
    let (first, second) = (submit(&exchanges, "a").await, submit(&exchanges, "a").await);
    let (id, _) = exchanges.take(0).await.expect("read").expect("one waits");
    let cancel = async |value: &[u8]| exchanges.cancel("a", value).await.expect("written");
    assert_eq!(cancel(&first).await, Cancelled::TooLate);
    assert_eq!(cancel(&second).await, Cancelled::Now);
    assert!(exchanges.take(0).await.expect("read").is_none());
    assert_eq!(
        exchanges.look("a", &second).await.expect("read"),
        Found::Cancelled
    );
    exchanges.put_back(id).await.expect("written");
    assert_eq!(
        exchanges.take(id).await.expect("read").map(|(id, _)| id),
        Some(id)
    );
    exchanges.finish(id, vec![1]).await.expect("written");
    assert_eq!(cancel(&first).await, Cancelled::Done(vec![1]));
}

#[tokio::test]
async fn what_could_not_be_done_lets_others_go_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchanges = open(&folder);
    for _ in 0..2 {
        submit(&exchanges, "a").await;
    }
    let take = async |after: i64| {
        let taken = exchanges.take(after).await.expect("read");
        taken.map(|(id, _)| id).expect("one waits")
    };
    let first = take(0).await;
    exchanges.put_back(first).await.expect("written");
    assert_eq!(take(first).await, first + 1);
    assert_eq!(take(first).await, first, "it is the only one");
}

#[tokio::test]
async fn a_restart_repeats_what_it_may_and_owns_up_to_the_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchanges = open(&folder);
    let values = [
        submit(&exchanges, "a").await,
        submit(&exchanges, "a").await,
        submit(&exchanges, "a").await,
    ];
    let (first, _) = exchanges.take(0).await.expect("read").expect("one waits");
    exchanges
        .take(0)
        .await
        .expect("read")
        .expect("another waits");
    drop(exchanges);
    let exchanges = open(&folder);
    let counts = exchanges.recover(|_| false, b"unknown").expect("written");
    assert_eq!(counts, (0, 2));
    let look = async |value: &[u8]| exchanges.look("a", value).await.expect("read");
    assert_eq!(look(&values[0]).await, Found::Done(b"unknown".to_vec()));
    assert_eq!(look(&values[2]).await, Found::Pending);
    let (third, _) = exchanges.take(0).await.expect("read").expect("one waits");
    assert_eq!(third, first + 2);
    assert_eq!(exchanges.recover(|_| true, b"").expect("written"), (1, 0));
    assert_eq!(
        exchanges.take(0).await.expect("read").map(|(id, _)| id),
        Some(third)
    );
}

#[tokio::test]
async fn bounds_are_kept_and_age_frees_places() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchanges = open(&folder);
    let first = submit(&exchanges, "a").await;
    for _ in 1..MAX_PER_CALLER {
        submit(&exchanges, "a").await;
    }
    let refused = exchanges.submit(100, job("a")).await.expect("read");
    assert_eq!(refused, Err(Bound::Caller));
    // What was told, or cancelled, makes room, and nothing else.
    let (id, _) = exchanges.take(0).await.expect("read").expect("one waits");
    exchanges.finish(id, vec![1]).await.expect("written");
    let refused = exchanges.submit(100, job("a")).await.expect("read");
    assert_eq!(refused, Err(Bound::Caller));
    exchanges.look("a", &first).await.expect("read");
    let last = submit(&exchanges, "a").await;
    let looked = exchanges.look("a", &first).await.expect("read");
    assert_eq!(looked, Found::Nothing);
    exchanges.cancel("a", &last).await.expect("written");
    submit(&exchanges, "a").await;
    submit(&exchanges, "b").await;
    let long = Job {
        request: vec![0; MAX_REQUEST + 1],
        ..job("b")
    };
    assert_eq!(
        exchanges.submit(100, long).await.expect("read"),
        Err(Bound::Size)
    );
    let (running, _) = exchanges.take(0).await.expect("read").expect("one waits");
    let expired = exchanges.expire(101 + MAX_AGE_S).await.expect("written");
    assert_eq!(
        expired,
        (MAX_PER_CALLER as usize, 1),
        "but for the one that runs"
    );
    exchanges.put_back(running).await.expect("written");
    submit(&exchanges, "a").await;
}

#[tokio::test]
async fn there_is_a_bound_for_all_callers_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchanges = open(&folder);
    let fill = exchanges.durable.run(|transaction| {
        transaction.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
             INSERT INTO exchanges (digest, caller, since, state, version, operation, request)
             SELECT CAST(i AS BLOB), 'c' || i, 100, 2, 0, 8, x'' FROM n",
            [MAX_EXCHANGES],
        )
    });
    fill.await.expect("written");
    let refused = exchanges.submit(100, job("a")).await.expect("read");
    assert_eq!(refused, Err(Bound::Total));
}

#[test]
fn another_database_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("other.db");
    let other = rusqlite::Connection::open(&path).expect("a database");
    other.execute_batch("CREATE TABLE t (x)").expect("a table");
    drop(other);
    assert!(matches!(
        Durable::open(&path),
        Err(DurableError::Foreign(_))
    ));
    let lost = folder.path().join("nowhere/front.db");
    assert!(matches!(
        Durable::open(&lost),
        Err(DurableError::Open(StoreError::Unreachable { .. }))
    ));
}

#[tokio::test]
async fn how_one_ended_is_written_as_soon_as_the_database_takes_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchanges = open(&folder);
    let values = [submit(&exchanges, "a").await, submit(&exchanges, "a").await];
    let mut ids = Vec::new();
    for _ in &values {
        ids.push(exchanges.take(0).await.expect("read").expect("one waits").0);
    }
    let run = async |sql: &'static str| {
        let ran = exchanges
            .durable
            .run(move |transaction| transaction.execute_batch(sql));
        ran.await.expect("runs");
    };
    run(
        "CREATE TRIGGER broken BEFORE UPDATE ON exchanges BEGIN SELECT RAISE(ABORT, 'broken'); END",
    )
    .await;
    assert!(exchanges.finish(ids[0], vec![1]).await.is_err());
    let (stop, mut stopped) = watch::channel(());
    let mut other = stopped.clone();
    let settling = async {
        tokio::join!(
            exchanges.settle(ids[0], Some(&[7]), &mut stopped),
            exchanges.settle(ids[1], None, &mut other),
        )
    };
    let repair = async {
        let pending = exchanges.look("a", &values[0]).await.expect("read");
        assert_eq!(pending, Found::Pending);
        run("DROP TRIGGER broken").await;
    };
    tokio::join!(settling, repair);
    let found = exchanges.look("a", &values[0]).await.expect("read");
    assert_eq!(found, Found::Done(vec![7]));
    let again = exchanges
        .take(0)
        .await
        .expect("read")
        .expect("it waits again");
    assert_eq!(again.0, ids[1]);
    // Whoever stops does not wait for a database that fails.
    run(
        "CREATE TRIGGER broken BEFORE UPDATE ON exchanges BEGIN SELECT RAISE(ABORT, 'broken'); END",
    )
    .await;
    let mut stopped = stop.subscribe();
    drop(stop);
    exchanges.settle(ids[1], None, &mut stopped).await;
}

#[tokio::test]
async fn what_a_token_says_and_the_request_is_called_is_kept_and_a_database_of_before_has_nothing_of_it()
 {
    let folder = tempfile::tempdir().expect("a folder");
    let exchanges = open(&folder);
    submit(&exchanges, "token:old").await;
    let before = exchanges.durable.run(|transaction| {
        transaction
            .execute_batch("ALTER TABLE exchanges DROP COLUMN bearer; ALTER TABLE exchanges DROP COLUMN named; PRAGMA user_version = 1")
    });
    before.await.expect("as version 1 had it");
    drop(exchanges);
    let exchanges = open(&folder);
    let bearer = Bearer {
        authority: "https://issuer.example.org for wardcast".to_owned(),
        until: 700,
        claims: vec![("groups".into(), "keys".into())],
    };
    let job = Job {
        bearer: Some(bearer.clone()),
        named: RequestId::new("a-1"),
        ..job("token:new")
    };
    let taken = exchanges.submit(100, job).await.expect("written");
    taken.expect("there is room");
    let mut kept = Vec::new();
    while let Some((_, job)) = exchanges.take(0).await.expect("read") {
        kept.push((job.caller, job.bearer, job.named));
    }
    let named = RequestId::new("a-1");
    let expected = [
        ("token:old".to_owned(), None, None),
        ("token:new".to_owned(), Some(bearer), named),
    ];
    assert_eq!(kept, expected);
}
