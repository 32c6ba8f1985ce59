//! Tokens that do what a test tells them to, and tell what they were asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::group::ids::{GroupId, GroupNonce, KeyRef, MasterId, NodeId, Suite};
use crate::group::operations::{Batch, Issuer, Issuers, Operation, Output, Priority};
use crate::group::request::Requests;
use crate::hsm::pool::{Lane, Pauses, Pool, PoolError, PoolOptions};
use crate::hsm::{ErrorClass, Executed, Profile, RingChange, Token, TokenError};

/// What a token does with a call.
#[derive(Clone)]
pub(super) enum Act {
    Fail(TokenError),
    Panic,
    /// Waits until the gate lets it through, then succeeds.
    Wait,
    /// Answers with too few outputs.
    LoseOutput,
    /// Answers for too few batches.
    LoseResult,
}

/// Lets calls through, some or all.
#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    open: bool,
    permits: usize,
    waiting: usize,
}

impl Gate {
    fn pass(&self) {
        let mut state = lock(&self.state);
        state.waiting += 1;
        while !state.open && state.permits == 0 {
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.permits = state.permits.saturating_sub(1);
        state.waiting -= 1;
    }

    pub(super) fn open(&self) {
        lock(&self.state).open = true;
        self.changed.notify_all();
    }

    pub(super) fn let_through(&self, calls: usize) {
        lock(&self.state).permits += calls;
        self.changed.notify_all();
    }

    pub(super) fn waiting(&self) -> usize {
        lock(&self.state).waiting
    }
}

/// One call that a token executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// First bytes of the groups.
    pub(super) groups: Vec<u8>,
    pub(super) operations: usize,
}

type Rule = Box<dyn Fn(&[Batch]) -> Option<Act> + Send + Sync>;

/// A token that follows a script, then its rule, and succeeds if neither says anything else.
pub(super) struct Script {
    pub(super) acts: Mutex<VecDeque<Act>>,
    /// What the next openings do.
    pub(super) opens: Mutex<VecDeque<Act>>,
    pub(super) rule: Mutex<Option<Rule>>,
    pub(super) opening_rule: Mutex<Option<TokenError>>,
    pub(super) calls: Mutex<Vec<Call>>,
    pub(super) openings: Mutex<usize>,
    /// Sessions up to this opening have died without a sign.
    pub(super) dead: Mutex<usize>,
    pub(super) gate: Gate,
    pub(super) profile: Mutex<Profile>,
    pub(super) ring: Mutex<Vec<Result<Vec<MasterId>, TokenError>>>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Scripted {
    script: Arc<Script>,
    opening: usize,
    profile: Profile,
}

impl Token for Scripted {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn execute(&mut self, batches: &[Batch]) -> Executed {
        let act = lock(&self.script.acts).pop_front();
        let rule = || {
            let rule = lock(&self.script.rule);
            rule.as_ref().and_then(|rule| rule(batches))
        };
        let died = self.opening <= *lock(&self.script.dead);
        let act = if died {
            Some(failing(ErrorClass::LoginNeeded))
        } else {
            act.or_else(rule)
        };
        let all = batches.iter();
        let mut results: Vec<_> = match &act {
            Some(Act::Fail(error)) => all.map(|_| Err(error.clone())).collect(),
            Some(Act::Panic) => panic!("scripted: this panic is part of the test"),
            Some(Act::Wait) => {
                self.script.gate.pass();
                all.map(|batch| Ok(outputs(batch))).collect()
            }
            _ => all.map(|batch| Ok(outputs(batch))).collect(),
        };
        match act {
            Some(Act::LoseResult) => drop(results.pop()),
            Some(Act::LoseOutput) => {
                if let Some(Ok(outputs)) = results.last_mut() {
                    outputs.pop();
                }
            }
            _ => {}
        }
        let operations = batches.iter().map(|batch| batch.operations.len()).sum();
        if results.iter().all(Result::is_ok) {
            lock(&self.script.calls).push(Call {
                groups: batches.iter().map(|batch| batch.group.0[0]).collect(),
                operations,
            });
        }
        let mut executed = Executed::for_batches(batches);
        results.into_iter().for_each(|result| executed.push(result));
        executed.usage.wraps = operations as u64;
        executed
    }

    fn ring(&mut self, change: RingChange) -> Result<Vec<MasterId>, TokenError> {
        if let Some(answer) = lock(&self.script.ring).pop() {
            return answer;
        }
        let mut profile = lock(&self.script.profile);
        match change {
            RingChange::List => {}
            RingChange::Create(master) => profile.masters.push(master),
            RingChange::Destroy(master) => profile.masters.retain(|other| *other != master),
        }
        Ok(profile.masters.clone())
    }
}

impl Script {
    pub(super) fn new(acts: impl IntoIterator<Item = Act>) -> Arc<Self> {
        Arc::new(Script {
            acts: Mutex::new(acts.into_iter().collect()),
            opens: Mutex::default(),
            rule: Mutex::default(),
            opening_rule: Mutex::default(),
            calls: Mutex::default(),
            openings: Mutex::default(),
            dead: Mutex::default(),
            gate: Gate::default(),
            profile: Mutex::new(Profile {
                issuers: issuers(4),
                masters: vec![MasterId(1)],
                description: "a script".to_owned(),
                mechanisms: Vec::new(),
            }),
            ring: Mutex::default(),
        })
    }

