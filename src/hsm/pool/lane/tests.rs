//! Which lane takes a job.

use bytes::Bytes;

use super::*;
use crate::group::ids::{GroupId, GroupNonce};
use crate::group::operations::{Batch, Issuer, Issuers, Priority};
use crate::group::request::Requests;
use crate::hsm::pool::job::Life;

const MS: Duration = Duration::from_millis(1);

/// A lane with a session and idle workers, whose operations take so long.
fn lane(milliseconds: u32, idle: usize) -> Lane {
    let issuer = Issuer {
        signing: Bytes::new(),
        agreement: Bytes::new(),
    };
    let mut lane = Lane::new("lane".to_owned(), 2, Pauses::default());
    lane.crew.sessions = 2;
    lane.crew.idle = idle;
    lane.latency.note(milliseconds * MS, 1);
    lane.profile = Some(Profile {
        issuers: Issuers {
            one: issuer,
            two: None,
        },
        masters: vec![MasterId(1)],
        description: String::new(),
        mechanisms: Vec::new(),
    });
    lane
}

fn job() -> Job {
    let batch = Batch {
        suite: Suite::One,
        group: GroupId([0; 16]),
        master: MasterId(1),
        nonce: GroupNonce([0; 32]),
        requests: Requests::default(),
        operations: Vec::new(),
    };
    let now = Instant::now();
    let life = Life {
        number: 0,
        entered: now,
        expires: now,
    };
    Job::new(Priority::Grant, batch, oneshot::channel().0, life)
}

/// The lanes that may take a job.
fn takers(lanes: &[Lane], job: &Job) -> Vec<usize> {
    let all = 0..lanes.len();
    all.filter(|lane| eligible(lanes, *lane, job)).collect()
}

#[test]
fn a_much_slower_lane_helps_only_when_the_others_are_busy() {
    let job = job();
    let fast_is_idle = [lane(1, 1), lane(10, 2)];
    assert_eq!(takers(&fast_is_idle, &job), [0]);
    let fast_is_busy = [lane(1, 0), lane(10, 2)];
    assert_eq!(takers(&fast_is_busy, &job), [0, 1]);
    let much_the_same = [lane(10, 1), lane(25, 1)];
    assert_eq!(takers(&much_the_same, &job), [0, 1]);
    let mut not_measured = [lane(1, 1), lane(10, 1)];
    not_measured[1].latency = Latency::default();
    assert_eq!(takers(&not_measured, &job), [0, 1]);
}

#[test]
fn a_slow_lane_is_measured_again_after_so_many_calls() {
    let job = job();
    let mut lanes = [lane(1, 1), lane(10, 1)];
    for _ in 0..CALLS_PER_MEASUREMENT {
        assert_eq!(takers(&lanes, &job), [0]);
        called(&mut lanes, 0);
    }
    assert_eq!(takers(&lanes, &job), [1], "its turn");
    called(&mut lanes, 1);
    assert_eq!(takers(&lanes, &job), [0]);
    // It has recovered: some calls later, it is one of them again.
    while lanes[1].is_slower_than(&lanes[0]) {
        lanes[1].latency.note(MS, 1);
    }
    assert_eq!(takers(&lanes, &job), [0, 1]);
}

#[test]
fn a_lane_that_failed_at_it_is_the_last_resort_and_one_without_its_key_is_none() {
    let lanes = [lane(1, 1), lane(1, 1)];
    let mut avoiding = job();
    avoiding.ticket.trials.avoid.insert(0);
    assert_eq!(takers(&lanes, &avoiding), [1]);
    avoiding.ticket.trials.avoid.insert(1);
    assert_eq!(takers(&lanes, &avoiding), [0, 1]);
    let mut missing = job();
    missing.ticket.trials.missing.insert(0);
    assert_eq!(takers(&lanes, &missing), [1]);
    assert!(possible(&lanes, &missing));
    missing.ticket.trials.missing.insert(1);
    assert!(takers(&lanes, &missing).is_empty());
    assert!(!possible(&lanes, &missing));
}

#[test]
fn a_lane_without_a_session_keeps_nobody_waiting() {
    let mut lanes = [lane(1, 0), lane(10, 1)];
    lanes[0].crew.sessions = 0;
    let mut avoiding = job();
    avoiding.ticket.trials.avoid.insert(1);
    assert!(eligible(&lanes, 1, &avoiding));
}

#[test]
fn suite_and_master_decide_before_speed() {
    let mut lanes = [lane(1, 1), lane(50, 1)];
    let mut job = job();
    job.batch.master = MasterId(2);
    assert_eq!(
        takers(&lanes, &job),
        [0],
        "nobody has it: the token says so"
    );
    let profile = lanes[1].profile.as_mut().expect("known");
    profile.masters.push(MasterId(2));
    assert_eq!(takers(&lanes, &job), [1]);
    job.batch.suite = Suite::Two;
    assert_eq!(takers(&lanes, &job), [0]);
    let profile = lanes[1].profile.as_mut().expect("known");
    profile.issuers.two = Some(profile.issuers.one.clone());
    assert_eq!(takers(&lanes, &job), [1]);
}

#[test]
fn there_is_always_a_taker_with_an_idle_worker() {
    // Whatever the speeds and who was passed over: of the lanes with an idle worker, one may take the job.
    let speeds = [1, 2, 5, 20, 100];
    for case in 0..5_usize.pow(3) * 8 {
        let mut lanes: Vec<Lane> = (0..3)
            .map(|at| lane(speeds[case / 8 / 5_usize.pow(at) % 5], 1))
            .collect();
        for (at, lane) in lanes.iter_mut().enumerate() {
            lane.passed = if case >> at & 1 == 1 {
                CALLS_PER_MEASUREMENT
            } else {
                0
            };
        }
        assert!(!takers(&lanes, &job()).is_empty(), "case {case}");
    }
}
