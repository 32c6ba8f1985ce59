//! A PKCS#11 token of a test's own, in a child process: a module reads its settings once, from the environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use wardcast_shim::{Peer, again};

use super::{PIN, config};
use crate::hsm::{TokenConfig, TokenKind};

/// Set in the child: the directory of its token, the module to load, and the token's label.
const DIRECTORY: &str = "WARDCAST_TEST_DIRECTORY";
const MODULE: &str = "WARDCAST_TEST_MODULE";
const LABEL: &str = "WARDCAST_TEST_LABEL";

/// Runs the body in a child process (this test again) with a fresh token, `runs` times on the same token.
pub(super) fn run(
    test: &str,
    runs: usize,
    peer: impl FnOnce(&Path) -> Peer,
    body: impl FnOnce(&TokenConfig),
) {
    if let Some(module) = std::env::var_os(MODULE) {
        let kind = TokenKind::Pkcs11 {
            module: module.into(),
            token_label: std::env::var(LABEL).expect("a child is told the label"),
        };
        return body(&config(&directory(), kind, PIN));
    }
    let fresh = tempfile::tempdir().expect("a directory");
    let peer = peer(fresh.path());
    assert_eq!(peer.pin, PIN, "the PIN that the tests know");
    let mut environment = peer.environment;
    let own: [(_, OsString); 3] = [
        (DIRECTORY, fresh.path().into()),
        (MODULE, peer.module.into()),
        (LABEL, peer.label.into()),
    ];
    environment.extend(own);
    for _ in 0..runs {
        again(test, &environment);
    }
}

/// The directory that a child's token is in.
pub(super) fn directory() -> PathBuf {
    std::env::var_os(DIRECTORY)
        .expect("asked for in a child only")
        .into()
}
