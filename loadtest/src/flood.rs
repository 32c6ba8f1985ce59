//! `loadtest flood`: honest members' rekeys with and without hostile load, in turns.
//!
//! The load comes from a process of its own at a rate that is set: with few processors an unbounded one would only show
//! who gets the processor, not what the gateway does with what comes.

mod hello;
mod junk;
mod requests;
pub(crate) mod source;

use std::time::Duration;

use serde::Serialize;
use tokio::time::sleep;
use wardcast::group::ids::Epoch;

use crate::Failure;
use crate::crowd::{Crowd, Manner};
use crate::gateway::{Gateway, Setup};
use crate::live::Live;
use crate::paced::{self, Compared, Pace};
use crate::report::{Progress, Report};
use crate::site::Site;
use source::{Hostile, Sent};

/// How long what was begun in a flood may go on afterwards: the gateway's deadline for a handshake, and a little more.
const AFTERMATH: Duration = Duration::from_secs(11);

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Honest members.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(2..=19_000))]
    members: u32,
    /// What is thrown at the gateway in a second: half-open handshakes, garbage that looks like QUIC, garbage that looks
    /// like the push channel's, hostile requests; a quarter each.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(4..=200_000))]
    hostile_rate: u32,
    /// The share of members that acknowledge without computing keys, in percent; the report says so.
    #[arg(long, default_value_t = 95, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=99))]
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
pub(crate) struct Flood {
    scenario: &'static str,
    ok: bool,
    members: usize,
    /// Members that computed and confirmed every key.
    real: usize,
    hostile_rate: u32,
    #[serde(flatten)]
    compared: Compared,
    /// What was sent in all turns together.
    hostile: Sent,
    /// Processors that sending it took.
    hostile_processors: f64,
    met: Met,
}

/// What the gateway did about it.
#[derive(Clone, Copy, Debug, Serialize)]
struct Met {
    /// Handshakes whose address had to prove itself first.
    retries: u64,
    handshakes_refused: u64,
    datagrams_refused: u64,
    requests_refused: u64,
    /// QUIC's packets that had no room.
    packets_lost: u64,
}

/// Runs all of it.
pub(crate) async fn run(arguments: &Arguments) -> Result<Flood, Failure> {
    let members = arguments.members as usize;
    crate::limits::require(members)?;
    let site = Site::make(members)?;
    let gateway = Gateway::start(&site, &arguments.setup, &paced::policy(0)).await?;
    gateway.operator.create().await?;
    let manner = Manner::sampling(arguments.sampled);
    let at_once = arguments.at_once as usize;
    let crowd = Crowd::join(&site, gateway.address, at_once, manner).await;
    let crowd = crowd.map_err(|failure| gateway.explained(failure))?;
    let mut live = Live { gateway, crowd };
    let mut hostile = Hostile::start(&site, live.gateway.address, arguments.hostile_rate).await?;
    let measured = measure(&mut live, &mut hostile, arguments).await;
    measured.map_err(|failure| live.explained(failure))
}

async fn measure(
    live: &mut Live,
    hostile: &mut Hostile,
    arguments: &Arguments,
) -> Result<Flood, Failure> {
    let turns = arguments.pace.turns;
    live.settle(Epoch(1)).await?;
    let start = live.gateway.operator.counters().await?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    let (mut used, mut flooded) = (Duration::ZERO, Duration::ZERO);
    let mut progress = Progress::begin("turns");
    for turn in 0..turns {
        if turn > 0 {
            sleep(AFTERMATH).await;
        }
        without.push(paced::turn(live, arguments.pace).await?);
        let before = hostile.usage()?;
        let began = std::time::Instant::now();
        hostile.begin().await?;
        with.push(paced::turn(live, arguments.pace).await?);
        hostile.rest().await?;
        flooded += began.elapsed();
        used += hostile.usage()?.since(&before).cpu;
        progress.at(turn as usize + 1, turns as usize);
    }
    progress.end(&format!("{turns} of each kind"));
    let end = live.gateway.operator.counters().await?;
    let counted = |name| end.since(&start, name);
    Ok(Flood {
        scenario: "flood",
        ok: true,
        members: arguments.members as usize,
        real: live.crowd.real(),
        hostile_rate: arguments.hostile_rate,
        compared: Compared::of(&without, &with)?,
        hostile: hostile.sent(),
        hostile_processors: used.as_secs_f64() / flooded.as_secs_f64(),
        met: Met {
            retries: counted("wardcast_handshakes_retried_total"),
            handshakes_refused: counted("wardcast_handshakes_refused_total"),
            datagrams_refused: counted("wardcast_datagrams_refused_total"),
            requests_refused: counted("wardcast_refusals_total"),
            packets_lost: counted("wardcast_quic_packets_lost_total"),
        },
    })
}

impl Report for Flood {
    fn rows(&self) -> Vec<(String, String)> {
        let row = |name: &str, value: String| (name.to_owned(), value);
        let members = format!("{}, {} of them compute keys", self.members, self.real);
        let mut rows = vec![row("members", members)];
        rows.extend(self.compared.rows("at rest", "flooded", "p99 2"));
        let Sent {
            half_open,
            like_quic,
            like_channel,
            requests,
        } = self.hostile;
        rows.push(row(
            "thrown at the gateway",
            format!("{half_open} half-open handshakes, {requests} requests"),
        ));
        rows.push(row(
            "garbage",
            format!("{like_quic} like QUIC, {like_channel} like the push channel"),
        ));
        rows.push(row(
            "sending it took",
            format!("{:.2} processors", self.hostile_processors),
        ));
        let Met {
            retries,
            handshakes_refused,
            datagrams_refused,
            requests_refused,
            packets_lost,
        } = self.met;
        rows.push(row(
            "addresses that had to prove themselves",
            format!("{retries}, {handshakes_refused} refused"),
        ));
        rows.push(row(
            "refused",
            format!("{datagrams_refused} datagrams, {requests_refused} requests"),
        ));
        rows.push(row("QUIC's packets without room", packets_lost.to_string()));
        rows
    }
}
