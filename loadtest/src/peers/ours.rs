//! Wardcast itself: a real gateway, a rotation for each round, and the gateway's word that all have acknowledged it.

use std::time::{Duration, Instant};

use serde_json::json;
use wardcast::group::ids::Epoch;

use super::system::Datagrams;
use crate::Failure;
use crate::counters::Counters;
use crate::crowd::{Crowd, Manner};
use crate::fanout::policy;
use crate::gateway::{Gateway, Setup};
use crate::live::Live;
use crate::site::Site;
use crate::usage::Usage;

/// How long the group collects changes while it is measured, in milliseconds: not at all, as the others send at once what they are
/// given. Joins come with the usual interval, or each would be an epoch of its own.
pub(super) const BATCH_INTERVAL_MS: u32 = 0;

/// How often members test their connections: hardly less than the gateway demands. The other systems' are told not to, where they
/// can be told: nothing but pushes is measured.
const KEEP_ALIVE: Duration = Duration::from_secs(25);

/// Members like the others' subscribers, if nothing else is asked for: they compute nothing.
pub(super) fn manner(asked: Manner) -> Manner {
    asked.or_sampling(100).keeping_alive(KEEP_ALIVE)
}

/// A gateway whose members are still to come.
pub(super) struct Ours {
    gateway: Gateway,
}

/// A gateway and its members.
pub(super) struct Joined {
    live: Live,
    target: Epoch,
    /// As they were after the last round.
    counters: Counters,
}

impl Ours {
    pub(super) async fn start(site: &Site, setup: &Setup) -> Result<Self, Failure> {
        let gateway = Gateway::start(site, setup, &policy()).await?;
        gateway.operator.create().await?;
        Ok(Ours { gateway })
    }

    pub(super) fn usage(&mut self) -> Result<Usage, Failure> {
        self.gateway.family_usage()
    }

    pub(super) async fn join(
        self,
        site: &Site,
        at_once: usize,
        manner: Manner,
    ) -> Result<Joined, Failure> {
        let gateway = self.gateway;
        let crowd = Crowd::join(site, gateway.address, at_once, manner).await;
        let crowd = crowd.map_err(|failure| gateway.explained(failure))?;
        let mut live = Live { gateway, crowd };
        let settled = live.settle(Epoch(1)).await;
        settled.map_err(|failure| live.explained(failure))?;
        let changes = json!({ "batch_interval_ms": BATCH_INTERVAL_MS });
        live.gateway.operator.set_policy(changes).await?;
        live.crowd.rekey_bytes(); // of the joins: not what is compared
        Ok(Joined {
            counters: live.gateway.operator.counters().await?,
            live,
            target: Epoch(0),
        })
    }
}

impl Joined {
    /// How many members compute keys.
    pub(super) fn real(&self) -> usize {
        self.live.crowd.real()
    }

    /// The size of a rekey since the last call.
    pub(super) fn rekey_bytes(&mut self) -> Result<usize, Failure> {
        let bytes = self.live.crowd.rekey_bytes();
        Ok(bytes.ok_or("no rekey was observed")?)
    }

    /// The push channel's datagrams since the last call.
    pub(super) async fn datagrams(&mut self) -> Result<Datagrams, Failure> {
        let now = self.live.gateway.operator.counters().await?;
        let counted = |name| now.since(&self.counters, name);
        let datagrams = Datagrams {
            sent: counted("wardcast_datagrams_sent_total")
                + counted("wardcast_datagrams_resent_total")
                + counted("wardcast_datagrams_activations_total"),
            received: counted("wardcast_datagrams_acknowledged_total"),
        };
        self.counters = now;
        Ok(datagrams)
    }

    pub(super) fn usage(&mut self) -> Result<Usage, Failure> {
        self.live.gateway.family_usage()
    }

    /// What has to be known before a round begins.
    pub(super) async fn prepare(&mut self) -> Result<(), Failure> {
        self.target = self.live.upcoming().await?;
        Ok(())
    }

    /// One rekey; how long it took, and how many acknowledged it.
    pub(super) async fn push(&mut self) -> Result<(Duration, usize), Failure> {
        let began = Instant::now();
        self.live.gateway.operator.rotate().await?;
        let followed = self.live.follow(self.target, began).await;
        let round = followed.map_err(|failure| self.live.explained(failure))?;
        Ok((round.all, round.acknowledged))
    }
}
