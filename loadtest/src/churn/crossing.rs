//! Members on their way in and out, each at the moment that was laid down for it.

use std::time::{Duration, Instant};

use fastrand::Rng;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};

use super::{Changes, Observe};
use crate::Failure;
use crate::crowd::Sampled;
use crate::distribution::Latencies;
use crate::live::Live;
use crate::report::Progress;
use crate::site::Site;

/// How often what members report is read, and the gateway is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long the last ones may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody is in, or out.
enum Crossed {
    In(usize, Box<Sampled>, Duration),
    Out(usize, Duration),
}

/// What was changed, and how long each took.
#[derive(Default)]
pub(super) struct Changed {
    /// From its moment until a member was granted its keys.
    pub(super) joins: Latencies,
    /// From its moment until the gateway said that a member has left.
    pub(super) leaves: Latencies,
    pub(super) refusals: u64,
}

/// A run that is under way.
pub(super) struct Crossing<'a> {
    site: &'a Site,
    live: &'a mut Live,
    random: Rng,
    rate: f64,
    inside: Vec<usize>,
    outside: Vec<usize>,
    fewest: usize,
    under_way: JoinSet<Result<Crossed, Failure>>,
    changed: Changed,
}

impl<'a> Crossing<'a> {
    pub(super) fn new(site: &'a Site, live: &'a mut Live, changes: &Changes) -> Self {
        let inside = live.crowd.seated();
        let members = changes.members as usize;
        Crossing {
            site,
            random: Rng::with_seed(changes.seed),
            rate: changes.rate,
            outside: (members..site.members().len()).collect(),
            fewest: members / 2,
            inside,
            live,
            under_way: JoinSet::new(),
            changed: Changed::default(),
        }
    }

    /// All changes whose moment comes before the time is over.
    pub(super) async fn run(
        &mut self,
        lasts: Duration,
        mut progress: Progress,
        observer: &mut impl Observe,
    ) -> Result<Changed, Failure> {
        let began = Instant::now();
        let end = began + lasts;
        let mut next = began + self.pause();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while next < end {
            tokio::select! {
                () = sleep_until(next.into()) => {
                    self.change(next);
                    next += self.pause();
                }
                Some(crossed) = self.under_way.join_next() => self.crossed(crossed?)?,
                _ = looks.tick() => {
                    self.live.crowd.look()?;
                    observer.look(self.live, began.elapsed())?;
                    let so_far = began.elapsed().min(lasts);
                    progress.at(so_far.as_secs() as usize, lasts.as_secs() as usize);
                }
            }
        }
        while let Some(crossed) = timeout(PATIENCE, self.under_way.join_next()).await? {
            self.crossed(crossed?)?;
        }
        let Changed { joins, leaves, .. } = &self.changed;
        progress.end(&format!(
            "{} joins, {} leaves",
            joins.count(),
            leaves.count()
        ));
        Ok(std::mem::take(&mut self.changed))
    }

    /// The time between two moments of a Poisson process.
    fn pause(&mut self) -> Duration {
        // Never 0, whose logarithm is none.
        let uniform = 1.0 - self.random.f64();
        Duration::from_secs_f64(-uniform.ln() / self.rate)
    }

    /// Somebody comes or goes; nobody waits for that here.
    fn change(&mut self, due: Instant) {
        let comes = match (self.inside.len(), self.outside.len()) {
            (_, 0) => false,
            (inside, _) if inside <= self.fewest => true,
            _ => self.random.bool(),
        };
        let from = match comes {
            true => &mut self.outside,
            false => &mut self.inside,
        };
        if from.is_empty() {
            return; // everybody is under way
        }
        let member = from.swap_remove(self.random.usize(..from.len()));
        if comes {
            let door = self.live.crowd.door();
            let options = door.options(self.site, member);
            self.under_way.spawn(async move {
                let sampled = door.sampled(options, member).await?;
                let took = sampled.granted.saturating_duration_since(due);
                Ok(Crossed::In(member, Box::new(sampled), took))
            });
        } else if let Some(sampled) = self.live.crowd.unseat(member) {
            self.under_way.spawn(async move {
                sampled.leave().await?;
                Ok(Crossed::Out(member, due.elapsed()))
            });
        }
    }

    fn crossed(&mut self, crossed: Result<Crossed, Failure>) -> Result<(), Failure> {
        match crossed? {
            Crossed::In(member, sampled, took) => {
                self.changed.joins.record(took);
                self.changed.refusals += u64::from(sampled.refusals);
                self.inside.push(member);
                self.live.crowd.seat(member, *sampled);
            }
            Crossed::Out(member, took) => {
                self.changed.leaves.record(took);
                self.outside.push(member);
            }
        }
        Ok(())
    }
}
