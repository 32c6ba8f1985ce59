//! What applications get: keys exported from an epoch's secret under a label, as MLS's exporter does.

use std::fmt;

use hkdf::Hkdf;
use minicbor::Encoder;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::Key;
use super::derivation::Derivation;
use super::derive::derive;
use crate::group::ids::{Epoch, GroupId, Suite};

/// The most bytes that one export gives: 255 blocks of HKDF-SHA256.
pub const MAX_EXPORT: usize = 255 * 32;

/// An export that cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// Nothing or too much was asked for.
    #[error(
        "{0} bytes cannot be exported: ask for 1 to {MAX_EXPORT}, or export twice with two contexts"
    )]
    Length(usize),
}

/// The secret of one epoch of one group, from which traffic keys are exported. The key in it is erased on drop.
#[derive(Clone)]
pub struct EpochSecret {
    secret: Key,
    salt: [u8; 24],
}

impl EpochSecret {
    /// The secret of an epoch whose root key is `root`.
    pub fn of(suite: Suite, root: &Key, group: GroupId, epoch: Epoch) -> Self {
        let mut salt = [0; 24];
        salt[..16].copy_from_slice(&group.0);
        salt[16..].copy_from_slice(&epoch.0.to_be_bytes());
        EpochSecret {
            secret: derive(suite, root, Derivation::Secret),
            salt,
        }
    }

    /// Exports `length` bytes under a label and a context. Other labels, contexts, lengths, epochs and groups
    /// give unrelated bytes.
    pub fn export(
        &self,
        label: &str,
        context: &[u8],
        length: usize,
    ) -> Result<Zeroizing<Vec<u8>>, ExportError> {
        if length == 0 || length > MAX_EXPORT {
            return Err(ExportError::Length(length));
        }
        let mut out = Zeroizing::new(vec![0; length]);
        Hkdf::<Sha256>::new(Some(&self.salt), self.secret.as_bytes())
            .expand(&info(label, context, length), &mut out)
            .map_err(|_| ExportError::Length(length))?;
        Ok(out)
    }
}

impl fmt::Debug for EpochSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EpochSecret(..)")
    }
}

fn info(label: &str, context: &[u8], length: usize) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::with_capacity(64));
    encoder
        .array(4)
        .and_then(|e| e.str("wardcast/1 export"))
        .and_then(|e| e.str(label))
        .and_then(|e| e.bytes(context))
        .and_then(|e| e.u64(length as u64))
        .expect("writing into a vector cannot fail");
    encoder.into_writer()
}
