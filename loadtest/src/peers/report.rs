//! What a run beside the peers reports.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::host::Ready;
use super::system::{Datagrams, Kind, Turn};
use crate::Failure;
use crate::distribution::{Quantiles, median, rounded};
use crate::report::{self, Report};

/// The result of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Peers {
    pub(super) scenario: &'static str,
    pub(super) ok: bool,
    pub(super) members: usize,
    pub(super) rounds: u32,
    pub(super) payload_bytes: usize,
    pub(super) wardcast: Option<Manner>,
    pub(super) mqtt_quality_of_service: u8,
    pub(super) systems: BTreeMap<Kind, Figures>,
    pub(super) ratios: BTreeMap<String, Ratio>,
}

/// How ours was run.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Manner {
    /// Members that computed and confirmed every key.
    pub(super) real: usize,
    /// Members that only acknowledged.
    pub(super) sampled: usize,
    /// How long the group collected changes, which is part of every round's time.
    pub(super) batch_interval_ms: u32,
}

/// What one system took.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Figures {
    members: usize,
    rounds: usize,
    /// Payloads that were to arrive.
    expected: usize,
    /// Payloads that the sender knows to have arrived.
    acked: usize,
    /// From the push until all have it; one sample a round. With acknowledgements: until the sender knows.
    all_ms_p50: f64,
    all_ms_p99: f64,
    #[serde(flatten)]
    costs: Costs,
    #[serde(flatten)]
    packets: Packets,
    /// Connections a second until all were there, registrations included; none where there is nothing to connect.
    joins_per_s: Option<f64>,
    /// None of these runs evicts anybody: `fanout` does.
    wraps_per_eviction: Option<f64>,
    /// Whether the sender comes to know who has it.
    acknowledged: bool,
}

/// What it cost.
#[derive(Clone, Copy, Debug, Serialize)]
struct Costs {
    server_cpu_us_per_delivery: f64,
    /// Of this process, where all subscribers are: whether it was the limit.
    generator_cpu_us_per_delivery: f64,
    /// While nothing is pushed, for each member in each second: what keeping connections alive costs. It is no part of the above.
    server_idle_cpu_us_per_member: f64,
    rss_kib_per_member: f64,
}

/// Datagrams for a delivery, of those systems that send some; the packets of QUIC streams are not among them.
#[derive(Clone, Copy, Debug, Serialize)]
struct Packets {
    packets_out_per_delivery: Option<f64>,
    packets_in_per_delivery: Option<f64>,
}

/// Ours divided by another system's: the median over the rounds of each round's ratio.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Ratio {
    cpu: f64,
    time: f64,
}

impl Figures {
    pub(super) fn of(
        kind: Kind,
        members: usize,
        ready: Ready,
        turns: &[Turn],
    ) -> Result<Self, Failure> {
        let took: Vec<Duration> = turns.iter().map(|turn| turn.took).collect();
        let all = Quantiles::of(&took).ok_or("no round was run")?;
        let expected = members * turns.len();
        let idle: f64 = turns.iter().map(|turn| turn.idle).sum();
        let per = |cpu: fn(&Turn) -> Duration| {
            let sum: Duration = turns.iter().map(cpu).sum();
            rounded(sum.as_secs_f64() * 1e6 / expected.max(1) as f64)
        };
        let packets = |count: fn(&Datagrams) -> u64| {
            let counts = turns.iter().map(|turn| turn.datagrams.as_ref().map(count));
            let sum: Option<u64> = counts.sum();
            sum.map(|sum| rounded(sum as f64 / expected.max(1) as f64))
        };
        Ok(Figures {
            members,
            rounds: turns.len(),
            expected,
            acked: turns.iter().map(|turn| turn.acked).sum(),
            all_ms_p50: all.p50_ms,
            all_ms_p99: all.p99_ms,
            costs: Costs {
                server_cpu_us_per_delivery: per(|turn| turn.server),
                generator_cpu_us_per_delivery: per(|turn| turn.generator),
                server_idle_cpu_us_per_member: rounded(idle * 1e6 / expected.max(1) as f64),
                rss_kib_per_member: rounded(ready.grew as f64 / 1024.0 / members.max(1) as f64),
            },
            packets: Packets {
                packets_out_per_delivery: packets(|datagrams| datagrams.sent),
                packets_in_per_delivery: packets(|datagrams| datagrams.received),
            },
            joins_per_s: ready.joins_per_s.map(rounded),
            wraps_per_eviction: None,
            acknowledged: kind.acknowledges(),
        })
    }
}

