//! What is done to a gateway as a whole: signals, other files under its feet, questions without a certificate.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wardcast::pki::{Issued, Request};

use super::{SOON, Site, http};

impl Site {
    /// Sends the gateway a signal, such as `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let told = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(pid)
            .status();
        assert!(told.expect("kill runs").success(), "it could be told");
    }

    /// Waits for the gateway's end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        tokio::task::spawn_blocking(move || child.wait().expect("it is over"))
            .await
            .expect("no panic")
    }

    /// Another text in the configuration, in place of one that is there.
    pub(crate) fn configure(&self, from: &str, to: &str) {
        let path = self.folder.path().join("wardcast.toml");
        let text = fs::read_to_string(&path).expect("a configuration");
        assert!(text.contains(from), "{from:?} is not in {text}");
        replace(&path, text.replace(from, to).as_bytes());
    }

    /// A new certificate of the gateway, and its key, in place of those that it has.
    pub(crate) fn renew(&self) {
        let prefix = self.folder.path().join("renewed");
        self.issued_to_gateway().write(&prefix).expect("written");
        for kind in ["key", "pem"] {
            let from = prefix.with_extension(kind);
            fs::rename(from, self.folder.path().join(format!("gateway.{kind}"))).expect("renamed");
        }
    }

    /// A new certificate for the gateway.
    pub(crate) fn issued_to_gateway(&self) -> Issued {
        let request = Request::server("gateway")
            .host("localhost")
            .host("127.0.0.1");
        self.authority.issue(&request).expect("a certificate")
    }

    /// A revocation list with those of [`Setup::revoked`](super::Setup::revoked) that are named here, in place of the one there is.
    pub(crate) fn revoke(&self, names: &[&str]) {
        let all = self.revoked.iter();
        let named = all.filter(|(name, _)| names.contains(&name.as_str()));
        let named: Vec<&Issued> = named.map(|(_, issued)| issued).collect();
        assert_eq!(named.len(), names.len());
        let list = self.authority.crl(&named).expect("a revocation list");
        replace(&self.folder.path().join("crl.pem"), list.as_bytes());
    }

    /// One request to the admin interface by whoever has a certificate with this common name.
    pub(crate) async fn ask_as(
        &self,
        name: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let url = format!("https://localhost:{}/{path}", self.admin.port());
        let mut request = http(&self.authority, name, 0).request(method, url);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("the gateway answers");
        let status = answer.status();
        let body = answer.bytes().await.expect("a body");
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// One request to the gateway as a whole, which must be done.
    pub(crate) async fn order(&self, path: &str, body: Option<Value>) -> Value {
        let answer = self.try_root(Method::POST, path, body).await;
        let (status, answer) = answer.expect("the gateway answers");
        assert!(status.is_success(), "{path}: {status}: {answer}");
        answer
    }

    /// Waits until the audit trail has records of an event that are as wanted; returns the last of them.
    pub(crate) async fn recorded(&self, event: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let records = self.audit();
            let mut found = records
                .into_iter()
                .filter(|record| record["event"] == event);
            if let Some(record) = found.rfind(|record| wanted(record)) {
                return record;
            }
            assert!(began.elapsed() < SOON, "no such record of {event}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A question in plain HTTP: the status, and the body as JSON.
pub(crate) async fn plain(address: SocketAddr, path: &str) -> (StatusCode, Value) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let question = format!("GET /{path} HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n");
    stream.write_all(question.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).expect("a status");
    let status = status.parse().expect("a number");
    (status, serde_json::from_str(body).unwrap_or_default())
}

/// As tools do that renew certificates: nobody sees half a file.
fn replace(path: &Path, content: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, content).expect("written");
    fs::rename(new, path).expect("renamed");
}
