//! `loadtest multicast`: what a rekey costs the gateway when its members listen to a multicast, by their number.
//!
//! Each size has a gateway of its own. One member is real and listens on the loopback interface; the others have a connection, a
//! channel and a place in the tree, and report as members do that hear everything. Rekeys are measured against a quiet time of the
//! same length right before: what connections and reports cost is in both. Members that joined soon after each other keep their
//! connections alive at the same moment: they do so equally often in each of these times, or it would be counted as
//! a rekey's.

use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};
use wardcast::member::{Options, Sockets};

use crate::Failure;
use crate::counters::Counters;
use crate::distribution::median;
use crate::gateway::{Gateway, Setup};
use crate::lean::{Lean, Real};
use crate::report::{self, Progress, Report};
use crate::site::Site;

/// Where the group multicasts: on this machine alone.
const ADDRESS: &str = "239.77.5.1:7471";
const INTERFACE: &str = "lo";
/// How long nothing may happen before a run is given up.
const PATIENCE: Duration = Duration::from_secs(120);
/// A gateway drops a connection that is silent for three times as long.
const LONGEST_KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Often enough that a report of each member falls into a run, rare enough to be as in service.
const REPORT: Duration = Duration::from_secs(30);

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many members listen, one run for each; the first is what the others are compared with.
    #[arg(long, value_delimiter = ',', default_value = "10,10000", value_parser = clap::value_parser!(u32).range(2..))]
    members: Vec<u32>,
    /// How often rekeys are measured against a quiet time.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Rekeys of a round.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    rekeys: u32,
    /// Milliseconds between two of them.
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u32).range(100..))]
    every_ms: u32,
    /// Members that join at the same time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    at_once: u32,
    /// Fail when a rekey of any size costs more than so many times one of the first.
    #[arg(long, value_name = "TIMES")]
    at_most: Option<f64>,
    #[command(flatten)]
    setup: Setup,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Multicast {
    scenario: &'static str,
    ok: bool,
    sizes: Vec<Size>,
    /// The dearest size's rekey against the first one's.
    ratio: f64,
}

/// One group.
#[derive(Debug, Serialize)]
struct Size {
    members: u32,
    rekeys: u64,
    /// CPU of gateway and token host for one rekey, above what they use in quiet; the median of the rounds.
    cpu_us_per_rekey: f64,
    /// What they use in quiet, for each second.
    quiet_cpu_us_per_s: f64,
    multicast_per_rekey: f64,
    /// To single members.
    datagrams_per_rekey: f64,
    by_stream: u64,
    /// All of them, quiet times too, for each second.
    reports_per_s: f64,
    /// By the real member, of so many.
    heard: u64,
}

/// One round.
struct Round {
    quiet: Duration,
    busy: Duration,
    rekeys: u64,
}

/// Runs all of it.
pub(crate) async fn run(arguments: &Arguments) -> Result<Multicast, Failure> {
    let mut sizes = Vec::new();
    for &members in &arguments.members {
        sizes.push(measure(arguments, members).await?);
    }
    let costs = sizes.iter().map(|size| size.cpu_us_per_rekey);
    let dearest = costs.fold(0.0, f64::max);
    let first = sizes.first().ok_or("no sizes to measure")?;
    let ratio = dearest / first.cpu_us_per_rekey;
    if let Some(most) = arguments.at_most.filter(|most| ratio > *most) {
        return Err(format!(
            "a rekey costs {ratio:.2} times as much; at most {most} is allowed: {sizes:?}"
        )
        .into());
    }
    Ok(Multicast {
        scenario: "multicast",
        ok: true,
        sizes,
        ratio,
    })
}

/// All members may join, and listen; rekeys follow each other soon.
fn policy() -> String {
    format!(
        "batch_interval_ms = 1\nactivation_delay_ms = 50\nmulticast = \"{ADDRESS}\"\n\
         admit = [{{ identity = \"cn:member-*\", roles = [\"receiver\"] }}]\n\n\
         [multicast]\ninterface = \"{INTERFACE}\"\nreport_s = {}\n",
        REPORT.as_secs()
    )
}

