//! What the pool makes of a token: `cargo bench --bench hsm_pool -- --figures`.
//!
//! Two promises. On a token with one lock, SoftHSM or kryoptic, the pool has at least 0.95 of the throughput of a bare loop
//! on one thread that makes the same PKCS#11 calls and nothing else. On a token that takes a millisecond more for each call,
//! as a network HSM does (SoftHSM behind the shim of tests/shim), eight sessions have at least 7.5 times the throughput of
//! one. The two sides take turns in many short rounds, and the quarter of each side's rounds that was disturbed least is
//! compared, for what else runs on a machine only ever slows a round. Where a process has its heap makes a hundredth besides,
//! so several are measured, and the one in the middle counts. That the calls are the same is counted, too.
//!
//! With `--figures` it exits with 1 when one of them is missed; `--json` prints them as one line of JSON besides. Without
//! either it only tries itself out, with few batches.

mod bare;
mod load;

use std::ffi::OsString;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wardcast_shim::{Peer, Shim};

use bare::Bare;
use load::Load;

/// A batch is what one leave costs in a full tree of 4096 members.
const LEVELS: usize = 6;
const CHILDREN: usize = 4;
const WRAPS: usize = LEVELS * CHILDREN - 1;

const LEAST_OF_BARE: f64 = 0.95;
const LEAST_TIMES: f64 = 7.5;
/// Sessions on a token with one lock: two would wait for each other at every call.
const SESSIONS: usize = 1;
const MANY_SESSIONS: usize = 8;
const LATENCY: &str = "* delay_us=1000";
/// The calls that a batch is made of.
const CALLS: [&str; 3] = ["C_DeriveKey", "C_WrapKey", "C_DestroyObject"];
/// Batches of as many groups after which a session holds all the keys that it may, and destroys as many as it makes.
const FILLING: usize = 100;
/// Batches whose calls are counted.
const COUNTED: usize = 20;

/// Set in a child, which has the environment that its token needs: what to measure, and with what.
const TASK: &str = "WARDCAST_BENCH_TASK";
const DIRECTORY: &str = "WARDCAST_BENCH_DIRECTORY";
const MODULE: &str = "WARDCAST_BENCH_MODULE";
const LABEL: &str = "WARDCAST_BENCH_LABEL";

/// How much is measured.
#[derive(Clone, Copy)]
struct Effort {
    /// Processes, of which the one in the middle counts.
    processes: usize,
    rounds: usize,
    /// How long a round is on a token as it is: so long that neither its beginning, when the pool has little to choose from,
    /// nor its end, when it runs dry, is much of it.
    round: Duration,
    /// In a round with latency, for each session.
    slow_batches: usize,
}

const FULL: Effort = Effort {
    processes: 9,
    rounds: 14,
    round: Duration::from_millis(350),
    slow_batches: 20,
};
const TRIED_OUT: Effort = Effort {
    processes: 1,
    rounds: 1,
    round: Duration::from_millis(10),
    slow_batches: 1,
};

/// What a child works with.
struct Here {
    module: PathBuf,
    label: String,
    directory: PathBuf,
}

impl Here {
    fn load(&self, sessions: usize) -> Load {
        let opener = load::opener(&self.module, &self.label, &self.directory.join("pin"));
        Load::start(&opener, sessions)
    }

    fn bare(&self) -> Bare {
        let pin = std::fs::read_to_string(self.directory.join("pin")).expect("reads the PIN");
        Bare::open(&self.module, &pin)
    }
}

