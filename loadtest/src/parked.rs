//! `loadtest parked`: what a member costs the gateway that is current and has no connection.
//!
//! Members join a few at a time, and each is parked at once, so that the gateway's memory never holds many connections: what it
//! grows by from the first tenth of them to the last is what parked members take, all in. Then the group is rekeyed, and all
//! acknowledge. Many share a socket, for a port each would not do for more than some ten thousand; for the gateway that makes
//! no difference. One member is real, and shows the others what to acknowledge.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use wardcast::member::{Options, Sockets};

use crate::Failure;
use crate::gateway::{Gateway, Setup};
use crate::lean::{Lean, Real, Seat};
use crate::report::{self, Progress, Report};
use crate::site::Site;

/// How long nothing may happen before a run is given up.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often members say that they are there; the gateway's default asks for that every 20 s.
const ALIVE: Duration = Duration::from_secs(15);
/// How often the gateway is asked whether all have a rekey.
const LOOK: Duration = Duration::from_millis(100);

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many members are parked.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(20..=120_000))]
    members: u32,
    /// How often the group is rekeyed then.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rekeys: u32,
    /// Members that join at the same time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    at_once: u32,
    /// Members that share a socket.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    on_a_socket: u32,
    /// How long the group collects joins into one epoch, in milliseconds: each epoch goes to all who are parked already.
    #[arg(long, default_value_t = 100)]
    batch_ms: u32,
    /// Fail when a member takes more memory than so much, in KiB.
    #[arg(long, value_name = "KIB")]
    at_most: Option<f64>,
    #[command(flatten)]
    setup: Setup,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Parked {
    scenario: &'static str,
    ok: bool,
    members: u32,
    joins_per_s: f64,
    rss_kib_per_member: f64,
    rekeys: u32,
    /// Until the gateway knew that all have it; the median, which it was asked for every tenth of a second.
    all_ms: f64,
    server_cpu_us_per_delivery: f64,
    packets_out_per_delivery: f64,
    given_up: u64,
    /// What signs of life cost the gateway, above nothing at all, for each member and second.
    idle_cpu_us_per_member_s: f64,
}

/// Runs all of it.
pub(crate) async fn run(arguments: &Arguments) -> Result<Parked, Failure> {
    let site = Site::make(arguments.members as usize + 1)?;
    let mut gateway = Gateway::start(&site, &arguments.setup, &policy(arguments)).await?;
    gateway.operator.create().await?;
    let ran = on(arguments, &site, &mut gateway).await;
    ran.map_err(|failure| gateway.explained(failure))
}

fn policy(arguments: &Arguments) -> String {
    format!(
        "batch_interval_ms = {}\nactivation_delay_ms = 1000\nrekey_period_s = 0\n\
         admit = [{{ identity = \"cn:member-*\", roles = [\"receiver\"] }}]\n",
        arguments.batch_ms
    )
}

async fn on(arguments: &Arguments, site: &Site, gateway: &mut Gateway) -> Result<Parked, Failure> {
    let members = arguments.members;
    let real = Real::join(site, gateway.address, Sockets::default()).await?;
    let lean = Lean::new(real.held);
    lean.clone().live(ALIVE);
    let began = Instant::now();
    let first = members / 10;
    park(arguments, site, gateway, &lean, 1..first + 1).await?;
    let before = gateway.usage()?.resident;
    park(arguments, site, gateway, &lean, first + 1..members + 1).await?;
    let joined = began.elapsed().as_secs_f64();
    let resident = gateway.usage()?.resident;
    let each = resident.saturating_sub(before) as f64 / 1024.0 / f64::from(members - first);
    if let Some(most) = arguments.at_most.filter(|most| each > *most) {
        return Err(
            format!("a parked member takes {each:.2} KiB; at most {most} are allowed").into(),
        );
    }
    let idle = idle(gateway).await?;
    let before = gateway.operator.counters().await?;
    let (all_ms, cpu) = rekey(arguments, gateway).await?;
    let after = gateway.operator.counters().await?;
    let deliveries = f64::from(members) * f64::from(arguments.rekeys);
    let sent = after.since(&before, "wardcast_datagrams_sent_total")
        + after.since(&before, "wardcast_datagrams_resent_total");
    Ok(Parked {
        scenario: "parked",
        ok: true,
        members,
        joins_per_s: f64::from(members) / joined,
        rss_kib_per_member: each,
        rekeys: arguments.rekeys,
        all_ms,
        server_cpu_us_per_delivery: cpu.as_secs_f64() * 1e6 / deliveries,
        packets_out_per_delivery: sent as f64 / deliveries,
        given_up: after.since(&before, "wardcast_datagrams_given_up_total"),
        idle_cpu_us_per_member_s: idle / f64::from(members),
    })
}

