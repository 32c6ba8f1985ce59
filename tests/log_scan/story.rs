//! What happens to the group, and the search afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use serde_json::json;
use tokio::sync::mpsc;
use wardcast::group::ids::{Epoch, GroupId, Role};
use wardcast::group::wire::{EpochHeader, Request, Response};
use wardcast::member::{Client, Event, Membership, Observed, Ticket};
use wardcast::tls::Credentials;

use crate::forms::{Scanner, Secret};
use crate::keys::{Keys, grant_secrets, wrapped_secrets};
use crate::log::Log;
use crate::support::{GROUP, Setup, Site, raw};
use crate::token::Opened;

const LABEL: &str = "srtp key";
const LENGTHS: [usize; 2] = [16, 32];

/// What the members of the story know.
struct Known {
    tap: mpsc::Sender<Observed>,
    tapped: mpsc::Receiver<Observed>,
    secrets: Vec<Secret>,
    tickets: Vec<Ticket>,
    exports: Vec<(Epoch, Vec<u8>)>,
}

impl Known {
    fn new() -> Self {
        let (tap, tapped) = mpsc::channel(100_000);
        Self {
            tap,
            tapped,
            secrets: Vec::new(),
            tickets: Vec::new(),
            exports: Vec::new(),
        }
    }

    /// A member that shows all that it receives, with a certificate whose key is known.
    async fn join(&mut self, site: &Site, name: &str) -> Membership {
        let client = self.client(site, name);
        let membership = client.join(GROUP, Role::Both).await.expect("a grant");
        self.tickets.push(membership.ticket());
        membership
    }

    fn client(&mut self, site: &Site, name: &str) -> Client {
        let issued = site.issued(name);
        self.secrets
            .extend(certificate_key(issued.key().secret_der(), None));
        let mut options = site.options(name);
        options.credentials = Credentials::new(issued.chain(), issued.key());
        options.tap = Some(self.tap.clone());
        Client::new(options).expect("a client")
    }

    /// Follows the group up to an epoch and exports from each.
    async fn follow(&mut self, member: &mut Membership, newest: Epoch) {
        while let Some(event) = member.next().await {
            let Event::Installed { epoch } = event else {
                continue;
            };
            for length in LENGTHS {
                // It may be retired by now.
                if let Ok(key) = member.export(epoch, LABEL, b"", length) {
                    self.exports.push((epoch, key.to_vec()));
                }
            }
            if epoch >= newest {
                return;
            }
        }
        panic!("the membership ended");
    }

    /// All that may be found nowhere, now that the token is open.
    fn all(mut self, site: &Site) -> Vec<Secret> {
        let token = Opened::read(&site.folder().join("token"));
        let mut database = fs::read(site.folder().join("state.db")).expect("the store");
        database.extend(fs::read(site.folder().join("state.db-wal")).unwrap_or_default());
        let keys = Keys::derive(&token, &database, &self.tickets[0]);
        for ticket in &self.tickets {
            assert_eq!(
                *keys.get(&ticket.leaf),
                ticket.leaf_key,
                "the same derivation"
            );
        }
        let mut observed = Vec::new();
        while let Ok(one) = self.tapped.try_recv() {
            observed.push(one);
        }
        let mut secrets = self.secrets;
        secrets.extend(exports(&keys, &observed, &self.exports));
        secrets.extend(wrapped_secrets(&keys, &observed));
        secrets.extend(keys.secrets());
        secrets.extend(token.secrets());
        let gateway = site.folder().join("gateway.key");
        let gateway = rustls::pki_types::PrivateKeyDer::from_pem_file(gateway);
        let gateway = gateway.expect("the gateway's key");
        secrets.extend(certificate_key(gateway.secret_der(), Some("gateway.key")));
        secrets
    }
}

/// Exports of every epoch that was seen; those that members exported are among them.
fn exports(keys: &Keys, observed: &[Observed], exported: &[(Epoch, Vec<u8>)]) -> Vec<Secret> {
    let mut secrets = Vec::new();
    let mut seen = BTreeSet::new();
    for one in observed {
        let header = EpochHeader::parse(&one.header).expect("a header").header;
        if !seen.insert(header.epoch) {
            continue;
        }
        for length in LENGTHS {
            let key = keys.epoch(&header).export(LABEL, b"", length);
            secrets.push(Secret {
                what: format!("export of epoch {}", header.epoch),
                bytes: key.expect("a key").to_vec(),
                home: None,
            });
        }
    }
    assert!(seen.len() >= 8, "many epochs: {seen:?}");
    assert!(exported.len() >= 4, "members export");
    for (epoch, key) in exported {
        assert!(
            secrets.iter().any(|secret| secret.bytes == *key),
            "epoch {epoch}"
        );
    }
    secrets
}

/// The scalar in an encoded P-256 key; its encoding begins and ends with what is no secret.
fn certificate_key(der: &[u8], home: Option<&'static str>) -> Option<Secret> {
    let mark = [0x02, 0x01, 0x01, 0x04, 0x20];
    let at = der.windows(mark.len()).position(|window| window == mark);
    let at = at.expect("a PKCS#8 key of P-256") + mark.len();
    Some(Secret {
        what: "a certificate's private key".to_owned(),
        bytes: der[at..at + 32].to_vec(),
        home,
    })
}

