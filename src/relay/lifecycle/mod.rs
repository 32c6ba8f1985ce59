//! The life cycle of groups and their keys, kept upstream as objects; and what is done to these there, kept here.
//!
//! # Up
//! [`LifecycleSink`] follows the audit trail. `plan.rs` says what its records mean; that is done through the KMIP client, and the ledger
//! on disk knows which objects there are. A group has two: its own, and that of the root's generation. Steps of the ratchet have
//! none: whoever has a generation's key computes them.
//!
//! | object | name | begins | ends |
//! | --- | --- | --- | --- |
//! | a group | `NAME.group.ID` | as it is created | as it is destroyed |
//! | a generation of its root | `NAME.key.ID.MASTER.LEVEL-GENERATION` | with its first epoch | with the next generation's, or the group's end |
//!
//! All are in the object group `NAME.keys`, and describe themselves (`names.rs`) as application specific information in the namespace
//! `wardcast`. A successor of an object that somebody ended upstream has its name with `.2`, `.3` and so on. What ends is revoked as
//! superseded or for cessation of operation, then destroyed, or archived where the policy says `archive`. A store without
//! Archive keeps it revoked, and that is logged.
//!
//! Opaque objects would be the natural ones for descriptors, but only cryptographic objects have a state. So they are Secret Data,
//! whose value is the descriptor again and no secret at all. With `escrow` in the policy the object is a Symmetric Key: the root's,
//! wrapped in the token under the escrow key, so that the gateway never holds it. Whoever opens it computes its later ratchet steps
//! as members do, and from these each epoch's secret. It names the store's object that has `token.escrow_label` as its name. While the token cannot do that, the sink waits, as order is
//! kept; where it never can, the object is a descriptor that says so, and that is logged as an error.
//!
//! # After a crash
//! The same records come to the same steps. An object that may have been registered is looked up by its name first; that all objects of
//! a batch have begun is on disk before any ends, so that one that is gone is not taken for one that never was.
//!
//! An object that the store refuses for good is set aside (`aside.rs`), so that it holds up no other.
//!
//! The ledger says up to which record the trail was applied. One that is older than the cursor was lost, or restored from a backup: what
//! was done since is remembered from the trail, and nothing of it is done again. What the trail has at start may be upstream already,
//! whatever the ledger knows, as when another gateway had this one's place: it is looked up by name first.
//!
//! # Back
//! [`Lifecycle::watch`] looks at the state of every object that should be active; `watch.rs` says what is done for one that is not. It begins once the way up
//! has caught up with the trail as it was at start; a generation that is over for the group is acted on by nobody.

mod apply;
mod aside;
mod escrow;
mod groups;
mod known;
mod ledger;
mod locate;
mod names;
mod plan;
mod sink;
#[cfg(test)]
mod tests;
mod upstream;
mod watch;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{self, Mutex};

pub use aside::{Aside, Asides, MOST, REFUSALS};
pub use groups::{EscrowError, Facts, Groups};
pub use ledger::LedgerError;
pub use names::Names;
pub use sink::LifecycleSink;
pub use watch::Looked;

use crate::audit::Audit;
use crate::kmip::client::{Client, ClientError};
use crate::relay::{Hints, SinkError};
use escrow::EscrowKey;
use ledger::Ledger;

/// The ledger's file, in the folder of the trail.
const LEDGER: &str = "relay-lifecycle.db";

/// What the life cycle stands on.
pub struct Parts<G> {
    /// The key store.
    pub client: Client,
    /// The groups.
    pub groups: G,
    /// The trail, for what is found upstream.
    pub audit: Audit,
    /// What objects are called.
    pub names: Names,
    /// What the escrow key is called, in the tokens and upstream; empty if there is none.
    pub escrow_label: String,
}

/// The life cycle of groups upstream: the way up, and the way back.
pub struct Lifecycle<G>(Arc<Shared<G>>);

struct Shared<G> {
    client: Client,
    groups: G,
    audit: Audit,
    names: Names,
    escrow: EscrowKey,
    ledger: Ledger,
    /// Held by whoever changes objects upstream, or looks at them: so that neither takes the other's doing for somebody else's.
    turn: Mutex<()>,
    asides: Asides,
    /// What the trail had when the gateway started is applied: before that, what is found upstream may be the gateway's own doing.
    caught_up: sync::watch::Sender<bool>,
}

/// Why a look at the objects upstream came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The key store.
    #[error(transparent)]
    Store(#[from] ClientError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Names that were looked up.
    #[error("{0}")]
    Names(SinkError),
    /// A group.
    #[error("group {0:?}: {1}")]
    Group(String, String),
}

impl<G: Groups> Lifecycle<G> {
    /// Opens the ledger in the folder of the trail. It blocks.
    ///
    /// # Errors
    /// When the ledger cannot be opened.
    pub fn open(folder: &Path, parts: Parts<G>) -> Result<Self, LedgerError> {
        let Parts {
            client,
            groups,
            audit,
            names,
            escrow_label,
        } = parts;
        Ok(Lifecycle(Arc::new(Shared {
            client,
            groups,
            audit,
            names,
            escrow: EscrowKey::new(escrow_label),
            ledger: Ledger::open(&folder.join(LEDGER))?,
            turn: Mutex::default(),
            asides: Asides::default(),
            caught_up: sync::watch::Sender::new(false),
        })))
    }

    /// The way up: there must be one at a time.
    pub fn sink(&self) -> LifecycleSink<G> {
        LifecycleSink::new(self.0.clone())
    }

    /// The way back, for ever: each object is looked at once in each interval, and sooner for a hint.
    pub async fn watch(&self, every: Duration, hints: Hints) {
        watch::watch(self.0.clone(), every, hints).await;
    }

    /// Objects that the store refuses for good.
    pub fn asides(&self) -> Asides {
        self.0.asides.clone()
    }

    /// Tries these once more.
    ///
    /// # Errors
    /// When the store cannot be reached, or the ledger not be used.
    pub async fn retry(&self) -> Result<(), SinkError> {
        aside::retry(&self.0).await
    }

    /// Looks at all objects once; at none before the way up has caught up with what the trail had when the gateway started.
    ///
    /// # Errors
    /// When it came to nothing; the next look makes up for it.
    pub async fn look(&self) -> Result<Looked, LookError> {
        watch::look(&self.0).await
    }
}