async fn measure(arguments: &Arguments, members: u32) -> Result<Size, Failure> {
    let site = Site::make(members as usize)?;
    let mut gateway = Gateway::start(&site, &arguments.setup, &policy()).await?;
    gateway.operator.create().await?;
    let ran = on(arguments, &site, &mut gateway, members).await;
    ran.map_err(|failure| gateway.explained(failure))
}

async fn on(
    arguments: &Arguments,
    site: &Site,
    gateway: &mut Gateway,
    members: u32,
) -> Result<Size, Failure> {
    let mut progress = Progress::begin("joins");
    let sockets = Sockets {
        multicast: Some(INTERFACE.to_owned()),
        ..Sockets::default()
    };
    let real = Real::join(site, gateway.address, sockets).await?;
    let lean = Lean::new(real.held.clone());
    let mut joining = JoinSet::new();
    for (joined, credentials) in site.members().iter().enumerate().skip(1) {
        if joining.len() >= arguments.at_once as usize {
            joining.join_next().await.ok_or("nobody joins")???;
            progress.at(joined, members as usize);
        }
        let (credentials, trust) = (credentials.clone(), site.trust().clone());
        let options = Options {
            keep_alive: keep_alive(window(arguments)),
            ..Options::new(gateway.address, "localhost", credentials, trust)
        };
        let (own, seat) = (lean.clone(), lean.seat()?);
        joining.spawn(async move {
            match own.join(options, seat).await?.multicast {
                true => Ok::<_, Failure>(()),
                false => Err("the gateway does not multicast".into()),
            }
        });
    }
    while let Some(joined) = joining.join_next().await {
        joined??;
    }
    lean.hear().await;
    lean.report(REPORT * 3 / 4);
    all_listen(gateway, members).await?;
    progress.end(&format!("{members} members listen"));

    let mut progress = Progress::begin("rekeys");
    let (began, start) = (Instant::now(), gateway.operator.counters().await?);
    let mut rounds = Vec::new();
    for round in 0..arguments.rounds {
        rounds.push(measure_round(arguments, gateway).await?);
        progress.at(round as usize + 1, arguments.rounds as usize);
    }
    let end = gateway.operator.counters().await?;
    let seconds = began.elapsed().as_secs_f64();
    progress.end(&format!("{} rounds", arguments.rounds));
    let newest = gateway.operator.group().await?.epoch;
    let mut held = real.held.clone();
    timeout(PATIENCE, held.wait_for(|held| *held >= newest))
        .await
        .map_err(|_| format!("the real member does not hold epoch {newest}"))??;
    let counted = |name: &str| end.since(&start, name);
    let rekeys: u64 = rounds.iter().map(|round| round.rekeys).sum();
    let each = |name: &str| counted(name) as f64 / rekeys as f64;
    let quiet: Duration = rounds.iter().map(|round| round.quiet).sum();
    let quiet_for = window(arguments) * arguments.rounds;
    let cpu = median(rounds.iter().map(Round::cpu_us).collect());
    Ok(Size {
        members,
        rekeys,
        cpu_us_per_rekey: cpu.ok_or("there are rounds")?,
        quiet_cpu_us_per_s: quiet.as_secs_f64() * 1e6 / quiet_for.as_secs_f64(),
        multicast_per_rekey: each("wardcast_multicast_datagrams_sent_total")
            + each("wardcast_multicast_datagrams_repeated_total"),
        datagrams_per_rekey: each("wardcast_datagrams_sent_total"),
        by_stream: counted("wardcast_multicast_given_up_total"),
        reports_per_s: counted("wardcast_multicast_reports_total") as f64 / seconds,
        heard: *real.heard.borrow(),
    })
}

