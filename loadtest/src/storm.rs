//! `loadtest storm`: all members arrive at once, as after a power cut, beside as many handshakes with quinn alone.
//!
//! Each round has a gateway of its own, in which one member waits already: it shows the others what is pushed. When all are in,
//! some of them connect once more, and again: the second time their session is resumed.

use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::sleep;
use wardcast::group::ids::Epoch;

use crate::Failure;
use crate::bare::{self, Bare, Extent};
use crate::counters::Counters;
use crate::crowd::{Crowd, Manner, Sampled};
use crate::distribution::{Latencies, Quantiles, median, rounded};
use crate::fanout::policy;
use crate::gateway::{Gateway, Setup};
use crate::live::Live;
use crate::report::{self, Progress, Report};
use crate::returns::{self, Returns};
use crate::site::Site;
use crate::usage::Usage;

/// Bytes of the bare server's pushes, which are no part of what is compared.
const BARE_BYTES: usize = 400;
/// Handshakes of the bare server at a time. It refuses none: of very many at once it loses packets and does the work twice,
/// and would be cheaply outdone.
const BARE_AT_ONCE: u32 = 512;
/// The most of them: one costs the same among more, and this process would need a file more for each.
const BARE_MOST: u32 = 4_000;

/// How long the last acknowledgements are waited for, which count as the gateway's work.
const SETTLE: Duration = Duration::from_millis(300);

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Members that arrive at once.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    members: u32,
    /// Storms, each on a gateway of its own.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    #[command(flatten)]
    setup: Setup,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The result of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Storm {
    scenario: &'static str,
    ok: bool,
    members: usize,
    rounds: usize,
    /// Until the last one was granted its keys; the median of the rounds.
    joins_per_s: f64,
    /// From the moment all arrived until a member was granted its keys.
    granted: Quantiles,
    refused: Refused,
    cpu: Cpu,
    /// The gateway's CPU for a join divided by that of a bare handshake; the median of the rounds.
    cpu_ratio: f64,
    /// Epochs that those were pushed who were in already, for each join; the medians of the rounds.
    pushes_per_join: Pushes,
    /// The medians of the rounds; the counts of all.
    returns: Returns,
}

/// Who had to come back.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Refused {
    /// Times that a member was told to, by QUIC or by the gateway, or lost its connection before it was in.
    refusals: u64,
    /// Addresses that had to prove themselves first.
    retries: u64,
    failed_handshakes: u64,
}

/// By datagram, once more by datagram, and by stream.
#[derive(Clone, Copy, Debug, Serialize)]
struct Pushes {
    by_datagram: f64,
    again: f64,
    by_stream: f64,
}

impl Pushes {
    fn between(before: &Counters, after: &Counters, joins: usize) -> Self {
        let each = |name: &str| after.since(before, name) as f64 / joins.max(1) as f64;
        Pushes {
            by_datagram: each("wardcast_datagrams_sent_total"),
            again: each("wardcast_datagrams_resent_total"),
            by_stream: each("wardcast_pushes_total"),
        }
    }
}

/// CPU time, in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
struct Cpu {
    /// Of the gateway and its token host: handshake, grant, channel, and the epochs pushed to those who are in already.
    server_us_per_join: f64,
    /// Of a server that is quinn alone with the same TLS configuration.
    bare_us_per_handshake: f64,
    /// Of this process, where all members are.
    generator_us_per_join: f64,
}

/// What one storm took.
struct Round {
    granted: Latencies,
    took: Duration,
    server: Duration,
    generator: Duration,
    refused: Refused,
    pushes: Pushes,
    returns: Returns,
}

/// Runs all of it.
pub(crate) async fn run(arguments: &Arguments) -> Result<Storm, Failure> {
    let members = arguments.members as usize;
    crate::limits::require(members + 1)?;
    let handshakes = arguments.members.min(BARE_MOST) + 1;
    let extent = Extent {
        members: handshakes,
        rounds: 1,
        at_once: BARE_AT_ONCE.min(handshakes),
    };
    let mut rounds = Vec::new();
    let mut progress = Progress::begin("storms");
    for round in 0..arguments.rounds {
        let site = Site::make(members + 1)?;
        let storm = storm(&site, &arguments.setup).await?;
        let bare = bare::measure(&site, extent, BARE_BYTES).await?;
        rounds.push((storm, bare));
        progress.at(round as usize + 1, arguments.rounds as usize);
    }
    progress.end(&format!("{} storms of {members} members", arguments.rounds));
    Storm::of(members, &rounds)
}

