//! What the pool does when sessions fail, and in which order it works.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::*;
use crate::group::ids::{GroupId, GroupNonce, KeyRef, MasterId, NodeId};
use crate::hsm::{ErrorClass, Token};

/// What a scripted session does with the next batch.
#[derive(Clone)]
enum Act {
    Fail(TokenError),
    Panic,
    /// Waits until the test opens the gate.
    Wait,
}

/// A token that follows a script, then succeeds; it notes the group of each batch it executed.
#[derive(Default)]
struct Script {
    acts: Mutex<VecDeque<Act>>,
    opens: Mutex<VecDeque<TokenError>>,
    executed: Mutex<Vec<u8>>,
    gate: Mutex<bool>,
    opened: Condvar,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Scripted(Arc<Script>);

impl Token for Scripted {
    fn issuer(&self) -> Issuer {
        Issuer {
            signing: [4; 65],
            agreement: [4; 65],
        }
    }

    fn execute(&mut self, batch: &Batch) -> Result<Vec<Output>, TokenError> {
        let act = lock(&self.0.acts).pop_front();
        match act {
            Some(Act::Fail(error)) => return Err(error),
            Some(Act::Panic) => panic!("scripted: this panic is part of the test"),
            Some(Act::Wait) => {
                let mut gate = lock(&self.0.gate);
                while !*gate {
                    gate = self.0.opened.wait(gate).expect("no panic under this lock");
                }
            }
            None => {}
        }
        lock(&self.0.executed).push(batch.group.0[0]);
        Ok(vec![Output::Wrapped([0; 40]); batch.operations.len()])
    }
}

impl Script {
    fn new(acts: impl IntoIterator<Item = Act>) -> Arc<Self> {
        let script = Script::default();
        lock(&script.acts).extend(acts);
        Arc::new(script)
    }

    fn pool(self: &Arc<Self>, workers: usize, queue: usize) -> Pool {
        let script = self.clone();
        let opener: Opener = Arc::new(move || match lock(&script.opens).pop_front() {
            Some(error) => Err(error),
            None => Ok(Box::new(Scripted(script.clone()))),
        });
        Pool::start(opener, PoolOptions { workers, queue }).expect("starts")
    }

