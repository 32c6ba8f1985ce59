//! A real Prometheus, with the configuration that is shipped.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Url;
use serde_json::Value;

use crate::support::Site;

/// Nothing takes longer, on a machine where much runs beside it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The shipped files.
pub(crate) fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("config")
        .join(name)
}

/// A server that scrapes one gateway. It ends when this is dropped.
pub(crate) struct Prometheus {
    folder: tempfile::TempDir,
    port: u16,
    child: Child,
    http: reqwest::Client,
}

impl Prometheus {
    /// The shipped example, with the gateway's address, and often enough for a test.
    pub(crate) async fn start(site: &Site) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let example = fs::read_to_string(shipped("prometheus/prometheus.yml")).expect("is shipped");
        let address = site.admin_address();
        let own = example
            .replace("localhost:7444", &address)
            .replace("15s", "1s");
        assert_eq!(
            own.matches(&address).count(),
            1,
            "the example names a gateway"
        );
        fs::write(path("prometheus.yml"), own).expect("written");
        for rules in ["alerts.yml", "recording.yml"] {
            fs::copy(shipped("prometheus").join(rules), path(rules)).expect("is shipped");
        }
        fs::copy(site.folder().join("ca.pem"), path("ca.pem")).expect("is there");
        let issued = site.issued("prometheus").write(&path("prometheus"));
        issued.expect("written");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = port.expect("a free port").port();
        let log = File::create(path("log")).expect("a log file");
        let child = Command::new("prometheus")
            .arg(format!(
                "--config.file={}",
                path("prometheus.yml").display()
            ))
            .arg(format!("--storage.tsdb.path={}", path("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Prometheus runs: tests/install.sh installs it");
        let server = Self {
            folder,
            port,
            child,
            http: site.http.clone(),
        };
        server
            .until("it is up", "min(up)", |value| value == 1.0)
            .await;
        server
    }

    /// One question; none while it does not answer.
    async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Option<Value> {
        let url = format!("http://127.0.0.1:{}/api/v1/{path}", self.port);
        let url = Url::parse_with_params(&url, parameters).expect("an address");
        let answer = self.http.get(url).send().await.ok()?.bytes().await.ok()?;
        serde_json::from_slice(&answer).ok()
    }

    /// The samples that an expression has now.
    pub(crate) async fn query(&self, expression: &str) -> Vec<Value> {
        let answer = self
            .ask("query", &[("query", expression)])
            .await
            .expect("it answers");
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        let result = answer["data"]["result"].as_array();
        result.expect("samples").clone()
    }

    /// The names of all series.
    pub(crate) async fn names(&self) -> Vec<String> {
        let answer = self
            .ask("label/__name__/values", &[])
            .await
            .expect("it answers");
        serde_json::from_value(answer["data"].clone()).expect("names")
    }

    /// All rules, with their health.
    pub(crate) async fn rules(&self) -> Vec<Value> {
        let answer = self.ask("rules", &[]).await.expect("it answers");
        let groups = answer["data"]["groups"].as_array().expect("groups").iter();
        groups
            .flat_map(|group| group["rules"].as_array().expect("rules").clone())
            .collect()
    }

    /// Waits until an expression's first sample is so.
    pub(crate) async fn until(&self, what: &str, expression: &str, is: impl Fn(f64) -> bool) {
        let began = Instant::now();
        loop {
            let answer = self
                .ask("query", &[("query", expression)])
                .await
                .unwrap_or_default();
            let value = answer["data"]["result"][0]["value"][1].as_str();
            let value = value.and_then(|value| value.parse().ok());
            if value.is_some_and(&is) {
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{what}: {answer}\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