async fn storm(site: &Site, setup: &Setup) -> Result<Round, Failure> {
    let gateway = Gateway::start(site, setup, &policy()).await?;
    gateway.operator.create().await?;
    let mut crowd = Crowd::outside(site, gateway.address, Manner::sampling(100))?;
    crowd.enter(site, 1, 1).await?;
    let mut live = Live { gateway, crowd };
    let round = arrive(&mut live, site).await;
    round.map_err(|failure| live.explained(failure))
}

async fn arrive(live: &mut Live, site: &Site) -> Result<Round, Failure> {
    live.settle(Epoch(1)).await?;
    let own = std::process::id();
    let before = live.gateway.operator.counters().await?;
    let (server, generator) = (live.gateway.family_usage()?, Usage::of(own)?);
    let began = Instant::now();
    let mut joining: JoinSet<Result<(usize, Sampled), Failure>> = JoinSet::new();
    for member in 1..site.members().len() {
        let door = live.crowd.door();
        let options = door.options(site, member);
        joining.spawn(async move { Ok((member, door.sampled(options, member).await?)) });
    }
    let mut granted = Latencies::default();
    let (mut took, mut refusals) = (Duration::ZERO, 0);
    while let Some(joined) = joining.join_next().await {
        let (member, sampled) = joined??;
        let after = sampled.granted.saturating_duration_since(began);
        granted.record(after);
        took = took.max(after);
        refusals += u64::from(sampled.refusals);
        live.crowd.seat(member, sampled);
    }
    // What is still pushed belongs to the joins, and all must come to hold what the gateway has. A registration whose answer
    // was lost with its connection acknowledges nothing: the gateway's own count is not waited for.
    let newest = live.gateway.operator.group().await?.epoch;
    live.crowd.hold(newest, Instant::now()).await?;
    sleep(SETTLE).await;
    let after = live.gateway.operator.counters().await?;
    let (server, generator) = (
        live.gateway.family_usage()?.since(&server).cpu,
        Usage::of(own)?.since(&generator).cpu,
    );
    Ok(Round {
        granted,
        took,
        server,
        generator,
        pushes: Pushes::between(&before, &after, site.members().len() - 1),
        returns: returns::measure(live, site).await?,
        refused: Refused {
            refusals,
            retries: after.since(&before, "wardcast_handshakes_retried_total"),
            failed_handshakes: after.since(&before, "wardcast_handshakes_failed_total"),
        },
    })
}

impl Storm {
    fn of(members: usize, rounds: &[(Round, Bare)]) -> Result<Self, Failure> {
        let mut granted = Latencies::default();
        rounds
            .iter()
            .for_each(|(storm, _)| granted.add(&storm.granted));
        let middle = |value: &dyn Fn(&Round, &Bare) -> f64| {
            let values = rounds.iter().map(|(storm, bare)| value(storm, bare));
            median(values.collect())
                .map(rounded)
                .ok_or("no round was run")
        };
        let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / members.max(1) as f64;
        let total = |count: fn(&Refused) -> u64| {
            rounds.iter().map(|(storm, _)| count(&storm.refused)).sum()
        };
        Ok(Storm {
            scenario: "storm",
            ok: true,
            members,
            rounds: rounds.len(),
            joins_per_s: middle(&|storm, _| members as f64 / storm.took.as_secs_f64())?,
            granted: granted.quantiles().ok_or("nobody joined")?,
            refused: Refused {
                refusals: total(|refused| refused.refusals),
                retries: total(|refused| refused.retries),
                failed_handshakes: total(|refused| refused.failed_handshakes),
            },
            cpu: Cpu {
                server_us_per_join: middle(&|storm, _| each(storm.server))?,
                bare_us_per_handshake: middle(&|_, bare| bare.cpu_us_per_handshake)?,
                generator_us_per_join: middle(&|storm, _| each(storm.generator))?,
            },
            cpu_ratio: middle(&|storm, bare| each(storm.server) / bare.cpu_us_per_handshake)?,
            returns: Returns {
                first_us: middle(&|storm, _| storm.returns.first_us)?,
                resumed_us: middle(&|storm, _| storm.returns.resumed_us)?,
                ratio: middle(&|storm, _| storm.returns.ratio)?,
                resumed: rounds.iter().map(|(storm, _)| storm.returns.resumed).sum(),
                of: rounds.iter().map(|(storm, _)| storm.returns.of).sum(),
            },
            pushes_per_join: Pushes {
                by_datagram: middle(&|storm, _| storm.pushes.by_datagram)?,
                again: middle(&|storm, _| storm.pushes.again)?,
                by_stream: middle(&|storm, _| storm.pushes.by_stream)?,
            },
        })
    }
}

