//! A lane: one token, its workers, and whether it is to be given a batch. No lock, no clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::PoolError;
use super::board::WorkerId;
use super::job::Job;
use super::options::{CALLS_PER_MEASUREMENT, Pauses, SLOW_FACTOR};
use super::pace::{Backoff, Latency};
use crate::group::ids::{MasterId, Suite};
use crate::hsm::{Profile, RingChange, TokenError};

/// Some of a pool's lanes, by their places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LaneSet(u32);

impl LaneSet {
    pub(super) fn insert(&mut self, lane: usize) {
        self.0 |= 1 << lane;
    }

    pub(super) fn has(self, lane: usize) -> bool {
        self.0 & (1 << lane) != 0
    }
}

/// What a lane, or a pool, is up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolState {
    /// No session was opened yet, and none was refused. A pool: no lane is usable, and one is still probed.
    Probing,
    /// A session is open, or about to be opened again. A pool: a lane is usable.
    Usable,
    /// The last session could not be opened. A pool: no lane's could; the error is the first lane's.
    Unusable(TokenError),
    /// The pool is shutting down.
    Closed,
}

/// What a lane is and does.
#[derive(Clone, Debug)]
pub struct LaneStatus {
    /// The lane's name.
    pub name: String,
    /// Whether it is usable.
    pub state: PoolState,
    /// Its threads, those that are stuck apart.
    pub workers: usize,
    /// Its open sessions.
    pub sessions: usize,
    /// Its threads that are stuck in a call.
    pub lost: usize,
    /// How long an operation takes, on the average.
    pub latency: Option<Duration>,
    /// What its token says that it is; unknown before the first session.
    pub description: Option<String>,
    /// The masters of its ring, ascending.
    pub masters: Vec<MasterId>,
    /// The suites that it has.
    pub suites: Vec<Suite>,
}

/// A change of the ring that waits for one lane.
pub(super) struct RingTask {
    pub(super) change: RingChange,
    pub(super) reply: oneshot::Sender<Result<Vec<MasterId>, PoolError>>,
    pub(super) expires: Instant,
    pub(super) failures: u32,
}

/// A lane's threads and sessions.
#[derive(Debug, Default)]
pub(super) struct Crew {
    pub(super) workers: usize,
    pub(super) sessions: usize,
    /// Workers with a session that wait for something to do.
    pub(super) idle: usize,
    pub(super) lost: usize,
    /// Who is opening a session: nobody else does meanwhile, so that a PIN that became wrong is tried once.
    pub(super) prober: Option<WorkerId>,
}

/// A lane's state.
pub(super) struct Lane {
    pub(super) name: String,
    pub(super) state: PoolState,
    /// The PIN was refused with this: trying again would lock the token.
    pub(super) given_up: Option<TokenError>,
    pub(super) crew: Crew,
    pub(super) backoff: Backoff,
    pub(super) latency: Latency,
    /// Calls of faster lanes since this one made one.
    pub(super) passed: u32,
    pub(super) profile: Option<Profile>,
    pub(super) ring: VecDeque<RingTask>,
    /// Goes up when sessions that are open have to be opened anew.
    pub(super) age: u64,
}

impl Lane {
    pub(super) fn new(name: String, workers: usize, pauses: Pauses) -> Self {
        Lane {
            name,
            state: PoolState::Probing,
            given_up: None,
            crew: Crew {
                workers,
                ..Crew::default()
            },
            backoff: Backoff::new(pauses),
            latency: Latency::default(),
            passed: 0,
            profile: None,
            ring: VecDeque::new(),
            age: 0,
        }
    }

    /// Whether a session is there to execute something.
    fn serves(&self) -> bool {
        self.crew.sessions > 0
    }

    /// Whether its token had what a job needs when it was last looked at.
    fn fits(&self, job: &Job) -> bool {
        let batch = &job.batch;
        self.profile.as_ref().is_some_and(|profile| {
            let master = batch.is_of_no_group() || profile.masters.contains(&batch.master);
            master && profile.has(batch.suite)
        })
    }

    fn is_slower_than(&self, other: &Lane) -> bool {
        match (self.latency.seconds(), other.latency.seconds()) {
            (Some(own), Some(others)) => own > others * SLOW_FACTOR,
            _ => false,
        }
    }

    /// A slow lane that is to make a call, so that it is measured again.
    fn is_due(&self) -> bool {
        self.passed >= CALLS_PER_MEASUREMENT
    }

    pub(super) fn status(&self) -> LaneStatus {
        let profile = self.profile.as_ref();
        LaneStatus {
            name: self.name.clone(),
            state: self.state.clone(),
            workers: self.crew.workers,
            sessions: self.crew.sessions,
            lost: self.crew.lost,
            latency: self.latency.seconds().map(Duration::from_secs_f64),
            description: profile.map(|profile| profile.description.clone()),
            masters: profile.map_or_else(Vec::new, |profile| profile.masters.clone()),
            suites: profile.map_or_else(Vec::new, |profile| {
                let suites = Suite::ALL.into_iter();
                suites.filter(|suite| profile.has(*suite)).collect()
            }),
        }
    }
}

/// Whether a lane's worker may take a job now. In this order:
/// - not where its keys were missing;
/// - where suite and master are, as long as any lane that serves has them;
/// - where nothing failed at it, as long as there is such a lane;
/// - not on a slow lane while a worker of a much faster one is idle, but for every so many calls.
pub(super) fn eligible(lanes: &[Lane], lane: usize, job: &Job) -> bool {
    let trials = &job.ticket.trials;
    if trials.missing.has(lane) {
        return false;
    }
    if lanes.len() == 1 {
        return true;
    }
    // How well a lane suits; the best that serve are the candidates.
    let rank = |at: usize| (lanes[at].fits(job), !trials.avoid.has(at));
    let own = rank(lane);
    let serving = |at: &usize| *at != lane && lanes[*at].serves() && !trials.missing.has(*at);
    let others = || (0..lanes.len()).filter(serving);
    if others().any(|other| rank(other) > own) {
        return false;
    }
    let mut idle = others().filter(|other| rank(*other) == own && lanes[*other].crew.idle > 0);
    let me = &lanes[lane];
    !idle.any(|other| {
        let other = &lanes[other];
        let faster = me.is_slower_than(other) && !me.is_due();
        let turn = other.is_slower_than(me) && other.is_due();
        faster || turn
    })
}

/// Whether any lane that may be usable could still execute a job.
pub(super) fn possible(lanes: &[Lane], job: &Job) -> bool {
    let down = |lane: &Lane| matches!(lane.state, PoolState::Unusable(_));
    (0..lanes.len()).any(|lane| !job.ticket.trials.missing.has(lane) && !down(&lanes[lane]))
}

/// What is wrong with a lane that is down and may have what others lack for a job: nobody knows before it is back.
pub(super) fn unasked<'a>(lanes: &'a [Lane], job: &Job) -> Option<&'a TokenError> {
    let asked = |at: usize| job.ticket.trials.missing.has(at);
    let mut others = lanes.iter().enumerate().filter(|(at, _)| !asked(*at));
    others.find_map(|(_, lane)| match &lane.state {
        PoolState::Unusable(error) => Some(error),
        _ => None,
    })
}

/// Notes that a lane makes a call: slower ones that could have made it were passed over.
pub(super) fn called(lanes: &mut [Lane], lane: usize) {
    for other in 0..lanes.len() {
        if other != lane && lanes[other].crew.idle > 0 && lanes[other].is_slower_than(&lanes[lane])
        {
            lanes[other].passed += 1;
        }
    }
    lanes[lane].passed = 0;
}

#[cfg(test)]
mod tests;
