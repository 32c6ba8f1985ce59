//! `loadtest churn`: members come and go at random moments, whether or not the gateway keeps up.
//!
//! The moments are those of a Poisson process, laid down before anything is asked for, and the time is taken from them: who
//! waits because others are slow waits visibly.

mod crossing;
pub(crate) mod report;

use std::time::Duration;

use crate::Failure;
use crate::crowd::{Crowd, Manner};
use crate::fanout::policy;
use crate::gateway::{Gateway, Setup};
use crate::live::Live;
use crate::report::Progress;
use crate::site::Site;
use crate::usage::Usage;
use crossing::Crossing;
use report::Churn;
use wardcast::group::ids::Epoch;

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) changes: Changes,
    /// How long, in seconds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Who comes and goes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Changes {
    /// Members at the beginning; there are never more than twice, nor fewer than half as many.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(2..=8_000))]
    pub(crate) members: u32,
    /// Joins and leaves in a second, on average; as many of each.
    #[arg(long, default_value_t = 20.0)]
    pub(crate) rate: f64,
    /// What makes the moments and the choice of members; the same number, the same run.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) setup: Setup,
}

/// Looks at a gateway while it is under load.
pub(crate) trait Observe {
    /// Called about ten times a second.
    fn look(&mut self, live: &mut Live, since: Duration) -> Result<(), Failure>;
}

/// Does not look.
struct Unobserved;

impl Observe for Unobserved {
    fn look(&mut self, _: &mut Live, _: Duration) -> Result<(), Failure> {
        Ok(())
    }
}

/// Runs all of it.
pub(crate) async fn run(arguments: &Arguments) -> Result<Churn, Failure> {
    let lasts = Duration::from_secs(arguments.seconds.into());
    churn(&arguments.changes, lasts, &mut Unobserved).await
}

/// The same for as long as somebody looks.
pub(crate) async fn churn(
    changes: &Changes,
    lasts: Duration,
    observer: &mut impl Observe,
) -> Result<Churn, Failure> {
    if !(changes.rate > 0.0 && changes.rate <= 10_000.0) {
        return Err("--rate is more than 0 and at most 10000 changes a second".into());
    }
    let members = changes.members as usize;
    crate::limits::require(2 * members)?;
    let site = Site::make(2 * members)?;
    let gateway = Gateway::start(&site, &changes.setup, &policy()).await?;
    gateway.operator.create().await?;
    // All but the first only acknowledge, so that they are cheap and can be told to leave.
    let mut crowd = Crowd::outside(&site, gateway.address, Manner::sampling(100))?;
    let entered = crowd.enter(&site, members, 64).await;
    entered.map_err(|failure| gateway.explained(failure))?;
    let mut live = Live { gateway, crowd };
    let measured = measure(&mut live, &site, changes, lasts, observer).await;
    measured.map_err(|failure| live.explained(failure))
}

async fn measure(
    live: &mut Live,
    site: &Site,
    changes: &Changes,
    lasts: Duration,
    observer: &mut impl Observe,
) -> Result<Churn, Failure> {
    live.settle(Epoch(1)).await?;
    let own = std::process::id();
    let before = live.gateway.operator.counters().await?;
    let (server, generator) = (live.gateway.family_usage()?, Usage::of(own)?);
    let progress = Progress::begin("churn");
    let mut crossing = Crossing::new(site, live, changes);
    let changed = crossing.run(lasts, progress, observer).await?;
    // Whoever is there now must come to hold the newest epoch.
    let newest = live.gateway.operator.group().await?.epoch;
    live.settle(newest).await?;
    let after = live.gateway.operator.counters().await?;
    Churn::of(
        changes,
        lasts,
        changed,
        report::Counted {
            rekeys: after.since(&before, "wardcast_rekeys_total"),
            wraps: after.since(&before, "wardcast_token_wraps_total"),
            refusals: after.since(&before, "wardcast_refusals_total"),
        },
        report::Cpu {
            server: live.gateway.family_usage()?.since(&server).cpu,
            generator: Usage::of(own)?.since(&generator).cpu,
        },
    )
}