impl Report for Storm {
    fn rows(&self) -> Vec<(String, String)> {
        let row = |name: &str, value: String| (name.to_owned(), value);
        let Refused {
            refusals,
            retries,
            failed_handshakes,
        } = self.refused;
        let pushes = self.pushes_per_join;
        let us = |microseconds: f64| format!("{microseconds:.0} us");
        vec![
            row(
                "members",
                format!("{} that only acknowledge, at once", self.members),
            ),
            row("storms", self.rounds.to_string()),
            row("joins", format!("{:.0}/s", self.joins_per_s)),
            row(
                "until a member is granted its keys",
                report::quantiles(&self.granted),
            ),
            row(
                "told to come back",
                format!(
                    "{refusals}, {retries} addresses to prove, {failed_handshakes} handshakes failed"
                ),
            ),
            row(
                "pushes to those who are in, per join",
                format!(
                    "{:.1} by datagram and {:.1} again, {:.1} by stream",
                    pushes.by_datagram, pushes.again, pushes.by_stream
                ),
            ),
            row("server CPU per join", us(self.cpu.server_us_per_join)),
            row(
                "bare server CPU per handshake",
                us(self.cpu.bare_us_per_handshake),
            ),
            row("generator CPU per join", us(self.cpu.generator_us_per_join)),
            row(
                "server CPU per join to bare handshake",
                format!("{:.2} (goal 1.5)", self.cpu_ratio),
            ),
            row(
                "server CPU per connection, first and again",
                format!(
                    "{} and {}: {:.2}, {} of {} resumed",
                    us(self.returns.first_us),
                    us(self.returns.resumed_us),
                    self.returns.ratio,
                    self.returns.resumed,
                    self.returns.of
                ),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(server_ms: u64, took_ms: u64) -> (Round, Bare) {
        let quantiles = Quantiles::of(&[Duration::from_millis(1)]).expect("there is a sample");
        let round = Round {
            granted: [Duration::from_millis(took_ms)].into_iter().collect(),
            took: Duration::from_millis(took_ms),
            server: Duration::from_millis(server_ms),
            generator: Duration::from_millis(4),
            refused: Refused {
                refusals: 1,
                ..Refused::default()
            },
            pushes: Pushes {
                by_datagram: 2.0,
                again: 0.0,
                by_stream: 1.0,
            },
            returns: Returns {
                first_us: 2.0,
                resumed_us: 1.0,
                ratio: 0.5,
                resumed: 9,
                of: 10,
            },
        };
        let bare = Bare {
            handshakes_per_second: 1.0,
            cpu_us_per_handshake: 1000.0,
            payload_bytes: BARE_BYTES,
            all_answered: quantiles,
            cpu_us_per_delivery: 1.0,
            kernel_share: None,
            bytes_per_connection: 1,
        };
        (round, bare)
    }

    #[test]
    fn the_middle_round_counts_and_refusals_add_up() {
        let rounds = [round(3, 100), round(2, 50), round(90, 200)];
        let storm = Storm::of(2, &rounds).expect("there are rounds");
        assert_eq!((storm.cpu_ratio, storm.joins_per_s), (1.5, 20.0));
        assert_eq!(storm.cpu.server_us_per_join, 1500.0);
        assert_eq!((storm.refused.refusals, storm.granted.samples), (3, 3));
        let returns = (storm.returns.resumed, storm.returns.of);
        assert_eq!((storm.returns.ratio, returns), (0.5, (27, 30)));
        assert_eq!(storm.pushes_per_join.by_datagram, 2.0);
        assert!(Storm::of(2, &[]).is_err());
    }
}
