//! A real gateway in a child process, with its own authority, token, store and ports; and members that keep a record.

// Each test program is one of its own and uses a part of this.
#![allow(dead_code, reason = "every test program uses another part")]

mod client;
pub(crate) mod control;
pub(crate) mod members;
pub(crate) mod raw;
mod setup;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use wardcast::admin::api::GroupView;
use wardcast::group::ids::MemberId;
use wardcast::member::{Client, Options};
use wardcast::pki::{Authority, Issued, Request};
use wardcast::tls::{Credentials, Trust};
use wardcast_shim::{Peer, Shim};

use client::http;
use setup::write_secret;
pub(crate) use setup::{Setup, Token};

/// Opens the soft token. Long and odd enough to be found wherever it does not belong.
pub(crate) const PIN: &str = "k9-Zebra-Quartz-Plum";
/// Opens the tokens of PKCS#11 modules.
const PEER_PIN: &str = "123456";
/// The group of most tests.
pub(crate) const GROUP: &str = "studio";
/// Nothing that a test waits for takes longer.
pub(crate) const SOON: Duration = Duration::from_secs(30);
const OPERATOR: &str = "operator";

/// A folder with all that a gateway needs, and the gateway.
pub(crate) struct Site {
    folder: tempfile::TempDir,
    authority: Authority,
    revoked: Vec<(String, Issued)>,
    child: Option<Child>,
    environment: Vec<(&'static str, OsString)>,
    /// Where members connect.
    pub(crate) quic: SocketAddr,
    admin: SocketAddr,
    /// Where programs ask, if the configuration says so.
    pub(crate) front: Option<SocketAddr>,
    /// As the operator.
    pub(crate) http: reqwest::Client,
    /// Where health is asked for, if the configuration says so.
    pub(crate) health: Option<SocketAddr>,
}

impl Site {
    /// Provisions everything and starts the gateway.
    pub(crate) async fn start(setup: Setup<'_>) -> Self {
        Self::start_under(Authority::new("test").expect("an authority"), setup).await
    }

