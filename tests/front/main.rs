//! The front for programs of a real gateway, with a real PyKMIP upstream: KMIP over HTTPS in three encodings, roles, and answers
//! that come later; and the REST interface beside it.

#[path = "../support/issuer.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod issuer;
#[path = "../support/pykmip.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod pykmip;
#[path = "../upstream/store.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod store;
#[path = "../upstream/stub.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod stub;
#[path = "../support/mod.rs"]
mod support;

mod hostile;
mod kills;
mod kmip;
mod later;
mod names;
mod notify;
mod own;
mod relay;
mod renewal;
mod rest;
mod roles;
mod tokens;
mod volume;

use std::sync::{Arc, Mutex};

use wardcast::kmip::codec::Item;
use wardcast::pki::{Authority, Request};
use wardcast::tls::Trust;

use kmip::Caller;
use pykmip::PyKmip;
use support::Setup;

/// Who has which role, by common names; auditors apart.
const ROLES: &str = r#"
    [front]
    address = "127.0.0.1:0"
    [front.roles]
    viewer = ["cn:viewer"]
    operator = ["cn:operator"]
    key_officer = ["cn:officer", "cn:second"]
"#;
/// Who reads the audit trail.
const AUDITORS: &str = "auditor = [\"cn:auditor\"]";

/// An authority, and what servers of tests need of it.
pub(crate) struct Site {
    authority: Authority,
}

impl Site {
    fn new() -> Self {
        let authority = Authority::new("test").expect("an authority");
        Self { authority }
    }

    fn trust(&self) -> Trust {
        Trust::new([self.authority.certificate().clone()], Vec::new()).expect("an authority")
    }
}

/// The object that callers ask stubs about, which the gateway by itself never does.
const OBJECT: &str = "the-one";

/// What callers asked a stub for, without what the gateway asks for itself.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<u32>>>);

impl Seen {
    /// Whether a message is a caller's; its operations are kept then.
    fn note(&self, message: &Item) -> bool {
        let text = format!("{message:?}");
        // Before an object is changed, the gateway asks what it is called.
        let is = text.contains(OBJECT) && !text.contains("Object Group");
        if is {
            let asked = stub::operations(message);
            self.0.lock().expect("no panic").extend(asked);
        }
        is
    }

    fn operations(&self) -> Vec<u32> {
        self.0.lock().expect("no panic").clone()
    }
}

/// A gateway with a front, and its callers.
struct Stage {
    site: support::Site,
    /// With what the store is shown: `store-client.pem` and `store-client.key`.
    certificates: tempfile::TempDir,
}

impl Stage {
    /// Starts a gateway whose key store is at this URL.
    async fn start(own: Site, url: &str) -> Self {
        Self::start_with_roles(own, url, "", AUDITORS).await
    }

    /// The same, with more TOML and with other auditors.
    async fn start_with_roles(own: Site, url: &str, more: &str, auditors: &str) -> Self {
        let more = format!("{ROLES}{auditors}\n{more}");
        Self::start_with(own, url, &more).await
    }

    /// The same, with all that follows the key store's addresses and certificates in the configuration.
    async fn start_with(own: Site, url: &str, more: &str) -> Self {
        let certificates = tempfile::tempdir().expect("a folder");
        let path = certificates.path().join("store-client");
        let issued = own.authority.issue(&Request::client("gateway"));
        let (certificate, key) = issued
            .expect("a certificate")
            .write(&path)
            .expect("written");
        let more = format!(
            "[upstream]\naddresses = [{url:?}]\ncertificate = {certificate:?}\nkey = {key:?}\n{more}"
        );
        let setup = Setup {
            more: &more,
            ..Setup::default()
        };
        Self {
            site: support::Site::start_under(own.authority, setup).await,
            certificates,
        }
    }

    /// A gateway with a real PyKMIP.
    async fn with_pykmip() -> (Self, PyKmip) {
        let own = Site::new();
        let server = PyKmip::start(&own.authority);
        let stage = Self::start(own, &server.url()).await;
        (stage, server)
    }

    /// Somebody whose certificate has this common name.
    fn caller(&self, name: &str) -> Caller {
        Caller::new(&self.site, Some(name))
    }
}
