//! What a fan-out run reports.

mod sizes;
mod summary;

use std::time::Duration;

use serde::Serialize;

pub(crate) use self::sizes::Sizes;
pub(super) use self::summary::Summary;
use super::Reading;
use crate::Failure;
use crate::bare::Bare;
use crate::distribution::Quantiles;
use crate::live::Round;
use crate::report::{self, Report};
use crate::token::TokenKind;

/// What makes a new epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Cause {
    /// The operator wants a new key.
    Rotate,
    /// The operator evicts a member, urgently.
    Evict,
}

impl Cause {
    /// As it is shown.
    pub(super) fn name(self) -> &'static str {
        match self {
            Cause::Rotate => "rotate",
            Cause::Evict => "evict",
        }
    }
}

/// The result of a run with so many members.
#[derive(Debug, Serialize)]
pub(crate) struct Fanout {
    pub(super) scenario: &'static str,
    pub(super) ok: bool,
    pub(super) token: TokenKind,
    #[serde(flatten)]
    pub(super) size: Size,
    /// How long a rotation waits for other changes, which is part of its time.
    pub(super) batch_interval_ms: u32,
    #[serde(flatten)]
    pub(super) summary: Summary,
    pub(super) joins: Joins,
    pub(super) causes: Vec<CauseReport>,
    pub(super) trouble: Trouble,
    pub(super) bare: Bare,
    pub(super) ratios: Ratios,
}

/// Who took part.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Size {
    pub(super) members: usize,
    /// Members that computed and confirmed every key.
    pub(super) real: usize,
    /// Members that only acknowledged.
    pub(super) sampled: usize,
    /// Rounds of each cause that came first and are in no figure.
    pub(super) warm_up_rounds: u32,
}

/// What joining took.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Joins {
    per_second: f64,
    /// Gateway CPU for a join: handshake, grant, and the epochs pushed to those already there.
    cpu_us_per_join: f64,
    /// Epochs in which they came.
    epochs: u64,
    /// Wraps for the paths of the grants.
    wraps: u64,
    /// Resident memory that the gateway gained, for each member.
    bytes_per_member: u64,
}

/// What the rounds of one cause took.
#[derive(Debug, Serialize)]
pub(crate) struct CauseReport {
    cause: Cause,
    rounds: usize,
    /// From the operator's request until the gateway has all acknowledgements; one sample a round.
    all_acknowledged: Quantiles,
    /// From the operator's request until a member holds the epoch; one sample a member and round.
    member_holds: Quantiles,
    /// Acknowledged epochs.
    deliveries: usize,
    /// Gateway CPU for a delivery: rekey, acknowledgement and activation.
    cpu_us_per_delivery: f64,
    kernel_share: Option<f64>,
    /// Rekeys and activations, by datagram or by stream.
    pushes: u64,
    cpu_us_per_push: f64,
    #[serde(flatten)]
    packets: PacketsEach,
    #[serde(flatten)]
    wraps: Wraps,
}

/// Datagrams of the push channel for a delivery, as the gateway counts them; the packets of QUIC streams are not among them.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct PacketsEach {
    pub(super) packets_out_per_delivery: f64,
    pub(super) packets_in_per_delivery: f64,
}

/// What the token had to wrap.
#[derive(Clone, Copy, Debug, Serialize)]
struct Wraps {
    rekeys: u64,
    wraps_per_rekey: f64,
}

/// What should not happen, or should be rare; over the whole run.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Trouble {
    refusals: u64,
    /// Pushes that a member could not use: it was brought up to date by a path.
    nacks: u64,
    /// Pushes that were not answered.
    failed_pushes: u64,
    /// Epochs that were replaced by a newer one before they were sent to a member.
    conflated: u64,
    token_failures: u64,
}

/// The gateway's figures divided by those of quinn alone in the same run.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Ratios {
    joins_to_handshakes: f64,
    cpu_per_push: f64,
    all_acknowledged_p50: f64,
    memory: f64,
}

impl Joins {
    pub(super) fn between(members: u32, seconds: f64, start: &Reading, joined: &Reading) -> Self {
        let count = u64::from(members.max(1));
        let cpu = joined.usage.since(&start.usage).cpu;
        let grew = joined.usage.resident.saturating_sub(start.usage.resident);
        let counted = |name| joined.counters.since(&start.counters, name);
        Joins {
            per_second: f64::from(members) / seconds,
            cpu_us_per_join: cpu.as_secs_f64() * 1e6 / count as f64,
            epochs: counted("wardcast_rekeys_total"),
            wraps: counted("wardcast_token_wraps_total"),
            bytes_per_member: grew / count,
        }
    }

    fn rows(&self) -> [(String, String); 3] {
        let row = |name: &str, value: String| (name.to_owned(), value);
        let Joins {
            per_second,
            epochs,
            wraps,
            ..
        } = self;
        [
            row(
                "joins",
                format!("{per_second:.0}/s, in {epochs} epochs, {wraps} wraps"),
            ),
            row(
                "gateway CPU per join",
                format!("{:.0} us", self.cpu_us_per_join),
            ),
            row(
                "gateway memory per member",
                report::kib(self.bytes_per_member),
            ),
        ]
    }
}

