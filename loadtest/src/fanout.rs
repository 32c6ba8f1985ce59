//! `loadtest fanout`: one group, all its members, and how long and how much it takes until a new key is with all of them.

mod page;
mod report;

use std::path::PathBuf;
use std::time::Instant;

use wardcast::group::ids::Epoch;

use crate::Failure;
use crate::bare::{self, Extent};
use crate::counters::Counters;
use crate::crowd::{Crowd, Manner};
use crate::distribution::Latencies;
use crate::gateway::{Gateway, Setup};
use crate::live::{Live, Round};
use crate::report::Progress;
use crate::site::Site;
use crate::usage::Usage;
use page::Curves;
use report::{Cause, CauseReport, Fanout, Joins, Ratios, Size, Sizes, Summary, Trouble};

/// A cause a round is measured on: what the operator does.
const CAUSES: [Cause; 2] = [Cause::Rotate, Cause::Evict];
/// How long changes are collected before they become an epoch, in milliseconds: the usual time. A rotation waits for it.
const BATCH_INTERVAL_MS: u32 = 100;

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Members, each with a certificate of its own; several numbers, separated by commas, are as many runs.
    #[arg(long, value_delimiter = ',', default_value = "200", value_parser = clap::value_parser!(u32).range(1..=50_000))]
    members: Vec<u32>,
    /// Causes of each kind.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,
    /// Members that connect at the same time.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    at_once: u32,
    #[command(flatten)]
    setup: Setup,
    #[command(flatten)]
    manner: Manner,
    /// Rounds of each cause that are run before those that count.
    #[arg(long, default_value_t = 1, value_name = "ROUNDS", value_parser = clap::value_parser!(u32).range(0..=1_000))]
    warm_up: u32,
    /// Write a page with figures and plots to this file: deliveries over time, and CPU and memory by the number of members.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// One reading of the gateway.
struct Reading {
    usage: Usage,
    counters: Counters,
}

/// All members may join; they are unhurried about nothing else.
pub(crate) fn policy() -> String {
    format!(
        "batch_interval_ms = {BATCH_INTERVAL_MS}\nsender_id_bits = 24\n\
         admit = [{{ identity = \"cn:member-*\", roles = [\"both\", \"receiver\"] }}]\n"
    )
}

/// Runs all of it.
pub(crate) async fn run(arguments: &Arguments) -> Result<Sizes, Failure> {
    let fewest = arguments.members.iter().min().copied().unwrap_or(0);
    if arguments.rounds + arguments.warm_up >= fewest {
        return Err(
            "each round of evictions takes a member away: --rounds and --warm-up together must be less than --members"
                .into(),
        );
    }
    let most = arguments.members.iter().max().copied().unwrap_or(0);
    crate::limits::require(most as usize)?;
    let (mut sizes, mut curves) = (Vec::new(), Vec::new());
    for members in &arguments.members {
        let extent = Extent {
            members: *members,
            rounds: arguments.rounds,
            at_once: arguments.at_once,
        };
        let (size, curve) = run_size(arguments, extent).await?;
        sizes.push(size);
        curves.push(curve);
    }
    let sizes = Sizes(sizes);
    if let Some(file) = &arguments.report {
        page::write(file, &sizes, &curves)?;
    }
    Ok(sizes)
}

async fn run_size(arguments: &Arguments, extent: Extent) -> Result<(Fanout, Curves), Failure> {
    let setup = &arguments.setup;
    let members = extent.members as usize;
    let site = Site::make(members)?;
    let mut gateway = Gateway::start(&site, setup, &policy()).await?;
    gateway.operator.create().await?;
    let start = read(&mut gateway).await?;

    let began = Instant::now();
    let at_once = extent.at_once as usize;
    let crowd = Crowd::join(&site, gateway.address, at_once, arguments.manner).await;
    let seconds = began.elapsed().as_secs_f64();
    let crowd = crowd.map_err(|failure| gateway.explained(failure))?;
    let mut live = Live { gateway, crowd };
    let measured = measure(&mut live, arguments, &start, seconds).await;
    let Measured {
        joins,
        causes,
        trouble,
        curves,
    } = measured.map_err(|failure| live.explained(failure))?;

    let real = live.crowd.real();
    let bytes = live.crowd.rekey_bytes().ok_or("no rekey was observed")?;
    // It ends before the comparison begins: both have the machine to themselves.
    drop(live);
    let bare = bare::measure(&site, extent, bytes).await?;
    let fanout = Fanout {
        scenario: "fanout",
        ok: true,
        token: setup.token,
        size: Size {
            members,
            real,
            sampled: members - real,
            warm_up_rounds: arguments.warm_up,
        },
        batch_interval_ms: BATCH_INTERVAL_MS,
        summary: Summary::of(members, &joins, &causes),
        ratios: Ratios::of(&joins, &causes, &bare),
        joins,
        causes,
        trouble,
        bare,
    };
    Ok((fanout, curves))
}

/// What was measured of one size.
struct Measured {
    joins: Joins,
    causes: Vec<CauseReport>,
    trouble: Trouble,
    curves: Curves,
}

async fn read(gateway: &mut Gateway) -> Result<Reading, Failure> {
    let usage = gateway.usage()?;
    let counters = gateway.operator.counters().await?;
    Ok(Reading { usage, counters })
}

async fn measure(
    live: &mut Live,
    arguments: &Arguments,
    start: &Reading,
    seconds: f64,
) -> Result<Measured, Failure> {
    live.settle(Epoch(1)).await?;
    let joined = read(&mut live.gateway).await?;
    let members = live.gateway.operator.group().await?.members;
    let joins = Joins::between(members, seconds, start, &joined);
    live.crowd.rekey_bytes(); // of the joins: not what is compared
    let (mut causes, mut curves) = (Vec::new(), Vec::new());
    for cause in CAUSES {
        let (report, rounds) = measure_cause(live, cause, arguments).await?;
        let rounds = rounds.iter().map(|round| round.each.iter().copied());
        curves.push((cause, rounds.map(Latencies::from_iter).collect()));
        causes.push(report);
    }
    let end = read(&mut live.gateway).await?;
    Ok(Measured {
        joins,
        causes,
        trouble: Trouble::between(start, &end),
        curves,
    })
}

async fn measure_cause(
    live: &mut Live,
    cause: Cause,
    arguments: &Arguments,
) -> Result<(CauseReport, Vec<Round>), Failure> {
    let (rounds, warm_up) = (arguments.rounds, arguments.warm_up);
    for round in 0..warm_up {
        measure_round(live, cause, round).await?;
    }
    let mut progress = Progress::begin(cause.name());
    let before = read(&mut live.gateway).await?;
    let mut measured = Vec::new();
    for round in 0..rounds {
        measured.push(measure_round(live, cause, warm_up + round).await?);
        progress.at(round as usize + 1, rounds as usize);
    }
    let after = read(&mut live.gateway).await?;
    progress.end(&format!("{rounds} rounds after {warm_up} to warm up"));
    let report = CauseReport::of(cause, &measured, &before, &after)?;
    Ok((report, measured))
}

async fn measure_round(live: &mut Live, cause: Cause, round: u32) -> Result<Round, Failure> {
    let target = live.upcoming().await?;
    let began = Instant::now();
    match cause {
        Cause::Rotate => live.gateway.operator.rotate().await?,
        Cause::Evict => {
            let member = live.crowd.choose(round);
            let member = member.ok_or("nobody is left to be evicted")?;
            live.gateway.operator.evict(member).await?;
        }
    }
    live.follow(target, began).await
}
