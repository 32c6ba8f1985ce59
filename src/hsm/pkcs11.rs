//! PKCS#11 tokens.

use std::path::Path;
use std::sync::Arc;

use super::{Opener, Pin, Provisioned, TokenError};
use crate::group::ids::MasterId;

pub(super) fn opener(module: &Path, _label: &str, _pin: Pin, _master: MasterId) -> Opener {
    let path = module.display().to_string();
    Arc::new(move || Err(unsupported(&path)))
}

pub(super) fn provision(
    module: &Path,
    _label: &str,
    _pin: &Pin,
    _master: MasterId,
) -> Result<Provisioned, TokenError> {
    Err(unsupported(&module.display().to_string()))
}

fn unsupported(path: &str) -> TokenError {
    TokenError::Library {
        path: path.to_owned(),
        why: "not supported yet".to_owned(),
    }
}