/// Waits until the gateway has been told by all that they listen.
async fn all_listen(gateway: &Gateway, members: u32) -> Result<(), Failure> {
    let began = Instant::now();
    let none = Counters::default();
    loop {
        let counters = gateway.operator.counters().await?;
        let listen = counters.since(&none, "wardcast_multicast_listeners_total");
        if listen >= u64::from(members) {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("{listen} of {members} members listen").into());
        }
        sleep(Duration::from_millis(200)).await;
    }
}

fn window(arguments: &Arguments) -> Duration {
    Duration::from_millis(u64::from(arguments.every_ms) * u64::from(arguments.rekeys))
}

/// Equally often in each of these times.
fn keep_alive(window: Duration) -> Duration {
    let times = window.as_millis().div_ceil(LONGEST_KEEP_ALIVE.as_millis());
    window / u32::try_from(times).unwrap_or(u32::MAX)
}

async fn measure_round(arguments: &Arguments, gateway: &mut Gateway) -> Result<Round, Failure> {
    let window = window(arguments);
    let start = gateway.family_usage()?;
    sleep(window).await;
    let before = gateway.family_usage()?;
    let epoch = gateway.operator.group().await?.epoch;
    let began = tokio::time::Instant::now();
    for rekey in 1..=arguments.rekeys {
        gateway.operator.rotate().await?;
        sleep_until(began + window * rekey / arguments.rekeys).await;
    }
    let after = gateway.family_usage()?;
    let rekeys = gateway.operator.group().await?.epoch.0 - epoch.0;
    if rekeys == 0 {
        return Err("nothing was rekeyed".into());
    }
    Ok(Round {
        quiet: before.since(&start).cpu,
        busy: after.since(&before).cpu,
        rekeys,
    })
}

impl Round {
    fn cpu_us(&self) -> f64 {
        let more = self.busy.as_secs_f64() - self.quiet.as_secs_f64();
        more * 1e6 / self.rekeys as f64
    }
}

impl Report for Multicast {
    fn rows(&self) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        for size in &self.sizes {
            let members = size.members;
            let mut row = |what: &str, value: String| {
                rows.push((format!("{members} members: {what}"), value));
            };
            row(
                "CPU for a rekey, above quiet",
                report::cpu(size.cpu_us_per_rekey, None),
            );
            row(
                "CPU in quiet, a second",
                report::cpu(size.quiet_cpu_us_per_s, None),
            );
            row(
                "multicast datagrams a rekey",
                format!("{:.2}", size.multicast_per_rekey),
            );
            row(
                "datagrams to single members a rekey",
                format!("{:.2}", size.datagrams_per_rekey),
            );
            row("brought up to date by stream", size.by_stream.to_string());
            row("reports a second", format!("{:.1}", size.reports_per_s));
            row(
                "rekeys, and heard by the real member",
                format!("{}, {}", size.rekeys, size.heard),
            );
        }
        rows.push((
            "the dearest rekey against the first".to_owned(),
            format!("{:.2}", self.ratio),
        ));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_window_has_more_keep_alives_than_another() {
        let of = |seconds| keep_alive(Duration::from_secs(seconds));
        assert_eq!(
            [5, 10, 15].map(of),
            [5_000, 10_000, 7_500].map(Duration::from_millis)
        );
    }

    #[test]
    fn a_rekey_costs_what_is_above_quiet_and_the_median_round_counts() {
        let round = |busy_ms| Round {
            quiet: Duration::from_millis(10),
            busy: Duration::from_millis(busy_ms),
            rekeys: 10,
        };
        let costs: Vec<f64> = [30, 20, 900].map(|busy| round(busy).cpu_us()).to_vec();
        assert!((costs[0] - 2_000.0).abs() < 1e-6);
        assert!((median(costs).expect("two") - 2_000.0).abs() < 1e-6);
    }
}
