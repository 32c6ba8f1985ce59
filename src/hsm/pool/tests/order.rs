//! In which order batches are executed, and in which calls.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::script::{Act, Script, ask, batch, batch_of, eventually, lock, options, outputs, queue};
use crate::group::limits::WRAPS_PER_JOB;
use crate::group::operations::Priority;
use crate::hsm::pool::board::{Board, Next};
use crate::hsm::pool::job::{Job, Life};
use crate::hsm::pool::options::{MOST_OPERATIONS_PER_CALL, OPERATIONS_PER_CALL};

#[tokio::test]
async fn urgent_batches_go_first_and_the_first_to_come_before_the_second() {
    let script = Script::new([Act::Wait]);
    let pool = script.pool(options(1));
    let mut tasks = vec![ask(&pool, Priority::Scheduled, batch(1))];
    eventually("a call runs", || script.gate.waiting() == 1).await;
    for (priority, group) in [
        (Priority::Prefetch, 8),
        (Priority::Scheduled, 6),
        (Priority::Scheduled, 7),
        (Priority::Grant, 4),
        (Priority::Grant, 5),
        (Priority::Urgent, 2),
        (Priority::Urgent, 3),
    ] {
        tasks.push(queue(&pool, priority, batch(group)).await);
    }
    script.gate.open();
    for task in tasks {
        assert!(task.await.expect("runs").is_ok());
    }
    assert_eq!(script.executed(), [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[tokio::test]
async fn an_urgent_eviction_behind_50_000_wraps_is_done_within_three_calls() {
    const ROTATION: usize = 50_000;
    const SCHEDULED: u8 = 1;
    const URGENT: u8 = 2;
    const PREFETCH: u8 = 3;
    let script = Script::new([]);
    script.rule(|_| Some(Act::Wait));
    let pool = script.pool(crate::hsm::PoolOptions {
        queue: 100_000,
        ..options(1)
    });
    // One more, part of which runs already.
    let jobs = ROTATION.div_ceil(WRAPS_PER_JOB) + 1;
    let mut tasks = Vec::new();
    for _ in 0..jobs {
        let batch = batch_of(SCHEDULED, WRAPS_PER_JOB as u32);
        tasks.push(ask(&pool, Priority::Scheduled, batch));
        // Somebody waits for a turn as well.
        tasks.push(ask(&pool, Priority::Prefetch, batch_of(PREFETCH, 100)));
    }
    let operations = || pool.status().waiting.map(|waiting| waiting.operations);
    eventually("all is queued but the part that runs", || {
        operations()[2] >= ROTATION && operations()[3] == 100 * jobs
    })
    .await;
    // Wherever in the rotation it comes: the calls are let through one by one.
    for round in 0..20 {
        eventually("a call runs", || script.gate.waiting() == 1).await;
        let before = lock(&script.calls).len();
        let eviction = queue(&pool, Priority::Urgent, batch_of(URGENT, 28)).await;
        script.gate.let_through(3);
        assert!(eviction.await.expect("runs").is_ok());
        let calls = lock(&script.calls)[before..].to_vec();
        let at = calls.iter().position(|call| call.groups == [URGENT]);
        let at = at.expect("it was executed, and rode with nobody");
        assert!(at <= 2, "round {round}: {at} calls ended before it");
        let longest = calls.iter().map(|call| call.operations).max();
        assert!(longest <= Some(MOST_OPERATIONS_PER_CALL), "{longest:?}");
        eventually("the permits are used", || {
            lock(&script.calls).len() == before + 3
        })
        .await;
    }
    script.gate.open();
    for task in tasks {
        assert!(task.await.expect("runs").is_ok());
    }
    let counts = pool.counts();
    assert_eq!(
        counts.wraps as usize,
        jobs * (WRAPS_PER_JOB + 100) + 20 * 28
    );
    assert_eq!(counts.batches as usize, 2 * jobs + 20);
}

#[tokio::test]
async fn small_batches_ride_together_and_each_has_its_own_answer() {
    let script = Script::new([Act::Wait]);
    let pool = script.pool(options(1));
    let first = ask(&pool, Priority::Scheduled, batch(1));
    eventually("a call runs", || script.gate.waiting() == 1).await;
    let mut tasks = Vec::new();
    for group in 2..12 {
        let batch = batch_of(group, u32::from(group));
        let answer = queue(&pool, Priority::Scheduled, batch.clone()).await;
        tasks.push((batch, answer));
    }
    script.gate.open();
    assert!(first.await.expect("runs").is_ok());
    for (batch, task) in tasks {
        assert_eq!(task.await.expect("runs"), Ok(outputs(&batch)));
    }
    let calls = lock(&script.calls).clone();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert_eq!(calls[1].groups, (2..12).collect::<Vec<u8>>());
    assert_eq!(pool.counts().calls, 2);
    assert_eq!(pool.counts().batches, 11);
    assert_eq!(pool.counts().usage.wraps, 1 + (2..12).sum::<u64>());
}

#[tokio::test]
async fn a_large_batch_takes_several_calls_and_has_one_answer_in_order() {
    let script = Script::new([]);
    let pool = script.pool(options(2));
    let large = batch_of(1, 1_000);
    let answer = pool.execute(Priority::Scheduled, large.clone()).await;
    assert_eq!(answer, Ok(outputs(&large)));
    assert_eq!(
        lock(&script.calls).len(),
        1_000_usize.div_ceil(OPERATIONS_PER_CALL)
    );
    assert_eq!(pool.counts().batches, 1);
    assert_eq!(pool.counts().wraps, 1_000);
}

#[tokio::test]
async fn an_empty_batch_is_answered() {
    let script = Script::new([]);
    let pool = script.pool(options(1));
    assert_eq!(
        pool.execute(Priority::Grant, batch_of(1, 0)).await,
        Ok(vec![])
    );
}

#[tokio::test]
async fn what_nobody_waits_for_is_not_executed() {
    let script = Script::new([Act::Wait]);
    let pool = script.pool(options(1));
    let running = ask(&pool, Priority::Urgent, batch(1));
    eventually("a call runs", || script.gate.waiting() == 1).await;
    let waiting = queue(&pool, Priority::Urgent, batch(2)).await;
    waiting.abort();
    assert!(waiting.await.is_err());
    script.gate.open();
    assert!(running.await.expect("runs").is_ok());
    assert!(pool.execute(Priority::Urgent, batch(3)).await.is_ok());
    assert_eq!(script.executed(), [1, 3]);
    assert_eq!(pool.counts().trouble.abandoned, 1);
}

/// Of 40 batches of 25 operations, what one call takes on a lane with so many sessions, if an operation takes so long.
fn batches_in_a_call(sessions: usize, operation: Duration) -> usize {
    let board = Board::new(vec!["one".to_owned()], options(sessions));
    let mut answers = Vec::new();
    board.change(|state| {
        let now = Instant::now();
        for number in 0..40 {
            let (reply, answer) = oneshot::channel();
            answers.push(answer);
            let life = Life {
                number,
                entered: now,
                expires: now + Duration::from_secs(60),
            };
            let job = Job::new(Priority::Scheduled, batch_of(1, 25), reply, life);
            assert!(state.queue.push(job));
        }
        state.lanes[0].crew.sessions = sessions;
        state.lanes[0].latency.note(operation, 1);
        match state.next(1, 0, 0, now) {
            Some(Next::Batches(batches)) => batches.len(),
            _ => panic!("there is something to execute"),
        }
    })
}

#[test]
fn a_fast_token_gets_more_in_a_call_and_leaves_half_and_the_others_share() {
    assert_eq!(batches_in_a_call(1, Duration::from_millis(3)), 5);
    assert_eq!(batches_in_a_call(1, Duration::from_micros(100)), 8);
    assert_eq!(batches_in_a_call(1, Duration::from_micros(1)), 20);
    assert_eq!(batches_in_a_call(2, Duration::from_micros(1)), 10);
    assert_eq!(batches_in_a_call(8, Duration::from_micros(1)), 5);
    assert_eq!(batches_in_a_call(20, Duration::from_micros(1)), 2);
}
