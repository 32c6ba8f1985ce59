//! A gateway with all that metrics tell of: members who come, stay, leave and are evicted, others who are refused, a key store
//! upstream, a collector of events that takes them, and one of traces that is away.

use reqwest::Method;
use serde_json::json;
use wardcast::group::ids::Role;
use wardcast::pki::{Authority, Request};

use crate::collector::Collector;
use crate::pykmip::PyKmip;
use crate::support::members::{Ledger, Member};
use crate::support::{GROUP, Setup, Site};

/// Members that stay.
pub(crate) const MEMBERS: usize = 12;
/// Whose certificate is on the revocation list.
const REVOKED: &str = "revoked";

/// Nobody listens on this port, which is for the system's own services.
const TRACES: &str = "http://127.0.0.1:1/v1/traces";

/// A gateway, what it tells of itself to, and its members.
pub(crate) struct Load {
    pub(crate) site: Site,
    members: Vec<Member>,
    ledger: Ledger,
    _store: PyKmip,
    _collector: Collector,
    _folder: tempfile::TempDir,
}

impl Load {
    pub(crate) async fn start() -> Self {
        let authority = Authority::new("store's").expect("an authority");
        let store = PyKmip::start(&authority);
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let issued = authority.issue(&Request::client("gateway"));
        let written = issued.expect("a certificate").write(&path("own"));
        let (certificate, key) = written.expect("written");
        std::fs::write(path("ca.pem"), authority.certificate_pem()).expect("written");
        let (url, ca) = (store.url(), path("ca.pem"));
        let upstream = format!(
            "[upstream]\naddresses = [{url:?}]\ncertificate = {certificate:?}\nkey = {key:?}\nca = {ca:?}\npoll_s = 1\n"
        );
        let collector = Collector::start().await;
        let (url, ca, token) = (collector.url(), collector.ca(), collector.token());
        let siem =
            format!("[siem.ocsf]\nurl = \"{url}/ocsf\"\nca = {ca:?}\ntoken_file = {token:?}\n");
        let traces = format!("[trace]\nendpoint = {TRACES:?}\nratio = 1.0\n");
        let setup = Setup {
            more: &(upstream + &siem + &traces),
            admin: "monitors = [\"cn:prometheus\"]",
            revoked: &[REVOKED],
            ..Setup::default()
        };
        let site = Site::start(setup).await;
        site.ready(true).await;
        site.create(GROUP, json!({})).await;
        let (mut members, ledger) = (Vec::new(), Ledger::default());
        for number in 0..MEMBERS {
            members.push(Member::join(&site, &format!("stays-{number}"), &ledger).await);
        }
        Self {
            site,
            members,
            ledger,
            _store: store,
            _collector: collector,
            _folder: folder,
        }
    }

    /// One of each kind of thing that happens to a gateway. All who stay hold the newest epoch afterwards.
    pub(crate) async fn turn(&self, number: usize) {
        let (site, ledger) = (&self.site, &self.ledger);
        let leaves = Member::join(site, &format!("leaves-{number}"), ledger).await;
        leaves.leave().await.expect("it may leave");
        let evicted = Member::join(site, &format!("evicted-{number}"), ledger).await;
        site.evict(GROUP, evicted.id()).await;
        evicted
            .until("is told", |record| record.ended.is_some())
            .await;
        let stranger = site.client("stranger");
        let refused = stranger.join("no such group", Role::Both).await;
        assert!(refused.is_err(), "there is no such group");
        let mut revoked = site.options(REVOKED);
        revoked.patience = std::time::Duration::from_millis(500);
        let revoked = wardcast::member::Client::new(revoked).expect("a client");
        assert!(revoked.join(GROUP, Role::Both).await.is_err());
        site.rotate(GROUP).await;
        let newest = site.group(GROUP).await.epoch;
        for member in &self.members {
            member.holds(newest).await;
        }
    }

    /// All of them are told to roll over, which is the rarest of causes.
    pub(crate) async fn roll_over(&self) {
        let path = format!("/{GROUP}/rollover");
        self.site.admin(Method::POST, &path, Some(json!({}))).await;
    }
}