/// Joins, by the library and by hand, a rotation, an eviction, a leave and a return.
async fn story(site: &Site, known: &mut Known) -> Membership {
    site.create(GROUP, json!({})).await;
    let mut anna = known.join(site, "anna").await;
    let mut others = Vec::new();
    for name in ["bert", "cleo", "dora", "emil", "fred"] {
        others.push(known.join(site, name).await);
    }
    // The grant itself is seen only by hand.
    let connection = raw::connect(site, "gina").await.expect("a connection");
    let join = raw::join(GROUP);
    let answer = raw::ask(&connection, &Request::Join(join.clone())).await;
    let Response::Granted(grant) = answer else {
        panic!("not granted: {answer:?}");
    };
    let token = Opened::read(&site.folder().join("token"));
    known.secrets.extend(grant_secrets(&token, &join, &grant));

    site.rotate(GROUP).await;
    site.evict(GROUP, others[0].member()).await;
    let dora = others.remove(2);
    dora.leave().await.expect("it may");
    // Comes back as another process would.
    let ticket = others.remove(1).ticket();
    let client = known.client(site, "cleo");
    let cleo = client.resume(ticket).await.expect("it is known");
    others.push(cleo);
    site.rotate(GROUP).await;
    let newest = site.group(GROUP).await.epoch;
    known.follow(&mut anna, newest).await;
    anna
}

/// The same search finds what may be there: the group's identifier.
fn controls(site: &Site, group: GroupId) {
    let group = [Secret {
        what: "the group".to_owned(),
        bytes: group.0.to_vec(),
        home: None,
    }];
    let scanner = Scanner::new(&group);
    let found = |file: &str| {
        let bytes = fs::read(site.folder().join(file)).unwrap_or_default();
        !scanner.find(file, &bytes).is_empty()
    };
    assert!(found("log"), "the log names the group");
    let trail = "audit/00000000000000000001.jsonl";
    assert!(found(trail), "the audit trail names it");
    // After a kill the change is in the write-ahead log alone.
    assert!(
        found("state.db") || found("state.db-wal"),
        "the store names it"
    );
}

/// All files of a folder and of the folders in it.
fn everything(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let files = paths.flat_map(|path| match path.is_dir() {
        true => everything(&path),
        false => vec![path],
    });
    files.collect()
}

/// Looks through the gateway's folder and this process's log.
fn search(site: &Site, group: GroupId, secrets: &[Secret]) {
    let scanner = Scanner::new(secrets);
    let mut found = scanner.find("this process's log", &Log::of_this_process().bytes());
    let mut files = Vec::new();
    for path in everything(site.folder()) {
        let name = path.strip_prefix(site.folder()).unwrap_or(&path);
        let name = name.to_string_lossy().into_owned();
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        found.extend(scanner.find(&name, &bytes));
        files.push(name);
    }
    controls(site, group);
    let trail = "audit/00000000000000000001.jsonl";
    for file in ["log", "state.db", trail, "token", "pin", "gateway.key"] {
        assert!(files.iter().any(|name| name == file), "{file} in {files:?}");
    }
    assert_eq!(found, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_logged_or_stored() {
    let members = Log::of_this_process();
    let mut site = Site::start(Setup {
        log: "trace",
        ..Setup::default()
    })
    .await;
    let mut known = Known::new();
    let anna = story(&site, &mut known).await;
    drop(anna);
    assert!(site.terminate().await.success());
    let (log, members) = (site.log_text(), members.bytes());
    for part in ["TRACE", "wardcast::", "quinn"] {
        assert!(
            log.contains(part),
            "{part}: the gateway logs all that it can"
        );
    }
    assert!(
        String::from_utf8_lossy(&members).contains("TRACE"),
        "and so do the members"
    );
    let group = known.tickets[0].group_id;
    search(&site, group, &known.all(&site));
}

/// A process that is killed leaves what it wrote last: the log in its file, the changes in the write-ahead log.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_gateway_leaves_no_secret() {
    Log::of_this_process();
    let mut site = Site::start(Setup {
        log: "trace",
        more: "format = \"json\"",
        ..Setup::default()
    })
    .await;
    let mut known = Known::new();
    let mut anna = story(&site, &mut known).await;
    let rotate = site.try_admin(reqwest::Method::POST, "/studio/rotate", None);
    // Whether it is answered is all the same.
    let _ = rotate.await;
    site.kill();
    assert!(
        site.folder().join("state.db-wal").exists(),
        "as it was left"
    );
    site.restart().await;
    site.rotate(GROUP).await;
    let newest = site.group(GROUP).await.epoch;
    known.follow(&mut anna, newest).await;
    let _ = known.join(&site, "hugo").await;
    site.kill();
    let group = known.tickets[0].group_id;
    search(&site, group, &known.all(&site));
}