/// Runs a task in a child process with a fresh token, and gives what it printed.
fn in_child(task: &str, behind_shim: bool, peer: fn(&Path) -> Peer) -> Value {
    let fresh = tempfile::tempdir().expect("a directory");
    let mut peer = peer(fresh.path());
    std::fs::write(fresh.path().join("pin"), peer.pin).expect("writes the PIN");
    if behind_shim {
        peer = Shim::new(fresh.path()).before(peer);
    }
    let own: [(_, OsString); 4] = [
        (TASK, task.into()),
        (DIRECTORY, fresh.path().into()),
        (MODULE, peer.module.into()),
        (LABEL, peer.label.into()),
    ];
    let this = std::env::current_exe().expect("a benchmark has an executable");
    let output = Command::new(this)
        .args(std::env::args_os().skip(1))
        .envs(peer.environment)
        .envs(own)
        .output()
        .expect("the benchmark starts again");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{task}: {}\n{error}",
        output.status
    );
    serde_json::from_slice(&output.stdout).expect("a child prints JSON")
}

/// Upper quartiles of two figures that are taken in turns.
fn in_turns(
    rounds: usize,
    mut first: impl FnMut() -> f64,
    mut second: impl FnMut() -> f64,
) -> Value {
    let mut seen: [Vec<f64>; 2] = Default::default();
    for _ in 0..rounds {
        seen[0].push(first());
        seen[1].push(second());
    }
    let [first, second] = seen.map(|mut values| {
        values.sort_unstable_by(f64::total_cmp);
        values[values.len() * 3 / 4]
    });
    json!({ "first": first, "second": second })
}

/// Batches a second of the bare loop and of the pool.
fn direct(here: &Here, effort: Effort) -> Value {
    let load = here.load(SESSIONS);
    load.throughput(SESSIONS * FILLING);
    // On a thread of its own that lives as long as the pool's do: the allocator treats them alike.
    thread::scope(|scope| {
        let (ask, asked) = mpsc::channel::<usize>();
        let (tell, told) = mpsc::channel();
        let run = move || {
            let mut bare = here.bare();
            bare.batch(&wardcast::crypto::random());
            for batches in asked {
                let begun = Instant::now();
                for _ in 0..batches {
                    black_box(bare.batch(&wardcast::crypto::random()));
                }
                let rate = batches as f64 / begun.elapsed().as_secs_f64();
                tell.send(rate).expect("it is waited for");
            }
        };
        let thread = thread::Builder::new().name("bare".to_owned());
        thread.spawn_scoped(scope, run).expect("a thread");
        let bare = |batches| {
            ask.send(batches).expect("it runs");
            told.recv().expect("it does not panic")
        };
        let batches = (bare(FILLING) * effort.round.as_secs_f64()).ceil() as usize;
        let pool = || load.throughput(batches);
        let measured = in_turns(effort.rounds, || bare(batches), pool);
        drop(ask);
        measured
    })
}

/// Batches a second of one session and of many, each call taking a millisecond more.
fn slow(here: &Here, effort: Effort) -> Value {
    let one = here.load(1);
    let many = here.load(MANY_SESSIONS);
    one.throughput(FILLING);
    many.throughput(MANY_SESSIONS * FILLING);
    Shim::new(&here.directory).set(&[LATENCY]);
    in_turns(
        (effort.rounds / 4).max(1),
        || one.throughput(effort.slow_batches),
        || many.throughput(effort.slow_batches * MANY_SESSIONS),
    )
}

/// The calls that some batches take, bare and through the pool.
fn calls(here: &Here) -> Value {
    let shim = Shim::new(&here.directory);
    let load = here.load(1);
    load.run(FILLING);
    let mut bare = here.bare();
    let counted = |work: &mut dyn FnMut()| {
        let now = || CALLS.map(|call| shim.calls(call));
        let before = now();
        work();
        let after = now();
        let spent: Vec<u64> = after.iter().zip(before).map(|(a, b)| a - b).collect();
        spent
    };
    let bare =
        counted(&mut || (0..COUNTED).for_each(|_| drop(bare.batch(&wardcast::crypto::random()))));
    let pool = counted(&mut || load.run(COUNTED));
    json!({ "bare": bare, "pool": pool })
}

/// One promise: two throughputs, and the least that the second may be of the first.
struct Figure {
    what: &'static str,
    first: f64,
    second: f64,
    least: f64,
}

