//! The virtual environment that the tests' Python packages are in.

use std::path::{Path, PathBuf};

/// Its interpreter.
pub(crate) fn python() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let venv = std::env::var_os("WARDCAST_VENV").map_or(root.join("target/venv"), PathBuf::from);
    let python = venv.join("bin/python");
    assert!(
        python.exists(),
        "{} is missing: run tests/install.sh, which installs the Python packages of the tests",
        python.display()
    );
    python
}
