//! What a running gateway can be given anew, and what of a configuration that is.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::called::Called;
use crate::admin::role::{Appointments, Role};
use crate::attributes::Sources;
use crate::config::{self, Config};
use crate::front::{self, Access};
use crate::policy::documents::Book;

/// Shared with those who use it; whatever is replaced here counts from the next time that they look.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) sources: Arc<ArcSwap<Sources>>,
    pub(super) operators: Arc<ArcSwap<Appointments>>,
    pub(super) front: Arc<ArcSwap<Access>>,
    pub(super) book: Arc<Book>,
    pub(super) called: Called,
}

impl Live {
    pub(super) fn new(config: &Config, sources: Sources, book: Arc<Book>, called: Called) -> Self {
        Self {
            operators: Arc::new(ArcSwap::from_pointee(operators(&config.admin))),
            front: Arc::new(ArcSwap::from_pointee(access(&config.front, &sources))),
            sources: Arc::new(ArcSwap::from_pointee(sources)),
            book,
            called,
        }
    }

    /// Who may do what, by another configuration; and with other sources, if there are.
    pub(super) fn replace(&self, config: &Config, sources: Option<Sources>) {
        if let Some(sources) = sources {
            self.sources.store(Arc::new(sources));
        }
        let access = access(&config.front, &self.sources.load());
        self.front.store(Arc::new(access));
        self.operators.store(Arc::new(operators(&config.admin)));
    }
}

/// What a running gateway has, with all of another configuration that it can be given without a restart.
pub(super) fn merged(running: &Config, loaded: &Config) -> Config {
    let mut merged = running.clone();
    merged.listen.pace_mbit_s = loaded.listen.pace_mbit_s;
    merged.listen.drain_s = loaded.listen.drain_s;
    merged.listen.drain_to = loaded.listen.drain_to.clone();
    merged.tls = loaded.tls.clone();
    merged.admin.operators = loaded.admin.operators.clone();
    merged.admin.viewers = loaded.admin.viewers.clone();
    merged.admin.monitors = loaded.admin.monitors.clone();
    merged.front.roles = loaded.front.roles.clone();
    merged.front.notifiers = loaded.front.notifiers.clone();
    merged.policy = loaded.policy.clone();
    merged.jwt = loaded.jwt.clone();
    merged.ldap = loaded.ldap.clone();
    // Where the store is and what is there belong together, and to the trail's cursors. What is shown to another store waits for
    // it: the one that is in use would not know the gateway by that, nor the gateway that store.
    if running.upstream.addresses == loaded.upstream.addresses {
        merged.upstream.certificate = loaded.upstream.certificate.clone();
        merged.upstream.key = loaded.upstream.key.clone();
        merged.upstream.ca = loaded.upstream.ca.clone();
    }
    if sinks(&running.siem) == sinks(&loaded.siem) {
        merged.siem = loaded.siem.clone();
    }
    merged.log.level = loaded.log.level.clone();
    merged
}

/// Which there are. One that comes or goes takes a restart.
fn sinks(siem: &config::Siem) -> [bool; 3] {
    let config::Siem {
        syslog,
        ocsf,
        splunk,
        ..
    } = siem;
    [&syslog.address, &ocsf.url, &splunk.url].map(|at| at.is_empty())
}

fn operators(admin: &config::Admin) -> Appointments {
    let roles = [
        (Role::Operator, &admin.operators),
        (Role::Viewer, &admin.viewers),
        (Role::Monitor, &admin.monitors),
    ];
    let mut table = Appointments::default();
    for (role, whom) in roles {
        for one in whom {
            table.appoint(role, one);
        }
    }
    table
}

fn access(front: &config::Front, sources: &Sources) -> Access {
    let roles = &front.roles;
    let appointed = [
        (front::role::Role::Viewer, &roles.viewer),
        (front::role::Role::Operator, &roles.operator),
        (front::role::Role::KeyOfficer, &roles.key_officer),
        (front::role::Role::Auditor, &roles.auditor),
    ];
    let mut appointments = front::role::Appointments::default();
    for (role, whom) in appointed {
        for one in whom {
            appointments.appoint(role, one);
        }
    }
    for whom in &front.notifiers {
        appointments.appoint_notifier(whom);
    }
    let tokens = sources.tokens.clone();
    Access {
        appointments,
        tokens,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_store_is_to_be_shown_waits_for_it() {
        let mut running = Config::default();
        running.upstream.addresses = vec!["kmips://one.test:5696".into()];
        let mut loaded = running.clone();
        loaded.upstream.certificate = "next.pem".into();
        loaded.upstream.key = "next.key".into();
        loaded.upstream.ca = "next-ca.pem".into();
        let left = config::changes(&merged(&running, &loaded), &loaded);
        assert!(left.is_empty(), "{left:?}");
        loaded.upstream.addresses = vec!["kmips://other.test:5696".into()];
        let left = config::changes(&merged(&running, &loaded), &loaded);
        let all = ["addresses", "ca", "certificate", "key"];
        assert_eq!(left, all.map(|key| format!("upstream.{key}")));
        // Nor is the gateway's own certificate shown instead to one that is to go.
        loaded.upstream = Config::default().upstream;
        running.upstream.ca = "ca.pem".into();
        assert_eq!(merged(&running, &loaded).upstream.ca, running.upstream.ca);
    }
}
