//! `loadtest model`: what groups past this machine need, computed from what was measured on it.
//!
//! Every cost is an argument, whose default says where it was measured. The core's terms are not assumed: a tree of the size
//! asked for is built and an eviction planned in it, up to a million members. Assumed is that cores and gateways share the
//! members of a group: today one gateway serves it, and one thread sends.

use std::time::Instant;

use serde::Serialize;
use wardcast::group::edges::{Edge, chunks};
use wardcast::group::ids::MemberId;
use wardcast::group::planner::{Change, plan};
use wardcast::group::tree::Tree;

use crate::Failure;
use crate::report::{Progress, Report};

/// Members that join in one batch while the tree is built.
const BATCH: u64 = 1_000;
/// The largest tree that is built; beyond it the terms grow by one level for each four times as many members.
const LARGEST_TREE: u64 = 1_000_000;
/// IPv4 and UDP before each datagram, in bytes.
const HEADERS: f64 = 28.0;
/// An acknowledgement, in bytes.
const ACKNOWLEDGEMENT: f64 = 29.0;
/// A pushed edge, in bytes: its names and 40 bytes of ciphertext. Most members need one of an eviction.
const EDGE: f64 = 54.0;

/// What to compute.
#[derive(Clone, Copy, Debug, clap::Args, Serialize)]
pub(crate) struct Costs {
    /// Server CPU of one acknowledged delivery by datagram, in microseconds (`loadtest peers --members 10000`).
    #[arg(long, default_value_t = 12.1)]
    delivery_us: f64,
    /// Server CPU of a join, handshake and grant included, in microseconds (`loadtest fanout --members 1000`).
    #[arg(long, default_value_t = 1_090.0)]
    join_us: f64,
    /// Server CPU of a connection at rest, in microseconds a second (`loadtest peers --members 10000`).
    #[arg(long, default_value_t = 9.2)]
    rest_us: f64,
    /// Server memory of a connected member, in KiB (`loadtest peers --members 10000`).
    #[arg(long, default_value_t = 42.0)]
    member_kib: f64,
    /// Bytes of a rekey without edges, as a datagram (`loadtest peers`).
    #[arg(long, default_value_t = 266.0)]
    rekey_bytes: f64,
    /// Wraps a second of the token (`cargo bench --bench hsm_pool`, SoftHSM).
    #[arg(long, default_value_t = 18_900.0)]
    wraps_per_second: f64,
    /// Cores of a gateway's machine.
    #[arg(long, default_value_t = 16)]
    cores: u32,
    /// Memory of a gateway's machine, in GiB.
    #[arg(long, default_value_t = 64)]
    memory_gib: u32,
    /// The time in which a rekey is to be with all members, in milliseconds.
    #[arg(long, default_value_t = 1_000.0)]
    within_ms: f64,
}

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Members of one group, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "100000,1000000,10000000",
          value_parser = clap::value_parser!(u64).range(4..=100_000_000))]
    members: Vec<u64>,
    #[command(flatten)]
    costs: Costs,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What the core does for one eviction, in a tree that was built.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Core {
    /// Members of that tree.
    members: u64,
    /// Key wraps of an eviction.
    wraps: usize,
    /// Different datagrams of its rekey: the chunks, and one for all others.
    datagrams: usize,
    plan_us: f64,
    tree_bytes_per_member: f64,
}

/// What a group needs.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Need {
    members: u64,
    /// Wraps of an eviction: measured, and one level's more for each level that no tree here has.
    wraps: f64,
    token_ms_per_eviction: f64,
    /// Of a rekey to all.
    cpu_seconds_per_rekey: f64,
    /// To deliver a rekey in the time asked for.
    cores: f64,
    sent_mbit_per_second: f64,
    received_mbit_per_second: f64,
    memory_gib: f64,
    cores_at_rest: f64,
    /// CPU of all joining once, in seconds.
    join_cpu_seconds: f64,
    /// Machines of the size asked for.
    gateways: f64,
}

/// The result.
#[derive(Debug, Serialize)]
pub(crate) struct Model {
    scenario: &'static str,
    ok: bool,
    costs: Costs,
    core: Vec<Core>,
    needs: Vec<Need>,
}

/// Computes all of it.
pub(crate) fn run(arguments: &Arguments) -> Result<Model, Failure> {
    let costs = arguments.costs;
    let (mut core, mut needs) = (Vec::new(), Vec::new());
    for &members in &arguments.members {
        let measured = measure(members.min(LARGEST_TREE))?;
        needs.push(Need::of(members, &measured, &costs));
        core.push(measured);
    }
    core.dedup_by_key(|core| core.members);
    Ok(Model {
        scenario: "model",
        ok: true,
        costs,
        core,
        needs,
    })
}

/// Builds a tree and plans the eviction of a member in its middle.
fn measure(members: u64) -> Result<Core, Failure> {
    let mut progress = Progress::begin("tree");
    let mut tree = Tree::new();
    for first in (0..members).step_by(BATCH as usize) {
        let joins = (first..members.min(first + BATCH)).map(MemberId).collect();
        let change = Change {
            joins,
            ..Change::default()
        };
        let joined = plan(&tree, &change).map_err(|why| format!("{why:?}"))?;
        tree.apply(&joined.diff).map_err(|why| format!("{why:?}"))?;
        progress.at(first as usize, members as usize);
    }
    let tree_bytes_per_member = tree.heap_bytes() as f64 / members as f64;
    let change = Change {
        leaves: vec![(members / 2) as u32],
        ..Change::default()
    };
    let began = Instant::now();
    let evicted = plan(&tree, &change).map_err(|why| format!("{why:?}"))?;
    let plan_us = began.elapsed().as_secs_f64() * 1e6;
    tree.apply(&evicted.diff)
        .map_err(|why| format!("{why:?}"))?;
    let edges: Vec<Edge> = evicted
        .rekey
        .iter()
        .map(|edge| Edge::new(*edge, [0; 40]))
        .collect();
    let chunks = chunks(&tree, &edges);
    progress.end(&format!("{members} members, one evicted"));
    Ok(Core {
        members,
        wraps: edges.len(),
        datagrams: chunks.len() + 1,
        plan_us,
        tree_bytes_per_member,
    })
}

