//! One system under measure: which there are, how each is started and connected to, and one push through it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::client::{Caller, connect_all};
use super::floor::Floor;
use super::ours::{self, Joined, Ours};
use super::program::{Program, Wanted, free_port};
use super::tally::Tally;
use super::{Arguments, etcd, mqtt, nats};
use crate::Failure;
use crate::site::Site;
use crate::usage::Usage;

/// How long a round's trailing work is waited for, which counts as the server's.
const SETTLE: Duration = Duration::from_millis(200);
/// How long a server is watched at rest, at least: while others have their turns. Some systems keep connections alive often.
const REST: Duration = Duration::from_millis(500);

/// Which systems there are, in the order of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// This gateway; each member acknowledges.
    Wardcast,
    /// NATS core publish over TLS.
    Nats,
    /// MQTT over TLS.
    Mosquitto,
    /// A key of etcd, watched over TLS.
    Etcd,
    /// A bare loop over UDP; each receiver acknowledges.
    Floor,
}

impl Kind {
    /// As it is shown.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Wardcast => "wardcast",
            Kind::Nats => "nats",
            Kind::Mosquitto => "mosquitto",
            Kind::Etcd => "etcd",
            Kind::Floor => "floor",
        }
    }

    /// The program that it needs besides ours.
    pub(super) fn needs(self) -> Option<Wanted> {
        match self {
            Kind::Nats => Some(nats::SERVER),
            Kind::Mosquitto => Some(mqtt::SERVER),
            Kind::Etcd => Some(etcd::SERVER),
            Kind::Wardcast | Kind::Floor => None,
        }
    }

    /// Whether the sender comes to know who has a push.
    pub(super) fn acknowledges(self) -> bool {
        matches!(self, Kind::Wardcast | Kind::Floor)
    }
}

/// What one push took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Turn {
    pub(super) took: Duration,
    pub(super) acked: usize,
    /// CPU seconds that the server took in each second before, when nothing was pushed.
    pub(super) idle: f64,
    /// CPU time of the server, less what it takes at rest.
    pub(super) server: Duration,
    /// CPU time of this process, where all subscribers are.
    pub(super) generator: Duration,
    /// None of a system that sends no datagrams.
    pub(super) datagrams: Option<Datagrams>,
}

/// Datagrams of a push, as the server counts them.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Datagrams {
    pub(super) sent: u64,
    pub(super) received: u64,
}

/// A system with all its subscribers.
pub(super) struct System {
    /// Resident memory that the server gained as they connected, in bytes.
    pub(super) grew: u64,
    /// Subscribers that connected in a second.
    pub(super) joins_per_s: Option<f64>,
    pub(super) way: Way,
    /// When the last turn ended, and what the server had used by then.
    ended: (Instant, Usage),
}

/// How a push goes.
pub(super) enum Way {
    Wardcast(Box<Joined>),
    Broker(Box<Broker>),
    Floor(Box<Floor>),
}

/// A peer's server, and who publishes to it.
pub(super) struct Broker {
    program: Program,
    publisher: Publisher,
    tally: Arc<Tally>,
}

enum Publisher {
    Nats(nats::Publisher),
    Mqtt(mqtt::Publisher),
    Etcd(etcd::Publisher),
}

impl System {
    /// Starts the server and lets all subscribers connect.
    pub(super) async fn start(
        kind: Kind,
        site: &Site,
        arguments: &Arguments,
    ) -> Result<Self, Failure> {
        let at_once = arguments.extent.at_once as usize;
        let (began, before, mut way) = match kind {
            Kind::Wardcast => {
                let mut ours = Ours::start(site, &arguments.setup).await?;
                let (began, before) = (Instant::now(), ours.usage()?);
                let joined = ours
                    .join(site, at_once, ours::manner(arguments.manner))
                    .await?;
                (Some(began), before, Way::Wardcast(Box::new(joined)))
            }
            Kind::Floor => {
                let mut floor = Floor::start(site.members().len()).await?;
                let before = floor.usage()?;
                floor.connect().await?;
                (None, before, Way::Floor(Box::new(floor)))
            }
            Kind::Nats | Kind::Mosquitto | Kind::Etcd => {
                let mut program = start_program(kind, site).await?;
                let (began, before) = (Instant::now(), program.usage()?);
                let connected = connect(kind, site, arguments, &program).await;
                let (publisher, tally) = connected.map_err(|failure| program.explained(failure))?;
                let broker = Broker {
                    program,
                    publisher,
                    tally,
                };
                (Some(began), before, Way::Broker(Box::new(broker)))
            }
        };
        let members = site.members().len() as f64;
        let joins_per_s = began.map(|began| members / began.elapsed().as_secs_f64());
        sleep(SETTLE).await;
        let connected = way.usage()?;
        let grew = connected.resident.saturating_sub(before.resident);
        Ok(System {
            grew,
            joins_per_s,
            way,
            ended: (Instant::now(), connected),
        })
    }

