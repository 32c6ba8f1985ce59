//! Changes of the ring of masters, on every lane.

use super::script::{Act, Script, ask, batch, call, eventually, lock, options, pool};
use crate::group::ids::MasterId;
use crate::group::operations::Priority;
use crate::hsm::{ErrorClass, PoolError, PoolState, Ring, RingChange, RingError};

const TWO: MasterId = MasterId(2);

fn ring(masters: &[u32], skipped: &[&str]) -> Result<Ring, RingError> {
    Ok(Ring {
        masters: masters.iter().copied().map(MasterId).collect(),
        skipped: skipped.iter().map(|name| (*name).to_owned()).collect(),
    })
}

#[tokio::test]
async fn a_master_is_created_and_destroyed_on_every_lane() {
    let scripts = [Script::new([]), Script::new([])];
    let pool = pool([scripts[0].lane("a"), scripts[1].lane("b")], options(2));
    let sessions = || {
        pool.status()
            .lanes
            .iter()
            .map(|lane| lane.sessions)
            .sum::<usize>()
    };
    eventually("all sessions are open", || sessions() == 4).await;
    assert_eq!(pool.ring(RingChange::List).await, ring(&[1], &[]));
    assert_eq!(pool.counts().sessions, 4, "looking changes nothing");
    assert_eq!(pool.ring(RingChange::Create(TWO)).await, ring(&[1, 2], &[]));
    for lane in pool.status().lanes {
        assert_eq!(lane.masters, [MasterId(1), TWO]);
    }
    // The session that did not make the change is opened anew, so that it holds nothing of the old ring.
    eventually("the others are opened anew", || pool.counts().sessions == 6).await;
    assert_eq!(
        pool.ring(RingChange::Destroy(MasterId(1))).await,
        ring(&[2], &[])
    );
    eventually("and again", || pool.counts().sessions == 8).await;
    assert_eq!(sessions(), 4);
    assert_eq!(pool.counts().trouble.relogins, 0, "nothing was wrong");
}

#[tokio::test]
async fn a_lane_that_is_down_is_named() {
    let scripts = [Script::new([]), Script::new([])];
    *lock(&scripts[1].opening_rule) = Some(call(ErrorClass::Elsewhere));
    let pool = pool([scripts[0].lane("a"), scripts[1].lane("b")], options(1));
    let lanes = || pool.status().lanes;
    eventually("both were probed", || {
        lanes().iter().all(|lane| lane.state != PoolState::Probing)
    })
    .await;
    assert_eq!(
        pool.ring(RingChange::Create(TWO)).await,
        ring(&[1, 2], &["b"])
    );
}

#[tokio::test]
async fn lanes_that_disagree_or_fail_are_named() {
    let scripts = [Script::new([]), Script::new([])];
    lock(&scripts[1].profile).masters.push(MasterId(7));
    let pool = pool([scripts[0].lane("a"), scripts[1].lane("b")], options(1));
    let lanes = || pool.status().lanes;
    eventually("both are usable", || {
        lanes().iter().all(|lane| lane.state == PoolState::Usable)
    })
    .await;
    let error = pool.ring(RingChange::List).await.expect_err("they differ");
    assert_eq!(
        error,
        RingError::Disagree {
            lane: "a".to_owned(),
            masters: vec![MasterId(1)],
            other: "b".to_owned(),
            others: vec![MasterId(1), MasterId(7)],
        }
    );
    lock(&scripts[1].ring).push(Err(call(ErrorClass::Fatal)));
    let error = pool.ring(RingChange::List).await.expect_err("one fails");
    assert_eq!(
        error,
        RingError::Lane {
            lane: "b".to_owned(),
            error: PoolError::Token(call(ErrorClass::Fatal)),
        }
    );
}

#[tokio::test]
async fn a_change_survives_a_lost_login_and_waits_behind_grants_only() {
    let script = Script::new([Act::Wait]);
    let pool = script.pool(options(1));
    let running = ask(&pool, Priority::Scheduled, batch(1));
    eventually("a call runs", || script.gate.waiting() == 1).await;
    lock(&script.ring).push(Err(call(ErrorClass::LoginNeeded)));
    let changing = pool.clone();
    let changing = tokio::spawn(async move { changing.ring(RingChange::Create(TWO)).await });
    script.gate.open();
    assert_eq!(changing.await.expect("runs"), ring(&[1, 2], &[]));
    assert!(running.await.expect("runs").is_ok());
    assert_eq!(pool.counts().sessions, 2);
}

#[tokio::test]
async fn without_a_usable_lane_the_ring_is_not_touched() {
    let script = Script::new([]);
    *lock(&script.opening_rule) = Some(call(ErrorClass::Elsewhere));
    let pool = script.pool(options(1));
    let refused = pool.ring(RingChange::List).await;
    assert!(
        matches!(refused, Err(RingError::Pool(PoolError::Unusable { .. }))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn the_session_that_made_a_change_goes_on() {
    let script = Script::new([]);
    let pool = script.pool(options(1));
    assert_eq!(pool.ring(RingChange::Create(TWO)).await, ring(&[1, 2], &[]));
    assert!(pool.execute(Priority::Grant, batch(1)).await.is_ok());
    assert_eq!(pool.ring(RingChange::Destroy(TWO)).await, ring(&[1], &[]));
    assert!(pool.execute(Priority::Grant, batch(2)).await.is_ok());
    assert_eq!(pool.counts().sessions, 1);
}
