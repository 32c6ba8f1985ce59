//! What is let into the queue, and what those are told that are not.

use std::time::Duration;

use super::script::{Act, Script, ask, batch, batch_of, eventually, options, queue};
use crate::group::operations::Priority;
use crate::hsm::pool::options::RETRY_AFTER;
use crate::hsm::{PoolError, PoolOptions};

fn refused(answer: Result<Vec<crate::group::operations::Output>, PoolError>) -> Duration {
    match answer {
        Err(PoolError::Busy { retry_after, .. }) => retry_after,
        other => panic!("not refused as busy: {other:?}"),
    }
}

#[tokio::test]
async fn what_is_less_urgent_takes_no_room_of_what_is_more() {
    let script = Script::new([Act::Wait]);
    let pool = script.pool(PoolOptions {
        queue: 100,
        ..options(1)
    });
    let mut tasks = vec![ask(&pool, Priority::Prefetch, batch(1))];
    eventually("a call runs", || script.gate.waiting() == 1).await;
    for priority in [
        Priority::Prefetch,
        Priority::Scheduled,
        Priority::Grant,
        Priority::Urgent,
    ] {
        tasks.push(queue(&pool, priority, batch_of(2, 60)).await);
        tasks.push(queue(&pool, priority, batch_of(3, 40)).await);
        let answer = pool.execute(priority, batch(4)).await;
        let retry_after = refused(answer);
        assert!(retry_after >= RETRY_AFTER.0 && retry_after <= RETRY_AFTER.1);
    }
    // What waits above counts against whoever comes below.
    assert_eq!(pool.counts().trouble.refused, 4);
    script.gate.open();
    for task in tasks {
        assert!(task.await.expect("runs").is_ok());
    }
    assert!(pool.execute(Priority::Prefetch, batch(4)).await.is_ok());
}

#[tokio::test]
async fn what_waits_above_counts_below() {
    let script = Script::new([Act::Wait]);
    let pool = script.pool(PoolOptions {
        queue: 100,
        ..options(1)
    });
    let _running = ask(&pool, Priority::Urgent, batch(1));
    eventually("a call runs", || script.gate.waiting() == 1).await;
    let _waiting = queue(&pool, Priority::Urgent, batch_of(2, 90)).await;
    refused(pool.execute(Priority::Scheduled, batch_of(3, 20)).await);
    let _fits = queue(&pool, Priority::Scheduled, batch_of(3, 10)).await;
    script.gate.open();
}

#[tokio::test]
async fn a_batch_larger_than_all_the_room_is_let_in_alone() {
    let script = Script::new([]);
    let pool = script.pool(PoolOptions {
        queue: 10,
        ..options(1)
    });
    let answer = pool.execute(Priority::Grant, batch_of(1, 300)).await;
    assert_eq!(answer.map(|outputs| outputs.len()), Ok(300));
}

#[tokio::test]
async fn a_stalled_token_asks_those_it_refuses_for_more_and_more_time() {
    let script = Script::new([]);
    script.rule(|_| Some(Act::Wait));
    let pool = script.pool(PoolOptions {
        queue: 1_000,
        ..options(1)
    });
    // Some are executed, so that there is a rate.
    let first = ask(&pool, Priority::Scheduled, batch_of(1, 100));
    script.gate.let_through(1);
    assert!(first.await.expect("runs").is_ok());
    eventually("a rate was measured", || pool.status().rate.is_some()).await;
    let mut tasks = vec![ask(&pool, Priority::Scheduled, batch(2))];
    eventually("a call runs", || script.gate.waiting() == 1).await;
    for _ in 0..10 {
        tasks.push(queue(&pool, Priority::Scheduled, batch_of(3, 100)).await);
    }
    let mut longest = Duration::ZERO;
    let mut grown = 0;
    for _ in 0..60_000 {
        let retry_after = refused(pool.execute(Priority::Scheduled, batch(4)).await);
        grown += u32::from(retry_after > longest);
        longest = longest.max(retry_after);
        if grown > 3 && longest > 4 * RETRY_AFTER.0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(grown > 3, "it asked for {longest:?} at most");
    // Once it is as fast as before, what is left is soon done.
    script.gate.open();
    for task in tasks {
        assert!(task.await.expect("runs").is_ok());
    }
}

#[tokio::test]
async fn what_nobody_waits_for_gives_its_room_back() {
    let script = Script::new([Act::Wait]);
    let pool = script.pool(PoolOptions {
        queue: 10,
        patience: Duration::from_secs(2),
        ..options(1)
    });
    let running = ask(&pool, Priority::Grant, batch(1));
    eventually("a call runs", || script.gate.waiting() == 1).await;
    let waiting = queue(&pool, Priority::Grant, batch_of(2, 10)).await;
    refused(pool.execute(Priority::Grant, batch(3)).await);
    waiting.abort();
    eventually("the watchdog throws it away", || pool.waiting() == 0).await;
    let next = queue(&pool, Priority::Grant, batch_of(4, 10)).await;
    script.gate.open();
    assert!(running.await.expect("runs").is_ok());
    assert!(next.await.expect("runs").is_ok());
}
