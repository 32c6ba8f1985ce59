//! A SoftHSM token of a test's own.
//!
//! SoftHSM reads its configuration once, from an environment variable, so each test that needs it runs again in a child
//! process with a fresh token directory.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{PIN, config};
use crate::hsm::{TokenConfig, TokenKind};

/// Set in the child: the directory of its token.
const CHILD: &str = "WARDCAST_TEST_SOFTHSM";
const LABEL: &str = "wardcast test";

/// Runs the body in a child process (this test again) with a fresh token, `runs` times on the same token.
pub(in crate::hsm) fn in_child(test: &str, runs: usize, body: impl FnOnce(&TokenConfig)) {
    if let Some(directory) = std::env::var_os(CHILD) {
        return body(&softhsm_config(Path::new(&directory)));
    }
    let directory = tempfile::tempdir().expect("a directory");
    let settings = initialise(directory.path());
    for run in 0..runs {
        let this = std::env::current_exe().expect("a test has an executable");
        let output = Command::new(this)
            .args([test, "--exact", "--nocapture"])
            .env("SOFTHSM2_CONF", &settings)
            .env(CHILD, directory.path())
            .output()
            .expect("the test starts again");
        let text = String::from_utf8_lossy(&output.stdout);
        let ran = output.status.success() && text.contains("1 passed");
        assert!(
            ran,
            "{test}, run {run}: {}\n{text}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// The directory that a child's token is in.
pub(in crate::hsm) fn directory() -> PathBuf {
    std::env::var_os(CHILD)
        .expect("asked for in a child only")
        .into()
}

fn softhsm_config(directory: &Path) -> TokenConfig {
    let kind = TokenKind::Pkcs11 {
        module: module(),
        token_label: LABEL.to_owned(),
    };
    config(directory, kind, PIN)
}

/// Makes a token directory with one initialised token; returns the configuration file.
fn initialise(directory: &Path) -> PathBuf {
    let tokens = directory.join("tokens");
    std::fs::create_dir(&tokens).expect("makes a directory");
    let settings = directory.join("softhsm2.conf");
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        tokens.display()
    );
    std::fs::write(&settings, text).expect("writes");
    let status = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", LABEL])
        .args(["--so-pin", "87654321", "--pin", PIN])
        .env("SOFTHSM2_CONF", &settings)
        .output();
    match status {
        Ok(output) if output.status.success() => settings,
        Ok(output) => panic!(
            "softhsm2-util failed: {}",
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => {
            panic!("this test needs SoftHSM (softhsm2-util: {error}): run tests/install.sh")
        }
    }
}

/// Where SoftHSM's library is.
fn module() -> PathBuf {
    let candidates = [
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/local/lib/softhsm/libsofthsm2.so",
    ];
    let found = candidates
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists());
    found.unwrap_or_else(|| {
        panic!("this test needs SoftHSM (none of {candidates:?} exists): run tests/install.sh")
    })
}
