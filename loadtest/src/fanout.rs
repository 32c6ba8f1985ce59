//! `loadtest fanout`: one group, all its members, and how long and how much it takes until a new key is with all of them.

mod report;

use std::time::Instant;

use wardcast::group::ids::Epoch;

use crate::Failure;
use crate::bare::{self, Extent};
use crate::counters::Counters;
use crate::crowd::Crowd;
use crate::gateway::{Gateway, Setup};
use crate::report::Progress;
use crate::site::Site;
use crate::usage::Usage;
use report::{Cause, CauseReport, Fanout, Joins, Ratios, Round, Trouble};

/// A cause a round is measured on: what the operator does.
const CAUSES: [Cause; 2] = [Cause::Rotate, Cause::Evict];
/// All members may join; they are unhurried about nothing else.
const POLICY: &str =
    "sender_id_bits = 24\nadmit = [{ identity = \"cn:member-*\", roles = [\"both\"] }]\n";

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    extent: Extent,
    #[command(flatten)]
    setup: Setup,
    /// The share of members that acknowledge without computing keys, in percent; the report says so.
    #[arg(long, default_value_t = 0, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=99))]
    sampled: u32,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// One reading of the gateway.
struct Reading {
    usage: Usage,
    counters: Counters,
}

/// A run that is under way.
struct Run {
    gateway: Gateway,
    crowd: Crowd,
}

/// Runs all of it.
pub(crate) async fn run(arguments: &Arguments) -> Result<Fanout, Failure> {
    let Arguments { extent, setup, .. } = arguments;
    let members = extent.members as usize;
    if extent.rounds >= extent.members {
        return Err(
            "each round of evictions takes a member away: --rounds must be less than --members"
                .into(),
        );
    }
    let site = Site::make(members)?;
    let mut gateway = Gateway::start(&site, setup, POLICY).await?;
    gateway.operator.create().await?;
    let start = read(&mut gateway).await?;

    let began = Instant::now();
    let at_once = extent.at_once as usize;
    let crowd = Crowd::join(&site, gateway.address, at_once, arguments.sampled).await;
    let seconds = began.elapsed().as_secs_f64();
    let crowd = crowd.map_err(|failure| explained(failure, &gateway))?;
    let mut run = Run { gateway, crowd };
    let measured = run.measure(extent.rounds, &start, seconds).await;
    let (joins, causes, trouble) = measured.map_err(|failure| explained(failure, &run.gateway))?;

    let real = run.crowd.real();
    let bytes = run.crowd.rekey_bytes().ok_or("no rekey was observed")?;
    // It ends before the comparison begins: both have the machine to themselves.
    drop(run);
    let bare = bare::measure(&site, *extent, bytes).await?;
    let ratios = Ratios::of(&joins, &causes, &bare);
    Ok(Fanout {
        scenario: "fanout",
        ok: true,
        token: setup.token,
        members,
        real,
        sampled: members - real,
        joins,
        causes,
        trouble,
        bare,
        ratios,
    })
}

fn explained(failure: Failure, gateway: &Gateway) -> Failure {
    format!(
        "{failure}\nthe end of the gateway's log:\n{}",
        gateway.last_words()
    )
    .into()
}

async fn read(gateway: &mut Gateway) -> Result<Reading, Failure> {
    let usage = gateway.usage()?;
    let counters = gateway.operator.counters().await?;
    Ok(Reading { usage, counters })
}

impl Run {
    async fn measure(
        &mut self,
        rounds: u32,
        start: &Reading,
        seconds: f64,
    ) -> Result<(Joins, Vec<CauseReport>, Trouble), Failure> {
        self.settle(Epoch(1)).await?;
        let joined = read(&mut self.gateway).await?;
        let members = self.gateway.operator.group().await?.members;
        let joins = Joins::between(members, seconds, start, &joined);
        self.crowd.rekey_bytes(); // of the joins: not what is compared
        let mut causes = Vec::new();
        for cause in CAUSES {
            causes.push(self.cause(cause, rounds).await?);
        }
        let end = read(&mut self.gateway).await?;
        Ok((joins, causes, Trouble::between(start, &end)))
    }

    async fn cause(&mut self, cause: Cause, rounds: u32) -> Result<CauseReport, Failure> {
        let mut progress = Progress::begin(cause.name());
        let before = read(&mut self.gateway).await?;
        let mut measured = Vec::new();
        for round in 0..rounds {
            measured.push(self.round(cause, round).await?);
            progress.at(round as usize + 1, rounds as usize);
        }
        let after = read(&mut self.gateway).await?;
        progress.end(&format!("{rounds} rounds"));
        CauseReport::of(cause, &measured, &before, &after)
    }

    async fn round(&mut self, cause: Cause, round: u32) -> Result<Round, Failure> {
        let Run { gateway, crowd } = self;
        let target = Epoch(gateway.operator.group().await?.epoch.0 + 1);
        let began = Instant::now();
        match cause {
            Cause::Rotate => gateway.operator.rotate().await?,
            Cause::Evict => {
                let member = crowd.choose(round).ok_or("nobody is left to be evicted")?;
                gateway.operator.evict(member).await?;
            }
        }
        let each = crowd.hold(target, began).await?;
        let view = self.acknowledged(target).await?;
        let all = began.elapsed();
        self.crowd.send(view).await?;
        Ok(Round { all, each })
    }

    /// Waits until the gateway has everybody's acknowledgement of an epoch that is at least this one.
    async fn acknowledged(&mut self, target: Epoch) -> Result<Epoch, Failure> {
        loop {
            let view = self.gateway.operator.group().await?;
            if view.epoch >= target && view.acknowledged == view.members {
                return Ok(view.epoch);
            }
            // A newer one may have come in between.
            self.crowd.hold(view.epoch, Instant::now()).await?;
        }
    }

    /// Waits until nothing is under way any more.
    async fn settle(&mut self, target: Epoch) -> Result<(), Failure> {
        self.crowd.hold(target, Instant::now()).await?;
        let epoch = self.acknowledged(target).await?;
        self.crowd.send(epoch).await
    }
}
