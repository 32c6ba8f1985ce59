//! What is known about who asks: what stands in its certificate, what a token of an identity provider claims, and what a directory
//! has about it.
//!
//! Every attribute but those of the certificate is a set of texts under a name: what has one value is a set of one, numbers and
//! truth values are written out. Rules need no types of their own then, whatever a provider or a directory has.
//!
//! Nothing here decides: [`policy`](crate::policy) does, by rules over these attributes.

mod catalogue;
pub mod certificate;
pub mod jwt;
pub mod ldap;
pub mod recent;
mod sources;
pub mod together;

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::group::ids::Identity;
pub use catalogue::METRICS;
use certificate::Certificate;
pub use sources::{Refused, Sources};

/// Sets of texts by name.
pub type Values = BTreeMap<String, BTreeSet<String>>;

/// Names that one source may give values for.
pub const MAX_NAMES: usize = 64;
/// Values of one name that are taken.
pub const MAX_VALUES: usize = 512;
/// The longest value that is taken, in bytes.
pub const MAX_VALUE: usize = 4 * 1024;

/// All that is known about who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Who it is, by its certificate.
    pub identity: Identity,
    /// What else stands there.
    pub certificate: Certificate,
    /// What its token claims; nothing without one.
    pub claims: Values,
    /// What the directory has about it; nothing if it knows nobody of that identity.
    pub directory: Values,
}

impl Attributes {
    /// By a certificate alone.
    pub fn new(identity: Identity, certificate: Certificate) -> Self {
        Self {
            identity,
            certificate,
            claims: Values::new(),
            directory: Values::new(),
        }
    }

    /// SHA-256 of all of it: attributes that differ anywhere have different ones.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Framed(Sha256::new());
        hash.text(&self.identity.0);
        // The rest of what stands there is a function of it.
        hash.text(&self.certificate.serial);
        hash.0.update(self.certificate.thumbprint);
        for values in [&self.claims, &self.directory] {
            hash.count(values.len());
            for (name, texts) in values {
                hash.text(name);
                hash.count(texts.len());
                texts.iter().for_each(|text| hash.text(text));
            }
        }
        hash.0.finalize().into()
    }
}

/// A hash of parts, of which none can be taken for the end of the one before.
struct Framed(Sha256);

impl Framed {
    fn count(&mut self, count: usize) {
        self.0.update((count as u64).to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.update(text);
    }
}
