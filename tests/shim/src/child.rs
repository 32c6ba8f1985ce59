//! Running a test once more, in a child process: PKCS#11 modules read their settings once, from the environment.

use std::ffi::OsString;
use std::process::{Command, Output};

/// Runs this test again with that environment, and panics with all that it said unless it passed.
pub fn again(test: &str, environment: &[(&str, OsString)]) {
    let output = run_again(test, environment);
    let text = String::from_utf8_lossy(&output.stdout);
    let ran = output.status.success() && text.contains("1 passed");
    assert!(
        ran,
        "{test}: {}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Runs this test again with that environment, however it ends.
pub fn run_again(test: &str, environment: &[(&str, OsString)]) -> Output {
    let this = std::env::current_exe().expect("a test has an executable");
    Command::new(this)
        .args([test, "--exact", "--nocapture"])
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .output()
        .expect("the test starts again")
}
