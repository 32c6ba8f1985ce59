//! `loadtest slow`: members that read nothing, and what that does to the others.
//!
//! They take part in one turn of each pair and stall in the other; after that they read on, and how they catch up is counted.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::Failure;
use crate::crowd::{Crowd, Manner};
use crate::distribution::milliseconds;
use crate::gateway::{Gateway, Setup};
use crate::live::Live;
use crate::paced::{self, Compared, Pace};
use crate::report::{Progress, Report};
use crate::site::Site;
use wardcast::group::ids::Epoch;

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Members of the group.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(2..=50_000))]
    members: u32,
    /// How many of them stall, in percent; only sampled members do.
    #[arg(long, default_value_t = 10, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..=90))]
    stalled: u32,
    /// The share of members that acknowledge without computing keys, in percent; the report says so.
    #[arg(long, default_value_t = 95, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..=99))]
    sampled: u32,
    /// Members that join at the same time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    at_once: u32,
    #[command(flatten)]
    pace: Pace,
    #[command(flatten)]
    setup: Setup,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The result of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Slow {
    scenario: &'static str,
    ok: bool,
    members: usize,
    /// Members that computed and confirmed every key.
    real: usize,
    stalled: usize,
    #[serde(flatten)]
    compared: Compared,
    catch_up: CatchUp,
}

/// How those caught up that read again.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct CatchUp {
    /// How often a member read again.
    times: usize,
    /// Epochs that they were behind, at most.
    missed: u64,
    /// Deliveries by stream that brought news until the newest was there.
    deliveries_mean: f64,
    deliveries_max: u64,
    /// Until the last one had the newest epoch.
    all_ms_max: f64,
}

/// Runs all of it.
pub(crate) async fn run(arguments: &Arguments) -> Result<Slow, Failure> {
    let members = arguments.members as usize;
    crate::limits::require(members)?;
    if arguments.stalled > arguments.sampled {
        return Err("only sampled members stall: --stalled must not exceed --sampled".into());
    }
    let site = Site::make(members)?;
    let policy = paced::policy(arguments.stalled);
    let gateway = Gateway::start(&site, &arguments.setup, &policy).await?;
    gateway.operator.create().await?;
    let manner = Manner::sampling(arguments.sampled);
    let at_once = arguments.at_once as usize;
    let crowd = Crowd::join(&site, gateway.address, at_once, manner).await;
    let crowd = crowd.map_err(|failure| gateway.explained(failure))?;
    let mut live = Live { gateway, crowd };
    let measured = measure(&mut live, arguments).await;
    measured.map_err(|failure| live.explained(failure))
}

async fn measure(live: &mut Live, arguments: &Arguments) -> Result<Slow, Failure> {
    let Pace { turns, .. } = arguments.pace;
    let members = arguments.members as usize;
    let wanted = members * arguments.stalled as usize / 100;
    live.settle(Epoch(1)).await?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    let mut tally = Tally::default();
    let mut stalled = 0;
    let mut progress = Progress::begin("turns");
    for turn in 0..turns {
        // Each kind is the first of a pair as often as the other: what the one before left over falls on both.
        for stalls in [turn % 2 == 1, turn % 2 == 0] {
            if !stalls {
                without.push(paced::turn(live, arguments.pace).await?);
                continue;
            }
            let before = live.upcoming().await?;
            stalled = live.crowd.stall(wanted.max(1));
            with.push(paced::turn(live, arguments.pace).await?);
            catch_up(live, before, &mut tally).await?;
        }
        progress.at(turn as usize + 1, turns as usize);
    }
    progress.end(&format!("{turns} of each kind, {stalled} members stalled"));
    Ok(Slow {
        scenario: "slow",
        ok: true,
        members,
        real: live.crowd.real(),
        stalled,
        compared: Compared::of(&without, &with)?,
        catch_up: tally.total(),
    })
}

/// What was counted as members caught up.
#[derive(Default)]
struct Tally {
    deliveries: Vec<u64>,
    missed: u64,
    took: Duration,
}

impl Tally {
    fn total(&self) -> CatchUp {
        let times = self.deliveries.len();
        let sum: u64 = self.deliveries.iter().sum();
        CatchUp {
            times,
            missed: self.missed,
            deliveries_mean: sum as f64 / times.max(1) as f64,
            deliveries_max: self.deliveries.iter().copied().max().unwrap_or(0),
            all_ms_max: milliseconds(self.took),
        }
    }
}

/// Lets the stalled members read on, and waits until they have what the others have.
async fn catch_up(live: &mut Live, before: Epoch, tally: &mut Tally) -> Result<(), Failure> {
    let newest = Epoch(live.upcoming().await?.0 - 1);
    let began = Instant::now();
    let members = live.crowd.read_on();
    live.crowd.hold(newest, began).await?;
    tally.took = tally.took.max(began.elapsed());
    tally.missed = tally.missed.max(newest.0 + 1 - before.0);
    tally.deliveries.extend(live.crowd.caught_up_by(&members));
    // Their channels are probed anew, and the gateway knows that they are there.
    live.settle(newest).await
}

impl Report for Slow {
    fn rows(&self) -> Vec<(String, String)> {
        let row = |name: &str, value: String| (name.to_owned(), value);
        let members = format!(
            "{}, {} of them compute keys, {} stall",
            self.members, self.real, self.stalled
        );
        let mut rows = vec![row("members", members)];
        rows.extend(self.compared.rows("all read", "some stall", "p99 1.1"));
        let CatchUp {
            times,
            missed,
            deliveries_mean,
            deliveries_max,
            all_ms_max,
        } = self.catch_up;
        rows.push(row(
            "they read on",
            format!("{times} times, after {missed} epochs"),
        ));
        rows.push(row(
            "deliveries until they are current",
            format!("mean {deliveries_mean:.2}, at most {deliveries_max}"),
        ));
        rows.push(row(
            "until all of them are current",
            format!("{all_ms_max:.0} ms at most"),
        ));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn catching_up_is_counted_over_all_turns() {
        let tally = Tally {
            deliveries: vec![1, 1, 2],
            missed: 9,
            took: Duration::from_millis(30),
        };
        let total = tally.total();
        assert_eq!((total.times, total.deliveries_max), (3, 2));
        assert!((total.deliveries_mean - 4.0 / 3.0).abs() < 1e-9);
        assert_eq!(Tally::default().total().deliveries_mean, 0.0);
    }
}
