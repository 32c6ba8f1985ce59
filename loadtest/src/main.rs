//! Load generator for Wardcast: runs a gateway in a process of its own, puts real members on it, and measures.

mod bare;
mod churn;
mod cores;
mod counters;
mod crowd;
mod distribution;
mod fanout;
mod flood;
mod gateway;
mod lean;
mod limits;
mod live;
mod model;
mod multicast;
mod operate;
mod operator;
mod paced;
mod parked;
mod peers;
mod plot;
mod report;
mod returns;
mod site;
mod slow;
mod soak;
mod sockets;
mod storm;
mod token;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What ends a run early: it is told to a person, who is the only one to act on it.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Loads a Wardcast gateway and reports what that costs.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// One group: how long and how much it takes until a new key is with all members, and what joining takes.
    ///
    /// Each member that computes keys has a socket of its own in this process: the hard limit of open files must allow for them.
    Fanout(fanout::Arguments),
    /// The same push through what one would take instead, beside ours, in one run and in turns: NATS, MQTT, etcd, and
    /// a bare loop over UDP as the floor.
    Peers(peers::Arguments),
    /// How long the gateway takes to send a rekey with one socket and with several.
    Cores(cores::Arguments),
    /// Some members read nothing: what that does to the others' rekeys, in turns, and how they catch up.
    Slow(slow::Arguments),
    /// All members arrive at once: joins a second, and what a join costs beside a bare handshake.
    Storm(storm::Arguments),
    /// Members come and go at random moments: how long each waits, and what a change costs.
    Churn(churn::Arguments),
    /// Members come and go for a long time: fails when the gateway's memory or open files grow.
    Soak(soak::Arguments),
    /// Half-open handshakes, garbage and hostile requests: what they do to honest members' rekeys, in turns.
    Flood(flood::Arguments),
    /// Reload, other certificates, another log level and a drain while members are rekeyed: fails when one loses a rekey by it.
    Operate(operate::Arguments),
    /// What a rekey costs a gateway whose members listen to a multicast, by how many they are.
    Multicast(multicast::Arguments),
    /// What a member costs the gateway that is current and has no connection.
    Parked(parked::Arguments),
    /// What groups past this machine need, computed from what was measured, and from trees of that size.
    Model(model::Arguments),
    /// Measures quinn alone: what any gateway over QUIC pays.
    Bare {
        #[command(flatten)]
        extent: bare::Extent,
        /// Bytes of each push.
        #[arg(long, default_value_t = 400)]
        bytes: usize,
        /// Print one JSON object instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// The process that the gateway is compared with; started by the other scenarios.
    #[command(hide = true)]
    BareServer {
        /// Where its certificates are.
        directory: PathBuf,
    },
    /// One system of `peers` with its subscribers; started by it.
    #[command(hide = true)]
    PeersSystem {
        kind: peers::system::Kind,
        #[command(flatten)]
        arguments: peers::Arguments,
    },
    /// Where hostile load comes from; started by `flood`.
    #[command(hide = true)]
    FloodSource(flood::source::Target),
    /// The bare loop's process; started by `peers`.
    #[command(hide = true)]
    FloorServer,
}

#[tokio::main]
async fn main() -> ExitCode {
    limits::raise_open_files();
    let outcome = match Arguments::parse().scenario {
        Scenario::Fanout(arguments) => shown(fanout::run(&arguments).await, arguments.json),
        Scenario::Peers(arguments) => shown(peers::run(&arguments).await, arguments.json),
        Scenario::Cores(arguments) => shown(cores::run(&arguments).await, arguments.json),
        Scenario::Slow(arguments) => shown(slow::run(&arguments).await, arguments.json),
        Scenario::Storm(arguments) => shown(storm::run(&arguments).await, arguments.json),
        Scenario::Churn(arguments) => shown(churn::run(&arguments).await, arguments.json),
        Scenario::Soak(arguments) => shown(soak::run(&arguments).await, arguments.json),
        Scenario::Flood(arguments) => shown(flood::run(&arguments).await, arguments.json),
        Scenario::FloodSource(target) => flood::source::serve(&target).await,
        Scenario::Operate(arguments) => shown(operate::run(&arguments).await, arguments.json),
        Scenario::Multicast(arguments) => shown(multicast::run(&arguments).await, arguments.json),
        Scenario::Parked(arguments) => shown(parked::run(&arguments).await, arguments.json),
        Scenario::Model(arguments) => shown(model::run(&arguments), arguments.json),
        Scenario::Bare {
            extent,
            bytes,
            json,
        } => run_bare(extent, bytes, json).await,
        Scenario::BareServer { directory } => bare::server::serve(&directory).await,
        Scenario::PeersSystem { kind, arguments } => peers::host::serve(kind, &arguments).await,
        Scenario::FloorServer => peers::floor::server::serve(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("loadtest: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn shown(result: Result<impl report::Report, Failure>, json: bool) -> Result<(), Failure> {
    report::print(&result?, json)
}

async fn run_bare(extent: bare::Extent, bytes: usize, json: bool) -> Result<(), Failure> {
    let site = site::Site::make(extent.members as usize)?;
    report::print(&bare::measure(&site, extent, bytes).await?, json)
}
