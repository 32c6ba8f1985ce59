//! What each class of failure means for a batch and for the session that met it.

use std::time::Duration;

use super::script::{
    Act, Script, ask, batch, call, eventually, failing, lock, missing, options, outputs, queue,
};
use crate::group::operations::Priority;
use crate::hsm::pool::options::MAX_FAILURES;
use crate::hsm::{ErrorClass, Pauses, PoolError, PoolOptions, PoolState, TokenError};

#[tokio::test]
async fn passing_trouble_is_not_seen_by_who_asked() {
    for class in [
        ErrorClass::Retry,
        ErrorClass::LoginNeeded,
        ErrorClass::Elsewhere,
    ] {
        let script = Script::new([failing(class), failing(class)]);
        let pool = script.pool(options(1));
        let answer = pool.execute(Priority::Grant, batch(1)).await;
        assert_eq!(answer, Ok(outputs(&batch(1))), "{class:?}");
        let counts = pool.counts();
        let reopened = if class == ErrorClass::Retry { 0 } else { 2 };
        assert_eq!(counts.sessions, 1 + reopened, "{class:?}");
        assert_eq!(counts.trouble.relogins, reopened, "{class:?}");
        assert_eq!(counts.trouble.repeated, 2);
        assert_eq!((counts.wraps, counts.failures), (1, 0));
        pool.shutdown();
    }
}

#[tokio::test]
async fn lasting_trouble_is_answered() {
    for class in [
        ErrorClass::Retry,
        ErrorClass::LoginNeeded,
        ErrorClass::Elsewhere,
        ErrorClass::Fatal,
        ErrorClass::OurBug,
    ] {
        let script = Script::new(vec![failing(class); MAX_FAILURES as usize]);
        let pool = script.pool(options(1));
        let failed = pool.execute(Priority::Grant, batch(1)).await;
        assert_eq!(failed, Err(PoolError::Token(call(class))));
        assert_eq!(pool.counts().failures, 1);
        let tried = MAX_FAILURES as usize - lock(&script.acts).len();
        let once = matches!(class, ErrorClass::Fatal | ErrorClass::OurBug);
        let expected = if once { 1 } else { MAX_FAILURES as usize };
        assert_eq!(tried, expected, "{class:?}");
        lock(&script.acts).clear();
        let next = pool.execute(Priority::Grant, batch(1)).await;
        assert!(next.is_ok(), "the pool works on after {class:?}");
    }
}

#[tokio::test]
async fn a_missing_key_is_not_looked_for_twice_in_one_token() {
    let script = Script::new([Act::Fail(missing())]);
    let pool = script.pool(options(1));
    let failed = pool.execute(Priority::Grant, batch(1)).await;
    assert_eq!(failed, Err(PoolError::Token(missing())));
    assert!(pool.execute(Priority::Grant, batch(2)).await.is_ok());
    assert_eq!(
        pool.counts().sessions,
        1,
        "the session is as good as before"
    );
}

#[tokio::test]
async fn sessions_that_all_died_at_once_cost_no_batch() {
    const WORKERS: usize = 8;
    let script = Script::new([]);
    let pool = script.pool(options(WORKERS));
    let sessions = || pool.status().lanes[0].sessions;
    eventually("all sessions are open", || sessions() == WORKERS).await;
    // As when the token's process was killed and started again: each session fails, its successor does not.
    *lock(&script.dead) = WORKERS;
    let mut tasks = Vec::new();
    for group in 0..40 {
        tasks.push(ask(&pool, Priority::Grant, batch(group)));
    }
    for (group, task) in (0..).zip(tasks) {
        assert_eq!(task.await.expect("runs"), Ok(outputs(&batch(group))));
    }
    assert_eq!(pool.counts().failures, 0);
    assert!(pool.counts().trouble.relogins >= 1);
}

#[tokio::test]
async fn a_panic_costs_a_session_and_the_batch_that_it_came_from() {
    let script = Script::new([Act::Panic]);
    let pool = script.pool(options(1));
    let failed = pool.execute(Priority::Grant, batch(1)).await;
    assert_eq!(failed, Err(PoolError::Token(TokenError::Panicked)));
    assert!(pool.execute(Priority::Grant, batch(2)).await.is_ok());
    assert_eq!(pool.counts().sessions, 2);
    assert_eq!(script.executed(), [2]);
}

#[tokio::test]
async fn those_who_ride_with_a_panic_do_not_fail_with_it() {
    let script = Script::new([Act::Wait]);
    script.rule(|batches| {
        let bad = batches.iter().any(|batch| batch.group.0[0] == 13);
        bad.then_some(Act::Panic)
    });
    let pool = script.pool(options(1));
    let first = ask(&pool, Priority::Scheduled, batch(1));
    eventually("a call runs", || script.gate.waiting() == 1).await;
    let mut tasks = Vec::new();
    for group in [11, 12, 13, 14, 15] {
        tasks.push((group, queue(&pool, Priority::Scheduled, batch(group)).await));
    }
    script.gate.open();
    assert!(first.await.expect("runs").is_ok());
    for (group, task) in tasks {
        let expected = match group {
            13 => Err(PoolError::Token(TokenError::Panicked)),
            _ => Ok(outputs(&batch(group))),
        };
        assert_eq!(task.await.expect("runs"), expected, "group {group}");
    }
    assert_eq!(pool.counts().failures, 1);
}

#[tokio::test]
async fn a_back_end_that_loses_answers_is_found_out() {
    for act in [Act::LoseOutput, Act::LoseResult] {
        let script = Script::new([act]);
        let pool = script.pool(options(1));
        let failed = pool.execute(Priority::Grant, batch(1)).await;
        let Err(PoolError::Token(error @ TokenError::BadBatch(_))) = failed else {
            panic!("not found out: {failed:?}");
        };
        assert_eq!(error.class(), ErrorClass::OurBug);
        assert!(pool.execute(Priority::Grant, batch(2)).await.is_ok());
    }
}

