//! The phases of the demo: what is done to the group, and what must be seen afterwards.

use std::time::{Duration, Instant};

use crate::group::ids::Epoch;

use super::crowd::Crowd;
use super::gateway::Gateway;
use super::show::{Outcome, Row};

/// How long a phase may take until all members hold the newest epoch.
const PATIENCE: Duration = Duration::from_secs(30);
/// One in so many members takes part in the mixed batch, on either side.
const MIXED_SHARE: usize = 10;
/// How many members one urgent eviction removes.
const EVICTED: usize = 2;

/// What the phases act on.
pub(super) struct Scene {
    pub(super) gateway: Gateway,
    pub(super) crowd: Crowd,
    pub(super) members: usize,
}

/// A phase: its name and what it does.
pub(super) const NAMES: [&str; 5] = [
    "join storm",
    "rotation",
    "urgent eviction",
    "mixed batch",
    "kill -9",
];

impl Scene {
    /// Runs the phase of this name.
    pub(super) async fn run(&mut self, phase: &str, row: &Row) -> Outcome {
        match phase {
            "join storm" => self.join_storm(row).await,
            "rotation" => self.rotation(row).await,
            "urgent eviction" => self.urgent_eviction(row).await,
            "mixed batch" => self.mixed_batch(row).await,
            _ => self.kill(row).await,
        }
    }

    /// How many members the phase counts on its way.
    pub(super) fn steps(&self, phase: &str) -> usize {
        match phase {
            "join storm" => self.members,
            "urgent eviction" => self.crowd.present().len() - EVICTED,
            _ => self.crowd.present().len(),
        }
    }

    async fn join_storm(&mut self, row: &Row) -> Outcome {
        let began = Instant::now();
        row.note("joining");
        self.crowd
            .join(self.gateway.place(), self.members, row)
            .await?;
        let rate = self.members as f64 / began.elapsed().as_secs_f64();
        let epoch = self.agree(Epoch(1), row).await?;
        Ok(format!(
            "{} members joined, {rate:.0} a second, and agree on epoch {epoch}",
            self.members
        ))
    }

    async fn rotation(&mut self, row: &Row) -> Outcome {
        let before = self.crowd.newest();
        let began = Instant::now();
        self.gateway.rotate().await?;
        let epoch = self.agree(Epoch(before.0 + 1), row).await?;
        Ok(format!(
            "all agree on epoch {epoch}, {} after the request",
            milliseconds(began)
        ))
    }

    async fn urgent_eviction(&mut self, row: &Row) -> Outcome {
        let before = self.crowd.newest();
        let present = self.crowd.present();
        let victims: Vec<usize> = present
            .iter()
            .copied()
            .step_by(present.len() / EVICTED)
            .take(EVICTED)
            .collect();
        let began = Instant::now();
        self.gateway.evict(&self.crowd.ids(&victims)).await?;
        self.crowd.evicted(&victims, PATIENCE).await?;
        let epoch = self.agree(Epoch(before.0 + 1), row).await?;
        let took = milliseconds(began);
        row.note("the evicted try to compute it");
        let tried = self.crowd.try_to_compute(&victims, epoch)?;
        Ok(format!(
            "{EVICTED} evicted; the others agree on epoch {epoch} after {took}; {tried}"
        ))
    }

    async fn mixed_batch(&mut self, row: &Row) -> Outcome {
        let before = self.crowd.newest();
        let count = (self.members / MIXED_SHARE).max(1);
        let present = self.crowd.present();
        let leaving: Vec<usize> = present
            .iter()
            .copied()
            .step_by(present.len() / count)
            .take(count)
            .collect();
        row.note("leaving and joining at once");
        let (left, joined) = tokio::join!(
            self.crowd.leave(&leaving),
            self.crowd.join(self.gateway.place(), count, row)
        );
        left.and(joined)?;
        let epoch = self.agree(Epoch(before.0 + 1), row).await?;
        let tried = self.crowd.try_to_compute(&leaving, epoch)?;
        let epochs = epoch.0 - before.0;
        Ok(format!(
            "{count} left and {count} joined in {epochs} epochs; all agree on epoch {epoch}; {tried}"
        ))
    }

    /// Kills the gateway once the first member holds the next epoch: some have it, some do not.
    async fn kill(&mut self, row: &Row) -> Outcome {
        let before = self.crowd.newest();
        row.note("rekey begins");
        let next = Epoch(before.0 + 1);
        self.crowd.when_first_holds(next, self.gateway.killer());
        self.gateway.rotate().await?;
        let seen = self.crowd.first_with(next, PATIENCE).await?;
        let had = self.crowd.holders(seen);
        let present = self.crowd.present();
        row.note("restarting");
        let began = Instant::now();
        self.gateway.restart().await?;
        self.agree(seen, row).await?;
        row.note("members resume");
        self.crowd.resumed(&present, row, PATIENCE).await?;
        let took = milliseconds(began);
        self.gateway.rotate().await?;
        let epoch = self.agree(Epoch(seen.0 + 1), row).await?;
        self.crowd.nobody_lost(&present)?;
        let all = present.len();
        Ok(format!(
            "killed when {had} of {all} had epoch {seen}; all resumed with their leaf {took} after the restart, and agree on epoch {epoch}"
        ))
    }

    /// Waits until all present members hold one newest epoch and the gateway has it active; then compares all secrets.
    async fn agree(&self, at_least: Epoch, row: &Row) -> Result<Epoch, String> {
        row.note("waiting for all to agree");
        let epoch = self.crowd.settle(at_least, row, PATIENCE).await?;
        self.crowd.check()?;
        Ok(epoch)
    }
}

fn milliseconds(since: Instant) -> String {
    format!("{} ms", since.elapsed().as_millis())
}
