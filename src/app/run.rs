//! A gateway that serves: it carries out what operators and signals ask of it as a whole, until it is told to end.

use std::future::pending;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, block_in_place};
use tokio::time::{Instant, interval, sleep_until};

use super::reload::{Running, Scope};
use super::{Gateway, Logging, notify};
use crate::admin::api::{DrainView, ReloadView, SetLog};
use crate::admin::{AdminServer, Order};
use crate::audit::{Actor, Audit, Entry, Event};
use crate::config::{Config, ConfigError};
use crate::engine::Handle;
use crate::front::Front;
use crate::group::ids::Identity;
use crate::quic::Listener;

/// How often it is looked whether files with credentials are others.
const LOOK: Duration = Duration::from_secs(2);
/// How often it is said again that they cannot be used.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// What a gateway runs in: where its configuration comes from, where its logs go, and who tells it what to do.
pub struct Surroundings<L, S> {
    /// Loads the configuration, as it was loaded at the start.
    pub load: L,
    /// The logs.
    pub logging: Logging,
    /// Done when it is to end.
    pub stop: S,
}

/// An interface for HTTPS that serves until it is told to end.
pub(super) struct Serving {
    stopping: tokio::sync::oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Serving {
    fn begin<F: Future<Output = ()> + Send + 'static>(
        serve: impl FnOnce(std::pin::Pin<Box<dyn Future<Output = ()> + Send>>) -> F,
    ) -> Self {
        let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
        let stopped = async {
            let _ = stopped.await;
        };
        Self {
            stopping,
            task: tokio::spawn(serve(Box::pin(stopped))),
        }
    }

    pub(super) fn admin(server: AdminServer) -> Self {
        Self::begin(|stop| server.serve(stop))
    }

    pub(super) fn front(server: Front) -> Self {
        Self::begin(|stop| server.serve(stop))
    }

    /// Finishes what is under way, until then at the latest.
    pub(super) async fn end(self, until: Instant) {
        drop(self.stopping);
        let _ = tokio::time::timeout_at(until, self.task).await;
    }
}

/// What serves while orders are carried out.
struct Steered<'a, L> {
    /// In a word, for the service manager.
    status: String,
    running: &'a mut Running,
    listener: &'a Listener,
    audit: &'a Audit,
    engine: &'a Handle,
    load: L,
    logging: Logging,
    /// The last thing that was wrong with new credentials, and when that was said.
    wrong: Option<(String, Instant)>,
    /// The configuration as it stands was refused.
    refused: bool,
}

impl Gateway {
    /// Serves until it is told to end, by an order or otherwise; then sends its members away and ends in the opposite order in which it
    /// started, members first, within the time that it is given.
    pub async fn run<L, S>(mut self, surroundings: Surroundings<L, S>)
    where
        L: Fn() -> Result<Config, ConfigError>,
        S: Future<Output = ()>,
    {
        let watchdog = notify::watch(self.vital.clone());
        let servers = (self.interfaces.admin.take(), self.interfaces.front.take());
        let admin = servers.0.map(Serving::admin);
        let front = servers.1.map(Serving::front);
        // Through the drain as well: whoever comes then is refused, rather than left without an answer.
        let listener = self.interfaces.listener.clone();
        let mut accepting = tokio::spawn(async move { listener.run().await });
        let orders = std::mem::replace(&mut self.orders, mpsc::channel(1).1);
        let status = format!("serving on {}", self.interfaces.listening.quic);
        notify::ready(&status);
        let drain = {
            let mut steered = Steered {
                status,
                running: &mut self.running,
                listener: &self.interfaces.listener,
                audit: &self.audit,
                engine: &self.engine,
                load: surroundings.load,
                logging: surroundings.logging,
                wrong: None,
                refused: false,
            };
            tokio::select! {
                _ = &mut accepting => None,
                () = surroundings.stop => None,
                drain = steered.follow(orders) => Some(drain),
            }
        };
        let config = &self.running.config.listen;
        let drain = drain.unwrap_or_else(|| DrainView {
            to: config.drain_to.clone(),
            within_s: config.drain_s,
        });
        self.end(drain, accepting, (admin, front)).await;
        drop(watchdog);
    }
}

