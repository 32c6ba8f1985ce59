//! What goes to the key store upstream, if there is one.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{AppError, blocking};
use crate::admin::{self, api};
use crate::audit::Audit;
use crate::config::Upstream;
use crate::engine::{Gate, Handle};
use crate::kmip::client::Client;
use crate::relay::audit::AuditSink;
use crate::relay::lifecycle::{Aside, Asides, Lifecycle, Names, Parts};
use crate::relay::{Bell, Pauses, Relay, SinkView, Standing, StandingView};

/// The relay, and how the store is.
pub(super) struct Relayed {
    relay: Relay,
    standing: Standing,
    client: Client,
    audit: Audit,
    name: String,
    every: Duration,
    /// The store says that something changed there.
    bell: Bell,
    /// Objects that the store refuses.
    asides: Asides,
    /// Looks at what is done to objects upstream.
    watching: JoinSet<()>,
}

/// Begins to relay; nothing waits for the store.
pub(super) fn start(
    config: &Upstream,
    client: Option<Client>,
    audit: &Audit,
) -> Result<Option<Relayed>, AppError> {
    let Some(client) = client else {
        return Ok(None);
    };
    tracing::info!(addresses = ?config.addresses, "a key store is upstream");
    let mut relay = Relay::new(audit.clone(), Pauses::default());
    let every = Duration::from_secs(config.poll_s.into());
    let standing = relay.watch(client.clone(), every);
    relay.feed(AuditSink::new(client.clone(), config.name.clone()))?;
    tokio::spawn(relay.status().show());
    Ok(Some(Relayed {
        relay,
        standing,
        client,
        audit: audit.clone(),
        name: config.name.clone(),
        every,
        bell: Bell::default(),
        asides: Asides::default(),
        watching: JoinSet::new(),
    }))
}

impl Relayed {
    /// What the engine looks at before it admits anybody.
    pub(super) fn gate(&self) -> Gate {
        self.standing.gate().clone()
    }

    /// Who looks at what changed upstream looks sooner for it.
    pub(super) fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Begins to keep the life cycle of groups upstream, and to look at what is done to it there.
    pub(super) async fn keep(
        &mut self,
        groups: Handle,
        escrow_label: Option<String>,
    ) -> Result<(), AppError> {
        let parts = Parts {
            client: self.client.clone(),
            groups,
            audit: self.audit.clone(),
            names: Names::new(&self.name),
            escrow_label: escrow_label.unwrap_or_default(),
        };
        let folder = self.audit.directory().to_owned();
        let lifecycle = blocking(move || Lifecycle::open(&folder, parts)).await?;
        self.asides = lifecycle.asides();
        self.relay.feed(lifecycle.sink())?;
        let (every, hints) = (self.every, self.bell.hints("lifecycle"));
        self.watching
            .spawn(async move { lifecycle.watch(every, hints).await });
        Ok(())
    }

    /// What operators are shown.
    pub(super) fn shown(&self) -> admin::Upstream {
        let (standing, status) = (self.standing.clone(), self.relay.status());
        let asides = self.asides.clone();
        Arc::new(move || {
            let sinks = status.views().into_iter();
            let sinks = sinks.map(api::SinkView::from).collect();
            let set_aside = asides.list().into_iter().map(aside).collect();
            view(standing.view(), sinks, set_aside)
        })
    }

    /// Acts on nothing any more that is done to objects upstream: the last record of the trail is about to be written.
    pub(super) async fn rest(&mut self) {
        self.watching.shutdown().await;
    }

    /// Sends what is on the trail, within this time.
    pub(super) async fn stop(self, within: Duration) {
        self.relay.stop(within).await;
    }
}

fn view(
    standing: StandingView,
    sinks: Vec<api::SinkView>,
    set_aside: Vec<api::AsideView>,
) -> api::UpstreamView {
    let (address, version) = standing.by.unzip();
    api::UpstreamView {
        addresses: standing.addresses,
        state: match standing.up {
            None => api::UpstreamState::Unasked,
            Some(true) => api::UpstreamState::Up,
            Some(false) => api::UpstreamState::Down,
        },
        address,
        version: version.map(|version| version.to_string()),
        down_s: standing.outage.map(|outage| outage.as_secs()),
        why: standing.why,
        sinks,
        set_aside,
    }
}

fn aside(aside: Aside) -> api::AsideView {
    api::AsideView {
        object: aside.object,
        operation: aside.operation,
        why: aside.why,
        since: aside.since,
    }
}

impl From<SinkView> for api::SinkView {
    fn from(view: SinkView) -> Self {
        api::SinkView {
            name: view.name.to_owned(),
            sequence: view.sequence,
            lag_records: view.lag_records,
            lag_seconds: view.lag_seconds,
            batches: view.batches,
            failures: view.failures,
            gaps: view.gaps,
            error: view.error,
        }
    }
}
