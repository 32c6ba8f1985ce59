//! A kryoptic token of a test's own: PKCS#11 3.2, where SoftHSM is 2.40.

use std::path::PathBuf;

use wardcast_shim::{Peer, Shim};

use super::child;
use crate::hsm::TokenConfig;

/// Runs the body in a child process (this test again) with a fresh token.
pub(in crate::hsm) fn in_child(test: &str, body: impl FnOnce(&TokenConfig)) {
    child::run(test, 1, Peer::kryoptic, body);
}

/// The same with the shim in front of the token, for the body to command.
pub(in crate::hsm) fn in_child_behind_shim(test: &str, body: impl FnOnce(&TokenConfig, &Shim)) {
    child::run(
        test,
        1,
        |directory| Shim::new(directory).before(Peer::kryoptic(directory)),
        |config| body(config, &Shim::new(&child::directory())),
    );
}

/// The directory that a child's token is in.
pub(in crate::hsm) fn directory() -> PathBuf {
    child::directory()
}
