//! The configuration, and the files that it names, read anew: all of it is looked at before anything is changed, and what cannot be used
//! is refused as a whole.

use std::collections::BTreeSet;

use rustls::ServerConfig;

use super::admission;
use super::called::CalledAnew;
use super::files::Files;
use super::live::{Live, merged};
use super::shown::Shown;
use super::{AppError, Interfaces, metrics};
use crate::admin::AdminServer;
use crate::admin::api::ReloadView;
use crate::attributes::Sources;
use crate::config::{self, Config};
use crate::front::Front;
use crate::group::wire;
use crate::https::{ALPN, Certificates};
use crate::policy::Rules;
use crate::quic::Listener;
use crate::tls::{self, Credentials, TlsError, Trust};

/// What the keys begin with that say what is shown to those whom the gateway calls, and whom it takes them for.
const SHOWN: [&str; 5] = [
    "tls.certificate",
    "tls.key",
    "tls.client_ca",
    "upstream.",
    "siem.",
];

/// What the running gateway has, and whom it tells when that changes.
pub(super) struct Running {
    pub(super) config: Config,
    pub(super) files: Files,
    /// Those that are read as it starts and not again, as they were then.
    at_start: Files,
    pub(super) credentials: Credentials,
    pub(super) live: Live,
    pub(super) admin: Option<Certificates>,
    pub(super) front: Option<Certificates>,
    /// Whom the gateway calls is shown what it had before it took its newest certificate, for not all could be used that they are shown.
    behind: bool,
}

/// How much is read anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// All that can be.
    All,
    /// Who the gateway is, and who others are.
    Credentials,
    /// The same to those alone who call it: its certificate, their authorities, and who was revoked.
    Own,
}

/// What is about to be given to the gateway; nothing of it can fail any more.
pub(super) struct Staged {
    config: Config,
    files: Files,
    secured: Option<Secured>,
    called: Option<CalledAnew>,
    sources: Option<Sources>,
    rules: Rules,
    behind: bool,
    view: ReloadView,
}

/// Other certificates, for each listener.
struct Secured {
    credentials: Credentials,
    trust: Trust,
    quic: ServerConfig,
    admin: ServerConfig,
    front: ServerConfig,
}

impl Secured {
    fn load(tls: &config::Tls) -> Result<Self, TlsError> {
        let credentials = Credentials::load(&tls.certificate, &tls.key)?;
        let trust = Trust::load(&tls.client_ca, &tls.crl)?;
        let quic = tls::server_config(credentials.clone(), &trust, &[wire::ALPN])?;
        Ok(Self {
            // Tickets of before are worth nothing with it: whoever was revoked meanwhile does not resume.
            quic: tls::resumable(quic)?,
            admin: tls::server_config(credentials.clone(), &trust, &[ALPN])?,
            front: tls::open_server_config(credentials.clone(), &trust, &[ALPN])?,
            credentials,
            trust,
        })
    }
}

impl Running {
    /// Of a gateway that does not listen yet.
    pub(super) fn new(config: Config, files: Files, credentials: Credentials, live: Live) -> Self {
        Self {
            at_start: Files::of_start(&config),
            config,
            files,
            credentials,
            live,
            admin: None,
            front: None,
            behind: false,
        }
    }

    /// It listens.
    pub(super) fn serving(self, interfaces: &Interfaces) -> Self {
        Self {
            admin: interfaces.admin.as_ref().map(AdminServer::certificates),
            front: interfaces.front.as_ref().map(Front::certificates),
            ..self
        }
    }

    /// Whether a file with credentials is another one than that which is in use.
    pub(super) fn has_new_credentials(&self) -> bool {
        let now = Files::of_credentials(&self.config);
        self.behind || !now.changed(&self.files).is_empty()
    }

    /// The same of those that [`Scope::Own`] is.
    pub(super) fn has_new_credentials_of_its_own(&self) -> bool {
        !Files::of_tls(&self.config).changed(&self.files).is_empty()
    }

    /// Looks at all that is to be taken of a configuration.
    pub(super) fn stage(&self, loaded: &Config, scope: Scope) -> Result<Staged, AppError> {
        let config = merged(&self.config, loaded);
        let files = match scope {
            Scope::All => Files::of(&config),
            Scope::Credentials => Files::of_credentials(&config),
            Scope::Own => Files::of_tls(&config),
        };
        let keys = config::changes(&self.config, &config).into_iter();
        let applied: BTreeSet<String> = keys.chain(files.changed(&self.files)).collect();
        let changed = |section: &str| applied.iter().any(|key| key.starts_with(section));
        let secured = match changed("tls.") {
            true => Some(Secured::load(&config.tls)?),
            false => None,
        };
        let credentials = secured
            .as_ref()
            .map_or(&self.credentials, |new| &new.credentials);
        let behind = scope == Scope::Own;
        let concerns = |section: &str| {
            !behind && (changed(section) || (self.behind && section.starts_with("tls.")))
        };
        let called = match SHOWN.into_iter().any(concerns) {
            true => {
                let shown = Shown::load(&config, credentials)?;
                Some(self.live.called.stage(&config, shown, concerns)?)
            }
            false => None,
        };
        let by_certificate = !config.ldap.addresses.is_empty() && config.ldap.bind_dn.is_empty();
        let asks_anew =
            concerns("jwt.") || concerns("ldap.") || (concerns("tls.") && by_certificate);
        let sources = match asks_anew {
            true => Some(admission::sources(&config, credentials)?),
            false => None,
        };
        let rules = match scope {
            Scope::All => admission::rules(&config.policy.rules)?,
            Scope::Credentials | Scope::Own => self.live.book.rules(),
        };
        let needs_restart = config::changes(&config, loaded).into_iter();
        let read_once = Files::of_start(&config).changed(&self.at_start);
        let needs_restart: BTreeSet<String> = needs_restart.chain(read_once).collect();
        let view = ReloadView {
            applied: applied.into_iter().collect(),
            needs_restart: needs_restart.into_iter().collect(),
        };
        Ok(Staged {
            config,
            files,
            secured,
            called,
            sources,
            rules,
            behind,
            view,
        })
    }

    /// Has the gateway go on with what was looked at. Connections stay.
    pub(super) fn apply(
        &mut self,
        staged: Staged,
        listener: &Listener,
    ) -> Result<ReloadView, AppError> {
        if let Some(secured) = staged.secured {
            listener.reconfigure(secured.quic)?;
            let others = [(&self.admin, secured.admin), (&self.front, secured.front)];
            for (certificates, tls) in others {
                if let Some(certificates) = certificates {
                    certificates.replace(tls);
                }
            }
            metrics::lists(&secured.trust);
            self.credentials = secured.credentials;
        }
        if let Some(called) = staged.called {
            self.live.called.take(called);
        }
        listener.pace(staged.config.listen.pace_mbit_s);
        let default = staged.config.policy.default.clone();
        self.live.book.configure(default, staged.rules);
        self.live.replace(&staged.config, staged.sources);
        self.behind = staged.behind;
        self.config = staged.config;
        self.files.take(staged.files);
        Ok(staged.view)
    }
}
