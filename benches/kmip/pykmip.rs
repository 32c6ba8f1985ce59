//! PyKMIP on the same messages: a Python process that times itself.

use std::io::Write;
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::Sample;

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/venv/bin/python");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/kmip/pykmip.py");

/// Seconds that PyKMIP takes for one message.
#[derive(Deserialize)]
pub(crate) struct Seconds {
    pub(crate) encode: f64,
    pub(crate) decode: f64,
}

/// The times for each sample; none where PyKMIP is not installed.
pub(crate) fn seconds(samples: &[Sample]) -> Option<Vec<Seconds>> {
    let installed = Command::new(PYTHON)
        .args(["-c", "import kmip"])
        .stderr(Stdio::null())
        .status();
    if !installed.is_ok_and(|status| status.success()) {
        return None;
    }
    let mut child = Command::new(PYTHON)
        .arg(SCRIPT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    for sample in samples {
        let hex: String = sample
            .bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        writeln!(stdin, "{hex}").expect("it reads");
    }
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{SCRIPT} failed");
    Some(serde_json::from_slice(&output.stdout).expect("times"))
}
