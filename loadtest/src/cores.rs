//! `loadtest cores`: how long the gateway takes to send a rekey to all, with one socket and with as many as there are processors.
//!
//! Members leave what comes in their sockets while it is sent, so that all processors are the gateway's, and acknowledge after that.
//! What is measured is the time from the first datagram of a socket to its last: with several, each has its share of
//! the members, and they send at the same time.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;
use tokio::time::sleep;
use wardcast::group::ids::Epoch;

use crate::Failure;
use crate::crowd::{Crowd, Manner};
use crate::distribution::{median, rounded};
use crate::fanout::policy;
use crate::gateway::{Gateway, Setup};
use crate::live::Live;
use crate::report::{Progress, Report, cpu};
use crate::site::Site;

/// What the gateway tells of each rekey and socket.
const SENDING: &str = "wardcast_rekey_sending_seconds";
const SENT: &str = "wardcast_datagrams_sent_total";
/// How long members sleep: longer than a rekey takes to be sent, shorter than the gateway waits before it sends it again.
const ASLEEP: Duration = Duration::from_millis(180);

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Members, of whom all but one only acknowledge.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(100..=50_000))]
    members: u32,
    /// Rekeys that are measured with each number of sockets.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Members that connect at the same time.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    at_once: u32,
    #[command(flatten)]
    setup: Setup,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Cores {
    scenario: &'static str,
    ok: bool,
    members: u32,
    rounds: u32,
    one: Sending,
    several: Sending,
    /// How many times as long one socket takes.
    speedup: f64,
    /// What a datagram costs with several, against one.
    cpu_ratio: f64,
}

/// With some number of sockets.
#[derive(Debug, Serialize)]
struct Sending {
    sockets: u8,
    /// For each datagram of a rekey, all sockets together; the median of the rounds.
    us_per_datagram: f64,
    /// CPU of the gateway while it sends and is acknowledged, for each datagram.
    cpu_us_per_datagram: f64,
}

/// Runs both.
pub(crate) async fn run(arguments: &Arguments) -> Result<Cores, Failure> {
    let several = match arguments.setup.sockets {
        // As many as the gateway would have, if that is more than one.
        0 | 1 => std::thread::available_parallelism()?.get().clamp(2, 8) as u8,
        named => named,
    };
    let one = measure(arguments, 1).await?;
    let several = measure(arguments, several).await?;
    let speedup = one.us_per_datagram / several.us_per_datagram;
    Ok(Cores {
        scenario: "cores",
        ok: true,
        members: arguments.members,
        rounds: arguments.rounds,
        speedup: rounded(speedup),
        cpu_ratio: rounded(several.cpu_us_per_datagram / one.cpu_us_per_datagram),
        one,
        several,
    })
}

async fn measure(arguments: &Arguments, sockets: u8) -> Result<Sending, Failure> {
    let site = Site::make(arguments.members as usize)?;
    let setup = arguments.setup.with_sockets(sockets);
    let gateway = Gateway::start(&site, &setup, &policy()).await?;
    gateway.operator.create().await?;
    let manner = Manner::sampling(100);
    let crowd = Crowd::join(&site, gateway.address, arguments.at_once as usize, manner).await;
    let crowd = crowd.map_err(|failure| gateway.explained(failure))?;
    let mut live = Live { gateway, crowd };
    let measured = rounds(arguments, &mut live, sockets).await;
    measured.map_err(|failure| live.explained(failure))
}

async fn rounds(arguments: &Arguments, live: &mut Live, sockets: u8) -> Result<Sending, Failure> {
    live.settle(Epoch(1)).await?;
    let at_once = json!({ "batch_interval_ms": 1 });
    live.gateway.operator.set_policy(at_once).await?;
    // Two that do not count: the first one's channels may still be probed.
    for _ in 0..2 {
        round(live).await?;
    }
    let mut progress = Progress::begin("rekeys");
    let (mut times, mut cpu, mut datagrams) = (Vec::new(), Duration::ZERO, 0);
    for number in 0..arguments.rounds {
        let before = live.gateway.operator.counters().await?;
        let used = live.gateway.family_usage()?;
        round(live).await?;
        cpu += live.gateway.family_usage()?.since(&used).cpu;
        let after = live.gateway.operator.counters().await?;
        let sent = after.since(&before, SENT);
        let mean = after.mean_since(&before, SENDING);
        let mean = mean
            .filter(|_| sent > 0)
            .ok_or("nothing was sent by datagram")?;
        times.push(mean * 1e6 / sent as f64);
        datagrams += sent;
        progress.at(number as usize + 1, arguments.rounds as usize);
    }
    progress.end(&format!("{} rounds, sockets: {sockets}", arguments.rounds));
    Ok(Sending {
        sockets,
        us_per_datagram: rounded(median(times).ok_or("no rounds")?),
        cpu_us_per_datagram: rounded(cpu.as_secs_f64() * 1e6 / datagrams as f64),
    })
}

/// A rekey that is sent while members sleep, and acknowledged after that.
async fn round(live: &mut Live) -> Result<(), Failure> {
    let target = live.upcoming().await?;
    live.crowd.sleep(true);
    let began = Instant::now();
    live.gateway.operator.rotate().await?;
    sleep(ASLEEP).await;
    live.crowd.sleep(false);
    live.follow(target, began).await?;
    Ok(())
}

impl Report for Cores {
    fn rows(&self) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        for sending in [&self.one, &self.several] {
            let sockets = sending.sockets;
            let mut row = |what: &str, value: f64| {
                rows.push((format!("sockets: {sockets}, {what}"), cpu(value, None)));
            };
            row("time for a datagram", sending.us_per_datagram);
            row(
                "CPU for a datagram and its acknowledgement",
                sending.cpu_us_per_datagram,
            );
        }
        let ratio = |value: f64| format!("{value:.2}");
        rows.push((
            "one socket takes so many times as long".to_owned(),
            ratio(self.speedup),
        ));
        rows.push((
            "CPU with several, against one".to_owned(),
            ratio(self.cpu_ratio),
        ));
        rows
    }
}
