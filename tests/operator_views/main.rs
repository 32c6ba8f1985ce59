//! What operators look at: the live view in a terminal, the page in a browser, one member in full, and who lacks the key.

#[path = "../support/mod.rs"]
mod support;

mod browser;
mod members;
mod page;
mod terminal;

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

use reqwest::Method;
use serde_json::Value;
use support::{SOON, Site};

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < 2 * SOON, "{what}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// What the gateway tells of itself.
async fn overview(site: &Site) -> Value {
    let asked = site.try_root(Method::GET, "v1/overview", None).await;
    let (status, view) = asked.expect("the gateway answers");
    assert!(status.is_success(), "{status}: {view}");
    view
}

/// A command of the operator's.
fn command(site: &Site, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wardcast"));
    command
        .args(words)
        .arg("--server")
        .arg(format!("localhost:{}", site.admin_port()))
        .args(certificate(site));
    command
}

/// The operator's certificate as arguments; it is issued once.
fn certificate(site: &Site) -> [OsString; 6] {
    let path = |name: &str| site.folder().join(name).into_os_string();
    let (ca, certificate, key) = (path("ca.pem"), path("operator.pem"), path("operator.key"));
    if !Path::new(&certificate).exists() {
        return site.certificate_arguments("operator");
    }
    [
        "--ca".into(),
        ca,
        "--cert".into(),
        certificate,
        "--key".into(),
        key,
    ]
}

/// Runs a command of the operator's beside the runtime's own threads.
async fn run(site: &Site, words: &[&str]) -> Output {
    let mut command = command(site, words);
    tokio::task::spawn_blocking(move || command.output().expect("it runs"))
        .await
        .expect("no panic")
}

/// What a command of the operator's that is done has to say.
async fn says(site: &Site, words: &[&str]) -> String {
    let output = run(site, words).await;
    assert!(output.status.success(), "{words:?}: {output:#?}");
    assert!(output.stderr.is_empty(), "{words:?}: {output:#?}");
    String::from_utf8(output.stdout).expect("text")
}
