//! A real gateway in a child process, with its own authority, token, store and ports; and members that keep a record.

// Each test program is one of its own and uses a part of this.
#![allow(dead_code, reason = "every test program uses another part")]

pub(crate) mod members;
pub(crate) mod raw;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use wardcast::admin::api::GroupView;
use wardcast::group::ids::MemberId;
use wardcast::member::{Client, Options};
use wardcast::pki::{Authority, Issued, Request};
use wardcast::tls::{self, Credentials, Trust};

/// Opens the soft token. Long and odd enough to be found wherever it does not belong.
pub(crate) const PIN: &str = "k9-Zebra-Quartz-Plum";
/// The group of most tests.
pub(crate) const GROUP: &str = "studio";
/// Nothing that a test waits for takes longer.
pub(crate) const SOON: Duration = Duration::from_secs(30);
const OPERATOR: &str = "operator";

/// What is special about a test's gateway.
#[derive(Clone, Copy, Default)]
pub(crate) struct Setup<'a> {
    /// More TOML.
    pub(crate) more: &'a str,
    /// Log directives; `info` if empty.
    pub(crate) log: &'a str,
    /// Common names of members whose certificates are on the revocation list.
    pub(crate) revoked: &'a [&'a str],
}

/// A folder with all that a gateway needs, and the gateway.
pub(crate) struct Site {
    folder: tempfile::TempDir,
    authority: Authority,
    revoked: Vec<(String, Issued)>,
    child: Option<Child>,
    /// Where members connect.
    pub(crate) quic: SocketAddr,
    admin: SocketAddr,
    http: reqwest::Client,
}

impl Site {
    /// Provisions everything and starts the gateway.
    pub(crate) async fn start(setup: Setup<'_>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new("test").expect("an authority");
        let revoked = setup.revoked.iter().map(|name| {
            let issued = authority.issue(&Request::client(*name));
            (name.to_string(), issued.expect("a certificate"))
        });
        let revoked: Vec<(String, Issued)> = revoked.collect();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut site = Self {
            http: http(&authority),
            folder,
            authority,
            revoked,
            child: None,
            quic: nowhere,
            admin: nowhere,
        };
        site.write(&setup);
        let mut provision = site.command(&["token", "provision"]);
        let provisioned = provision.stdout(Stdio::null()).status();
        assert!(provisioned.expect("it runs").success(), "token provision");
        site.restart().await;
        site
    }

    fn write(&self, setup: &Setup<'_>) {
        let path = |name: &str| self.folder.path().join(name);
        let gateway = self
            .authority
            .issue(
                &Request::server("gateway")
                    .host("localhost")
                    .host("127.0.0.1"),
            )
            .expect("a certificate");
        gateway.write(&path("gateway")).expect("written");
        let revoked: Vec<&Issued> = self.revoked.iter().map(|(_, issued)| issued).collect();
        let crl = self.authority.crl(&revoked).expect("a revocation list");
        fs::write(path("crl.pem"), crl).expect("written");
        fs::write(path("ca.pem"), self.authority.certificate_pem()).expect("written");
        let mut pin = File::options();
        let pin = pin
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path("pin"));
        pin.and_then(|mut file| file.write_all(PIN.as_bytes()))
            .expect("written");
        let log = if setup.log.is_empty() {
            "info"
        } else {
            setup.log
        };
        let config = format!(
            r#"
            [listen]
            address = "127.0.0.1:0"
            drain_s = 5
            [tls]
            certificate = "gateway.pem"
            key = "gateway.key"
            client_ca = "ca.pem"
            crl = ["crl.pem"]
            [token]
            path = "token"
            pin_file = "pin"
            [store]
            path = "state.db"
            [admin]
            address = "127.0.0.1:0"
            operators = ["cn:{OPERATOR}"]
            [log]
            level = "{log}"
            {}
            "#,
            setup.more
        );
        fs::write(path("wardcast.toml"), config).expect("written");
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wardcast"));
        let config = self.folder.path().join("wardcast.toml");
        command.args(words).arg("--config").arg(config);
        command
    }

    /// Starts the gateway, again on the ports that it had, and waits until it listens.
    pub(crate) async fn restart(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let log = File::options().create(true).append(true).open(self.log());
        let mut command = self.command(&["serve"]);
        command
            .env("WARDCAST_LISTEN__ADDRESS", self.quic.to_string())
            .env("WARDCAST_ADMIN__ADDRESS", self.admin.to_string())
            .stdout(Stdio::piped())
            .stderr(log.expect("a log file"));
        let mut child = command.spawn().expect("it starts");
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        self.child = Some(child);
        let first = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            output.read_line(&mut line).map(|_| line)
        });
        let line = first.await.expect("no panic").expect("its output");
        let said: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("it did not start: {line:?}\n{}", self.log_text()));
        let address = |key: &str| said["listening"][key].as_str().expect("an address").parse();
        self.quic = address("quic").expect("an address");
        self.admin = address("admin").expect("an address");
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it is over");
    }

    /// SIGTERM, and waits for its end.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let pid = child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(told.expect("kill runs").success(), "it could be told");
        tokio::task::spawn_blocking(move || child.wait().expect("it is over"))
            .await
            .expect("no panic")
    }

    /// The folder with its token, store and log.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// All that the gateway logged.
    pub(crate) fn log_text(&self) -> String {
        let bytes = fs::read(self.log()).expect("a log file");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whom members trust.
    pub(crate) fn trust(&self) -> Trust {
        trust(&self.authority)
    }

    /// A certificate with this common name: a new one, or the revoked one of that name.
    pub(crate) fn credentials(&self, name: &str) -> Credentials {
        if let Some((_, issued)) = self.revoked.iter().find(|(revoked, _)| revoked == name) {
            return Credentials::new(issued.chain(), issued.key());
        }
        let issued = self.issued(name);
        Credentials::new(issued.chain(), issued.key())
    }

    /// A certificate with this common name, as files for a command: `--ca`, `--cert` and `--key` with their values.
    pub(crate) fn certificate_arguments(&self, name: &str) -> [std::ffi::OsString; 6] {
        let prefix = self.folder.path().join(name);
        let files = self.issued(name).write(&prefix);
        let (certificate, key) = files.expect("written");
        let ca = self.folder.path().join("ca.pem");
        [
            "--ca".into(),
            ca.into(),
            "--cert".into(),
            certificate.into(),
            "--key".into(),
            key.into(),
        ]
    }

    /// A new certificate with this common name, and its key.
    pub(crate) fn issued(&self, name: &str) -> Issued {
        let issued = self.authority.issue(&Request::client(name));
        issued.expect("a certificate")
    }

    /// How a member connects, noticing a lost gateway within a second.
    pub(crate) fn options(&self, name: &str) -> Options {
        let credentials = self.credentials(name);
        let mut options = Options::new(self.quic, "localhost", credentials, self.trust());
        options.keep_alive = Duration::from_millis(250);
        options.patience = SOON;
        options
    }

    /// A member's connection.
    pub(crate) fn client(&self, name: &str) -> Client {
        Client::new(self.options(name)).expect("a client")
    }
}

