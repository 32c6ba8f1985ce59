//! A gateway and the key store upstream of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;
use wardcast::audit::{Digest, Verified, verify};
use wardcast::kmip::client::{Attribute, Client, Endpoint, Locate, Options};
use wardcast::kmip::codec::View;
use wardcast::pki::{Authority, Request};
use wardcast::tls::{Credentials, Trust};

use crate::pykmip::PyKmip;
use crate::support::{Setup, Site};

/// What waits for the relay waits for signatures and pauses as well, on a machine where much runs beside it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// How often a gateway is ended until its last records were taken.
const ENDS: usize = 5;

/// A store with an authority of its own, and what a client needs to be let in.
pub(crate) struct Upstream {
    pub(crate) authority: Authority,
    folder: tempfile::TempDir,
    pub(crate) store: PyKmip,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let authority = Authority::new("store's").expect("an authority");
        let store = PyKmip::start(&authority);
        let folder = tempfile::tempdir().expect("a folder");
        let issued = authority.issue(&Request::client("gateway"));
        let issued = issued.expect("a certificate");
        issued.write(&folder.path().join("own")).expect("written");
        let ca = folder.path().join("ca.pem");
        std::fs::write(ca, authority.certificate_pem()).expect("written");
        Upstream {
            authority,
            folder,
            store,
        }
    }

    /// A file of what a gateway needs: `own.pem`, `own.key` or `ca.pem`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The part of a gateway's configuration that names it.
    pub(crate) fn config(&self) -> String {
        let path = |name: &str| self.path(name);
        let (certificate, key, ca) = (path("own.pem"), path("own.key"), path("ca.pem"));
        let url = self.store.url();
        format!(
            "[upstream]\naddresses = [{url:?}]\ncertificate = {certificate:?}\nkey = {key:?}\nca = {ca:?}\n\
             name = \"gw\"\npoll_s = 1\n"
        )
    }

    /// A gateway that is below it.
    pub(crate) async fn site(&self) -> Site {
        let setup = Setup {
            more: &self.config(),
            // What is on the trail as it ends goes upstream as well, however busy the machine is.
            environment: &[("WARDCAST_LISTEN__DRAIN_S", "60")],
            ..Setup::default()
        };
        Site::start(setup).await
    }

    /// A client that is let in as the gateway is.
    pub(crate) fn client(&self) -> Client {
        let issued = self.authority.issue(&Request::client("gateway"));
        let issued = issued.expect("a certificate");
        let trust = Trust::new([self.authority.certificate().clone()], Vec::new());
        let endpoint = Endpoint::new(&self.store.url(), View::Ttlv).expect("an address");
        let options = Options {
            deadline: Duration::from_secs(30),
            attempt: Duration::from_secs(15),
            ..Options::default()
        };
        let own = Credentials::new(issued.chain(), issued.key());
        let client = Client::new(&[endpoint], own, &trust.expect("an authority"), options);
        client.expect("a client")
    }

    /// The identifiers of all batches that it has.
    pub(crate) async fn batches(&self) -> Vec<String> {
        let all = Locate {
            attributes: vec![Attribute::object_group("gw.audit")],
            ..Locate::default()
        };
        let located = self.client().call(&all).await.expect("located");
        located.unique_identifiers
    }
}

/// What the gateway shows of its upstream.
pub(crate) async fn shown(site: &Site) -> Value {
    let answer = site.try_root(Method::GET, "v1/upstream", None).await;
    let (status, view) = answer.expect("the gateway answers");
    assert!(status.is_success(), "{status}: {view}");
    view
}

/// How far the audit trail's relay is behind.
pub(crate) fn audit(view: &Value) -> &Value {
    let mut sinks = view["sinks"].as_array().expect("sinks").iter();
    sinks.find(|sink| sink["name"] == "audit").expect("audit")
}

/// Waits until the gateway shows something.
pub(crate) async fn until(site: &Site, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let view = shown(site).await;
        if is(&view) {
            return view;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: still {view}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until all of the trail was taken.
pub(crate) async fn drained(site: &Site) -> Value {
    until(site, "all is relayed", |view| {
        view["state"] == "up" && audit(view)["lag_records"] == 0
    })
    .await
}

/// `wardcast audit fetch` with these arguments.
pub(crate) async fn fetch(site: &Site, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wardcast"));
    let config = site.folder().join("wardcast.toml");
    command.args(["audit", "fetch", "--config"]).arg(config);
    command.args(more);
    let run = tokio::task::spawn_blocking(move || command.output());
    run.await.expect("no panic").expect("it runs")
}

/// Reads the trail of a gateway that has ended back, and holds it against the one on its disk: the same, byte for byte, each
/// record once. How many records and batches it has.
pub(crate) async fn check_all(upstream: &Upstream, site: &Site) -> (u64, usize) {
    let here = lines(&site.folder().join("audit"));
    compare(upstream, here, read_back(site).await).await
}

/// Ends a gateway, and [`check_all`]. What a slow store did not take in the time that an end has is taken in the next life, which ends
/// with records of its own.
pub(crate) async fn end_and_check_all(upstream: &Upstream, site: &mut Site) -> (u64, usize) {
    for _ in 0..ENDS {
        drained(site).await;
        assert!(site.terminate().await.success());
        let here = lines(&site.folder().join("audit"));
        let back = read_back(site).await;
        if back.1.0.last == here.0.last {
            return compare(upstream, here, back).await;
        }
        site.restart().await;
    }
    panic!("in {ENDS} lives the last records were never sent");
}

async fn compare(upstream: &Upstream, here: Trail, (json, there): (Value, Trail)) -> (u64, usize) {
    assert_eq!(here.1.len(), there.1.len(), "as many records");
    assert!(here.1 == there.1, "byte for byte");
    assert_eq!((here.0.first, here.0.last), (1, there.0.last));
    assert_eq!(json["last"], here.0.last);
    assert_eq!(json["head"], here.0.head.to_string());
    let batches = upstream.batches().await.len();
    assert_eq!(json["batches"], batches, "the store has no other");
    (here.0.records, batches)
}

/// What `wardcast audit fetch` says, and what it fetched.
async fn read_back(site: &Site) -> (Value, Trail) {
    let back = tempfile::tempdir().expect("a folder");
    let folder = back.path().join("back");
    let to = folder.to_str().expect("text").to_owned();
    let output = fetch(site, &["--to", &to, "--json"]).await;
    let says = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{says}");
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    (json, lines(&folder))
}

/// What a trail is, and its records.
type Trail = (Verified, Vec<Digest>);

fn lines(folder: &Path) -> Trail {
    let mut all = Vec::new();
    let whole = verify(folder, |_, line| all.push(Digest::of(line)));
    (whole.expect("is whole"), all)
}