    fn open_gate(&self) {
        *lock(&self.gate) = true;
        self.opened.notify_all();
    }
}

fn batch(group: u8) -> Batch {
    let key = |level| KeyRef {
        node: NodeId { level, index: 0 },
        generation: 1,
        step: 0,
    };
    Batch {
        group: GroupId([group; 16]),
        master: MasterId(1),
        nonce: GroupNonce([0; 32]),
        operations: vec![Operation::Wrap {
            child: key(0),
            parent: key(1),
        }],
    }
}

fn failing(class: ErrorClass) -> Act {
    Act::Fail(call(class))
}

fn call(class: ErrorClass) -> TokenError {
    TokenError::Call {
        class,
        operation: "follow the script",
        code: "C_Test: CKR_TEST".to_owned(),
    }
}

#[tokio::test]
async fn passing_trouble_is_not_seen_by_who_asked() {
    for class in [
        ErrorClass::Retry,
        ErrorClass::LoginNeeded,
        ErrorClass::Elsewhere,
    ] {
        let script = Script::new([failing(class), failing(class)]);
        let pool = script.pool(1, 8);
        let outputs = pool.execute(Priority::Grant, batch(1)).await;
        assert_eq!(outputs.map(|outputs| outputs.len()), Ok(1), "{class:?}");
        let sessions = if class == ErrorClass::Retry { 1 } else { 3 };
        assert_eq!(pool.counts().sessions, sessions, "{class:?}");
        assert_eq!(pool.counts().wraps, 1);
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
        let script = Script::new(vec![failing(class); 3]);
        let pool = script.pool(1, 8);
        let failed = pool.execute(Priority::Grant, batch(1)).await;
        assert_eq!(failed, Err(PoolError::Token(call(class))));
        assert_eq!(pool.counts().failures, 1);
        lock(&script.acts).clear();
        let next = pool.execute(Priority::Grant, batch(1)).await;
        assert!(next.is_ok(), "the pool works on after {class:?}");
    }
}

#[tokio::test]
async fn a_panic_costs_a_session_and_not_the_pool() {
    let script = Script::new([Act::Panic]);
    let pool = script.pool(1, 8);
    let failed = pool.execute(Priority::Grant, batch(1)).await;
    assert_eq!(failed, Err(PoolError::Token(TokenError::Panicked)));
    assert!(pool.execute(Priority::Grant, batch(2)).await.is_ok());
    assert_eq!(pool.counts().sessions, 2);
    assert_eq!(*lock(&script.executed), [2]);
}

#[tokio::test]
async fn urgent_batches_go_first_and_a_full_queue_is_busy() {
    let script = Script::new([Act::Wait]);
    let pool = Arc::new(script.pool(1, 2));
    let start = |priority, group| {
        let pool = pool.clone();
        tokio::spawn(async move { pool.execute(priority, batch(group)).await })
    };
    let mut tasks = vec![start(Priority::Scheduled, 1)];
    wait_until(|| lock(&script.acts).is_empty()).await;
    for (priority, group) in [
        (Priority::Scheduled, 6),
        (Priority::Scheduled, 7),
        (Priority::Grant, 4),
        (Priority::Grant, 5),
        (Priority::Urgent, 2),
        (Priority::Urgent, 3),
    ] {
        tasks.push(start(priority, group));
        wait_until(|| pool.waiting() == tasks.len() - 1).await;
    }
    let full = pool.execute(Priority::Grant, batch(9)).await;
    assert_eq!(full, Err(PoolError::Busy(Priority::Grant)));
    script.open_gate();
    for task in tasks {
        assert!(task.await.expect("runs").is_ok());
    }
    assert_eq!(*lock(&script.executed), [1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test]
async fn what_nobody_waits_for_is_not_executed() {
    let script = Script::new([Act::Wait]);
    let pool = Arc::new(script.pool(1, 8));
    let running = pool.clone();
    let running = tokio::spawn(async move { running.execute(Priority::Urgent, batch(1)).await });
    wait_until(|| lock(&script.acts).is_empty()).await;
    let waiting = pool.execute(Priority::Urgent, batch(2));
    let gone = tokio::time::timeout(Duration::from_millis(20), waiting).await;
    assert!(gone.is_err());
    script.open_gate();
    assert!(running.await.expect("runs").is_ok());
    assert!(pool.execute(Priority::Urgent, batch(3)).await.is_ok());
    assert_eq!(*lock(&script.executed), [1, 3]);
}

#[tokio::test]
async fn without_any_session_batches_are_refused_at_once() {
    let script = Script::new([failing(ErrorClass::LoginNeeded)]);
    let pool = script.pool(1, 8);
    lock(&script.opens).extend(vec![call(ErrorClass::Elsewhere); 3]);
    let refused = pool.execute(Priority::Grant, batch(1)).await;
    assert_eq!(
        refused,
        Err(PoolError::Token(call(ErrorClass::Elsewhere))),
        "the batch was put back, then refused with what keeps the session from opening"
    );
    // It comes back by itself once the token does.
    for _ in 0..100 {
        match pool.execute(Priority::Grant, batch(2)).await {
            Ok(_) => return,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    panic!("the pool did not recover");
}

#[tokio::test]
async fn a_refused_pin_is_not_tried_again() {
    let refused = TokenError::PinRefused {
        code: "CKR_PIN_INCORRECT".to_owned(),
    };
    let script = Script::new([failing(ErrorClass::LoginNeeded)]);
    let pool = script.pool(1, 8);
    lock(&script.opens).push_back(refused.clone());
    let expected = Err(PoolError::Token(refused));
    assert_eq!(pool.execute(Priority::Grant, batch(1)).await, expected);
    tokio::time::sleep(Duration::from_millis(120)).await;
    assert_eq!(pool.execute(Priority::Grant, batch(2)).await, expected);
}

#[tokio::test]
async fn shutting_down_refuses_what_waits_and_joins() {
    let script = Script::new([Act::Wait]);
    let pool = Arc::new(script.pool(2, 8));
    let spawn = |group| {
        let pool = pool.clone();
        tokio::spawn(async move { pool.execute(Priority::Grant, batch(group)).await })
    };
    let running = spawn(1);
    wait_until(|| lock(&script.acts).is_empty()).await;
    let stopping = pool.clone();
    let stopping = tokio::task::spawn_blocking(move || stopping.shutdown());
    while pool.execute(Priority::Grant, batch(2)).await != Err(PoolError::Closed) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    script.open_gate();
    assert!(running.await.expect("runs").is_ok(), "what runs finishes");
    stopping.await.expect("joins");
    pool.shutdown();
}

async fn wait_until(mut condition: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("waited two seconds in vain");
}
