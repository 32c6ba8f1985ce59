//! Calls that do not come back, batches that wait too long, and a shutdown that does not.

use std::time::Duration;

use super::script::{Act, Script, ask, batch, eventually, lock, options, outputs, queue};
use crate::group::operations::Priority;
use crate::hsm::pool::options::MAX_FAILURES;
use crate::hsm::{ErrorClass, PoolError, PoolOptions, PoolState};

/// Short for a call, so that a test is; long enough that a busy machine keeps it.
fn short(workers: usize, lost: usize) -> PoolOptions {
    PoolOptions {
        deadline: Duration::from_millis(500),
        lost,
        ..options(workers)
    }
}

#[tokio::test]
async fn a_call_that_hangs_costs_one_worker_and_the_batch_nothing() {
    let script = Script::new([Act::Wait]);
    let pool = script.pool(short(1, 2));
    let answer = pool.execute(Priority::Grant, batch(1)).await;
    assert_eq!(answer, Ok(outputs(&batch(1))));
    let lane = || pool.status().lanes.remove(0);
    assert_eq!((lane().lost, lane().workers), (1, 1));
    assert_eq!(pool.counts().trouble.workers_lost, 1);
    assert_eq!(script.executed(), [1]);
    // It comes back after all: nobody wants its answer, and it is not needed any more.
    script.gate.open();
    eventually("it is not counted as lost any more", || lane().lost == 0).await;
    assert_eq!(lane().workers, 1);
    assert_eq!(script.executed(), [1, 1]);
    let counts = pool.counts();
    assert_eq!(
        (counts.batches, counts.wraps),
        (1, 1),
        "the late answer is dropped"
    );
    assert_eq!(counts.trouble.workers_returned, 1);
    assert!(pool.execute(Priority::Grant, batch(2)).await.is_ok());
}

#[tokio::test]
async fn the_others_of_a_lane_work_on() {
    let script = Script::new([]);
    script.rule(|batches| (batches[0].group.0[0] == 13).then_some(Act::Wait));
    let pool = script.pool(short(2, 1));
    let hanging = ask(&pool, Priority::Grant, batch(13));
    eventually("a call hangs", || script.gate.waiting() == 1).await;
    for group in 0..10 {
        assert!(pool.execute(Priority::Grant, batch(group)).await.is_ok());
    }
    eventually("the worker is lost", || {
        pool.counts().trouble.workers_lost > 0
    })
    .await;
    script.gate.open();
    assert_eq!(hanging.await.expect("runs"), Ok(outputs(&batch(13))));
}

#[tokio::test]
async fn workers_are_replaced_up_to_a_bound_and_welcomed_back() {
    let script = Script::new([Act::Wait, Act::Wait]);
    let pool = script.pool(short(1, 1));
    let refused = pool.execute(Priority::Grant, batch(1)).await;
    let Err(PoolError::Unusable { error, .. }) = refused else {
        panic!("a lane without workers is usable: {refused:?}");
    };
    assert_eq!(error.class(), ErrorClass::Elsewhere);
    let lane = || pool.status().lanes.remove(0);
    assert_eq!((lane().lost, lane().workers), (2, 0));
    assert_eq!(lane().state, PoolState::Unusable(error));
    script.gate.let_through(1);
    let mut watch = pool.watch();
    watch
        .wait_for(|state| *state == PoolState::Usable)
        .await
        .expect("watched");
    assert_eq!((lane().lost, lane().workers), (1, 1));
    assert!(pool.execute(Priority::Grant, batch(2)).await.is_ok());
    script.gate.open();
    eventually("the other ends quietly", || lane().lost == 0).await;
    assert_eq!(lane().workers, 1);
}

