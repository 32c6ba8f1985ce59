//! What a pool shows of itself as gauges: what waits, and how its lanes are.

use metrics::{Gauge, gauge};

use super::PoolStatus;
use super::lane::{LaneStatus, PoolState};
use super::queue::{PRIORITIES, Waiting};
use crate::group::operations::Priority;

/// The gauges of a pool. Their handles are looked up once.
pub(super) struct Gauges {
    waiting: [WaitingGauges; 4],
    lanes: Vec<LaneGauges>,
}

struct WaitingGauges {
    batches: Gauge,
    operations: Gauge,
    oldest: Gauge,
}

struct LaneGauges {
    /// One of the three is 1, so that an alert needs no table of numbers.
    probing: Gauge,
    usable: Gauge,
    unusable: Gauge,
    sessions: Gauge,
    lost: Gauge,
    operation: Gauge,
}

impl Gauges {
    pub(super) fn new(lanes: Vec<String>) -> Self {
        Gauges {
            waiting: PRIORITIES.map(WaitingGauges::new),
            lanes: lanes.into_iter().map(LaneGauges::new).collect(),
        }
    }

    pub(super) fn show(&self, status: &PoolStatus) {
        for (gauges, waiting) in self.waiting.iter().zip(&status.waiting) {
            gauges.show(waiting);
        }
        for (gauges, lane) in self.lanes.iter().zip(&status.lanes) {
            gauges.show(lane);
        }
    }
}

impl WaitingGauges {
    fn new(priority: Priority) -> Self {
        let priority = label(priority);
        WaitingGauges {
            batches: gauge!("wardcast_token_queue_batches", "priority" => priority),
            operations: gauge!("wardcast_token_queue_operations", "priority" => priority),
            oldest: gauge!("wardcast_token_queue_oldest_seconds", "priority" => priority),
        }
    }

    fn show(&self, waiting: &Waiting) {
        self.batches.set(waiting.batches as f64);
        self.operations.set(waiting.operations as f64);
        self.oldest.set(waiting.oldest.as_secs_f64());
    }
}

impl LaneGauges {
    fn new(lane: String) -> Self {
        let state = |state: &'static str| gauge!("wardcast_token_lane_state", "lane" => lane.clone(), "state" => state);
        LaneGauges {
            probing: state("probing"),
            usable: state("usable"),
            unusable: state("unusable"),
            sessions: gauge!("wardcast_token_lane_sessions", "lane" => lane.clone()),
            lost: gauge!("wardcast_token_lane_lost_workers", "lane" => lane.clone()),
            operation: gauge!("wardcast_token_lane_operation_seconds", "lane" => lane),
        }
    }

    fn show(&self, lane: &LaneStatus) {
        let is = |holds: bool| f64::from(u8::from(holds));
        self.probing.set(is(lane.state == PoolState::Probing));
        self.usable.set(is(lane.state == PoolState::Usable));
        self.unusable
            .set(is(matches!(lane.state, PoolState::Unusable(_))));
        self.sessions.set(lane.sessions as f64);
        self.lost.set(lane.lost as f64);
        self.operation
            .set(lane.latency.unwrap_or_default().as_secs_f64());
    }
}

/// How a priority is called in metrics.
pub(super) fn label(priority: Priority) -> &'static str {
    match priority {
        Priority::Urgent => "urgent",
        Priority::Grant => "grant",
        Priority::Scheduled => "scheduled",
        Priority::Prefetch => "prefetch",
    }
}
