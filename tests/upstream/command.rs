//! `wardcast kmip query`, as a person and a script run it.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use wardcast::pki::Request;

use crate::Site;
use crate::pykmip::PyKmip;
use crate::store::{self, Store};

async fn run(site: &Site, folder: &Path, server: &str, more: &[&str]) -> Output {
    let path = |name: &str| folder.join(name);
    if !path("gateway.pem").exists() {
        let issued = site.authority.issue(&Request::client("gateway"));
        let issued = issued.expect("a certificate");
        issued.write(&path("gateway")).expect("written");
        std::fs::write(path("ca.pem"), site.authority.certificate_pem()).expect("written");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_wardcast"));
    command.args(["kmip", "query", "--server", server]);
    command.arg("--ca").arg(path("ca.pem"));
    command.arg("--cert").arg(path("gateway.pem"));
    command.arg("--key").arg(path("gateway.key"));
    command.args(more);
    let ran = tokio::task::spawn_blocking(move || command.output());
    ran.await.expect("no panic").expect("it runs")
}

#[tokio::test]
async fn query_shows_what_a_store_can_do() {
    let site = Site::new();
    let folder = tempfile::tempdir().expect("a folder");
    let server = PyKmip::start(&site.authority);
    let ran = run(&site, folder.path(), &server.url(), &["--json"]).await;
    assert!(ran.status.success(), "{ran:?}");
    let said: serde_json::Value = serde_json::from_slice(&ran.stdout).expect("JSON");
    assert_eq!(said["version"], "2.0");
    let operations = said["operations"].as_array().expect("a list");
    assert!(operations.contains(&"Locate".into()), "{said}");
    let ran = run(&site, folder.path(), &server.url(), &[]).await;
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    for words in ["KMIP 2.0", "PyKMIP", "Register", &server.url()] {
        assert!(said.contains(words), "{said}");
    }

    let url = store::serve(&site, Arc::new(Store::default())).await;
    let ran = run(&site, folder.path(), &url, &["--json", "--encoding", "xml"]).await;
    let said: serde_json::Value = serde_json::from_slice(&ran.stdout).expect("JSON");
    assert_eq!(
        (&said["version"], &said["vendor"]),
        (&"2.1".into(), &"stand-in".into())
    );
}

#[tokio::test]
async fn query_says_why_it_cannot() {
    let site = Site::new();
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = PyKmip::start(&site.authority);
    let url = server.url();
    let other = Site::new();
    let elsewhere = tempfile::tempdir().expect("a folder");
    let ran = run(&other, elsewhere.path(), &url, &[]).await;
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(1));
    assert!(
        said.contains("no TLS connection: invalid peer certificate"),
        "{said}"
    );
    server.kill();
    for (server, words) in [
        (url.as_str(), "cannot connect: Connection refused"),
        ("kmip.example.org", "it must be like kmips://host:5696"),
    ] {
        let ran = run(&site, folder.path(), server, &[]).await;
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(1));
        assert!(said.contains(words), "{said}");
    }
}