/// These members join, and are parked.
async fn park(
    arguments: &Arguments,
    site: &Site,
    gateway: &Gateway,
    lean: &Arc<Lean>,
    members: Range<u32>,
) -> Result<(), Failure> {
    let mut progress = Progress::begin("members");
    let mut seat: Option<Seat> = None;
    let mut joining = JoinSet::new();
    for member in members {
        if joining.len() >= arguments.at_once as usize {
            joining.join_next().await.ok_or("nobody joins")???;
            progress.at(member as usize, arguments.members as usize);
        }
        if seat.is_none() || member % arguments.on_a_socket == 0 {
            seat = Some(lean.seat()?);
        }
        let seat = seat.clone().ok_or("there is a socket")?;
        let credentials = &site.members()[member as usize];
        let (credentials, trust) = (credentials.clone(), site.trust().clone());
        let options = Options::new(gateway.address, "localhost", credentials, trust);
        let lean = lean.clone();
        joining.spawn(async move {
            let joined = lean.clone().join(options, seat).await?;
            lean.park(joined).await
        });
    }
    while let Some(joined) = joining.join_next().await {
        joined??;
    }
    progress.end("are parked");
    Ok(())
}

/// What the gateway uses in a second while nothing happens but signs of life, in microseconds.
async fn idle(gateway: &mut Gateway) -> Result<f64, Failure> {
    let window = ALIVE / 3;
    let before = gateway.usage()?;
    sleep(window).await;
    let spent = gateway.usage()?.since(&before).cpu;
    Ok(spent.as_secs_f64() * 1e6 / window.as_secs_f64())
}

/// Rekeys the group; the median time until all have it, and what that cost.
async fn rekey(arguments: &Arguments, gateway: &mut Gateway) -> Result<(f64, Duration), Failure> {
    let mut progress = Progress::begin("rekeys");
    let (mut times, mut cpu) = (Vec::new(), Duration::ZERO);
    for rekey in 0..arguments.rekeys {
        let (start, began) = (gateway.usage()?, Instant::now());
        let before = gateway.operator.group().await?.epoch;
        gateway.operator.rotate().await?;
        let operator = &gateway.operator;
        let all_have_it = async {
            loop {
                let group = operator.group().await?;
                if group.epoch > before && group.acknowledged == group.members {
                    return Ok::<_, Failure>(());
                }
                sleep(LOOK).await;
            }
        };
        let done = timeout(PATIENCE, all_have_it).await;
        done.map_err(|_| "not all acknowledged a rekey")??;
        times.push(began.elapsed());
        cpu += gateway.usage()?.since(&start).cpu;
        progress.at(rekey as usize + 1, arguments.rekeys as usize);
    }
    progress.end(&format!("{} rekeys", arguments.rekeys));
    times.sort_unstable();
    Ok((times[times.len() / 2].as_secs_f64() * 1e3, cpu))
}

impl Report for Parked {
    fn rows(&self) -> Vec<(String, String)> {
        let row = |what: &str, value: String| (what.to_owned(), value);
        vec![
            row("members that are parked", self.members.to_string()),
            row(
                "joins and parkings a second",
                format!("{:.0}", self.joins_per_s),
            ),
            row(
                "memory a parked member",
                format!("{:.2} KiB", self.rss_kib_per_member),
            ),
            row(
                "CPU of signs of life, a member and second",
                format!("{:.2} us", self.idle_cpu_us_per_member_s),
            ),
            row(
                "a rekey until all are known to have it",
                format!("{:.0} ms (median of {})", self.all_ms, self.rekeys),
            ),
            row(
                "CPU a delivery",
                report::cpu(self.server_cpu_us_per_delivery, None),
            ),
            row(
                "datagrams a delivery",
                format!("{:.3}", self.packets_out_per_delivery),
            ),
            row("not reached by datagram", self.given_up.to_string()),
        ]
    }
}
