//! The token of a run's gateway: a software token, or a throw-away one of a PKCS#11 module.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::ValueEnum;
use serde::Serialize;

use crate::Failure;

/// Opens the throw-away token; it protects nothing, its file lies beside it.
const PIN: &str = "load-test";
const LABEL: &str = "wardcast-load";
/// Where distributions put SoftHSM's library.
const SOFTHSM: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
];

/// Which kind of token the gateway uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TokenKind {
    /// A sealed file: not an HSM.
    Soft,
    /// A PKCS#11 token, initialised by `softhsm2-util`.
    Pkcs11,
}

/// Makes what the token needs in `folder`; returns its section of the gateway's configuration.
pub(crate) fn prepare(
    folder: &Path,
    kind: TokenKind,
    module: Option<&Path>,
) -> Result<String, Failure> {
    std::fs::write(folder.join("pin"), PIN)?;
    let keys = match kind {
        TokenKind::Soft => "kind = \"soft\"\npath = \"token\"\n".to_owned(),
        TokenKind::Pkcs11 => {
            let module = module.map(Path::to_owned).or_else(installed).ok_or(
                "SoftHSM's library is in none of the usual places: install softhsm2, or name a module with --module",
            )?;
            initialise(folder, &module)?;
            format!("kind = \"pkcs11\"\nmodule = {module:?}\ntoken_label = {LABEL:?}\n")
        }
    };
    // SoftHSM writes below the run's folder even when it only reads keys.
    Ok(format!(
        "[token]\n{keys}pin_file = \"pin\"\n\n[token.host]\nwritable = [\".\"]\n"
    ))
}

/// The file that tells SoftHSM's library where its tokens are; other libraries do not look at it.
pub(crate) fn softhsm_configuration(folder: &Path) -> PathBuf {
    folder.join("softhsm2.conf")
}

fn installed() -> Option<PathBuf> {
    SOFTHSM.iter().map(PathBuf::from).find(|path| path.exists())
}

fn initialise(folder: &Path, module: &Path) -> Result<(), Failure> {
    let tokens = folder.join("tokens");
    std::fs::create_dir(&tokens)?;
    let settings = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        tokens.display()
    );
    std::fs::write(softhsm_configuration(folder), settings)?;
    // PINs in arguments are for throw-away tokens only.
    let output = Command::new("softhsm2-util")
        .arg("--module")
        .arg(module)
        .args([
            "--init-token",
            "--free",
            "--label",
            LABEL,
            "--pin",
            PIN,
            "--so-pin",
            PIN,
        ])
        .env("SOFTHSM2_CONF", softhsm_configuration(folder))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run softhsm2-util (Debian package softhsm2): {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "softhsm2-util cannot initialise a token of {}: {}",
        module.display(),
        said.trim()
    )
    .into())
}
