//! A headless Chromium with the operator's certificate, driven by WebDriver (W3C) through chromedriver.
//!
//! It trusts the test's authority and holds the certificate as a person's browser would: both are in the NSS database of its home,
//! and a setting of its profile answers which certificate is shown to the gateway.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use data_encoding::BASE64;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::Site;

const MISSING: &str =
    "run tests/install.sh, which installs chromium, chromium-driver, libnss3-tools and openssl";
const FLAGS: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];
/// Loading a page on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The browser with one window. It ends with the test.
pub(crate) struct Browser {
    driver: Child,
    session: String,
    http: reqwest::Client,
    _home: tempfile::TempDir,
}

impl Browser {
    /// Starts it, with the operator's certificate for this gateway.
    pub(crate) async fn start(site: &Site) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        certify(site, home.path());
        let mut driver = Command::new("chromedriver")
            .args(["--port=0", "--allowed-ips=127.0.0.1"])
            .env("HOME", home.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("chromedriver: {error}: {MISSING}"));
        let port = port(&mut driver);
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(no_tls())
            .no_proxy()
            .timeout(PATIENCE);
        let mut browser = Self {
            driver,
            session: format!("http://127.0.0.1:{port}/session"),
            http: http.build().expect("a client"),
            _home: home,
        };
        let gateway = format!("https://localhost:{},*", site.admin_port());
        let profile = browser._home.path().join("profile");
        let mut flags: Vec<String> = FLAGS.map(str::to_owned).into();
        flags.push(format!("--user-data-dir={}", profile.display()));
        let capabilities = json!({ "alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "goog:chromeOptions": {
                "binary": "/usr/bin/chromium",
                "args": flags,
                "prefs": { "profile.content_settings.exceptions.auto_select_certificate": {
                    gateway: { "setting": { "filters": [{}] } },
                } },
            },
        } });
        let made = browser
            .post("", json!({ "capabilities": capabilities }))
            .await;
        let id = made["sessionId"].as_str().expect("a session").to_owned();
        browser.session = format!("{}/{id}", browser.session);
        // What the browser's own first page asked for is no concern of a test.
        browser.open("about:blank").await;
        browser.requests().await;
        browser.logged("browser").await;
        browser
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let mut request = self.http.request(method, format!("{}{path}", self.session));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("chromedriver answers");
        let status = answer.status();
        let mut answer: Value = answer.json().await.expect("JSON");
        assert!(status.is_success(), "{path}: {answer:#}");
        answer["value"].take()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.send(Method::POST, path, Some(body)).await
    }

    /// Types an address.
    pub(crate) async fn open(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await;
    }

    /// What a script in the page returns.
    pub(crate) async fn script(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({ "script": script, "args": [] }))
            .await
    }

    /// What a script returns that is a promise.
    pub(crate) async fn promise(&self, promise: &str) -> Value {
        let script =
            format!("const done = arguments[0]; ({promise}).then(done, (e) => done(String(e)));");
        let body = json!({ "script": script, "args": [] });
        self.post("/execute/async", body).await
    }

    /// The text of an element.
    pub(crate) async fn text(&self, id: &str) -> String {
        let script = format!("return document.getElementById('{id}').textContent");
        let text = self.script(&script).await;
        text.as_str().expect("text").to_owned()
    }

    /// The texts of a table's cells, row by row.
    pub(crate) async fn rows(&self, body: &str) -> Vec<Vec<String>> {
        let rows = format!(
            "return [...document.getElementById('{body}').rows].map((row) => [...row.cells].map((cell) => cell.textContent))"
        );
        serde_json::from_value(self.script(&rows).await).expect("texts")
    }

    /// A command of the DevTools protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post(
            "/goog/cdp/execute",
            json!({ "cmd": command, "params": parameters }),
        )
        .await
    }

    /// Makes the window this wide and high, as on a phone if it is narrow; in dark colours or in light ones.
    pub(crate) async fn looks(&self, (width, height): (u32, u32), scheme: &str) {
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 2, "mobile": width < 600,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
            .await;
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// Everything that was logged since the last time: `browser` is the console.
    pub(crate) async fn logged(&self, kind: &str) -> Vec<Value> {
        let entries = self.post("/se/log", json!({ "type": kind })).await;
        entries.as_array().expect("a list").clone()
    }

    /// The addresses that were asked since the last time.
    pub(crate) async fn requests(&self) -> Vec<String> {
        let entries = self.logged("performance").await;
        let messages = entries.iter().map(|entry| -> Value {
            let text = entry["message"].as_str().expect("text");
            serde_json::from_str(text).expect("JSON")
        });
        let sent =
            messages.filter(|message| message["message"]["method"] == "Network.requestWillBeSent");
        let url = |message: Value| {
            message["message"]["params"]["request"]["url"]
                .as_str()
                .map(str::to_owned)
        };
        sent.filter_map(url).collect()
    }

    /// Keeps a picture of the whole page under `target`, and says where.
    pub(crate) async fn picture(&self, name: &str) -> PathBuf {
        let whole = json!({ "format": "png", "captureBeyondViewport": true });
        let shot = self.devtools("Page.captureScreenshot", whole).await;
        let bytes = BASE64.decode(shot["data"].as_str().expect("data").as_bytes());
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/operator_views");
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join(format!("{name}.png"));
        std::fs::write(&path, bytes.expect("base64")).expect("written");
        println!("screenshot: {}", path.display());
        path
    }

    /// Ends it.
    pub(crate) async fn close(self) {
        self.send(Method::DELETE, "", None).await;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // SIGTERM has it end its browser too; it may have ended already.
        let pid = self.driver.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.driver.wait();
    }
}