impl Ratio {
    /// The rounds of both, in the order that they were run.
    pub(super) fn of(ours: &[Turn], theirs: &[Turn]) -> Option<Self> {
        let ratios = |value: fn(&Turn) -> Duration| {
            let pairs = ours.iter().zip(theirs);
            let ratios = pairs.map(|(ours, theirs)| {
                value(ours).as_secs_f64() / value(theirs).as_secs_f64().max(f64::EPSILON)
            });
            median(ratios.collect()).map(rounded)
        };
        Some(Ratio {
            cpu: ratios(|turn| turn.server)?,
            time: ratios(|turn| turn.took)?,
        })
    }
}

impl Report for Peers {
    fn rows(&self) -> Vec<(String, String)> {
        let row = |name: &str, value: String| (name.to_owned(), value);
        let mut rows = vec![
            row("members", self.members.to_string()),
            row("rounds", self.rounds.to_string()),
            row("payload", format!("{} bytes", self.payload_bytes)),
        ];
        if let Some(Manner {
            real,
            sampled,
            batch_interval_ms,
        }) = self.wardcast
        {
            rows.push(row(
                "wardcast's members",
                format!("{real} compute keys, {sampled} only acknowledge"),
            ));
            rows.push(row(
                "wardcast's batch interval",
                format!("{batch_interval_ms} ms, part of its time"),
            ));
        }
        for (kind, figures) in &self.systems {
            rows.extend(figures.rows(*kind));
        }
        for (pair, ratio) in &self.ratios {
            let pair = pair.replace('_', " ");
            rows.push((
                pair,
                format!("CPU {:.2}, time {:.2}", ratio.cpu, ratio.time),
            ));
        }
        rows
    }
}

impl Figures {
    fn rows(&self, kind: Kind) -> [(String, String); 5] {
        let row = |what: &str, value: String| (format!("{}: {what}", kind.name()), value);
        let until = if self.acknowledged {
            "until all acknowledged"
        } else {
            "until all have it"
        };
        let (p50, p99) = (self.all_ms_p50, self.all_ms_p99);
        [
            row(until, format!("p50 {p50:.1} ms, p99 {p99:.1} ms")),
            row(
                "server CPU per delivery",
                report::cpu(self.costs.server_cpu_us_per_delivery, None),
            ),
            row(
                "generator CPU per delivery",
                report::cpu(self.costs.generator_cpu_us_per_delivery, None),
            ),
            row(
                "server CPU at rest",
                format!(
                    "{:.1} us per member and second",
                    self.costs.server_idle_cpu_us_per_member
                ),
            ),
            row(
                "server memory per member",
                format!("{:.1} KiB", self.costs.rss_kib_per_member),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(took: u64, server: u64, acked: usize) -> Turn {
        Turn {
            took: Duration::from_millis(took),
            acked,
            idle: 0.001,
            server: Duration::from_micros(server),
            generator: Duration::from_micros(10),
            datagrams: (acked > 0).then_some(Datagrams {
                sent: 11,
                received: 10,
            }),
        }
    }

    #[test]
    fn figures_are_per_delivery() {
        let turns = [turn(4, 300, 10), turn(6, 100, 10)];
        let ready = Ready {
            grew: 20_480,
            real: 0,
            joins_per_s: Some(5.0),
        };
        let figures = Figures::of(Kind::Floor, 10, ready, &turns).expect("there are rounds");
        assert_eq!((figures.expected, figures.acked), (20, 20));
        let (p50, p99) = (figures.all_ms_p50, figures.all_ms_p99);
        assert!((p50 - 4.0).abs() < 0.004 && (p99 - 6.0).abs() < 0.006);
        let cpu = figures.costs.server_cpu_us_per_delivery;
        assert_eq!((cpu, figures.costs.rss_kib_per_member), (20.0, 2.0));
        assert_eq!(figures.costs.generator_cpu_us_per_delivery, 1.0);
        assert_eq!(figures.costs.server_idle_cpu_us_per_member, 100.0);
        let packets = figures.packets;
        assert_eq!(packets.packets_out_per_delivery, Some(1.1));
        assert_eq!(packets.packets_in_per_delivery, Some(1.0));
        let without = Figures::of(Kind::Nats, 10, ready, &[turn(1, 1, 0)]).expect("a round");
        assert_eq!(without.packets.packets_out_per_delivery, None);
        assert!(Figures::of(Kind::Floor, 10, ready, &[]).is_err());
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let ours = [turn(10, 100, 0), turn(20, 100, 0), turn(90, 900, 0)];
        let theirs = [turn(10, 50, 0), turn(10, 100, 0), turn(30, 100, 0)];
        let expected = Ratio {
            cpu: 2.0,
            time: 2.0,
        };
        assert_eq!(Ratio::of(&ours, &theirs), Some(expected));
        assert_eq!(Ratio::of(&[], &[]), None);
    }
}
