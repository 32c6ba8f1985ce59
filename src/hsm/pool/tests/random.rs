//! Every batch has exactly one answer, and the right one, whatever the tokens do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::script::{
    Act, Script, batch_of, call, eventually, lock, missing, options, outputs, pool,
};
use crate::group::operations::Priority;
use crate::hsm::pool::queue::PRIORITIES;
use crate::hsm::{ErrorClass, Pool, PoolError, PoolOptions, PoolState, TokenError};

const ASKERS: u64 = 24;
/// Batches that each of them asks for.
const BATCHES: u64 = 40;

/// Numbers that look random and are the same for the same seed (splitmix64).
struct Random(AtomicU64);

impl Random {
    fn below(&self, bound: u64) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut number = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (number ^ (number >> 31)) % bound
    }
}

fn trouble(random: &Random) -> Option<Act> {
    Some(match random.below(40) {
        0 => Act::Fail(call(ErrorClass::Retry)),
        1 => Act::Fail(call(ErrorClass::LoginNeeded)),
        2 => Act::Fail(call(ErrorClass::Elsewhere)),
        3 => Act::Fail(missing()),
        4 => Act::Panic,
        5 => Act::LoseResult,
        6 if random.below(20) == 0 => Act::Wait,
        _ => return None,
    })
}

/// Asks for one batch after another; says how many were executed, and how many not.
async fn ask_for(pool: Arc<Pool>, random: Arc<Random>) -> (u64, u64) {
    let (mut good, mut bad) = (0, 0);
    for _ in 0..BATCHES {
        let priority = PRIORITIES[random.below(4) as usize];
        let operations = match random.below(10) {
            0 => 300,
            _ => 1 + random.below(20),
        };
        let batch = batch_of(random.below(256) as u8, operations as u32);
        match pool.execute(priority, batch.clone()).await {
            Ok(answer) => {
                assert_eq!(answer, outputs(&batch), "somebody else's answer");
                good += 1;
            }
            Err(PoolError::Token(error)) => {
                let expected = matches!(
                    error,
                    TokenError::Panicked
                        | TokenError::BadBatch(_)
                        | TokenError::MissingKey { .. }
                        | TokenError::Call { .. }
                );
                assert!(expected, "{error}");
                bad += 1;
            }
            Err(PoolError::Busy { .. } | PoolError::Unusable { .. }) => bad += 1,
            Err(error) => panic!("answered with {error}"),
        }
    }
    (good, bad)
}

async fn storm(seed: u64) {
    let random = Arc::new(Random(AtomicU64::new(seed)));
    let scripts = [Script::new([]), Script::new([]), Script::new([])];
    for script in &scripts {
        let random = random.clone();
        script.rule(move |_| trouble(&random));
    }
    let names = ["a", "b", "c"];
    let lanes = scripts
        .iter()
        .zip(names)
        .map(|(script, name)| script.lane(name));
    let pool = pool(
        lanes,
        PoolOptions {
            deadline: Duration::from_millis(400),
            lost: 100,
            ..options(2)
        },
    );
    let askers = (0..ASKERS).map(|_| tokio::spawn(ask_for(pool.clone(), random.clone())));
    let (mut good, mut bad) = (0_u64, 0_u64);
    for asker in askers.collect::<Vec<_>>() {
        let (more_good, more_bad) = asker.await.expect("an asker runs");
        good += more_good;
        bad += more_bad;
    }
    let counts = pool.counts();
    assert_eq!(good + bad, ASKERS * BATCHES);
    assert_eq!(counts.batches, good);
    assert_eq!(counts.failures + counts.trouble.refused, bad);
    assert!(good > bad, "{good} of {}", good + bad);
    calm(&scripts, &pool).await;
}

/// The trouble is over: everything comes back by itself.
async fn calm(scripts: &[Arc<Script>], pool: &Pool) {
    for script in scripts {
        lock(&script.rule).take();
        script.gate.open();
    }
    eventually("every worker and session is back", || {
        pool.status().lanes.iter().all(|lane| {
            let whole = lane.workers == 2 && lane.sessions == 2 && lane.lost == 0;
            whole && lane.state == PoolState::Usable
        })
    })
    .await;
    for group in 0..50 {
        let batch = batch_of(group, 3);
        let answer = pool.execute(Priority::Grant, batch.clone()).await;
        assert_eq!(answer, Ok(outputs(&batch)));
    }
    assert_eq!(pool.waiting(), 0);
    pool.shutdown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_batch_has_one_answer_whatever_the_tokens_do() {
    for seed in [1, 7, 42, 2_026] {
        storm(seed).await;
    }
}