/// The port that chromedriver has chosen, as it says.
fn port(driver: &mut Child) -> u16 {
    let mut lines = BufReader::new(driver.stdout.take().expect("it is piped")).lines();
    loop {
        let line = lines
            .next()
            .expect("it says where it listens")
            .expect("text");
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            let port = port.trim_end_matches('.').parse().expect("a port");
            // It goes on talking, and must not wait for a reader.
            std::thread::spawn(move || lines.for_each(drop));
            return port;
        }
    }
}

/// Makes the NSS database of a home, with the test's authority and the operator's certificate in it.
fn certify(site: &Site, home: &Path) {
    let database = home.join(".pki/nssdb");
    std::fs::create_dir_all(&database).expect("a folder");
    let database = format!("sql:{}", database.display());
    let prefix = home.join("operator");
    let (certificate, key) = site.issued("operator").write(&prefix).expect("written");
    let bundle = home.join("operator.p12");
    let ca = site.folder().join("ca.pem");
    let path = |path: &Path| path.to_str().expect("text").to_owned();
    let (certificate, key, bundle, ca) = (path(&certificate), path(&key), path(&bundle), path(&ca));
    let commands: [&[&str]; 4] = [
        &[
            "openssl",
            "pkcs12",
            "-export",
            "-in",
            &certificate,
            "-inkey",
            &key,
            "-out",
            &bundle,
            "-passout",
            "pass:test",
        ],
        &["certutil", "-N", "-d", &database, "--empty-password"],
        &[
            "certutil",
            "-A",
            "-d",
            &database,
            "-n",
            "authority",
            "-t",
            "CT,,",
            "-i",
            &ca,
        ],
        &["pk12util", "-i", &bundle, "-d", &database, "-W", "test"],
    ];
    for words in commands {
        let ran = Command::new(words[0]).args(&words[1..]).output();
        let ran = ran.unwrap_or_else(|error| panic!("{}: {error}: {MISSING}", words[0]));
        assert!(ran.status.success(), "{words:?}: {ran:#?}");
    }
}

/// Chromedriver is asked over loopback, without TLS; the client wants to know about it all the same.
fn no_tls() -> rustls::ClientConfig {
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}
