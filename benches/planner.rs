//! What planning costs in groups of a thousand to a million members: `cargo bench --bench planner`.
//!
//! After divan's tables it prints the two figures that are promised: how much more an eviction costs the planner among
//! a million members than among a thousand (at most 2.5 times), and the tree's bytes per member (at most 64). With
//! `-- --figures` it prints these alone and exits with 1 when one of them is missed.

use std::cell::Cell;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use divan::Bencher;
use wardcast::group::edges::{Edge, chunks};
use wardcast::group::ids::MemberId;
use wardcast::group::planner::{Change, plan};
use wardcast::group::tree::Tree;

const SIZES: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];
const MOST_TIMES: f64 = 2.5;
const MOST_BYTES: f64 = 64.0;

/// A group that filled up in batches of a thousand.
fn tree(members: u32) -> Tree {
    let mut tree = Tree::new();
    for first in (0..u64::from(members)).step_by(1_000) {
        let change = joins((first..first + 1_000).map(MemberId).collect());
        let plan = plan(&tree, &change).expect("there is room");
        tree.apply(&plan.diff).expect("the plan fits");
    }
    tree
}

fn joins(joins: Vec<MemberId>) -> Change {
    Change {
        joins,
        ..Change::default()
    }
}

/// Evictions of members anywhere in the group: neighbours would find their nodes in the processor's cache.
struct Evictions {
    members: u32,
    random: Cell<u64>,
}

impl Evictions {
    fn among(members: u32) -> Self {
        Evictions {
            members,
            random: Cell::new(0x9e37_79b9_7f4a_7c15),
        }
    }

    fn next(&self, count: usize) -> Change {
        let mut leaves = Vec::with_capacity(count);
        while leaves.len() < count {
            // Xorshift: the same members in every run.
            let mut random = self.random.get();
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            self.random.set(random);
            let leaf = (random % u64::from(self.members)) as u32;
            if !leaves.contains(&leaf) {
                leaves.push(leaf);
            }
        }
        Change {
            leaves,
            ..Change::default()
        }
    }
}

#[divan::bench(args = SIZES)]
fn evict_one(bencher: Bencher<'_, '_>, members: u32) {
    let (tree, evictions) = (tree(members), Evictions::among(members));
    bencher
        .with_inputs(|| evictions.next(1))
        .bench_local_refs(|change| plan(&tree, change));
}

#[divan::bench(args = SIZES)]
fn evict_64_at_once(bencher: Bencher<'_, '_>, members: u32) {
    let (tree, evictions) = (tree(members), Evictions::among(members));
    bencher
        .with_inputs(|| evictions.next(64))
        .bench_local_refs(|change| plan(&tree, change));
}

#[divan::bench(args = SIZES)]
fn join_one(bencher: Bencher<'_, '_>, members: u32) {
    let tree = tree(members);
    let change = joins(vec![MemberId(members.into())]);
    bencher.bench_local(|| plan(&tree, black_box(&change)));
}

#[divan::bench(args = SIZES)]
fn join_64_at_once(bencher: Bencher<'_, '_>, members: u32) {
    let tree = tree(members);
    let change = joins((0..64).map(|n| MemberId(u64::from(members) + n)).collect());
    bencher.bench_local(|| plan(&tree, black_box(&change)));
}

/// An eviction and a join that takes the leaf, each planned and applied.
#[divan::bench(args = SIZES)]
fn evict_and_refill(bencher: Bencher<'_, '_>, members: u32) {
    let (mut tree, evictions) = (tree(members), Evictions::among(members));
    let refill = joins(vec![MemberId(members.into())]);
    bencher
        .with_inputs(|| evictions.next(1))
        .bench_local_refs(|evict| {
            for change in [&*evict, &refill] {
                let plan = plan(&tree, change).expect("the change is sound");
                tree.apply(&plan.diff).expect("the plan fits");
            }
        });
}

/// Cutting the edges of an eviction into chunks.
#[divan::bench(args = SIZES)]
fn cut_chunks(bencher: Bencher<'_, '_>, members: u32) {
    let (mut tree, evictions) = (tree(members), Evictions::among(members));
    let plan = plan(&tree, &evictions.next(1)).expect("the change is sound");
    tree.apply(&plan.diff).expect("the plan fits");
    let rekey: Vec<Edge> = plan
        .rekey
        .iter()
        .map(|&edge| Edge::new(edge, [7; 40]))
        .collect();
    bencher.bench_local(|| chunks(&tree, black_box(&rekey)));
}

#[divan::bench(args = SIZES)]
fn snapshot(bencher: Bencher<'_, '_>, members: u32) {
    let tree = tree(members);
    bencher.bench_local(|| tree.to_bytes());
}

#[divan::bench(args = SIZES)]
fn restore(bencher: Bencher<'_, '_>, members: u32) {
    let bytes = tree(members).to_bytes();
    bencher.bench_local(|| Tree::from_bytes(black_box(&bytes)));
}

/// Nanoseconds that planning one eviction takes: the median of many rounds.
fn eviction_ns(tree: &Tree) -> f64 {
    let evictions = Evictions::among(tree.members());
    let mut rounds: Vec<f64> = (0..101)
        .map(|_| {
            let changes: Vec<Change> = (0..200).map(|_| evictions.next(1)).collect();
            let begun = Instant::now();
            for change in &changes {
                black_box(plan(tree, change)).expect("the change is sound");
            }
            begun.elapsed().as_nanos() as f64 / changes.len() as f64
        })
        .collect();
    rounds.sort_unstable_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

/// Prints the figures that are promised, and whether they are kept.
fn figures() -> bool {
    let (small, large) = (tree(SIZES[0]), tree(SIZES[3]));
    let (among_thousand, among_million) = (eviction_ns(&small), eviction_ns(&large));
    let times = among_million / among_thousand;
    let bytes = large.heap_bytes() as f64 / f64::from(large.members());
    println!(
        "planning an eviction: {among_thousand:.0} ns among 10^3, {among_million:.0} ns among 10^6: \
         {times:.2} times (at most {MOST_TIMES})"
    );
    println!("the tree of 10^6 members: {bytes:.1} bytes a member (at most {MOST_BYTES})");
    times <= MOST_TIMES && bytes <= MOST_BYTES
}

fn main() -> ExitCode {
    let asked = |argument: &str| std::env::args().any(|given| given == argument);
    if asked("--figures") {
        return match figures() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        };
    }
    divan::main();
    // Cargo passes `--bench` to measure; without it the benchmarks are only tried out, as tests.
    if asked("--bench") {
        figures();
    }
    ExitCode::SUCCESS
}
