//! A pool starts without its tokens, and says how far it is.

use super::script::{
    Act, Script, ask, batch, call, eventually, issuers, lock, options, outputs, pool, queue,
};
use crate::group::operations::Priority;
use crate::hsm::pool::options::MAX_LANES;
use crate::hsm::{ErrorClass, Pool, PoolError, PoolStartError, PoolState};

#[tokio::test]
async fn a_pool_starts_before_its_token_answers_and_batches_wait_for_it() {
    let script = Script::new([]);
    lock(&script.opens).push_back(Act::Wait);
    let pool = script.pool(options(2));
    eventually("a session is being opened", || script.gate.waiting() == 1).await;
    assert_eq!(*pool.watch().borrow(), PoolState::Probing);
    assert_eq!(pool.status().lanes[0].state, PoolState::Probing);
    assert_eq!(pool.status().lanes[0].description, None);
    assert_eq!(pool.try_issuers(), None);
    assert_eq!(*lock(&script.openings), 1, "one worker probes for all");
    let waiting = queue(&pool, Priority::Grant, batch(1)).await;
    script.gate.open();
    assert_eq!(pool.issuers().await, Ok(issuers(4)));
    assert_eq!(pool.try_issuers(), Some(issuers(4)));
    assert_eq!(pool.probed().await, Ok(()));
    assert_eq!(waiting.await.expect("runs"), Ok(outputs(&batch(1))));
    let lane = pool.status().lanes.remove(0);
    assert_eq!(lane.state, PoolState::Usable);
    assert_eq!(lane.description.as_deref(), Some("a script"));
    assert_eq!(lane.masters.len(), 1);
    assert_eq!(lane.suites, [crate::group::ids::Suite::One]);
}

#[tokio::test]
async fn what_waits_is_refused_once_every_lane_is_unusable() {
    let scripts = [Script::new([]), Script::new([])];
    for script in &scripts {
        lock(&script.opens).push_back(Act::Wait);
        *lock(&script.opening_rule) = Some(call(ErrorClass::Elsewhere));
    }
    let pool = pool([scripts[0].lane("a"), scripts[1].lane("b")], options(1));
    let waiting = queue(&pool, Priority::Grant, batch(1)).await;
    scripts[0].gate.open();
    let lanes = || pool.status().lanes;
    eventually("a is unusable", || {
        matches!(lanes()[0].state, PoolState::Unusable(_))
    })
    .await;
    assert_eq!(pool.status().state, PoolState::Probing, "there is hope");
    assert_eq!(pool.waiting(), 1);
    scripts[1].gate.open();
    let refused = waiting.await.expect("runs").expect_err("no lane is usable");
    let PoolError::Unusable { error, .. } = &refused else {
        panic!("refused otherwise: {refused}");
    };
    assert_eq!(*error, call(ErrorClass::Elsewhere));
    assert_eq!(pool.status().state, PoolState::Unusable(error.clone()));
    assert!(pool.counts().trouble.refused >= 1);
    for script in &scripts {
        *lock(&script.opening_rule) = None;
    }
    let mut watch = pool.watch();
    watch
        .wait_for(|state| *state == PoolState::Usable)
        .await
        .expect("watched");
    assert!(pool.execute(Priority::Grant, batch(2)).await.is_ok());
}

#[tokio::test]
async fn issuers_are_not_waited_for_once_the_pool_closes() {
    let script = Script::new([]);
    *lock(&script.opening_rule) = Some(call(ErrorClass::Elsewhere));
    let pool = script.pool(options(1));
    let asking = pool.clone();
    let asking = tokio::spawn(async move { asking.issuers().await });
    let running = ask(&pool, Priority::Grant, batch(1));
    assert!(running.await.expect("runs").is_err());
    pool.shutdown();
    assert_eq!(asking.await.expect("runs"), Err(PoolError::Closed));
    assert_eq!(pool.probed().await, Err(PoolError::Closed));
}

#[test]
fn lanes_that_make_no_sense_are_refused() {
    let script = Script::new([]);
    let start = |names: &[&str]| {
        let lanes = names.iter().map(|name| script.lane(name)).collect();
        Pool::start(lanes, options(1)).err()
    };
    assert!(matches!(start(&[]), Some(PoolStartError::NoLane)));
    assert!(matches!(start(&["a", "b", "a"]), Some(PoolStartError::SameName(name)) if name == "a"));
    let many: Vec<String> = (0..=MAX_LANES).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(matches!(
        start(&many),
        Some(PoolStartError::TooManyLanes(_))
    ));
    assert_eq!(*lock(&script.openings), 0);
}
