//! The figures of a run in short, under the names that `peers` has for the same things.

use serde::Serialize;

use super::{Cause, CauseReport, Joins};

/// Of the rotations, which are the same push as the peers', but for the last two.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Summary {
    rounds: usize,
    /// Deliveries that there were to be.
    expected: usize,
    /// Deliveries that were acknowledged.
    acked: usize,
    /// From the operator's request until the gateway has all acknowledgements; the batch interval is part of it.
    all_ms_p50: f64,
    all_ms_p99: f64,
    pub(in crate::fanout) server_cpu_us_per_delivery: f64,
    packets_out_per_delivery: f64,
    packets_in_per_delivery: f64,
    pub(in crate::fanout) rss_kib_per_member: f64,
    joins_per_s: f64,
    wraps_per_eviction: f64,
}

impl Summary {
    /// In one cell.
    pub(super) fn line(&self) -> String {
        format!(
            "all in {:.1} ms (p99 {:.1}), {:.1} us CPU a delivery, {:.1} KiB a member, {:.0} joins/s",
            self.all_ms_p50,
            self.all_ms_p99,
            self.server_cpu_us_per_delivery,
            self.rss_kib_per_member,
            self.joins_per_s
        )
    }

    pub(in crate::fanout) fn of(members: usize, joins: &Joins, causes: &[CauseReport]) -> Self {
        let of = |wanted| causes.iter().find(|report| report.cause == wanted);
        let summary = Summary {
            rss_kib_per_member: joins.bytes_per_member as f64 / 1024.0,
            joins_per_s: joins.per_second,
            wraps_per_eviction: of(Cause::Evict).map_or(0.0, |report| report.wraps.wraps_per_rekey),
            ..Summary::default()
        };
        let Some(rotations) = of(Cause::Rotate) else {
            return summary;
        };
        Summary {
            rounds: rotations.rounds,
            expected: members * rotations.rounds,
            acked: rotations.deliveries,
            all_ms_p50: rotations.all_acknowledged.p50_ms,
            all_ms_p99: rotations.all_acknowledged.p99_ms,
            server_cpu_us_per_delivery: rotations.cpu_us_per_delivery,
            packets_out_per_delivery: rotations.packets.packets_out_per_delivery,
            packets_in_per_delivery: rotations.packets.packets_in_per_delivery,
            ..summary
        }
    }
}
