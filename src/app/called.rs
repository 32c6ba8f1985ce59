//! Whom the gateway calls, with what it shows to them: the key store upstream, and where the audit trail goes besides.

use std::path::Path;

use super::shown::Shown;
use super::siem::{self, Fed, Sinks};
use super::{AppError, metrics, upstream};
use crate::audit::Audit;
use crate::config::Config;
use crate::kmip::client::{Client, Renewal};
use crate::relay::Relay;
use crate::tls::Credentials;

/// Those that are configured, before they are called.
pub(super) struct Callees {
    pub(super) store: Option<Client>,
    front: Option<Client>,
    sinks: Sinks,
}

impl Callees {
    /// Makes what is configured; nothing is connected yet.
    pub(super) fn load(config: &Config, own: &Credentials) -> Result<Self, AppError> {
        let shown = Shown::load(config, own)?;
        metrics::certificates(&shown);
        let (store, front) = upstream::clients(config, &shown)?;
        Ok(Self {
            store,
            front,
            sinks: siem::sinks(config, &shown)?,
        })
    }

    /// Feeds what the trail goes to besides the store.
    pub(super) fn feed(self, audit: &Audit) -> Result<(Relay, Called), AppError> {
        let (relay, siem) = siem::start(self.sinks, audit)?;
        let called = Called {
            store: self.store,
            front: self.front,
            siem,
        };
        Ok((relay, called))
    }
}

/// Those that are called by a gateway that runs.
#[derive(Clone)]
pub(super) struct Called {
    /// For what the gateway has to say itself.
    store: Option<Client>,
    /// For callers of the front.
    pub(super) front: Option<Client>,
    siem: Fed,
}

/// What they are about to be shown; nothing of it can fail any more.
pub(super) struct CalledAnew {
    shown: Shown,
    stores: Vec<Renewal>,
    sinks: Sinks,
}

impl Called {
    /// Looks at what those are to be shown for whom something changed, which `concerns` says by what its key begins with.
    pub(super) fn stage(
        &self,
        config: &Config,
        shown: Shown,
        concerns: impl Fn(&str) -> bool,
    ) -> Result<CalledAnew, AppError> {
        let of_tls = |path: &Path, keys: &[&str]| {
            path.as_os_str().is_empty() && keys.iter().any(|key| concerns(key))
        };
        let of_store = &config.upstream;
        let anew = concerns("upstream.")
            || of_tls(&of_store.certificate, &["tls.certificate", "tls.key"])
            || of_tls(&of_store.ca, &["tls.client_ca"]);
        let stores = [&self.store, &self.front].into_iter().flatten();
        let stores = stores.filter(|_| anew);
        Ok(CalledAnew {
            stores: upstream::renewals(config, &shown, stores)?,
            sinks: siem::sinks(config, &shown)?.only(config, concerns),
            shown,
        })
    }

    /// Shows them that from now on.
    pub(super) fn take(&self, anew: CalledAnew) {
        metrics::certificates(&anew.shown);
        anew.stores.into_iter().for_each(Renewal::take);
        self.siem.replace(anew.sinks);
    }
}
