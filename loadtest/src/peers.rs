//! `loadtest peers`: the same push through what one would take instead, beside ours, in one run and in turns.
//!
//! Every payload has as many bytes as a real rekey of the run. What the peers do with it is less: none keeps a key, knows
//! who has the payload, or, but for etcd, has it on disk before it is sent.

mod client;
mod etcd;
pub(crate) mod floor;
pub(crate) mod host;
mod mqtt;
mod nats;
mod ours;
mod program;
mod report;
pub(crate) mod system;
mod tally;

use std::collections::BTreeMap;

use clap::ValueEnum;

use crate::Failure;
use crate::bare::Extent;
use crate::crowd;
use crate::gateway::Setup;
use crate::limits;
use crate::report::Progress;
use host::{Host, Order};
use report::{Figures, Manner, Peers, Ratio};
use system::{Kind, Turn};

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    extent: Extent,
    #[command(flatten)]
    setup: Setup,
    /// Only these systems, separated by commas; all if none is named.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Kind>,
    #[command(flatten)]
    manner: crowd::Manner,
    /// Bytes of a payload; those of wardcast's rekeys if not named.
    #[arg(long, value_parser = clap::value_parser!(u32).range(8..=1400))]
    bytes: Option<u32>,
    /// MQTT's quality of service.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=1))]
    qos: u8,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Runs all of it.
pub(crate) async fn run(arguments: &Arguments) -> Result<Peers, Failure> {
    let kinds = chosen(&arguments.only);
    if arguments.bytes.is_none() && !kinds.contains(&Kind::Wardcast) {
        return Err(
            "without wardcast nobody knows how long a rekey is: name the payload's length with --bytes"
                .into(),
        );
    }
    for wanted in kinds.iter().filter_map(|kind| kind.needs()) {
        wanted.find()?;
    }
    let Extent {
        members, rounds, ..
    } = arguments.extent;
    let members = members as usize;
    limits::require(members)?;
    let mut systems = Vec::new();
    for kind in kinds {
        systems.push(Host::start(kind).await?);
    }
    let payload_bytes = warm_up(&mut systems, arguments.bytes).await?;
    let turns = take_turns(&mut systems, payload_bytes, rounds).await?;

    let figures = systems.iter().map(|Host { kind, ready, .. }| {
        let turns = turns.get(kind).map_or(&[][..], Vec::as_slice);
        Ok((*kind, Figures::of(*kind, members, *ready, turns)?))
    });
    let ours = systems.iter().find(|host| host.kind == Kind::Wardcast);
    Ok(Peers {
        scenario: "peers",
        ok: true,
        members,
        rounds,
        payload_bytes,
        wardcast: ours.map(|host| Manner {
            real: host.ready.real,
            sampled: members - host.ready.real,
            batch_interval_ms: ours::BATCH_INTERVAL_MS,
        }),
        mqtt_quality_of_service: arguments.qos,
        systems: figures.collect::<Result<_, Failure>>()?,
        ratios: ratios(&turns),
    })
}

/// Ours comes first: what it sends says how long the others' payloads are.
fn chosen(only: &[Kind]) -> Vec<Kind> {
    let all = Kind::value_variants().iter().copied();
    all.filter(|kind| only.is_empty() || only.contains(kind))
        .collect()
}

/// A push through each that does not count: it sets up what later ones find ready. Returns the payload's bytes.
async fn warm_up(systems: &mut [Host], named: Option<u32>) -> Result<usize, Failure> {
    let mut length = named.map(|bytes| bytes as usize);
    for system in systems {
        // Ours needs no payload, and knows afterwards how long the others' are.
        let bytes = length.unwrap_or_default();
        let pushed = system.push(Order { number: 1, bytes }).await?;
        length = length.or(pushed.rekey_bytes);
    }
    Ok(length.ok_or("no system was chosen")?)
}

/// All rounds; in each, every system has a turn, and another one begins.
async fn take_turns(
    systems: &mut [Host],
    bytes: usize,
    rounds: u32,
) -> Result<BTreeMap<Kind, Vec<Turn>>, Failure> {
    let mut progress = Progress::begin("turns");
    let mut turns: BTreeMap<Kind, Vec<Turn>> = BTreeMap::new();
    for round in 0..rounds {
        // The first number was the warm-up's.
        let number = u64::from(round) + 2;
        for place in 0..systems.len() {
            let place = (place + round as usize) % systems.len();
            let system = &mut systems[place];
            let pushed = system.push(Order { number, bytes }).await?;
            turns.entry(system.kind).or_default().push(pushed.turn);
        }
        progress.at(round as usize + 1, rounds as usize);
    }
    progress.end(&format!("{rounds} rounds of {} systems", systems.len()));
    Ok(turns)
}

fn ratios(turns: &BTreeMap<Kind, Vec<Turn>>) -> BTreeMap<String, Ratio> {
    let Some(ours) = turns.get(&Kind::Wardcast) else {
        return BTreeMap::new();
    };
    let others = turns.iter().filter(|(kind, _)| **kind != Kind::Wardcast);
    let ratios = others.filter_map(|(kind, theirs)| {
        let ratio = Ratio::of(ours, theirs)?;
        Some((format!("wardcast_to_{}", kind.name()), ratio))
    });
    ratios.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_comes_first_whatever_was_named_first() {
        let named = [Kind::Floor, Kind::Wardcast];
        assert_eq!(chosen(&named), [Kind::Wardcast, Kind::Floor]);
        assert_eq!(chosen(&[]).len(), 5);
    }
}
