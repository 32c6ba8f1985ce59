//! The configuration, and the files that it names, read anew: all of it is looked at before anything is changed, and what cannot be used
//! is refused as a whole.

use std::collections::BTreeSet;

use rustls::ServerConfig;

use super::admission;
use super::files::Files;
use super::live::{Live, merged};
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

/// What the running gateway has, and whom it tells when that changes.
pub(super) struct Running {
    pub(super) config: Config,
    pub(super) files: Files,
    pub(super) credentials: Credentials,
    pub(super) live: Live,
    pub(super) admin: Option<Certificates>,
    pub(super) front: Option<Certificates>,
}

/// How much is read anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// All that can be.
    All,
    /// What is about TLS.
    Certificates,
}

/// What is about to be given to the gateway; nothing of it can fail any more.
pub(super) struct Staged {
    config: Config,
    files: Files,
    secured: Option<Secured>,
    sources: Option<Sources>,
    rules: Rules,
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

/// The keys of those who are shown the gateway's own certificate, and go on being shown the one from before.
fn shown_before(config: &Config) -> impl Iterator<Item = String> {
    let (upstream, syslog, ocsf) = (&config.upstream, &config.siem.syslog, &config.siem.ocsf);
    let collector = !ocsf.url.is_empty() && ocsf.token_file.as_os_str().is_empty();
    let all = [
        (
            "upstream.certificate",
            !upstream.addresses.is_empty(),
            &upstream.certificate,
        ),
        (
            "siem.syslog.certificate",
            !syslog.address.is_empty(),
            &syslog.certificate,
        ),
        ("siem.ocsf.certificate", collector, &ocsf.certificate),
    ];
    let shown = all
        .into_iter()
        .filter(|(_, asked, own)| *asked && own.as_os_str().is_empty());
    shown.map(|(key, ..)| key.to_owned())
}

impl Running {
    /// Of a gateway that does not listen yet.
    pub(super) fn new(config: Config, files: Files, credentials: Credentials, live: Live) -> Self {
        Self {
            config,
            files,
            credentials,
            live,
            admin: None,
            front: None,
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

    /// Whether a file about TLS is another one than that which is in use.
    pub(super) fn has_new_certificates(&self) -> bool {
        let now = Files::of_certificates(&self.config);
        !now.changed(&self.files).is_empty()
    }

    /// Looks at all that is to be taken of a configuration.
    pub(super) fn stage(&self, loaded: &Config, scope: Scope) -> Result<Staged, AppError> {
        let config = merged(&self.config, loaded);
        let files = match scope {
            Scope::All => Files::of(&config),
            Scope::Certificates => Files::of_certificates(&config),
        };
        let keys = config::changes(&self.config, &config).into_iter();
        let applied: BTreeSet<String> = keys.chain(files.changed(&self.files)).collect();
        let concerns = |section: &str| applied.iter().any(|key| key.starts_with(section));
        let secured = match concerns("tls.") {
            true => Some(Secured::load(&config.tls)?),
            false => None,
        };
        let credentials = secured
            .as_ref()
            .map_or(&self.credentials, |new| &new.credentials);
        let by_certificate = !config.ldap.addresses.is_empty() && config.ldap.bind_dn.is_empty();
        let asks_anew =
            concerns("jwt.") || concerns("ldap.") || (secured.is_some() && by_certificate);
        let sources = match asks_anew {
            true => Some(admission::sources(&config, credentials)?),
            false => None,
        };
        let rules = match scope {
            Scope::All => admission::rules(&config.policy.rules)?,
            Scope::Certificates => self.live.book.rules(),
        };
        let mut needs_restart = config::changes(&config, loaded);
        if secured.is_some() {
            needs_restart.extend(shown_before(&config));
        }
        let view = ReloadView {
            applied: applied.into_iter().collect(),
            needs_restart,
        };
        Ok(Staged {
            config,
            files,
            secured,
            sources,
            rules,
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
            metrics::certificates(&secured.credentials, &secured.trust);
            self.credentials = secured.credentials;
        }
        listener.pace(staged.config.listen.pace_mbit_s);
        let default = staged.config.policy.default.clone();
        self.live.book.configure(default, staged.rules);
        self.live.replace(&staged.config, staged.sources);
        self.config = staged.config;
        self.files.take(staged.files);
        Ok(staged.view)
    }
}
