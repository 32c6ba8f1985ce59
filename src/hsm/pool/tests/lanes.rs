//! Several tokens: failover, return, and what they have to agree on.

use std::time::Duration;

use super::script::{
    Act, Script, ask, batch, call, eventually, failing, issuers, lock, missing, options, outputs,
    pool, queue, tally,
};
use crate::group::ids::MasterId;
use crate::group::operations::Priority;
use crate::hsm::{ErrorClass, Pool, PoolError, PoolState, TokenError};

async fn all_usable(pool: &Pool) {
    eventually("all lanes are usable", || {
        let lanes = pool.status().lanes;
        lanes.iter().all(|lane| lane.state == PoolState::Usable)
    })
    .await;
}

#[tokio::test]
async fn what_one_lane_fails_at_is_executed_by_another_and_once() {
    for error in [call(ErrorClass::Elsewhere), missing()] {
        let scripts = [Script::new([]), Script::new([])];
        let failed = error.clone();
        scripts[0].rule(move |_| Some(Act::Fail(failed.clone())));
        let pool = pool([scripts[0].lane("a"), scripts[1].lane("b")], options(1));
        all_usable(&pool).await;
        let mut tasks = Vec::new();
        for group in 0..100 {
            tasks.push(ask(&pool, Priority::Grant, batch(group)));
        }
        for (group, task) in (0..).zip(tasks) {
            assert_eq!(
                task.await.expect("runs"),
                Ok(outputs(&batch(group))),
                "{error}"
            );
        }
        let calls = lock(&scripts[1].calls).clone();
        assert_eq!(tally(&calls), (0..100).map(|group| (group, 1)).collect());
        assert_eq!(pool.counts().failures, 0);
    }
}

#[tokio::test]
async fn a_key_that_no_lane_has_is_an_error() {
    let scripts = [Script::new([]), Script::new([])];
    for script in &scripts {
        script.rule(|_| Some(Act::Fail(missing())));
    }
    let pool = pool([scripts[0].lane("a"), scripts[1].lane("b")], options(1));
    all_usable(&pool).await;
    let failed = pool.execute(Priority::Grant, batch(1)).await;
    assert_eq!(failed, Err(PoolError::Token(missing())));
}

#[tokio::test]
async fn a_key_that_a_lane_that_is_down_may_have_is_waited_for() {
    let scripts = [Script::new([]), Script::new([])];
    scripts[0].rule(|_| Some(Act::Fail(missing())));
    let trouble = call(ErrorClass::Elsewhere);
    *lock(&scripts[1].opening_rule) = Some(trouble.clone());
    let pool = pool([scripts[0].lane("a"), scripts[1].lane("b")], options(1));
    eventually("one lane works and one is down", || {
        let lanes = pool.status().lanes;
        lanes[0].state == PoolState::Usable
            && lanes[1].state == PoolState::Unusable(trouble.clone())
    })
    .await;
    let failed = pool.execute(Priority::Prefetch, batch(1)).await;
    assert!(
        matches!(&failed, Err(PoolError::Unusable { error, .. }) if *error == trouble),
        "{failed:?}"
    );
    *lock(&scripts[1].opening_rule) = None;
    all_usable(&pool).await;
    let done = pool.execute(Priority::Prefetch, batch(1)).await;
    assert_eq!(done, Ok(outputs(&batch(1))));
}

#[tokio::test]
async fn a_batch_goes_where_its_master_is() {
    let scripts = [Script::new([]), Script::new([])];
    lock(&scripts[1].profile).masters.push(MasterId(2));
    let pool = pool([scripts[0].lane("a"), scripts[1].lane("b")], options(2));
    all_usable(&pool).await;
    for group in 0..50 {
        let mut batch = batch(group);
        batch.master = MasterId(2);
        assert!(pool.execute(Priority::Grant, batch).await.is_ok());
    }
    assert!(scripts[0].executed().is_empty());
    assert_eq!(scripts[1].executed().len(), 50);
}

