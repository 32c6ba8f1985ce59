//! Rekeys at fixed moments, with and without something that may disturb them, in turns: so that both see the same machine.
//!
//! The time is taken from the moment a rekey was to begin, whether or not the one before was over: a stall counts for all that
//! it holds up.

use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::time::sleep_until;

use crate::Failure;
use crate::distribution::{Latencies, Quantiles, median, rounded};
use crate::gateway::Gateway;
use crate::live::Live;
use crate::report;
use crate::usage::Usage;

/// How long changes are collected, in milliseconds: a rekey begins as soon as it is asked for.
const BATCH_INTERVAL_MS: u32 = 1;

/// How much is measured.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Pace {
    /// Rekeys in a second.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100))]
    rate: u32,
    /// How long a turn takes, in seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Turns of each kind.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) turns: u32,
}

/// What one turn took.
pub(crate) struct Turn {
    holds: Latencies,
    rekeys: usize,
    server: Duration,
    generator: Duration,
}

/// All turns of a kind.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Side {
    rekeys: usize,
    /// From the moment a rekey was to begin until a member holds it; one sample a member and rekey.
    member_holds: Quantiles,
    /// Of the gateway and its token host, for each of those.
    server_cpu_us_per_delivery: f64,
    /// Of this process, where all members are.
    generator_cpu_us_per_delivery: f64,
}

/// Both kinds, and what one is to the other: the median of the turns' ratios.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Compared {
    without: Side,
    with: Side,
    p50_ratio: f64,
    p99_ratio: f64,
}

/// The members' policy: nobody waits for those who cannot acknowledge.
pub(crate) fn policy(absent_percent: u32) -> String {
    // Nine of ten that are there: a datagram that was lost must not hold up the next rekey.
    let quorum = (100_u32.saturating_sub(absent_percent) * 9 / 10).max(1);
    format!(
        "batch_interval_ms = {BATCH_INTERVAL_MS}\nquorum_percent = {quorum}\nsender_id_bits = 24\n\
         admit = [{{ identity = \"cn:member-*\", roles = [\"both\", \"receiver\"] }}]\n"
    )
}

/// One turn.
pub(crate) async fn turn(live: &mut Live, pace: Pace) -> Result<Turn, Failure> {
    let interval = Duration::from_secs(1) / pace.rate;
    let rekeys = pace.rate * pace.seconds;
    let own = std::process::id();
    let mut target = live.upcoming().await?;
    let (server, generator) = (live.gateway.family_usage()?, Usage::of(own)?);
    let began = Instant::now();
    let mut holds = Latencies::default();
    for number in 0..rekeys {
        let due = began + interval * number;
        sleep_until(due.into()).await;
        live.gateway.operator.rotate().await?;
        holds.extend(live.crowd.hold(target, due).await?);
        target.0 += 1;
    }
    Ok(Turn {
        holds,
        rekeys: rekeys as usize,
        server: spent(&mut live.gateway, &server)?,
        generator: Usage::of(own)?.since(&generator).cpu,
    })
}

fn spent(gateway: &mut Gateway, since: &Usage) -> Result<Duration, Failure> {
    Ok(gateway.family_usage()?.since(since).cpu)
}

impl Side {
    fn of(turns: &[Turn]) -> Result<Self, Failure> {
        let mut holds = Latencies::default();
        turns.iter().for_each(|turn| holds.add(&turn.holds));
        let member_holds = holds.quantiles().ok_or("no member came to hold an epoch")?;
        let per = |cpu: fn(&Turn) -> Duration| {
            let all: Duration = turns.iter().map(cpu).sum();
            rounded(all.as_secs_f64() * 1e6 / member_holds.samples as f64)
        };
        Ok(Side {
            rekeys: turns.iter().map(|turn| turn.rekeys).sum(),
            member_holds,
            server_cpu_us_per_delivery: per(|turn| turn.server),
            generator_cpu_us_per_delivery: per(|turn| turn.generator),
        })
    }

    fn rows(&self, manner: &str) -> [(String, String); 3] {
        let row = |what: &str, value: String| (format!("{manner}: {what}"), value);
        [
            row(
                "until a member holds it",
                report::quantiles(&self.member_holds),
            ),
            row(
                "server CPU per delivery",
                report::cpu(self.server_cpu_us_per_delivery, None),
            ),
            row(
                "generator CPU per delivery",
                report::cpu(self.generator_cpu_us_per_delivery, None),
            ),
        ]
    }
}

impl Compared {
    /// Turns of both kinds, in the order that they were run.
    pub(crate) fn of(without: &[Turn], with: &[Turn]) -> Result<Self, Failure> {
        let ratio = |value: fn(&Quantiles) -> f64| {
            let pairs = without.iter().zip(with).filter_map(|(without, with)| {
                let (without, with) = (without.holds.quantiles()?, with.holds.quantiles()?);
                Some(value(&with) / value(&without).max(f64::EPSILON))
            });
            median(pairs.collect())
                .map(rounded)
                .ok_or("no turn was run")
        };
        Ok(Compared {
            without: Side::of(without)?,
            with: Side::of(with)?,
            p50_ratio: ratio(|quantiles| quantiles.p50_ms)?,
            p99_ratio: ratio(|quantiles| quantiles.p99_ms)?,
        })
    }

    /// Both kinds, each under its name.
    pub(crate) fn rows(&self, without: &str, with: &str, goal: &str) -> Vec<(String, String)> {
        let mut rows: Vec<_> = self.without.rows(without).into();
        rows.extend(self.with.rows(with));
        let ratios = format!(
            "p50 {:.2}, p99 {:.2} (goal {goal})",
            self.p50_ratio, self.p99_ratio
        );
        rows.push((format!("{with} to {without}"), ratios));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(milliseconds: std::ops::RangeInclusive<u64>) -> Turn {
        Turn {
            holds: milliseconds.map(Duration::from_millis).collect(),
            rekeys: 1,
            server: Duration::from_micros(300),
            generator: Duration::from_micros(600),
        }
    }

    #[test]
    fn turns_are_compared_with_their_neighbours() {
        let without = [turn(1..=100), turn(1..=100), turn(1001..=1100)];
        let with = [turn(101..=200), turn(1..=100), turn(1001..=1100)];
        let compared = Compared::of(&without, &with).expect("there are turns");
        assert_eq!((compared.p50_ratio, compared.p99_ratio), (1.0, 1.0));
        let side = compared.without;
        assert_eq!((side.rekeys, side.member_holds.samples), (3, 300));
        assert_eq!(side.server_cpu_us_per_delivery, 3.0);
        assert_eq!(side.generator_cpu_us_per_delivery, 6.0);
        let slower = Compared::of(&without[..1], &with[..1]).expect("there is a turn");
        assert!(
            (slower.p50_ratio - 3.0).abs() < 0.01,
            "{}",
            slower.p50_ratio
        );
        assert!(Compared::of(&[], &[]).is_err());
    }

    #[test]
    fn who_cannot_acknowledge_is_not_waited_for() {
        assert!(policy(10).contains("quorum_percent = 81\n"));
        assert!(policy(0).contains("quorum_percent = 90\n"));
        assert!(policy(99).contains("quorum_percent = 1\n"));
    }
}
