//! `loadtest operate`: what operators do to a gateway while members are rekeyed: reload, other certificates, another log level, and a
//! drain to a gateway that is started again elsewhere. No member may lose a rekey by it.
//!
//! All members compute keys. Rekeys come at a fixed rate, and every member must hold every epoch, with the same key, but for those that
//! came while it was on its way from the gateway that went to the one that took its place: of these it must hold the newest, and
//! be back within the time that it was told and that there was no gateway.

mod members;
mod report;

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::{sleep, sleep_until};
use wardcast::group::ids::Epoch;

use crate::Failure;
use crate::gateway::{Gateway, Setup};
use crate::report::Progress;
use crate::site::Site;
use members::Members;
use report::{Counted, Operate, Phase};

/// Something is looked at so often.
const LOOK: Duration = Duration::from_millis(50);
/// How long a gateway may take for what it was asked to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest time that members are told to stay away: a second, a millisecond for each, and half as much again that they add.
const FIRST_BACK: Duration = Duration::from_secs(1);
/// What a handshake and a resume may take then, on a machine that all of them and the gateway share.
const SLACK: Duration = Duration::from_secs(5);

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Members, all of whom compute keys.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    members: u32,
    /// Rekeys in a second.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=20))]
    rate: u32,
    /// How long rekeys come before and after each thing that is done, in seconds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    #[command(flatten)]
    setup: Setup,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A run that is under way.
struct Run<'a> {
    arguments: &'a Arguments,
    site: Site,
    gateway: Gateway,
    members: Members,
    /// When each epoch was asked for.
    asked: Vec<(Epoch, Instant)>,
    phases: Vec<Phase>,
}

/// Nobody waits for anybody; each rekey is an epoch.
fn policy() -> String {
    "batch_interval_ms = 1\nactivation_delay_ms = 2000\nretirement_delay_ms = 10000\n\
     admit = [{ identity = \"cn:member-*\", roles = [\"both\"] }]\n"
        .to_owned()
}

/// Runs all of it.
pub(crate) async fn run(arguments: &Arguments) -> Result<Operate, Failure> {
    let count = arguments.members as usize;
    crate::limits::require(count)?;
    let site = Site::make(count)?;
    let gateway = Gateway::start(&site, &arguments.setup, &policy()).await?;
    gateway.operator.create().await?;
    let joined = Members::join(&site, gateway.address).await;
    let members = joined.map_err(|failure| gateway.explained(failure))?;
    let mut run = Run {
        arguments,
        site,
        gateway,
        members,
        asked: Vec::new(),
        phases: Vec::new(),
    };
    let operated = run.operate().await;
    operated.map_err(|failure| run.gateway.explained(failure))
}

impl Run<'_> {
    async fn operate(&mut self) -> Result<Operate, Failure> {
        let newest = self.gateway.operator.group().await?.epoch;
        self.members.hold(newest).await?;
        self.rekeys("nothing").await?;
        self.reload().await?;
        self.rekeys("reload").await?;
        self.certificates().await?;
        self.rekeys("certificates").await?;
        self.log().await?;
        self.rekeys("log level").await?;
        let lost = self
            .members
            .records()
            .iter()
            .map(|own| own.away.len())
            .sum();
        let gone = self.drain().await?;
        self.rekeys("drain").await?;
        self.members.back().await?;
        self.rekeys("after the drain").await?;
        let spread = Duration::from_millis(self.arguments.members.into());
        let counted = Counted {
            lost,
            gone,
            allowed: gone + (FIRST_BACK + spread).mul_f64(1.5) + SLACK,
        };
        Operate::of(&self.members.records(), &self.asked, &self.phases, counted)
    }

    /// Rekeys at the rate, each at its moment, whether or not the one before is with all; then all have them.
    async fn rekeys(&mut self, after: &'static str) -> Result<(), Failure> {
        let mut progress = Progress::begin(after);
        let rekeys = self.arguments.rate * self.arguments.seconds;
        let interval = Duration::from_secs(1) / self.arguments.rate;
        let mut newest = self.gateway.operator.group().await?.epoch;
        let (first, began) = (Epoch(newest.0 + 1), Instant::now());
        for number in 0..rekeys {
            let due = began + interval * number;
            sleep_until(due.into()).await;
            self.gateway.operator.rotate().await?;
            newest.0 += 1;
            self.asked.push((newest, due));
            self.delivered(newest).await?;
            progress.at(number as usize, rekeys as usize);
        }
        self.members.hold(newest).await?;
        progress.end(&format!("{rekeys} rekeys"));
        self.phases.push(Phase {
            after,
            first,
            last: newest,
        });
        Ok(())
    }

    /// Waits until the gateway has sent an epoch: two that are asked for while one is sealed are one.
    async fn delivered(&self, epoch: Epoch) -> Result<(), Failure> {
        let began = Instant::now();
        loop {
            let found = self.gateway.operator.group().await?.epoch;
            if found == epoch {
                return Ok(());
            }
            if found > epoch {
                return Err(format!("epoch {found} came where {epoch} was asked for").into());
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("epoch {epoch} is not delivered within {PATIENCE:?}").into());
            }
            sleep(Duration::from_millis(2)).await;
        }
    }

    async fn reload(&mut self) -> Result<(), Failure> {
        let path = self.site.folder().join("wardcast.toml");
        let text = std::fs::read_to_string(&path)?;
        std::fs::write(
            &path,
            text.replace("[listen]\n", "[listen]\npace_mbit_s = 900\n"),
        )?;
        let done: Value = self.gateway.operator.post("/v1/reload", None).await?;
        match done["applied"] == json!(["listen.pace_mbit_s"]) {
            true => Ok(()),
            false => Err(format!("another reload than was asked for: {done}").into()),
        }
    }

    /// Another certificate of the gateway, which it notices by itself.
    async fn certificates(&mut self) -> Result<(), Failure> {
        let before = self.gateway.operator.counters().await?;
        self.site.renew_server()?;
        let began = Instant::now();
        loop {
            let now = self.gateway.operator.counters().await?;
            if now.since(&before, "wardcast_reloads_total") > 0
                && !now.is("wardcast_configuration_refused", 1.0)
            {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                return Err("the gateway does not notice its new certificate".into());
            }
            sleep(LOOK).await;
        }
    }

    async fn log(&mut self) -> Result<(), Failure> {
        let wanted = json!({ "level": "warn,wardcast::quic=debug", "for_s": 2 });
        let _: Value = self.gateway.operator.post("/v1/log", Some(wanted)).await?;
        Ok(())
    }

    /// Sends all members to another address, with a rekey under way, and starts the gateway there; how long there was none.
    async fn drain(&mut self) -> Result<Duration, Failure> {
        let there = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let to = json!({ "to": [format!("localhost:{}", there.port())] });
        let newest = self.gateway.operator.group().await?.epoch;
        let began = Instant::now();
        self.gateway.operator.rotate().await?;
        let last = Epoch(newest.0 + 1);
        self.asked.push((last, began));
        let _: Value = self.gateway.operator.post("/v1/drain", Some(to)).await?;
        self.gateway.ended(PATIENCE).await?;
        // It was told to end only once all had it.
        self.members.hold(last).await?;
        self.phases.push(Phase {
            after: "the order to drain",
            first: last,
            last,
        });
        self.gateway
            .again(&self.site, &self.arguments.setup, there)
            .await?;
        Ok(began.elapsed())
    }
}
