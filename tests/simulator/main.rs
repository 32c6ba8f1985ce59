//! The production core under simulation: a gateway's machine and its members' sessions, a network that loses, repeats,
//! delays and reorders, a token and a store that fail, and crashes at any moment.
//!
//! Everything follows from one seed. A run that fails prints its seed; replay it, with a trace of all that happens, by
//! `WARDCAST_SEED=SEED cargo test --test simulator storms`. `WARDCAST_SEEDS=N` runs more of them, and
//! `WARDCAST_HISTORIES=N` more of the random histories of `agreement`.

mod adversary;
mod agreement;
mod client;
mod gateway;
mod ledger;
mod random;
mod symbolic;
mod world;

use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use world::{Outcome, World};

/// Seeds of an ordinary run.
const SEEDS: u64 = 10_000;

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable} must be a number, it is {value:?}")),
    )
}

#[test]
fn storms_lose_nothing_and_end_well() {
    if let Some(seed) = number("WARDCAST_SEED") {
        let outcome = World::new(seed, true).run();
        eprintln!("seed {seed}: {outcome:?}");
        return;
    }
    let seeds = number("WARDCAST_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(1);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let outcomes: Vec<Outcome> = thread::scope(|scope| {
        let work = || {
            let mut outcomes = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed > seeds {
                    return outcomes;
                }
                match catch_unwind(|| World::new(seed, false).run()) {
                    Ok(outcome) => outcomes.push(outcome),
                    Err(_) => {
                        next.store(seeds + 1, Ordering::Relaxed);
                        panic!(
                            "seed {seed} fails: WARDCAST_SEED={seed} cargo test --test simulator storms"
                        );
                    }
                }
            }
        };
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("a seed failed"))
            .collect()
    });
    let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(of).sum::<u64>();
    let (epochs, crashes) = (sum(|o| o.epochs), sum(|o| o.crashes));
    let (events, installed) = (sum(|o| o.events), sum(|o| o.installed));
    let rollovers = sum(|o| o.rollovers);
    println!(
        "{seeds} seeds: {epochs} epochs, {installed} times opened, {crashes} crashes, {rollovers} rollovers, {events} events"
    );
    // Storms that do nothing would pass everything. Limits that become lower send whoever waits away, and so make epochs fewer.
    assert!(epochs > 9 * seeds && crashes > seeds / 4 && installed > 20 * seeds);
    assert!(rollovers > seeds / 4);
}
