//! Tokens: whoever holds the master key and executes the core's named operations.
//!
//! A [`Token`] is one session, used by one thread. Two kinds exist: [`soft`], a sealed file whose keys are in this
//! process's memory, and [`pkcs11`], any PKCS#11 2.40 token. Both answer the same batch with the same wrapped keys
//! and tags when they hold the same master. A [`Pool`] runs several of them on threads of their own. Either can live in
//! a process of its own, the token [`host`], and be used through its socket.
//!
//! What a token holds, for both kinds:
//!
//! | object | label in PKCS#11 | may do |
//! | --- | --- | --- |
//! | master key N of the ring | `wardcast master N` | derive; never leaves the token |
//! | agreement key pair (P-256) | `wardcast agreement` | ECDH |
//! | signing key pair (P-256) | `wardcast signing` | ECDSA |
//! | the same for suite 2 (HKDF; X25519; ML-DSA-65), where the token has the mechanisms | each with ` suite 2` appended | the same |
//! | escrow key (AES-256), where there is one; the key store upstream has it too | as configured | AES key wrap of roots, and no more |
//!
//! [`provision`] creates what is missing of these and touches nothing else; [`provision_shared`] does so for several tokens
//! that are to hold the same keys. Everything below a master (seeds, node keys, keks) is derived when a batch needs it and
//! destroyed after its last use there, but for the keys of upper nodes and the seeds: a session holds a bounded number
//! of them, so that a change near another one costs less. [`Usage`] counts what a batch really cost, the same way for
//! both kinds.
//!
//! The ring of masters is changed with [`Token::ring`]. A master that was destroyed is gone for every session of this process at
//! once, with whatever they held of it; a session of another process finds out within a bounded number of batches.
//!
//! The escrow key wraps roots by an operation of its own, and is never the key of a node that another is wrapped under: no name
//! leads to it. It may not unwrap or decrypt, for then whoever drives the token could open what was escrowed before the masters that
//! it came from were destroyed. What it wraps can be read by whoever has it outside, as policy wants it for a group; nothing else is.
//!
//! Node keys have to be wrappable, so whoever controls the process that is logged in can ask the token to wrap them
//! under a key of his own: a live compromise of the token's host reads node keys, a stolen disk or backup does not.

mod catalogue;
mod check;
mod error;
mod escrow;
mod executed;
mod held;
pub mod host;
pub mod pin;
pub mod pkcs11;
mod pool;
mod profile;
mod shared;
pub mod soft;
mod threads;
mod work;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use catalogue::METRICS;
pub use error::{ErrorClass, TokenError};
pub use escrow::{EscrowFileError, provision_escrow, read_escrow_key};
pub use executed::Executed;
pub use pin::{Pin, PinError, PinSource};
pub use pool::{
    Counts, Lane, LaneStatus, Pauses, Pool, PoolError, PoolOptions, PoolStartError, PoolState,
    PoolStatus, Ring, RingError, Trouble, Waiting,
};
pub use profile::{Profile, RingChange, Usage};
pub use shared::provision_shared;

use crate::group::ids::{MasterId, Suite};
use crate::group::operations::{Batch, Issuers, Output};

/// One session with a token, owned by one thread.
pub trait Token: Send {
    /// What the token is and can, as found when the session was opened.
    fn profile(&self) -> &Profile;

    /// Executes batches in order, of whatever groups. Each is executed whole, with one output for each operation in
    /// order, or fails by itself.
    fn execute(&mut self, batches: &[Batch]) -> Executed;

    /// Looks at the ring of masters, or changes it. Answers with the masters that there are then, ascending.
    fn ring(&mut self, change: RingChange) -> Result<Vec<MasterId>, TokenError>;

    /// Executes one batch.
    fn execute_one(&mut self, batch: &Batch) -> Result<Vec<Output>, TokenError> {
        let executed = self.execute(std::slice::from_ref(batch));
        let mut results = executed.into_results();
        let lost = || Err(TokenError::BadBatch("the back end lost a result".into()));
        results.pop().unwrap_or_else(lost)
    }
}

