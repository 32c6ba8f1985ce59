//! The watchdog: gives up workers whose call does not come back, replaces them, and answers what waited too long.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::Shared;
use super::gauges::Gauges;
use super::worker::Worker;

/// Starts the watchdog, which ends when the pool closes.
pub(super) fn start(shared: &Arc<Shared>) -> io::Result<()> {
    let shared = shared.clone();
    let gauges = Gauges::new(shared.board.look(|state| state.lane_names()));
    let watch = move || {
        let tick = shared.board.options.tick();
        while shared.board.tick(tick) {
            let now = Instant::now();
            for lane in shared.board.lose_overdue(now) {
                replace(&shared, lane);
            }
            shared.board.expire(now);
            gauges.show(&shared.board.status(now));
        }
    };
    thread::Builder::new()
        .name("token-watchdog".to_owned())
        .spawn(watch)
        .map(drop)
}

/// Starts a worker of a lane.
pub(super) fn start_worker(shared: &Arc<Shared>, lane: usize) -> io::Result<()> {
    let number = shared.board.change(|state| {
        state.threads += 1;
        state.number()
    });
    let threads = shared.clone();
    let run = move || {
        let worker = Worker {
            board: &threads.board,
            number,
            lane,
            opener: &threads.openers[lane],
        };
        worker.run();
    };
    let name = format!("token-{lane}-{number}");
    let spawned = shared.board.threads.spawn(name, run);
    if spawned.is_err() {
        shared.board.leave(lane, false);
        shared.board.thread_ended();
    }
    spawned
}

fn replace(shared: &Arc<Shared>, lane: usize) {
    if let Err(error) = start_worker(shared, lane) {
        tracing::error!(%error, "cannot start a thread in place of a lost token worker");
    }
}
