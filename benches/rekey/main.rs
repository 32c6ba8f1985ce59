//! What one rekey costs the gateway for a thousand members: `cargo bench --bench rekey -- --figures`.
//!
//! Instructions and allocations are counted by callgrind, so that the figures do not depend on a clock or on what else the
//! machine does. A whole gateway runs, but for the token host: the engine with a store and a software token, and the front end
//! with its socket. Its members are in memory, a few sockets that receive datagrams and acknowledge them. What is counted is the
//! gateway's own work for an eviction, each layer's on the thread that does it: shards (planning, records, what members hold),
//! fan-out (choosing each member's datagram, batches for the kernel) and acknowledgements (verifying, telling the engine).
//! The token's work is counted elsewhere, in operations; the kernel's and the runtime's is not counted.
//!
//! With `--figures` it exits with 1 when a ceiling is exceeded; `--json` prints one line of JSON besides. Without either it only
//! tries itself out, with few members and without callgrind.

mod callgrind;
mod site;

use std::process::ExitCode;

use serde_json::json;

use callgrind::Counted;
use site::{Packets, Site};

const MEMBERS: usize = 1_000;
const REKEYS: usize = 8;
/// When nothing is judged.
const FEW_MEMBERS: usize = 20;
const FEW_REKEYS: usize = 2;

/// Set in the process that callgrind runs.
const COUNTED: &str = "WARDCAST_BENCH_COUNTED";

/// What is counted: functions of the gateway that do not call each other.
const FUNCTIONS: [&str; 4] = [
    "wardcast::engine::shard::Shard::turn",
    "wardcast::quic::fanout::Fanout::volley",
    "<wardcast::quic::acknowledgements::Acknowledgements as wardcast::udp::Sink>::take",
    "wardcast::quic::acknowledgements::by_group",
];
/// Counting begins and ends with it.
const ROUNDS: &str = "rekey::rounds";

/// The most that a delivery may cost: what it cost when this was written, and a fifth more. Allocations are those of the batches in
/// which acknowledgements come, which are small here: none is a member's.
const MOST_INSTRUCTIONS: f64 = 3_000.0;
const MOST_ALLOCATIONS: f64 = 1.0;
/// One datagram out and one back; where a machine is so slow that some are sent again, that is seen, too.
const MOST_PACKETS: f64 = 1.2;

/// Evicts one member after the other; the others acknowledge each epoch.
#[inline(never)]
fn rounds(site: &mut Site, rekeys: usize) -> Packets {
    (0..rekeys).map(|_| site.rekey()).sum()
}

/// In the process that callgrind runs, or to try it out.
fn run(members: usize, rekeys: usize) -> Packets {
    // One more for each that is evicted on the way, so that the last rekey still has them all.
    let mut site = Site::start(members + rekeys);
    rounds(&mut site, rekeys)
}

/// One figure and its ceiling.
struct Figure {
    what: &'static str,
    value: f64,
    most: f64,
}

impl Figure {
    fn is_kept(&self) -> bool {
        self.value <= self.most
    }
}

fn figures(counted: &Counted, packets: Packets) -> [Figure; 4] {
    let each = |count: u64| count as f64 / packets.deliveries as f64;
    let figure = |what, count, most| Figure {
        what,
        value: each(count),
        most,
    };
    [
        figure(
            "instructions_per_delivery",
            counted.instructions,
            MOST_INSTRUCTIONS,
        ),
        figure(
            "allocations_per_delivery",
            counted.allocations,
            MOST_ALLOCATIONS,
        ),
        figure("packets_out_per_delivery", packets.out, MOST_PACKETS),
        figure("packets_in_per_delivery", packets.back, MOST_PACKETS),
    ]
}

fn main() -> ExitCode {
    let asked = |argument: &str| std::env::args().any(|given| given == argument);
    if std::env::var_os(COUNTED).is_some() {
        let packets = run(MEMBERS, REKEYS);
        println!("{}", serde_json::to_string(&packets).expect("is JSON"));
        return ExitCode::SUCCESS;
    }
    if !asked("--figures") && !asked("--json") {
        let packets = run(FEW_MEMBERS, FEW_REKEYS);
        println!("{packets:?}; --figures counts instructions");
        return ExitCode::SUCCESS;
    }
    let (counted, output) = callgrind::run(&FUNCTIONS, ROUNDS, COUNTED);
    let packets: Packets = serde_json::from_slice(&output).expect("the child prints JSON");
    let figures = figures(&counted, packets);
    println!("{MEMBERS} members, {REKEYS} evictions");
    for Figure { what, value, most } in &figures {
        println!("{what:28} {value:10.3}   at most {most}");
    }
    let ok = figures.iter().all(Figure::is_kept);
    if asked("--json") {
        let values = figures.iter().map(|f| (f.what.to_owned(), json!(f.value)));
        let mut line: serde_json::Map<String, _> = values.collect();
        line.insert("ok".to_owned(), json!(ok));
        println!("{}", serde_json::Value::Object(line));
    }
    match ok {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
