//! The life cycle of groups in a real PyKMIP, kept by a real gateway: up, over kills of the gateway, and back.

#[path = "../support/pykmip.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod pykmip;
#[path = "../support/mod.rs"]
mod support;

mod back;
mod escrow;
mod up;

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use wardcast::kmip::client::{
    Attribute, AttributeName, Client, Endpoint, GetAttributes, Locate, Options, Revoke,
};
use wardcast::kmip::codec::{View, tag, values};
use wardcast::pki::{Authority, Request};
use wardcast::tls::{Credentials, Trust};

use pykmip::PyKmip;
use support::{SOON, Setup, Site};

/// A key store, with an authority of its own, and the people who run it.
struct Upstream {
    server: PyKmip,
    client: Client,
    folder: tempfile::TempDir,
}

impl Upstream {
    fn start() -> Self {
        let authority = Authority::new("upstream").expect("an authority");
        let server = PyKmip::start(&authority);
        // PyKMIP lets nobody but its owner touch an object: its people have the gateway's name.
        let issued = authority.issue(&Request::client("gateway"));
        let issued = issued.expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        issued.write(&path("gateway")).expect("written");
        fs::write(path("ca.pem"), authority.certificate_pem()).expect("written");
        let trust = Trust::new([authority.certificate().clone()], Vec::new());
        let endpoint = Endpoint::new(&server.url(), View::Ttlv).expect("an address");
        let options = Options {
            deadline: SOON,
            attempt: SOON / 2,
            ..Options::default()
        };
        let credentials = Credentials::new(issued.chain(), issued.key());
        let client = Client::new(&[endpoint], credentials, &trust.expect("trust"), options);
        Upstream {
            server,
            client: client.expect("a client"),
            folder,
        }
    }

    /// The gateway's part of the configuration.
    fn config(&self) -> String {
        let folder = self.folder.path().display();
        let url = self.server.url();
        format!(
            r#"
            [upstream]
            addresses = ["{url}"]
            certificate = "{folder}/gateway.pem"
            key = "{folder}/gateway.key"
            ca = "{folder}/ca.pem"
            name = "test"
            poll_s = 1
            "#
        )
    }

    /// A gateway that is below it.
    async fn site(&self) -> Site {
        let setup = Setup {
            more: &self.config(),
            // What is on the trail as it ends goes upstream as well, however busy the machine is.
            environment: &[("WARDCAST_LISTEN__DRAIN_S", "60")],
            ..Setup::default()
        };
        Site::start(setup).await
    }

    /// The objects of groups with their identifiers and states, by name.
    async fn objects(&self) -> BTreeMap<String, (String, Option<u32>)> {
        let locate = Locate {
            attributes: vec![Attribute::object_group("test.keys")],
            maximum_items: None,
        };
        let mut all = BTreeMap::new();
        let located = self.client.call(&locate).await.expect("located");
        for id in located.unique_identifiers {
            let ask = GetAttributes {
                unique_identifier: id.clone(),
                names: [tag::Name, tag::State].map(AttributeName::Standard).into(),
            };
            // It may have been destroyed meanwhile.
            let Ok(found) = self.client.call(&ask).await else {
                continue;
            };
            let get = |tag| {
                let name = AttributeName::Standard(tag);
                found.iter().find(|found| found.name == name)
            };
            let name = get(tag::Name).and_then(Attribute::text).expect("a name");
            let state = get(tag::State).and_then(Attribute::enumeration);
            let before = all.insert(name.to_owned(), (id, state));
            assert_eq!(before, None, "{name} is there twice");
        }
        all
    }

    /// Waits until there are exactly these objects, all active; returns them.
    async fn active(&self, names: &[&str]) -> BTreeMap<String, (String, Option<u32>)> {
        let began = Instant::now();
        loop {
            let objects = self.objects().await;
            let all = objects
                .values()
                .all(|(_, state)| *state == Some(values::State::Active));
            if all && objects.keys().eq(names) {
                return objects;
            }
            assert!(began.elapsed() < SOON * 2, "{names:?}: {objects:#?}");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }

    /// Somebody revokes an object.
    async fn revoke(&self, id: &str, reason: u32) {
        let revoke = Revoke {
            unique_identifier: id.to_owned(),
            reason,
            message: None,
            compromise_occurrence: None,
        };
        self.client.call(&revoke).await.expect("revoked");
    }
}