/// What operators do.
impl Site {
    /// One request; an answer that is not JSON is null. Fails where nobody answers.
    pub(crate) async fn try_admin(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> reqwest::Result<(StatusCode, Value)> {
        let url = format!("https://localhost:{}/v1/groups{path}", self.admin.port());
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }

    /// One request that must be done.
    pub(crate) async fn admin(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let answer = self.try_admin(method.clone(), path, body).await;
        let (status, answer) = answer.expect("the gateway answers");
        assert!(status.is_success(), "{method} {path}: {status}: {answer}");
        answer
    }

    /// Creates a group that any certificate may join, quick in all it does; `policy` names what is different.
    pub(crate) async fn create(&self, name: &str, policy: Value) {
        let mut whole = json!({
            "batch_interval_ms": 10,
            "activation_delay_ms": 200,
            "retirement_delay_ms": 1_000,
            "registrations_per_identity": 16,
            "admit": [{ "identity": "**", "roles": ["both"] }],
        });
        let keys = whole.as_object_mut().expect("an object");
        keys.extend(policy.as_object().expect("an object").clone());
        let body = json!({ "name": name, "policy": whole });
        self.admin(Method::POST, "", Some(body)).await;
    }

    /// How a group is.
    pub(crate) async fn group(&self, name: &str) -> GroupView {
        let view = self.admin(Method::GET, &format!("/{name}"), None).await;
        serde_json::from_value(view).expect("a group")
    }

    /// Gives a group a new key, and waits until it is delivered.
    pub(crate) async fn rotate(&self, name: &str) {
        let before = self.group(name).await.epoch;
        self.admin(Method::POST, &format!("/{name}/rotate"), None)
            .await;
        let began = Instant::now();
        while self.group(name).await.epoch == before {
            assert!(began.elapsed() < SOON, "no new epoch after {before}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Evicts a member, urgently; it is on record when this returns.
    pub(crate) async fn evict(&self, name: &str, member: MemberId) {
        let body = json!({ "members": [member], "urgent": true, "reason": "a test" });
        self.admin(Method::POST, &format!("/{name}/evict"), Some(body))
            .await;
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(60)..].join("\n");
            eprintln!("the end of the gateway's log:\n{end}");
        }
    }
}

fn trust(authority: &Authority) -> Trust {
    Trust::new([authority.certificate().clone()], Vec::new()).expect("an authority")
}

fn http(authority: &Authority) -> reqwest::Client {
    let issued = authority.issue(&Request::client(OPERATOR));
    let issued = issued.expect("a certificate");
    let credentials = Credentials::new(issued.chain(), issued.key());
    let tls = tls::client_config(credentials, &trust(authority), &[b"http/1.1"]);
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls.expect("a TLS configuration"))
        .no_proxy()
        // The gateway is killed and started again on the same port: no connection is kept for the next request.
        .pool_max_idle_per_host(0)
        .timeout(SOON)
        .build()
        .expect("a client")
}
