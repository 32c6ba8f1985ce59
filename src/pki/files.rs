//! The authority's files: keys for their owner alone, nothing overwritten, lists replaced in one step.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::PkiError;

/// The authority's certificate in its folder: what gateways and members trust.
pub const CA_CERTIFICATE: &str = "ca.pem";
/// The authority's private key in its folder.
pub const CA_KEY: &str = "ca.key";
/// The revocation list in the authority's folder.
pub const CRL: &str = "crl.pem";

fn failed(path: &Path, verb: &'static str) -> impl FnOnce(std::io::Error) -> PkiError {
    let path = path.to_owned();
    move |source| PkiError::File { path, verb, source }
}

/// `a/b` with `.pem` at its end, whatever dots the name has.
pub(super) fn with_ending(prefix: &Path, ending: &str) -> PathBuf {
    let mut path = prefix.as_os_str().to_owned();
    path.push(".");
    path.push(ending);
    path.into()
}

pub(super) fn refuse_existing(paths: &[&Path]) -> Result<(), PkiError> {
    match paths.iter().find(|path| path.exists()) {
        Some(path) => Err(PkiError::Exists {
            path: path.to_path_buf(),
        }),
        None => Ok(()),
    }
}

pub(super) fn create_folder(path: &Path) -> Result<(), PkiError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(failed(path, "create"))
}

pub(super) fn read(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(failed(path, "read"))
}

pub(super) fn create(path: &Path, content: &[u8]) -> Result<(), PkiError> {
    write_new(path, content, 0o644)
}

pub(super) fn create_private(path: &Path, content: &[u8]) -> Result<(), PkiError> {
    write_new(path, content, 0o600)
}

/// Replace a file in one step: whoever reads it sees the old or the new one.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), PkiError> {
    let new = with_ending(path, "new");
    // What an earlier attempt left behind was never in use.
    let _ = fs::remove_file(&new);
    create(&new, content)?;
    fs::rename(&new, path).map_err(failed(path, "replace"))
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), PkiError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path).map_err(failed(path, "create"))?;
    file.write_all(content).map_err(failed(path, "write"))?;
    file.sync_all().map_err(failed(path, "write"))
}
