//! The order of the queue, without threads.

use tokio::sync::oneshot;

use super::*;
use crate::group::ids::{GroupId, GroupNonce, KeyRef, MasterId, NodeId, Suite};
use crate::group::operations::{Batch, Operation, Output};
use crate::group::request::Requests;
use crate::hsm::PoolError;
use crate::hsm::pool::job::{Life, Progress};
use crate::hsm::pool::options::OPERATIONS_PER_CALL;

/// A queue, and those who wait for what is in it.
struct Bench {
    queue: Queue,
    answers: Vec<oneshot::Receiver<Result<Vec<Output>, PoolError>>>,
    start: Instant,
}

impl Bench {
    fn new(bound: usize) -> Self {
        Bench {
            queue: Queue::new(bound),
            answers: Vec::new(),
            start: Instant::now(),
        }
    }

    /// A job that expires as many seconds after the start as its number is.
    fn job(&mut self, priority: Priority, operations: usize) -> Job {
        let (reply, answer) = oneshot::channel();
        self.answers.push(answer);
        let number = self.answers.len() as u64;
        let life = Life {
            number,
            entered: self.start,
            expires: self.start + Duration::from_secs(number),
        };
        Job::new(priority, batch(operations), reply, life)
    }

    fn push(&mut self, priority: Priority, operations: usize) -> bool {
        let job = self.job(priority, operations);
        self.queue.push(job)
    }

    /// What a worker would do: one call.
    fn call(&mut self, share: usize) -> Vec<Job> {
        for priority in self.queue.order(None) {
            let jobs = self.queue.take(priority, share, |_| true);
            if !jobs.is_empty() {
                self.queue.served(priority, None);
                return jobs;
            }
        }
        Vec::new()
    }
}

fn batch(operations: usize) -> Batch {
    let key = KeyRef {
        node: NodeId { level: 0, index: 0 },
        generation: 1,
        step: 0,
    };
    let wrap = Operation::Wrap {
        child: key,
        parent: key,
    };
    Batch {
        suite: Suite::One,
        group: GroupId([0; 16]),
        master: MasterId(1),
        nonce: GroupNonce([0; 32]),
        requests: Requests::default(),
        operations: vec![wrap; operations],
    }
}

fn numbers(jobs: &[Job]) -> Vec<u64> {
    jobs.iter().map(|job| job.ticket.number).collect()
}

#[test]
fn nobody_starves_and_the_urgent_wait_for_one_turn_at_most() {
    let mut bench = Bench::new(usize::MAX);
    // There is always somebody at every priority.
    let mut served: Vec<Priority> = Vec::new();
    for _ in 0..2_000 {
        for priority in PRIORITIES {
            if bench.queue.operations(priority) < 2 {
                bench.push(priority, 1);
            }
        }
        let jobs = bench.call(1);
        served.push(jobs[0].ticket.priority);
    }
    for pair in served.windows(2) {
        assert!(
            pair.contains(&Priority::Urgent),
            "two turns in a row: {pair:?}"
        );
    }
    // Three others share the turns.
    let longest = 3 * (CALLS_PER_TURN as usize + 1);
    for window in served.windows(longest) {
        for priority in PRIORITIES {
            assert!(
                window.contains(&priority),
                "{priority:?} starves: {window:?}"
            );
        }
    }
    let urgent = served
        .iter()
        .filter(|priority| **priority == Priority::Urgent);
    let turns = served.len() - urgent.count();
    assert!(
        turns <= served.len() / CALLS_PER_TURN as usize,
        "{turns} turns"
    );
}

#[test]
fn a_turn_is_nobodys_when_nobody_was_passed_over() {
    let mut bench = Bench::new(usize::MAX);
    for _ in 0..1_000 {
        bench.push(Priority::Scheduled, 1);
    }
    for _ in 0..500 {
        bench.call(1);
    }
    bench.push(Priority::Urgent, 1);
    assert_eq!(bench.call(1)[0].ticket.priority, Priority::Urgent);
}

#[test]
fn a_job_that_is_put_back_has_its_old_place() {
    let mut bench = Bench::new(usize::MAX);
    for _ in 0..6 {
        bench.push(Priority::Grant, 1);
    }
    let first = bench.call(2);
    let second = bench.call(2);
    assert_eq!(
        (numbers(&first), numbers(&second)),
        (vec![1, 2], vec![3, 4])
    );
    for job in second.into_iter().chain(first).rev() {
        bench.queue.put_back(job);
    }
    assert_eq!(numbers(&bench.call(6)), [1, 2, 3, 4, 5, 6]);
    assert!(bench.queue.is_empty());
    assert_eq!(bench.queue.before(Priority::Prefetch), 0);
}

