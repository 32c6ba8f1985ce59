//! What is special about the gateway of a test.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What is special about a test's gateway.
#[derive(Clone, Copy, Default)]
pub(crate) struct Setup<'a> {
    /// More TOML.
    pub(crate) more: &'a str,
    /// More of the section `[admin]`.
    pub(crate) admin: &'a str,
    /// More variables of the gateway's environment.
    pub(crate) environment: &'a [(&'static str, &'a str)],
    /// Log directives; `info` if empty.
    pub(crate) log: &'a str,
    /// The token; soft by default.
    pub(crate) token: Token,
    /// The value of `token.replicas`, if there are some: all of them get the same keys by ceremony.
    pub(crate) replicas: &'a str,
    /// Common names of members whose certificates are on the revocation list.
    pub(crate) revoked: &'a [&'a str],
    /// The key for escrow, in hexadecimal digits, if the token is to have one.
    pub(crate) escrow: &'a str,
}

/// Where a test's keys are.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Token {
    /// In a sealed file.
    #[default]
    Soft,
    /// In a SoftHSM token.
    SoftHsm,
    /// In a SoftHSM token behind the shim, which the test commands.
    Shim,
    /// In a kryoptic token, which has suite 2 as well.
    Kryoptic,
}

/// A file that is nobody else's.
pub(super) fn write_secret(path: &Path, text: &str) {
    let mut file = File::options();
    let file = file.write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .expect("written");
}