#[tokio::test]
async fn a_batch_that_every_session_hangs_at_is_given_up() {
    let script = Script::new([]);
    script.rule(|batches| {
        let bad = batches.iter().any(|batch| batch.group.0[0] == 13);
        bad.then_some(Act::Wait)
    });
    let pool = script.pool(short(1, 8));
    let failed = pool.execute(Priority::Urgent, batch(13)).await;
    assert!(
        matches!(&failed, Err(PoolError::Token(error)) if error.to_string().contains("500 ms")),
        "{failed:?}"
    );
    assert_eq!(pool.counts().trouble.workers_lost, u64::from(MAX_FAILURES));
    assert!(pool.execute(Priority::Grant, batch(1)).await.is_ok());
    script.gate.open();
}

#[tokio::test]
async fn a_session_that_hangs_while_it_opens_is_given_up_too() {
    let script = Script::new([]);
    lock(&script.opens).push_back(Act::Wait);
    let pool = script.pool(short(1, 1));
    let unusable = pool.probed().await;
    assert!(
        matches!(unusable, Err(PoolError::Unusable { .. })),
        "{unusable:?}"
    );
    let mut watch = pool.watch();
    watch
        .wait_for(|state| *state == PoolState::Usable)
        .await
        .expect("watched");
    assert!(pool.execute(Priority::Grant, batch(1)).await.is_ok());
    script.gate.open();
    eventually("it came back", || {
        pool.counts().trouble.workers_returned == 1
    })
    .await;
}

#[tokio::test]
async fn a_batch_that_waits_too_long_expires() {
    let script = Script::new([Act::Wait]);
    let patience = Duration::from_millis(300);
    let pool = script.pool(PoolOptions {
        patience,
        ..options(1)
    });
    let running = ask(&pool, Priority::Grant, batch(1));
    eventually("a call runs", || script.gate.waiting() == 1).await;
    for priority in [Priority::Urgent, Priority::Prefetch] {
        let expired = pool.execute(priority, batch(2)).await;
        assert_eq!(expired, Err(PoolError::Expired { after: patience }));
    }
    assert_eq!(pool.counts().trouble.expired, 2);
    assert_eq!(pool.waiting(), 0);
    script.gate.open();
    assert!(
        running.await.expect("runs").is_ok(),
        "it had its turn in time"
    );
    assert_eq!(script.executed(), [1]);
}

#[tokio::test]
async fn shutting_down_refuses_what_waits_and_lets_finish_what_runs() {
    let script = Script::new([Act::Wait]);
    let pool = script.pool(options(1));
    let running = ask(&pool, Priority::Grant, batch(1));
    eventually("a call runs", || script.gate.waiting() == 1).await;
    let waiting = queue(&pool, Priority::Grant, batch(2)).await;
    let stopping = pool.clone();
    let stopping = tokio::task::spawn_blocking(move || stopping.shutdown());
    assert_eq!(waiting.await.expect("runs"), Err(PoolError::Closed));
    assert_eq!(
        pool.execute(Priority::Grant, batch(3)).await,
        Err(PoolError::Closed)
    );
    script.gate.open();
    assert!(running.await.expect("runs").is_ok(), "what runs finishes");
    stopping.await.expect("ends");
    assert_eq!(pool.status().lanes[0].sessions, 0);
    assert_eq!(pool.status().state, PoolState::Closed);
    pool.shutdown();
}

#[tokio::test]
async fn shutting_down_does_not_wait_for_a_worker_that_hangs() {
    let script = Script::new([Act::Wait]);
    let pool = script.pool(PoolOptions {
        deadline: Duration::from_secs(1),
        ..options(2)
    });
    let hanging = ask(&pool, Priority::Grant, batch(1));
    eventually("a call hangs", || script.gate.waiting() == 1).await;
    let stopping = pool.clone();
    tokio::task::spawn_blocking(move || stopping.shutdown())
        .await
        .expect("ends while the call still hangs");
    assert_eq!(script.gate.waiting(), 1);
    assert_eq!(hanging.await.expect("runs"), Err(PoolError::Closed));
    script.gate.open();
}