#[tokio::test]
async fn a_lane_goes_down_and_comes_back_without_anybody_noticing() {
    let scripts = [Script::new([]), Script::new([])];
    let pool = pool([scripts[0].lane("a"), scripts[1].lane("b")], options(1));
    all_usable(&pool).await;
    let down = |number: usize, error: Option<TokenError>| {
        *lock(&scripts[number].dead) = *lock(&scripts[number].openings);
        *lock(&scripts[number].opening_rule) = error;
    };
    for round in 0..6 {
        let number = round % 2;
        down(number, Some(call(ErrorClass::Elsewhere)));
        let lane = || pool.status().lanes.remove(number);
        let mut group = 0;
        // Until it has been noticed, some of these are taken by the lane that is down first.
        while lane().state == PoolState::Usable {
            let answer = pool.execute(Priority::Grant, batch(group)).await;
            assert_eq!(answer, Ok(outputs(&batch(group))), "round {round}");
            group = group.wrapping_add(1);
        }
        assert_eq!(pool.status().state, PoolState::Usable);
        assert!(pool.execute(Priority::Grant, batch(1)).await.is_ok());
        down(number, None);
        all_usable(&pool).await;
        // It works again: it takes what the other has no hand free for.
        let other = &scripts[1 - number];
        other.rule(|_| Some(Act::Wait));
        let before = scripts[number].executed().len();
        let mut held = Vec::new();
        while other.gate.waiting() == 0 || scripts[number].executed().len() == before {
            held.push(ask(&pool, Priority::Grant, batch(2)));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        other.rule(|_| None);
        other.gate.let_through(1);
        for task in held {
            assert!(task.await.expect("runs").is_ok());
        }
    }
    assert_eq!(pool.counts().failures, 0);
}

#[tokio::test]
async fn all_lanes_work_at_one_queue() {
    let scripts = [Script::new([]), Script::new([])];
    for script in &scripts {
        script.rule(|_| Some(Act::Wait));
    }
    let pool = pool([scripts[0].lane("a"), scripts[1].lane("b")], options(2));
    let sessions = || {
        pool.status()
            .lanes
            .iter()
            .map(|lane| lane.sessions)
            .sum::<usize>()
    };
    eventually("all sessions are open", || sessions() == 4).await;
    let tasks: Vec<_> = (0..4)
        .map(|group| ask(&pool, Priority::Grant, batch(group)))
        .collect();
    eventually("every worker has one", || {
        scripts.iter().all(|script| script.gate.waiting() == 2)
    })
    .await;
    for script in &scripts {
        script.gate.open();
    }
    for task in tasks {
        assert!(task.await.expect("runs").is_ok());
    }
}

#[tokio::test]
async fn a_lane_with_other_issuers_is_not_used() {
    let scripts = [Script::new([]), Script::new([])];
    lock(&scripts[1].profile).issuers = issuers(5);
    lock(&scripts[1].opens).push_back(Act::Wait);
    let pool = pool([scripts[0].lane("a"), scripts[1].lane("b")], options(2));
    assert_eq!(pool.issuers().await, Ok(issuers(4)));
    scripts[1].gate.open();
    let lane = || pool.status().lanes.remove(1);
    eventually("it was probed", || lane().state != PoolState::Probing).await;
    assert_eq!(lane().state, PoolState::Unusable(TokenError::IssuerChanged));
    for group in 0..20 {
        assert!(pool.execute(Priority::Grant, batch(group)).await.is_ok());
    }
    assert!(scripts[1].executed().is_empty());
    assert_eq!(pool.issuers().await, Ok(issuers(4)));
    // The right token is put back.
    lock(&scripts[1].profile).issuers = issuers(4);
    all_usable(&pool).await;
}

#[tokio::test]
async fn a_hanging_lane_loses_its_batches_to_the_other() {
    let scripts = [Script::new([]), Script::new([])];
    scripts[0].rule(|_| Some(Act::Wait));
    scripts[1].rule(|_| Some(Act::Wait));
    let pool = pool(
        [scripts[0].lane("a"), scripts[1].lane("b")],
        crate::hsm::PoolOptions {
            deadline: Duration::from_millis(500),
            ..options(1)
        },
    );
    all_usable(&pool).await;
    let tasks = [
        ask(&pool, Priority::Grant, batch(0)),
        ask(&pool, Priority::Grant, batch(1)),
    ];
    eventually("both hold one", || {
        scripts.iter().all(|script| script.gate.waiting() == 1)
    })
    .await;
    let third = queue(&pool, Priority::Grant, batch(2)).await;
    scripts[1].rule(|_| None);
    scripts[1].gate.open();
    for task in tasks.into_iter().chain([third]) {
        assert!(task.await.expect("runs").is_ok());
    }
    assert!(scripts[0].executed().is_empty());
    assert!(pool.counts().trouble.workers_lost >= 1);
    scripts[0].gate.open();
}

#[tokio::test]
async fn a_login_is_renewed_without_leaving_the_lane() {
    let scripts = [Script::new([failing(ErrorClass::LoginNeeded)])];
    let pool = pool([scripts[0].lane("a")], options(1));
    assert!(pool.execute(Priority::Urgent, batch(1)).await.is_ok());
    assert_eq!(pool.counts().sessions, 2);
}