/// Which token to use and how to log in to it.
#[derive(Clone, Debug)]
pub struct TokenConfig {
    /// Where the keys are.
    pub kind: TokenKind,
    /// Where the PIN comes from.
    pub pin: PinSource,
    /// The master that [`provision`] creates. A session opens whichever the ring has.
    pub master: MasterId,
    /// The label of the key that roots are escrowed under, if they may be.
    pub escrow: Option<String>,
}

/// The two kinds of token, and where else they may be.
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
    /// Whatever token a host process has: that one reads the PIN, this one never does.
    Host {
        /// The socket that it listens on.
        socket: PathBuf,
        /// How long each call may take.
        patience: Duration,
    },
}

impl fmt::Display for TokenKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenKind::Soft { path } => write!(f, "soft token {}", path.display()),
            TokenKind::Pkcs11 { token_label, .. } => write!(f, "token \"{token_label}\""),
            TokenKind::Host { socket, .. } => write!(f, "token host {}", socket.display()),
        }
    }
}

/// Opens a session each time it is called; the pool calls it for every worker and after trouble.
pub type Opener = Arc<dyn Fn() -> Result<Box<dyn Token>, TokenError> + Send + Sync>;

/// What [`provision`] found or made.
#[derive(Clone, Debug)]
pub struct Provisioned {
    /// Labels of the keys that were missing and now exist; empty when all was there.
    pub created: Vec<String>,
    /// The token's public keys.
    pub issuers: Issuers,
}

/// Reads the PIN and checks the configuration as far as that needs no session; the sessions come from the opener.
///
/// Blocks (a soft token's file is opened with a deliberately slow KDF): call it off the async threads.
pub fn open(config: &TokenConfig) -> Result<Opener, TokenError> {
    let pin = || config.pin.read();
    match &config.kind {
        TokenKind::Soft { path } => {
            soft::opener(path, &pin()?, config.master, config.escrow.as_deref())
        }
        TokenKind::Pkcs11 {
            module,
            token_label,
        } => {
            let keys = (config.master, config.escrow.clone());
            Ok(pkcs11::opener(module, token_label, pin()?, keys))
        }
        TokenKind::Host { socket, patience } => Ok(host::remote::opener(socket, *patience)),
    }
}

/// Creates the master `config.master`, the agreement key pair and the signing key pair where they are missing.
/// Harmless to repeat. A PKCS#11 token must have been initialised with the vendor's tool; a soft token's file is
/// created. Not through a token host, which never makes key pairs. Blocks.
pub fn provision(config: &TokenConfig) -> Result<Provisioned, TokenError> {
    let pin = || config.pin.read();
    match &config.kind {
        TokenKind::Soft { path } => soft::provision(path, &pin()?, config.master),
        TokenKind::Pkcs11 {
            module,
            token_label,
        } => pkcs11::provision(module, token_label, &pin()?, config.master),
        TokenKind::Host { socket, .. } => Err(not_here(socket)),
    }
}

/// The label of the key pair that grants are agreed with.
const AGREEMENT: &str = "wardcast agreement";
/// The label of the key pair that signs epoch headers and the heads of audit trails.
const SIGNING: &str = "wardcast signing";

/// A host has keys, and makes none.
fn not_here(socket: &std::path::Path) -> TokenError {
    TokenError::Host {
        class: ErrorClass::Fatal,
        socket: socket.display().to_string(),
        why: "it does not create key pairs: provision the token where its library and PIN are"
            .to_owned(),
    }
}

/// The label of a master key: how PKCS#11 tokens name it and how errors do.
pub(crate) fn master_label(master: MasterId) -> String {
    format!("wardcast master {}", master.0)
}

/// A key's label in a suite, from its label in suite 1.
pub(crate) fn suite_label(suite: Suite, label: &str) -> String {
    match suite {
        Suite::One => label.to_owned(),
        Suite::Two => format!("{label} suite 2"),
    }
}

#[cfg(test)]
mod conformance;
