//! What is known about who asks: what stands in its certificate, what a token of an identity provider claims, and what a directory
//! has about it.
//!
//! Every attribute but those of the certificate is a set of texts under a name: what has one value is a set of one, numbers and
//! truth values are written out. Rules need no types of their own then, whatever a provider or a directory has.
//!
//! Nothing here decides: [`policy`](crate::policy) does, by rules over these attributes.

pub mod certificate;
pub mod jwt;

use std::collections::{BTreeMap, BTreeSet};

/// Sets of texts by name.
pub type Values = BTreeMap<String, BTreeSet<String>>;

/// Names that one source may give values for.
pub const MAX_NAMES: usize = 64;
/// Values of one name that are taken.
pub const MAX_VALUES: usize = 512;
/// The longest value that is taken, in bytes.
pub const MAX_VALUE: usize = 4 * 1024;