#[tokio::test]
async fn a_refused_pin_is_tried_once_whatever_the_number_of_workers() {
    let refused = TokenError::PinRefused {
        code: "CKR_PIN_INCORRECT".to_owned(),
    };
    let script = Script::new([]);
    *lock(&script.opening_rule) = Some(refused.clone());
    let pool = script.pool(options(8));
    let failed = pool.execute(Priority::Grant, batch(1)).await;
    assert!(
        matches!(&failed, Err(PoolError::Unusable { error, .. }) if *error == refused),
        "{failed:?}"
    );
    eventually("its workers end", || pool.status().lanes[0].workers == 0).await;
    assert_eq!(*lock(&script.openings), 1);
    let failed = pool.execute(Priority::Grant, batch(2)).await;
    assert!(matches!(failed, Err(PoolError::Unusable { error, .. }) if error == refused));
}

#[tokio::test]
async fn a_pin_that_is_refused_later_ends_the_lane_with_its_last_session() {
    let refused = TokenError::PinLocked {
        state: "is locked".into(),
    };
    let script = Script::new([]);
    let pool = script.pool(options(2));
    let lane = || pool.status().lanes.remove(0);
    eventually("all sessions are open", || lane().sessions == 2).await;
    *lock(&script.opening_rule) = Some(refused.clone());
    lock(&script.acts).push_back(failing(ErrorClass::LoginNeeded));
    assert!(
        pool.execute(Priority::Grant, batch(1)).await.is_ok(),
        "the other session"
    );
    eventually("one worker ends", || lane().workers == 1).await;
    assert_eq!(lane().state, PoolState::Usable);
    lock(&script.acts).push_back(failing(ErrorClass::LoginNeeded));
    let failed = pool.execute(Priority::Grant, batch(2)).await;
    assert!(
        matches!(&failed, Err(PoolError::Unusable { error, .. }) if *error == refused),
        "{failed:?}"
    );
    assert_eq!(lane().state, PoolState::Unusable(refused));
    assert_eq!(*lock(&script.openings), 3);
}

#[tokio::test]
async fn without_any_session_batches_are_refused_at_once_until_it_comes_back() {
    let script = Script::new([failing(ErrorClass::LoginNeeded)]);
    let pool = script.pool(options(1));
    pool.probed().await.expect("usable");
    *lock(&script.opening_rule) = Some(call(ErrorClass::Elsewhere));
    let refused = pool.execute(Priority::Grant, batch(1)).await;
    let expected = call(ErrorClass::Elsewhere);
    assert!(
        matches!(&refused, Err(PoolError::Unusable { error, .. }) if *error == expected),
        "the batch was put back, then refused with what keeps the session from opening: {refused:?}"
    );
    assert!(refused.expect_err("refused").retry_after().is_some());
    eventually("several attempts fail", || {
        pool.counts().trouble.refusals >= 3
    })
    .await;
    *lock(&script.opening_rule) = None;
    let mut watch = pool.watch();
    watch
        .wait_for(|state| *state == PoolState::Usable)
        .await
        .expect("watched");
    assert!(pool.execute(Priority::Grant, batch(2)).await.is_ok());
}

#[tokio::test]
async fn what_only_an_operator_can_mend_is_probed_slowly_and_comes_back() {
    let script = Script::new([]);
    let no_token = TokenError::NoToken {
        label: "wardcast".to_owned(),
        found: "none".to_owned(),
    };
    lock(&script.opens).push_back(Act::Fail(no_token));
    let pool = script.pool(PoolOptions {
        pauses: Pauses {
            first: Duration::from_millis(1),
            longest: Duration::from_millis(400),
        },
        ..options(4)
    });
    let refused = pool.probed().await.expect_err("unusable");
    let retry_after = refused.retry_after().expect("it says when");
    assert!(
        retry_after > Duration::from_millis(40),
        "the longest pause at once: {retry_after:?}"
    );
    let mut watch = pool.watch();
    watch
        .wait_for(|state| *state == PoolState::Usable)
        .await
        .expect("watched");
    assert!(pool.execute(Priority::Grant, batch(1)).await.is_ok());
}

#[tokio::test]
async fn an_opener_that_panics_is_called_again() {
    let script = Script::new([]);
    lock(&script.opens).push_back(Act::Panic);
    let pool = script.pool(options(1));
    let mut watch = pool.watch();
    watch
        .wait_for(|state| *state == PoolState::Usable)
        .await
        .expect("watched");
    assert!(pool.execute(Priority::Grant, batch(1)).await.is_ok());
}

#[tokio::test]
async fn a_pin_that_became_wrong_is_tried_once_though_all_sessions_died() {
    const WORKERS: usize = 8;
    let refused = TokenError::PinRefused {
        code: "CKR_PIN_INCORRECT".to_owned(),
    };
    let script = Script::new([]);
    let pool = script.pool(options(WORKERS));
    let lane = || pool.status().lanes.remove(0);
    eventually("all sessions are open", || lane().sessions == WORKERS).await;
    *lock(&script.dead) = WORKERS;
    *lock(&script.opening_rule) = Some(refused.clone());
    let tasks: Vec<_> = (0..40)
        .map(|group| ask(&pool, Priority::Grant, batch(group)))
        .collect();
    for task in tasks {
        let failed = task.await.expect("runs");
        assert!(
            matches!(&failed, Err(PoolError::Unusable { error, .. }) if *error == refused),
            "{failed:?}"
        );
    }
    eventually("its workers end", || lane().workers == 0).await;
    assert_eq!(*lock(&script.openings), WORKERS + 1);
}