impl Figure {
    fn of(what: &'static str, measured: &Value, least: f64) -> Self {
        let get = |name: &str| measured[name].as_f64().expect("a child prints both");
        Figure {
            what,
            first: get("first"),
            second: get("second"),
            least,
        }
    }

    /// Measures a task in processes of its own: the one in the middle.
    fn measure(
        what: &'static str,
        least: f64,
        effort: Effort,
        task: &str,
        peer: fn(&Path) -> Peer,
    ) -> Self {
        // A round takes seconds behind the shim, and nearly all of it is sleep, which varies little.
        let slow = task == "slow";
        let processes = if slow { 1 } else { effort.processes };
        let one = |_| Self::of(what, &in_child(task, slow, peer), least);
        let mut all: Vec<Self> = (0..processes).map(one).collect();
        all.sort_unstable_by(|a, b| a.times().total_cmp(&b.times()));
        all.swap_remove(processes / 2)
    }

    fn times(&self) -> f64 {
        self.second / self.first
    }

    fn is_kept(&self) -> bool {
        self.times() >= self.least
    }

    fn print(&self) {
        let wraps = |batches: f64| batches * WRAPS as f64;
        println!(
            "{}: {:.0} and {:.0} wraps/s: {:.2} times (at least {})",
            self.what,
            wraps(self.first),
            wraps(self.second),
            self.times(),
            self.least
        );
    }

    fn json(&self) -> Value {
        json!({
            "what": self.what,
            "first_wraps_per_s": self.first * WRAPS as f64,
            "second_wraps_per_s": self.second * WRAPS as f64,
            "times": self.times(),
            "least": self.least,
            "ok": self.is_kept(),
        })
    }
}

/// Measures everything, prints it, and says whether all is as promised.
fn figures(effort: Effort, json: bool) -> bool {
    let figures = [
        (
            "SoftHSM, a bare loop and the pool",
            LEAST_OF_BARE,
            "direct",
            Peer::softhsm as fn(&Path) -> Peer,
        ),
        (
            "kryoptic, a bare loop and the pool",
            LEAST_OF_BARE,
            "direct",
            Peer::kryoptic,
        ),
        (
            "SoftHSM with 1 ms more a call, 1 session and 8",
            LEAST_TIMES,
            "slow",
            Peer::softhsm,
        ),
    ]
    .map(|(what, least, task, peer)| {
        let figure = Figure::measure(what, least, effort, task, peer);
        figure.print();
        figure
    });
    let calls = in_child("calls", true, Peer::softhsm);
    let same = calls["bare"] == calls["pool"];
    println!(
        "calls in {COUNTED} batches, {CALLS:?}: {} bare and {} by the pool",
        calls["bare"], calls["pool"]
    );
    if !same {
        println!("these are not the same calls, so the figures above do not compare");
    }
    let ok = same && figures.iter().all(Figure::is_kept);
    if json {
        let figures: Vec<Value> = figures.iter().map(Figure::json).collect();
        println!(
            "{}",
            json!({ "ok": ok, "figures": figures, "calls": calls })
        );
    }
    ok
}

fn main() -> ExitCode {
    let asked = |argument: &str| std::env::args().any(|given| given == argument);
    let judged = asked("--figures") || asked("--json");
    let effort = if judged { FULL } else { TRIED_OUT };
    if let Ok(task) = std::env::var(TASK) {
        let get = |name: &str| std::env::var_os(name).expect("a child is told");
        let here = Here {
            module: get(MODULE).into(),
            label: get(LABEL).into_string().expect("a label is text"),
            directory: get(DIRECTORY).into(),
        };
        let measured = match task.as_str() {
            "direct" => direct(&here, effort),
            "slow" => slow(&here, effort),
            "calls" => calls(&here),
            other => panic!("no task {other}"),
        };
        println!("{measured}");
        return ExitCode::SUCCESS;
    }
    match figures(effort, asked("--json")) || !judged {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
