//! Tokens: whoever holds the master key and executes the core's named operations.
//!
//! A [`Token`] is one session, used by one thread. Two kinds exist: [`soft`], a sealed file whose keys are in this
//! process's memory, and [`pkcs11`], any PKCS#11 2.40 token. Both answer the same batch with the same wrapped keys
//! and tags when they hold the same master. A [`Pool`] runs several of them on threads of their own.
//!
//! What a token holds, for both kinds:
//!
//! | object | label in PKCS#11 | may do |
//! | --- | --- | --- |
//! | master key N of the ring | `wardcast master N` | derive; never leaves the token |
//! | agreement key pair (P-256) | `wardcast agreement` | ECDH |
//! | signing key pair (P-256) | `wardcast signing` | ECDSA |
//!
//! [`provision`] creates what is missing of these and touches nothing else. Everything below a master (seeds, node
//! keys, keks) is derived for one batch and erased with it.
//!
//! Node keys have to be wrappable, so whoever controls the process that is logged in can ask the token to wrap them
//! under a key of his own: a live compromise of the token's host reads node keys, a stolen disk or backup does not.

mod check;
mod error;
pub mod pin;
pub mod pkcs11;
mod pool;
pub mod soft;

use std::path::PathBuf;
use std::sync::Arc;

pub use error::{ErrorClass, TokenError};
pub use pin::{Pin, PinError, PinSource};
pub use pool::{Counts, Pool, PoolError, PoolOptions};

use crate::group::ids::MasterId;
use crate::group::operations::{Batch, Issuer, Output};

/// One session with a token, owned by one thread.
pub trait Token: Send {
    /// The token's public keys.
    fn issuer(&self) -> Issuer;

    /// Executes a batch: either all of it, with one output for each operation in order, or nothing.
    fn execute(&mut self, batch: &Batch) -> Result<Vec<Output>, TokenError>;
}

/// Which token to use and how to log in to it.
#[derive(Clone, Debug)]
pub struct TokenConfig {
    /// Where the keys are.
    pub kind: TokenKind,
    /// Where the PIN comes from.
    pub pin: PinSource,
    /// The master that new groups are created under; older ones of the ring stay usable.
    pub master: MasterId,
}

/// The two kinds of token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A sealed file: for development and for sites without an HSM. Keys are in the process's memory.
    Soft {
        /// The sealed file.
        path: PathBuf,
    },
    /// A PKCS#11 token.
    Pkcs11 {
        /// The vendor's library.
        module: PathBuf,
        /// The token's label, as the vendor's tool set it at initialisation.
        token_label: String,
    },
}

/// Opens a session each time it is called; the pool calls it for every worker and after trouble.
pub type Opener = Arc<dyn Fn() -> Result<Box<dyn Token>, TokenError> + Send + Sync>;

/// What [`provision`] found or made.
#[derive(Clone, Debug)]
pub struct Provisioned {
    /// Labels of the keys that were missing and now exist; empty when all was there.
    pub created: Vec<String>,
    /// The token's public keys.
    pub issuer: Issuer,
}

/// Reads the PIN and checks the configuration as far as that needs no session; the sessions come from the opener.
///
/// Blocks (a soft token's file is opened with a deliberately slow KDF): call it off the async threads.
pub fn open(config: &TokenConfig) -> Result<Opener, TokenError> {
    let pin = config.pin.read()?;
    match &config.kind {
        TokenKind::Soft { path } => soft::opener(path, &pin, config.master),
        TokenKind::Pkcs11 {
            module,
            token_label,
        } => Ok(pkcs11::opener(module, token_label, pin, config.master)),
    }
}

/// Creates the master `config.master`, the agreement key pair and the signing key pair where they are missing.
/// Harmless to repeat. A PKCS#11 token must have been initialised with the vendor's tool; a soft token's file is
/// created. Blocks.
pub fn provision(config: &TokenConfig) -> Result<Provisioned, TokenError> {
    let pin = config.pin.read()?;
    match &config.kind {
        TokenKind::Soft { path } => soft::provision(path, &pin, config.master),
        TokenKind::Pkcs11 {
            module,
            token_label,
        } => pkcs11::provision(module, token_label, &pin, config.master),
    }
}

/// The label of a master key: how PKCS#11 tokens name it and how errors do.
pub(crate) fn master_label(master: MasterId) -> String {
    format!("wardcast master {}", master.0)
}

#[cfg(test)]
mod conformance;