    /// One push of this payload to all; wardcast's own is as long.
    pub(super) async fn turn(&mut self, payload: &[u8]) -> Result<Turn, Failure> {
        if let Way::Wardcast(joined) = &mut self.way {
            joined.prepare().await?;
        }
        let (since, used) = &self.ended;
        sleep(REST.saturating_sub(since.elapsed())).await;
        let (rested, before) = (since.elapsed(), self.way.usage()?);
        let idle = before.since(used).cpu.as_secs_f64() / rested.as_secs_f64();
        let own = std::process::id();
        let (server, generator) = (self.way.usage()?, Usage::of(own)?);
        let began = Instant::now();
        let (took, acked) = self.way.push(payload).await?;
        sleep(SETTLE).await;
        let (elapsed, after) = (began.elapsed(), self.way.usage()?);
        let spent = after.since(&server).cpu;
        let generator = Usage::of(own)?.since(&generator).cpu;
        let datagrams = match &mut self.way {
            Way::Wardcast(joined) => Some(joined.datagrams().await?),
            Way::Floor(_) => Some(Datagrams {
                sent: acked as u64, // each once: a push that not all acknowledged has failed
                received: acked as u64,
            }),
            Way::Broker(_) => None,
        };
        // What counting took is no rest.
        self.ended = (Instant::now(), self.way.usage()?);
        Ok(Turn {
            took,
            acked,
            server: spent.saturating_sub(elapsed.mul_f64(idle)),
            idle,
            generator,
            datagrams,
        })
    }
}

impl Way {
    fn usage(&mut self) -> Result<Usage, Failure> {
        match self {
            Way::Wardcast(joined) => joined.usage(),
            Way::Broker(broker) => broker.program.usage(),
            Way::Floor(floor) => floor.usage(),
        }
    }

    async fn push(&mut self, payload: &[u8]) -> Result<(Duration, usize), Failure> {
        let began = Instant::now();
        match self {
            Way::Wardcast(joined) => joined.push().await,
            Way::Broker(broker) => {
                let pushed = broker.push(payload).await;
                pushed.map_err(|failure| broker.program.explained(failure))?;
                Ok((began.elapsed(), 0))
            }
            Way::Floor(floor) => {
                let acked = floor.push(payload).await?;
                Ok((began.elapsed(), acked))
            }
        }
    }
}

impl Broker {
    async fn push(&mut self, payload: &[u8]) -> Result<(), Failure> {
        self.tally.expect(payload);
        match &mut self.publisher {
            Publisher::Nats(publisher) => publisher.publish(payload).await?,
            Publisher::Mqtt(publisher) => publisher.publish(payload).await?,
            Publisher::Etcd(publisher) => publisher.publish(payload).await?,
        }
        self.tally.all().await
    }
}

async fn start_program(kind: Kind, site: &Site) -> Result<Program, Failure> {
    let wanted = kind.needs().ok_or("it is no program of its own")?;
    let port = free_port()?;
    let folder = site.folder();
    let configured = match kind {
        Kind::Nats => nats::configure(folder, port)?,
        Kind::Mosquitto => mqtt::configure(folder, port)?,
        _ => etcd::configure(folder, port)?,
    };
    Program::start(wanted, folder, port, configured).await
}

/// Lets all subscribe, and one publish.
async fn connect(
    kind: Kind,
    site: &Site,
    arguments: &Arguments,
    program: &Program,
) -> Result<(Publisher, Arc<Tally>), Failure> {
    let quality = arguments.qos;
    let tally = Arc::new(Tally::new(site.members().len()));
    let at_once = arguments.extent.at_once as usize;
    let address = program.address;
    let subscribe = |caller| {
        let tally = tally.clone();
        async move {
            match kind {
                Kind::Nats => nats::subscribe(caller, tally).await,
                Kind::Mosquitto => mqtt::subscribe(caller, quality, tally).await,
                _ => etcd::subscribe(caller, tally).await,
            }
        }
    };
    connect_all(kind.name(), site, address, at_once, subscribe).await?;
    let caller = Caller {
        address,
        credentials: site.operator().clone(),
        trust: site.trust().clone(),
    };
    let publisher = match kind {
        Kind::Nats => Publisher::Nats(nats::Publisher::connect(&caller).await?),
        Kind::Mosquitto => Publisher::Mqtt(mqtt::Publisher::connect(&caller, quality).await?),
        _ => Publisher::Etcd(etcd::Publisher::connect(&caller).await?),
    };
    Ok((publisher, tally))
}