impl Need {
    fn of(members: u64, core: &Core, costs: &Costs) -> Self {
        let count = members as f64;
        // Four times as many members are one level more, and four wraps.
        let levels = (count / core.members as f64).log(4.0).max(0.0).ceil();
        let wraps = core.wraps as f64 + 4.0 * levels;
        let cpu = count * costs.delivery_us / 1e6;
        let seconds = costs.within_ms / 1e3;
        let datagram = costs.rekey_bytes + EDGE + HEADERS;
        let mbit = |bytes: f64| count * bytes * 8.0 / 1e6 / seconds;
        let memory_gib =
            count * (costs.member_kib * 1024.0 + core.tree_bytes_per_member) / f64::from(1 << 30);
        let at_rest = count * costs.rest_us / 1e6;
        let cores = cpu / seconds + at_rest;
        let by_memory = memory_gib / f64::from(costs.memory_gib);
        let by_cores = cores / f64::from(costs.cores);
        Need {
            members,
            wraps,
            token_ms_per_eviction: wraps / costs.wraps_per_second * 1e3,
            cpu_seconds_per_rekey: cpu,
            cores,
            sent_mbit_per_second: mbit(datagram),
            received_mbit_per_second: mbit(ACKNOWLEDGEMENT + HEADERS),
            memory_gib,
            cores_at_rest: at_rest,
            join_cpu_seconds: count * costs.join_us / 1e6,
            gateways: by_memory.max(by_cores).ceil(),
        }
    }

    fn rows(&self, costs: &Costs) -> Vec<(String, String)> {
        let row = |what: &str, value: String| (format!("{}: {what}", self.members), value);
        vec![
            row(
                "token, an eviction",
                format!(
                    "{:.0} wraps, {:.1} ms",
                    self.wraps, self.token_ms_per_eviction
                ),
            ),
            row(
                "CPU, a rekey",
                format!("{:.1} s", self.cpu_seconds_per_rekey),
            ),
            row(
                &format!("cores, for a rekey within {} ms", costs.within_ms),
                format!(
                    "{:.1}, of them {:.1} at rest",
                    self.cores, self.cores_at_rest
                ),
            ),
            row(
                "network meanwhile",
                format!(
                    "{:.0} Mbit/s out, {:.0} in",
                    self.sent_mbit_per_second, self.received_mbit_per_second
                ),
            ),
            row(
                "memory, all connected",
                format!("{:.1} GiB", self.memory_gib),
            ),
            row("CPU, all join", format!("{:.0} s", self.join_cpu_seconds)),
            row(
                &format!(
                    "gateways of {} cores, {} GiB",
                    costs.cores, costs.memory_gib
                ),
                format!("{:.0}", self.gateways),
            ),
        ]
    }
}

impl Report for Model {
    fn rows(&self) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        for core in &self.core {
            let row =
                |what: &str, value: String| (format!("a tree of {}: {what}", core.members), value);
            rows.push(row(
                "an eviction",
                format!(
                    "{} wraps, {} datagrams, {:.0} us to plan",
                    core.wraps, core.datagrams, core.plan_us
                ),
            ));
            rows.push(row(
                "memory",
                format!("{:.1} bytes a member", core.tree_bytes_per_member),
            ));
        }
        rows.extend(self.needs.iter().flat_map(|need| need.rows(&self.costs)));
        rows.push((
            "assumed".to_owned(),
            "cores and gateways share a group's members".to_owned(),
        ));
        rows
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn model(line: &str) -> Model {
        let words = ["model"].into_iter().chain(line.split_whitespace());
        run(&Line::parse_from(words).arguments).expect("there is room")
    }

    #[test]
    fn the_cores_terms_are_those_of_a_tree_that_was_built() {
        let model = model("--members 1000,10000");
        for (core, most) in model.core.iter().zip([19, 27]) {
            // 4 * ceil(log4 N) - 1, less where the tree has no fourth child.
            assert!((most - 4..=most).contains(&core.wraps), "{core:?}");
        }
        assert!(
            model
                .core
                .iter()
                .all(|core| core.tree_bytes_per_member <= 64.0)
        );
    }

    #[test]
    fn what_is_needed_grows_with_the_members_and_the_token_with_their_logarithm() {
        let model = model("--members 10000,40000 --delivery-us 10 --cores 1 --memory-gib 1000");
        let [small, large] = [model.needs[0], model.needs[1]];
        assert_eq!(
            (small.cpu_seconds_per_rekey, large.cpu_seconds_per_rekey),
            (0.1, 0.4)
        );
        assert_eq!(large.wraps - small.wraps, 4.0);
        assert_eq!((small.gateways, large.gateways), (1.0, 1.0));
    }

    #[test]
    fn beyond_the_largest_tree_each_level_costs_four_wraps_more() {
        let core = measure(1_000).expect("there is room");
        let costs = model("--members 4").costs;
        let wraps = |members| Need::of(members, &core, &costs).wraps;
        assert_eq!([1_000, 4_000, 64_000].map(wraps), [19.0, 23.0, 31.0]);
    }
}
