//! The client library: connect, join, follow rekeys, export keys.
//!
//! A [`Client`] is one connection to a gateway, made again whenever it is lost; any number of groups use it. A
//! [`Membership`] is one registration in one group. It follows the group by itself, resumes with its leaf on every new
//! connection, never joins afresh behind its owner's back, and tells what happens as [`Event`]s.
//!
//! ```no_run
//! # use wardcast::member::{Client, Event, Options};
//! # use wardcast::group::ids::Role;
//! # async fn run(options: Options) -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new(options)?;
//! let mut studio = client.join("studio", Role::Both).await?;
//! while let Some(event) = studio.next().await {
//!     if let Event::Installed { epoch } = event {
//!         let key = studio.export(epoch, "srtp key", b"", 16)?;
//!         // receive with it from now on; send with it when Event::Send says so
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Whoever reads no events makes the membership wait: it acknowledges nothing more, and the gateway holds the newest
//! epoch for it until it goes on.

mod client;
mod driver;
mod error;
mod keys;
mod link;
mod membership;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

pub use client::Client;
pub use error::{ExportError, JoinError, MemberError};
pub use keys::SuiteOne;
pub use membership::{Membership, Ticket};

use crate::group::edges::Edge;
use crate::group::ids::Epoch;
use crate::group::wire::{Refusal, RemovalReason};
use crate::tls::{Credentials, Trust};

/// Where the gateway is, and as whom to connect to it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The gateway's address.
    pub address: SocketAddr,
    /// The name that its certificate must have.
    pub server_name: String,
    /// The member's certificate and key: its identity.
    pub credentials: Credentials,
    /// Who issues the gateway's certificate.
    pub trust: Trust,
    /// How often an idle connection is tested; a lost one is noticed after three times as long.
    pub keep_alive: Duration,
    /// How long a request is tried, over lost connections and passing refusals.
    pub patience: Duration,
    /// Gets a copy of every epoch as it comes, whether it can be opened or not; a full channel misses some.
    pub tap: Option<mpsc::Sender<Observed>>,
}

/// An epoch as the gateway sent it: a signed header and ciphertext, no secret.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The header.
    pub header: Bytes,
    /// The up-edges: of a chunk, or of this member's path.
    pub edges: Vec<Edge>,
}

impl Options {
    /// With the usual times: tested every 10 s, tried for 30 s.
    pub fn new(
        address: SocketAddr,
        server_name: impl Into<String>,
        credentials: Credentials,
        trust: Trust,
    ) -> Self {
        Self {
            address,
            server_name: server_name.into(),
            credentials,
            trust,
            keep_alive: Duration::from_secs(10),
            patience: Duration::from_secs(30),
            tap: None,
        }
    }
}

/// What happens to a membership, in this order for each epoch: installed, perhaps send, retired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The epoch's secret is known and confirmed: receive with its keys from now on.
    Installed {
        /// The epoch.
        epoch: Epoch,
    },
    /// Send with this epoch's keys from now on.
    Send {
        /// The epoch.
        epoch: Epoch,
    },
    /// The epoch's secret is erased: accept nothing under its keys any more.
    Retired {
        /// The epoch.
        epoch: Epoch,
    },
    /// The connection was lost and is being made again. The keys stay good: a lost connection is not a leave.
    Disconnected {
        /// What happened to it.
        reason: String,
    },
    /// The gateway knows this registration on a new connection.
    Resumed {
        /// The newest epoch.
        epoch: Epoch,
    },
    /// The registration is over; nothing follows.
    Ended(End),
}

/// Why a registration is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The gateway said so.
    Removed(RemovalReason),
    /// The gateway does not know it any more: it ended while there was no connection.
    Forgotten(Refusal),
    /// The client was dropped.
    Closed,
}