    /// Every call after the script's does this.
    pub(super) fn rule(&self, rule: impl Fn(&[Batch]) -> Option<Act> + Send + Sync + 'static) {
        *lock(&self.rule) = Some(Box::new(rule));
    }

    pub(super) fn lane(self: &Arc<Self>, name: &str) -> Lane {
        let script = self.clone();
        Lane {
            name: name.to_owned(),
            opener: Arc::new(move || {
                let opening = {
                    let mut openings = lock(&script.openings);
                    *openings += 1;
                    *openings
                };
                let act = lock(&script.opens).pop_front();
                match act {
                    Some(Act::Fail(error)) => return Err(error),
                    Some(Act::Panic) => panic!("scripted: this panic is part of the test"),
                    Some(Act::Wait) => script.gate.pass(),
                    _ => {}
                }
                if let Some(error) = lock(&script.opening_rule).clone() {
                    return Err(error);
                }
                let profile = lock(&script.profile).clone();
                Ok(Box::new(Scripted {
                    script: script.clone(),
                    opening,
                    profile,
                }))
            }),
        }
    }

    pub(super) fn pool(self: &Arc<Self>, options: PoolOptions) -> Arc<Pool> {
        pool([self.lane("only")], options)
    }

    /// The groups that were executed, in order.
    pub(super) fn executed(&self) -> Vec<u8> {
        let calls = lock(&self.calls);
        calls.iter().flat_map(|call| call.groups.clone()).collect()
    }
}

pub(super) fn pool(lanes: impl IntoIterator<Item = Lane>, options: PoolOptions) -> Arc<Pool> {
    Arc::new(Pool::start(lanes.into_iter().collect(), options).expect("starts"))
}

/// Short pauses; deadlines that no healthy test meets.
pub(super) fn options(workers: usize) -> PoolOptions {
    PoolOptions {
        workers,
        queue: 1_000,
        deadline: Duration::from_secs(60),
        patience: Duration::from_secs(60),
        lost: 2,
        pauses: Pauses {
            first: Duration::from_millis(1),
            longest: Duration::from_millis(20),
        },
    }
}

pub(super) fn issuers(byte: u8) -> Issuers {
    Issuers {
        one: Issuer {
            signing: Bytes::from(vec![byte; 65]),
            agreement: Bytes::from(vec![byte; 65]),
        },
        two: None,
    }
}

/// A batch of wraps, which are told apart by their parents' places.
pub(super) fn batch_of(group: u8, operations: u32) -> Batch {
    let key = |level, index| KeyRef {
        node: NodeId { level, index },
        generation: 1,
        step: 0,
    };
    let wrap = |index| Operation::Wrap {
        child: key(0, index * 4),
        parent: key(1, index),
    };
    Batch {
        suite: Suite::One,
        group: GroupId([group; 16]),
        master: MasterId(1),
        nonce: GroupNonce([0; 32]),
        requests: Requests::default(),
        operations: (0..operations).map(wrap).collect(),
    }
}

pub(super) fn batch(group: u8) -> Batch {
    batch_of(group, 1)
}

/// The right answers to a batch.
pub(super) fn outputs(batch: &Batch) -> Vec<Output> {
    let output = |operation: &Operation| {
        let Operation::Wrap { parent, .. } = operation else {
            unreachable!("tests only wrap");
        };
        let mut wrapped = [batch.group.0[0]; 40];
        wrapped[..4].copy_from_slice(&parent.node.index.to_be_bytes());
        Output::Wrapped(wrapped)
    };
    batch.operations.iter().map(output).collect()
}

pub(super) fn failing(class: ErrorClass) -> Act {
    Act::Fail(call(class))
}

pub(super) fn call(class: ErrorClass) -> TokenError {
    TokenError::Call {
        class,
        operation: "follow the script".into(),
        value: None,
        code: "C_Test: CKR_TEST".to_owned(),
    }
}

pub(super) fn missing() -> TokenError {
    TokenError::MissingKey {
        label: "wardcast master 1".to_owned(),
    }
}

type Answer = tokio::task::JoinHandle<Result<Vec<Output>, PoolError>>;

/// Asks beside the test.
pub(super) fn ask(pool: &Arc<Pool>, priority: Priority, batch: Batch) -> Answer {
    let pool = pool.clone();
    tokio::spawn(async move { pool.execute(priority, batch).await })
}

/// Asks beside the test, and returns once that waits in the queue.
pub(super) async fn queue(pool: &Arc<Pool>, priority: Priority, batch: Batch) -> Answer {
    let before = pool.waiting();
    let answer = ask(pool, priority, batch);
    eventually("the batch waits", || pool.waiting() > before).await;
    answer
}

/// Waits for a condition, however long that takes on a busy machine.
pub(super) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..60_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("waited in vain: {what}");
}

/// How often each group was executed.
pub(super) fn tally(calls: &[Call]) -> BTreeMap<u8, usize> {
    let mut tally = BTreeMap::new();
    for group in calls.iter().flat_map(|call| &call.groups) {
        *tally.entry(*group).or_default() += 1;
    }
    tally
}
