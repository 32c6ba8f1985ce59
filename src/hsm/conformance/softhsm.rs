//! A SoftHSM token of a test's own, as it is or behind the shim.

use std::path::PathBuf;

use wardcast_shim::{Peer, Shim};

use super::child;
use crate::hsm::{TokenConfig, TokenKind};

/// Runs the body in a child process (this test again) with a fresh token, `runs` times on the same token.
pub(in crate::hsm) fn in_child(test: &str, runs: usize, body: impl FnOnce(&TokenConfig)) {
    child::run(test, runs, Peer::softhsm, body);
}

/// The same with the shim in front of the token, for the body to command.
pub(in crate::hsm) fn in_child_behind_shim(test: &str, body: impl FnOnce(&TokenConfig, &Shim)) {
    child::run(
        test,
        1,
        |directory| Shim::new(directory).before(Peer::softhsm(directory)),
        |config| body(config, &Shim::new(&child::directory())),
    );
}

/// The directory that a child's token is in.
pub(in crate::hsm) fn directory() -> PathBuf {
    child::directory()
}

/// One more token beside that of a child.
pub(in crate::hsm) fn another(first: &TokenConfig, label: &str) -> TokenConfig {
    let peer = Peer::another_softhsm(label);
    let mut another = first.clone();
    another.kind = TokenKind::Pkcs11 {
        module: peer.module,
        token_label: peer.label,
    };
    another
}