impl<L: Fn() -> Result<Config, ConfigError>> Steered<'_, L> {
    /// Carries out orders until one of them is to end.
    async fn follow(&mut self, mut orders: mpsc::Receiver<Order>) -> DrainView {
        let mut look = interval(LOOK);
        loop {
            let ends = self.logging.ends();
            let over = async {
                match ends {
                    Some(ends) => sleep_until(ends).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                // All senders are gone only after whoever polls this is.
                Some(order) = orders.recv() => if let Some(drain) = self.order(order).await {
                    return drain;
                },
                _ = look.tick() => self.look().await,
                () = over => {
                    // What is configured was good before.
                    let _ = self.logging.ask(None, None);
                    tracing::info!("logs are as configured again");
                    self.record(None, self.log_event()).await;
                }
            }
        }
    }

    async fn order(&mut self, order: Order) -> Option<DrainView> {
        // Whoever asked may not wait any more; that it is done stands on record.
        match order {
            Order::Reload(by, reply) => {
                let _ = reply.send(self.reload(by).await);
            }
            Order::ShowLog(reply) => {
                let _ = reply.send(self.logging.view());
            }
            Order::SetLog(wanted, by, reply) => {
                let done = self.log(wanted).map(|()| self.logging.view());
                if done.is_ok() {
                    self.record(by, self.log_event()).await;
                }
                let _ = reply.send(done);
            }
            Order::Drain(wanted, by, reply) => {
                let config = &self.running.config.listen;
                let drain = DrainView {
                    to: match wanted.to.is_empty() {
                        true => config.drain_to.clone(),
                        false => wanted.to,
                    },
                    within_s: wanted.within_s.unwrap_or(config.drain_s),
                };
                let event = Event::Draining {
                    to: drain.to.clone(),
                    within_s: drain.within_s,
                };
                self.record(by, event).await;
                let _ = reply.send(drain.clone());
                return Some(drain);
            }
        }
        None
    }

    fn log(&mut self, wanted: SetLog) -> Result<(), String> {
        let time = wanted
            .for_s
            .map(|seconds| Duration::from_secs(seconds.into()));
        self.logging
            .ask(wanted.level, time.map(|time| Instant::now() + time))
    }

    fn log_event(&self) -> Event {
        let view = self.logging.view();
        Event::LogLevel {
            level: view.level,
            for_s: view.for_s,
        }
    }

    /// Reads everything anew.
    async fn reload(&mut self, by: Option<Identity>) -> Result<ReloadView, String> {
        notify::reloading();
        let rules = self.running.live.book.rules().revision();
        let done = block_in_place(|| {
            let loaded = (self.load)().map_err(|error| error.to_string())?;
            let staged = self.running.stage(&loaded, Scope::All);
            let staged = staged.map_err(|error| error.to_string())?;
            let view = self.running.apply(staged, self.listener);
            let view = view.map_err(|error| error.to_string())?;
            self.logging.configure(&self.running.config.log.level)?;
            Ok(view)
        });
        self.refused = done.is_err();
        if done.is_ok() {
            self.wrong = None;
        }
        self.told(by, &done).await;
        if self.running.live.book.rules().revision() != rules {
            // Whoever waits was admitted by other rules.
            self.engine.decide_anew().await;
        }
        notify::ready(&self.status);
        done
    }

    /// Looks whether certificates, or what else is shown to others, were replaced. A certificate whose key has not come yet is one that
    /// cannot be used yet: it is tried again, and those from before stay.
    async fn look(&mut self) {
        let done = block_in_place(|| {
            let is_new = self.running.has_new_credentials();
            is_new.then(|| self.take(Scope::Credentials))
        });
        match done {
            None if self.wrong.take().is_some() => {
                tracing::info!("the files are those again that are in use");
                self.show_refused();
            }
            None => {}
            Some(Ok(view)) => {
                self.wrong = None;
                self.told(None, &Ok(view)).await;
            }
            Some(Err(why)) => self.cannot_take(why).await,
        }
    }

    fn take(&mut self, scope: Scope) -> Result<ReloadView, String> {
        let same = self.running.config.clone();
        let staged = self.running.stage(&same, scope);
        let done = staged.and_then(|staged| self.running.apply(staged, self.listener));
        done.map_err(|error| error.to_string())
    }

    /// One of the files that were replaced cannot be used. That must not keep a revocation list from being taken.
    async fn cannot_take(&mut self, why: String) {
        let said = self.wrong.as_ref();
        let anew = said.is_none_or(|(said, _)| *said != why);
        if anew || said.is_some_and(|(_, at)| at.elapsed() >= SAY_AGAIN) {
            self.wrong = Some((why.clone(), Instant::now()));
            match anew {
                true => self.told(None, &Err(why)).await,
                false => tracing::error!(%why, "new credentials cannot be used still"),
            }
        }
        let own = block_in_place(|| {
            let is_new = self.running.has_new_credentials_of_its_own();
            is_new.then(|| self.take(Scope::Own))
        });
        if let Some(Ok(view)) = own {
            self.told(None, &Ok(view)).await;
        }
    }

    /// Says what came of reading anew: in the log, on record, and by metrics.
    async fn told(&self, by: Option<Identity>, done: &Result<ReloadView, String>) {
        let (outcome, event) = match done {
            Ok(view) => {
                let ReloadView {
                    applied,
                    needs_restart,
                } = view;
                tracing::info!(?applied, "reloaded");
                if !needs_restart.is_empty() {
                    tracing::warn!(?needs_restart, "changed, and needs a restart");
                }
                let event = Event::Reloaded {
                    applied: applied.clone(),
                    needs_restart: needs_restart.clone(),
                    refused: None,
                };
                let outcome = if applied.is_empty() {
                    "unchanged"
                } else {
                    "applied"
                };
                (outcome, event)
            }
            Err(why) => {
                tracing::error!(%why, "not reloaded: what was in use stays");
                let event = Event::Reloaded {
                    applied: Vec::new(),
                    needs_restart: Vec::new(),
                    refused: Some(why.clone()),
                };
                ("refused", event)
            }
        };
        metrics::counter!("wardcast_reloads_total", "outcome" => outcome).increment(1);
        self.show_refused();
        self.record(by, event).await;
    }

    fn show_refused(&self) {
        let refused = self.refused || self.wrong.is_some();
        metrics::gauge!("wardcast_configuration_refused").set(f64::from(u8::from(refused)));
    }

    async fn record(&self, by: Option<Identity>, event: Event) {
        let actor = by.map_or(Actor::Gateway, Actor::Operator);
        let entry = Entry::of_gateway(event);
        self.audit.note(vec![Entry { actor, ..entry }]).await;
    }
}