#[test]
fn a_call_is_bounded_in_operations_and_batches() {
    let mut bench = Bench::new(usize::MAX);
    for _ in 0..2 * BATCHES_PER_CALL {
        bench.push(Priority::Grant, 1);
    }
    assert_eq!(bench.call(usize::MAX).len(), BATCHES_PER_CALL);
    assert_eq!(bench.call(7).len(), 7, "no more than its share");
    bench.queue.drain();
    for _ in 0..4 {
        bench.push(Priority::Grant, 63);
    }
    assert_eq!(bench.call(128).len(), 2);
    assert_eq!(bench.call(1).len(), 1, "at least one");
}

#[test]
fn a_large_batch_is_cut_up_and_put_together() {
    let mut bench = Bench::new(usize::MAX);
    let operations = 3 * OPERATIONS_PER_CALL + 5;
    bench.push(Priority::Scheduled, operations);
    bench.push(Priority::Scheduled, 1);
    let mut calls = Vec::new();
    loop {
        assert_eq!(
            bench.queue.before(Priority::Prefetch),
            operations + 1 - calls.iter().sum::<usize>()
        );
        let mut jobs = bench.call(OPERATIONS_PER_CALL);
        let job = jobs.remove(0);
        let size = job.batch.operations.len();
        assert!(size <= OPERATIONS_PER_CALL);
        calls.push(size);
        match job.proceed(vec![Output::BadPublicKey; size]) {
            Progress::Done(job, outputs) => {
                assert_eq!(job.ticket.number, 1);
                assert_eq!(outputs.len(), operations);
                assert_eq!(jobs.len(), 1, "the last part leaves room for another batch");
                break;
            }
            Progress::More(job) => bench.queue.put_back(job),
        }
    }
    assert_eq!(
        calls,
        [
            OPERATIONS_PER_CALL,
            OPERATIONS_PER_CALL,
            OPERATIONS_PER_CALL,
            5
        ]
    );
}

#[test]
fn one_that_may_be_to_blame_rides_alone() {
    let mut bench = Bench::new(usize::MAX);
    bench.push(Priority::Grant, 1);
    let mut suspect = bench.job(Priority::Grant, 1);
    suspect.ticket.trials.alone = true;
    assert!(bench.queue.push(suspect));
    bench.push(Priority::Grant, 1);
    assert_eq!(numbers(&bench.call(9)), [1]);
    assert_eq!(numbers(&bench.call(9)), [2]);
    assert_eq!(numbers(&bench.call(9)), [3]);
}

#[test]
fn what_may_not_be_taken_is_passed_over_but_not_without_bound() {
    let mut bench = Bench::new(usize::MAX);
    for _ in 0..LOOK_AHEAD + 1 {
        bench.push(Priority::Grant, 1);
    }
    let take = |bench: &mut Bench, from: u64| {
        bench
            .queue
            .take(Priority::Grant, 9, |job| job.ticket.number >= from)
    };
    assert!(take(&mut bench, LOOK_AHEAD as u64 + 1).is_empty());
    let taken = take(&mut bench, LOOK_AHEAD as u64);
    assert_eq!(taken[0].ticket.number, LOOK_AHEAD as u64);
}

#[test]
fn what_is_too_old_is_taken_out_in_every_queue() {
    let mut bench = Bench::new(usize::MAX);
    for priority in [
        Priority::Urgent,
        Priority::Grant,
        Priority::Urgent,
        Priority::Grant,
    ] {
        bench.push(priority, 10);
    }
    let expired = bench.queue.expired(bench.start + Duration::from_secs(2));
    assert_eq!(numbers(&expired), [1, 2]);
    assert_eq!(bench.queue.before(Priority::Grant), 20);
    assert_eq!(bench.queue.waiting(bench.start)[0].batches, 1);
}

#[test]
fn room_is_counted_from_the_most_urgent_down() {
    let mut bench = Bench::new(10);
    assert!(bench.push(Priority::Prefetch, 10));
    assert!(!bench.push(Priority::Prefetch, 1));
    assert!(bench.push(Priority::Scheduled, 6));
    assert!(
        bench.push(Priority::Urgent, 4),
        "what is below does not count"
    );
    assert!(!bench.push(Priority::Scheduled, 1), "what is above does");
    assert!(bench.push(Priority::Grant, 6));
    assert!(bench.push(Priority::Urgent, 6));
    assert!(!bench.push(Priority::Urgent, 1));
    bench.answers.clear();
    bench.queue.forget_abandoned();
    assert_eq!(bench.queue.before(Priority::Prefetch), 0);
    assert!(bench.push(Priority::Urgent, 100), "alone, it may be larger");
}