    /// The same, with certificates of this authority, which others have certificates of too.
    pub(crate) async fn start_under(authority: Authority, setup: Setup<'_>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let revoked = setup.revoked.iter().map(|name| {
            let issued = authority.issue(&Request::client(*name));
            (name.to_string(), issued.expect("a certificate"))
        });
        let revoked: Vec<(String, Issued)> = revoked.collect();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut site = Self {
            // The gateway is killed and started again on the same port: no connection is kept for the next request.
            http: http(&authority, OPERATOR, 0),
            folder,
            authority,
            revoked,
            child: None,
            environment: Vec::new(),
            quic: nowhere,
            admin: nowhere,
            front: None,
            health: None,
        };
        let token = site.token(setup.token);
        let environment = setup.environment.iter();
        let environment = environment.map(|(name, value)| (*name, value.into()));
        site.environment.extend(environment);
        site.write(&setup, &token);
        let how = match setup.replicas {
            "" => "provision",
            _ => "ceremony",
        };
        let mut provision = site.command(&["token", how]);
        if !setup.escrow.is_empty() {
            let file = site.folder.path().join("escrow-key");
            write_secret(&file, setup.escrow);
            provision.arg("--escrow-file").arg(file);
        }
        let provisioned = provision.stdout(Stdio::null()).status();
        assert!(provisioned.expect("it runs").success(), "token provision");
        site.restart().await;
        site
    }

    /// Makes the token; returns its part of the configuration.
    fn token(&mut self, kind: Token) -> String {
        let folder = self.folder.path();
        let peer = match kind {
            Token::Soft => return "path = \"token\"".to_owned(),
            Token::SoftHsm => Peer::softhsm(folder),
            Token::Kryoptic => Peer::kryoptic(folder),
            Token::Shim => self.shim().before(Peer::softhsm(folder)),
        };
        assert_eq!(peer.pin, PEER_PIN);
        self.environment = peer.environment;
        let (module, label) = (peer.module, peer.label);
        format!("kind = \"pkcs11\"\nmodule = {module:?}\ntoken_label = {label:?}")
    }

    /// Commands the shim in front of this site's token.
    pub(crate) fn shim(&self) -> Shim {
        Shim::new(&self.folder.path().join("shim"))
    }

    fn write(&self, setup: &Setup<'_>, token: &str) {
        let path = |name: &str| self.folder.path().join(name);
        let gateway = self.issued_to_gateway();
        gateway.write(&path("gateway")).expect("written");
        let revoked: Vec<&Issued> = self.revoked.iter().map(|(_, issued)| issued).collect();
        let crl = self.authority.crl(&revoked).expect("a revocation list");
        fs::write(path("crl.pem"), crl).expect("written");
        fs::write(path("ca.pem"), self.authority.certificate_pem()).expect("written");
        let text = match setup.token {
            Token::Soft => PIN,
            _ => PEER_PIN,
        };
        write_secret(&path("pin"), text);
        let log = if setup.log.is_empty() {
            "info"
        } else {
            setup.log
        };
        let replicas = match setup.replicas {
            "" => String::new(),
            replicas => format!("replicas = {replicas}"),
        };
        let escrow = match setup.escrow {
            "" => "",
            _ => "escrow_label = \"escrow key\"",
        };
        let Setup { more, admin, .. } = setup;
        let config = format!(
            r#"
            [listen]
            address = "127.0.0.1:0"
            sockets = 4
            drain_s = 5
            alive_ms = 500
            [tls]
            certificate = "gateway.pem"
            key = "gateway.key"
            client_ca = "ca.pem"
            crl = ["crl.pem"]
            [token]
            {token}
            pin_file = "pin"
            {replicas}
            {escrow}
            [token.host]
            writable = ["."]
            [store]
            path = "state.db"
            [admin]
            address = "127.0.0.1:0"
            operators = ["cn:{OPERATOR}"]
            {admin}
            [log]
            level = "{log}"
            {more}
            "#,
        );
        fs::write(path("wardcast.toml"), config).expect("written");
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wardcast"));
        let config = self.folder.path().join("wardcast.toml");
        command.args(words).arg("--config").arg(config);
        let environment = self.environment.iter();
        command.envs(environment.map(|(name, value)| (*name, value)));
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
        if let Some(front) = self.front {
            command.env("WARDCAST_FRONT__ADDRESS", front.to_string());
        }
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
        let front = said["listening"]["front"].as_str();
        self.front = front.map(|front| front.parse().expect("an address"));
        let health = said["listening"]["health"].as_str();
        self.health = health.map(|health| health.parse().expect("an address"));
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it is over");
    }

    /// Where operators connect, on `localhost`.
    pub(crate) fn admin_port(&self) -> u16 {
        self.admin.port()
    }

    /// The gateway's process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
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

    /// The audit trail so far, a record each.
    pub(crate) fn audit(&self) -> Vec<Value> {
        let segments = wardcast::audit::segments(&self.folder.path().join("audit"));
        let texts = segments.expect("a trail").into_iter();
        let texts = texts.map(|segment| fs::read_to_string(segment.path).expect("text"));
        let all: String = texts.collect();
        let whole = all.lines().filter(|line| line.ends_with('}'));
        whole
            .map(|line| serde_json::from_str(line).expect("a record"))
            .collect()
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
    /// For many requests: a client that keeps its connections, and where it asks.
    pub(crate) fn operator(&self) -> (reqwest::Client, String) {
        let url = format!("https://localhost:{}", self.admin.port());
        (http(&self.authority, OPERATOR, 16), url)
    }

    /// One request; an answer that is not JSON is null. Fails where nobody answers.
    pub(crate) async fn try_admin(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> reqwest::Result<(StatusCode, Value)> {
        self.try_root(method, &format!("v1/groups{path}"), body)
            .await
    }

    /// The same anywhere on the admin interface.
    pub(crate) async fn try_root(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> reqwest::Result<(StatusCode, Value)> {
        let url = format!("https://localhost:{}/{path}", self.admin.port());
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }

    /// What one of the gateway's counters is at, all its labels together.
    pub(crate) async fn counter(&self, name: &str) -> u64 {
        let url = format!("https://localhost:{}/metrics", self.admin.port());
        let answer = self
            .http
            .get(url)
            .send()
            .await
            .expect("the gateway answers");
        let text = answer.text().await.expect("metrics are text");
        let own = text.lines().filter(|line| {
            let rest = line.strip_prefix(name).unwrap_or_default();
            rest.starts_with(' ') || rest.starts_with('{')
        });
        let values = own.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        values.sum()
    }

    /// What a scrape is answered with: its content type, and all metrics.
    pub(crate) async fn metrics(&self, accept: &str) -> (String, String) {
        let url = format!("https://localhost:{}/metrics", self.admin.port());
        let request = self.http.get(url).header("accept", accept);
        let answer = request.send().await.expect("the gateway answers");
        let kind = answer.headers().get("content-type").expect("a type");
        let kind = kind.to_str().expect("text").to_owned();
        (kind, answer.text().await.expect("metrics are text"))
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

    /// Waits until the gateway says that it is ready, or that it is not; returns its words.
    pub(crate) async fn ready(&self, wanted: bool) -> Value {
        let began = Instant::now();
        loop {
            let asked = self.try_root(Method::GET, "readyz", None).await;
            let (status, answer) = asked.expect("the gateway answers");
            assert_eq!(answer["ready"] == true, status == StatusCode::OK);
            if answer["ready"] == wanted {
                return answer;
            }
            assert!(began.elapsed() < SOON, "still: {answer}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How a group is.
    pub(crate) async fn group(&self, name: &str) -> GroupView {
        let view = self.admin(Method::GET, &format!("/{name}"), None).await;
        serde_json::from_value(view).expect("a group")
    }

    /// Gives a group the default policy with these changes.
    pub(crate) async fn policy(&self, name: &str, changes: Value) {
        self.admin(Method::PUT, &format!("/{name}/policy"), Some(changes))
            .await;
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
