//! A gateway that ends: what is under way ends, members are told to come back, and whatever was started is ended in the opposite order.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::run::Serving;
use super::{Followers, Gateway, notify};
use crate::admin::api::DrainView;
use crate::audit::{Entry, Event};
use crate::engine::Handle;

/// When members of a gateway that goes are told to come back, the first of them.
const COME_BACK: Duration = Duration::from_secs(1);
/// The shares of the time that are over when rekeys that are under way have had theirs, then members to go, then callers and operators to
/// be answered. What is left is for the trail to be sent: a caller who takes his time must not use it up.
const FOR_REKEYS: f64 = 0.3;
const FOR_MEMBERS: f64 = 0.7;
const FOR_CALLERS: f64 = 0.85;
/// How long members are waited for that have not acknowledged what was delivered to all others.
const STRAGGLERS: Duration = Duration::from_secs(1);
/// Within this the engine says what is under way.
const ANSWER: Duration = Duration::from_secs(1);
/// How often it is looked whether rekeys have ended.
const LOOK: Duration = Duration::from_millis(20);
/// What is left for the last record, its signature and the tokens, however long all else took.
const LAST: Duration = Duration::from_secs(1);

impl Gateway {
    /// Ends, within the time that it is given.
    pub(super) async fn end(
        self,
        drain: DrainView,
        accepting: JoinHandle<()>,
        interfaces: (Option<Serving>, Option<Serving>),
    ) {
        let DrainView { to, within_s } = drain;
        let (began, within) = (Instant::now(), Duration::from_secs(within_s.into()));
        let until = |share: f64| began + within.mul_f64(share);
        self.vital.draining.store(true, Ordering::Relaxed);
        notify::stopping("draining: members are sent away");
        tracing::info!(
            ?to,
            within_s,
            "draining: nobody is taken on any more, rekeys end"
        );
        let listener = self.interfaces.listener;
        listener.close();
        drop(self.policies);
        settle(&self.engine, until(FOR_REKEYS)).await;
        tracing::info!("members are told to come back");
        let gone = listener.drain(COME_BACK, &to);
        if timeout_at(until(FOR_MEMBERS), gone).await.is_err() {
            tracing::warn!("members are left that could not all be sent away in time");
        }
        accepting.abort();
        let least = Instant::now() + LAST;
        let (answered, last) = (until(FOR_CALLERS).max(least), until(1.0).max(least));
        let (admin, front) = interfaces;
        for interface in [front, admin].into_iter().flatten() {
            interface.end(answered).await;
        }
        drop((listener, self.engine, self.vital));
        let Followers {
            upstream: mut relay,
            siem,
        } = self.followers;
        let finish = async {
            if let Some(relay) = &mut relay {
                relay.rest().await;
            }
            let stopped = Entry::of_gateway(Event::Stopped);
            self.audit.note(vec![stopped]).await;
            // The trail of a gateway that stopped ends in a signature, for which a token is needed.
            self.signer.finish().await;
            self.tokens.stop().await;
            let left = last.saturating_duration_since(Instant::now());
            let upstream = async {
                if let Some(relay) = relay {
                    relay.stop(left).await;
                }
            };
            tokio::join!(upstream, siem.stop(left));
        };
        if timeout_at(last + LAST, finish).await.is_err() {
            tracing::warn!(
                "the gateway ends before its trail is signed and sent, and its tokens are closed: there is no time left"
            );
        }
    }
}

/// Waits until no rekey is under way, until then at the latest; and a moment for members that are behind all others.
async fn settle(engine: &Handle, until: Instant) {
    let mut stragglers = None;
    loop {
        let Ok(under_way) = timeout(ANSWER, engine.under_way()).await else {
            return tracing::warn!("the engine does not say whether rekeys are under way");
        };
        let now = Instant::now();
        if under_way.rekeys > 0 {
            if now >= until {
                let groups = under_way.rekeys;
                return tracing::warn!(
                    groups,
                    "rekeys are under way still; members get them when they come back"
                );
            }
        } else if under_way.behind == 0
            || now >= *stragglers.get_or_insert(until.min(now + STRAGGLERS))
        {
            return;
        }
        sleep(LOOK).await;
    }
}