impl CauseReport {
    pub(super) fn of(
        cause: Cause,
        rounds: &[Round],
        before: &Reading,
        after: &Reading,
    ) -> Result<Self, Failure> {
        let all: Vec<Duration> = rounds.iter().map(|round| round.all).collect();
        let each = rounds.iter().flat_map(|round| round.each.iter().copied());
        let each: Vec<Duration> = each.collect();
        let spent = after.usage.since(&before.usage);
        let counted = |name| after.counters.since(&before.counters, name);
        // Streams that were answered, and datagrams, those that were sent again apart.
        let pushed = counted("wardcast_datagrams_sent_total")
            + counted("wardcast_datagrams_activations_total");
        let pushes = counted("wardcast_pushes_total") + pushed;
        let rekeys = counted("wardcast_rekeys_total");
        let wraps = counted("wardcast_token_wraps_total");
        let deliveries = each.len();
        let sent = pushed + counted("wardcast_datagrams_resent_total");
        let each_of = |count: u64| count as f64 / deliveries.max(1) as f64;
        let per = |count: u64| spent.cpu.as_secs_f64() * 1e6 / count.max(1) as f64;
        Ok(CauseReport {
            cause,
            rounds: rounds.len(),
            all_acknowledged: Quantiles::of(&all).ok_or("no round was run")?,
            member_holds: Quantiles::of(&each).ok_or("no member came to hold an epoch")?,
            deliveries,
            cpu_us_per_delivery: per(deliveries as u64),
            kernel_share: spent.kernel_share,
            pushes,
            cpu_us_per_push: per(pushes),
            packets: PacketsEach {
                packets_out_per_delivery: each_of(sent),
                packets_in_per_delivery: each_of(counted("wardcast_datagrams_acknowledged_total")),
            },
            wraps: Wraps {
                rekeys,
                wraps_per_rekey: wraps as f64 / rekeys.max(1) as f64,
            },
        })
    }

    fn rows(&self) -> [(String, String); 6] {
        let row = |what: &str, value: String| (format!("{}: {what}", self.cause.name()), value);
        let delivery = report::cpu(self.cpu_us_per_delivery, self.kernel_share);
        let Wraps {
            rekeys,
            wraps_per_rekey,
        } = self.wraps;
        let wraps = format!("{wraps_per_rekey:.1} ({rekeys} rekeys)");
        let packets = format!(
            "{:.2} out, {:.2} in",
            self.packets.packets_out_per_delivery, self.packets.packets_in_per_delivery
        );
        [
            row(
                "until all acknowledged",
                report::quantiles(&self.all_acknowledged),
            ),
            row(
                "until a member holds it",
                report::quantiles(&self.member_holds),
            ),
            row("gateway CPU per acknowledged delivery", delivery),
            row(
                "gateway CPU per push and answer",
                format!("{:.1} us", self.cpu_us_per_push),
            ),
            row("push channel's datagrams per delivery", packets),
            row("wraps per rekey", wraps),
        ]
    }
}

impl Trouble {
    pub(super) fn between(start: &Reading, end: &Reading) -> Self {
        let counted = |name| end.counters.since(&start.counters, name);
        Trouble {
            refusals: counted("wardcast_refusals_total"),
            nacks: counted("wardcast_pushes_refused_total"),
            failed_pushes: counted("wardcast_pushes_failed_total"),
            conflated: counted("wardcast_conflated_total"),
            token_failures: counted("wardcast_token_failures_total"),
        }
    }

    fn row(&self) -> (String, String) {
        let Trouble {
            refusals,
            nacks,
            failed_pushes,
            conflated,
            token_failures,
        } = self;
        let value = format!(
            "{refusals} refusals, {nacks} nacks, {conflated} conflated, {failed_pushes} failed pushes, {token_failures} failed batches"
        );
        ("trouble".to_owned(), value)
    }
}

impl Ratios {
    pub(super) fn of(joins: &Joins, causes: &[CauseReport], bare: &Bare) -> Self {
        let of = |wanted| causes.iter().find(|report| report.cause == wanted);
        // A rotation needs few wraps, so that what is compared is the fan-out; it waits for its batch, which an
        // urgent eviction does not.
        let cpu = of(Cause::Rotate).map_or(0.0, |report| report.cpu_us_per_push);
        let p50 = of(Cause::Evict).map_or(0.0, |report| report.all_acknowledged.p50_ms);
        Ratios {
            joins_to_handshakes: joins.per_second / bare.handshakes_per_second,
            cpu_per_push: cpu / bare.cpu_us_per_delivery,
            all_acknowledged_p50: p50 / bare.all_answered.p50_ms,
            memory: joins.bytes_per_member as f64 / bare.bytes_per_connection.max(1) as f64,
        }
    }

    fn rows(&self) -> [(String, String); 4] {
        let row = |name: &str, value: f64| (name.to_owned(), format!("{value:.2}"));
        [
            row("joins/s to bare handshakes/s", self.joins_to_handshakes),
            row("CPU per push and answer to bare", self.cpu_per_push),
            row(
                "evict: all acknowledged, p50, to bare",
                self.all_acknowledged_p50,
            ),
            row("memory per member to bare", self.memory),
        ]
    }
}

impl Report for Fanout {
    fn rows(&self) -> Vec<(String, String)> {
        let share = self.size.real as f64 * 100.0 / self.size.members.max(1) as f64;
        let members = format!("{}, {share:.0} % of them real", self.size.members);
        let mut rows = vec![
            ("members".to_owned(), members),
            (
                "token".to_owned(),
                format!("{:?}", self.token).to_lowercase(),
            ),
        ];
        rows.extend(self.joins.rows());
        rows.extend(self.causes.iter().flat_map(CauseReport::rows));
        rows.push(self.trouble.row());
        rows.extend(self.bare.rows());
        rows.extend(self.ratios.rows());
        rows
    }
}
