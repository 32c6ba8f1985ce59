//! Shards: one single-writer loop for each share of the groups, which runs the core's effects in order.
//!
//! A [`Handle`] turns requests into events for the shard of their group. A shard hands them to the group's
//! machine and carries out its effects: appends to the store and token jobs run beside the loop and come back as
//! events, so that no group waits for another's disk or token. Pushes go through an [`Outbox`] a connection, the
//! delivery seam.
//!
//! ```text
//!   quic, admin --Handle--> shard: machine.handle(event)
//!                             |      machine.poll() -> effect
//!                             |--> store, token pool --> event back to the shard
//!                             '--> Outbox --> delivery task of the connection
//! ```

mod catalogue;
mod census;
mod channel;
mod channels;
mod count;
mod directory;
mod escrow;
mod event;
mod gate;
mod group;
mod handle;
mod outbox;
mod pulse;
mod rotation;
mod shard;
mod standing;
#[cfg(test)]
mod tests;
mod tokens;
mod trail;
mod volley;
mod watch;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use crate::audit::Audit;
use crate::group::ids::Time;
use crate::group::machine::{GroupMachine, RestoreError};
use crate::group::multicast::MulticastTimes;
use crate::hsm::Pool;
use crate::policy::Decider;
use crate::store::{self, Store, StoreError};

pub use catalogue::METRICS;
pub use census::{BUSY_MS, Latency, POINT_MS, POINTS, Totals};
pub use channel::{Channel, Export, Opening, Reported, Whereabouts};
#[cfg(test)]
pub(crate) use channels::testing;
pub use channels::{Channels, MAX_CHANNELS, Table};
use directory::Directory;
pub use escrow::{EscrowError, RootKey};
use event::Event;
pub use event::{Eviction, GroupView, Known, MemberView, UnderWay};
pub use gate::Gate;
use group::Served;
pub use handle::{Handle, MAX_PAGE};
pub use outbox::{Delivery, DuePush, Outbox, Outcome, Registration};
pub use rotation::{RotationPhase, RotationStatus};
use shard::Shard;
use tokens::Tokens;
use trail::Trail;
pub use volley::{Cast, Multicast, Outbound, SealedRekey, Volley};
pub use watch::{
    Deliveries, GroupActivity, Lacking, LackingPage, MemberTrace, Overview, Place, Reach,
    ShardStatus, SlowMember, Who,
};

/// Events that one shard may have waiting; beyond it requests are refused as busy and the rest waits.
const SHARD_QUEUE: usize = 16_384;
/// Groups whose missing records wait for the audit trail's disk at a start.
const CATCH_UP: usize = 1_024;
/// Groups that one gateway serves.
pub const MAX_GROUPS: usize = 100_000;

/// What the engine stands on.
pub struct Parts {
    /// Where groups are persisted.
    pub store: Arc<dyn Store>,
    /// Where what happens is put on record, if anywhere.
    pub audit: Option<Audit>,
    /// Whether the key store upstream is out of reach.
    pub gate: Gate,
    /// What executes their token operations.
    pub token: Arc<Pool>,
    /// Single-writer loops; groups are shared out among them.
    pub shards: usize,
    /// Sockets that datagrams are sent on.
    pub lanes: u8,
    /// Who may join.
    pub decider: Arc<Decider>,
    /// When those who listen to a multicast wait for what; none where the gateway sends none.
    pub multicast: Option<MulticastTimes>,
}

/// Why the engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store could not be read.
    #[error("cannot load the groups: {0}")]
    Store(#[from] StoreError),
    /// A stored group is not readable: it was not written by this version, or it was damaged.
    #[error(
        "cannot restore group {group}: {source}; restore the store from a backup, or use the version that wrote it"
    )]
    Restore {
        /// Which group.
        group: crate::group::ids::GroupId,
        /// What is wrong.
        source: RestoreError,
    },
    /// More groups than one gateway serves.
    #[error("the store holds more than {MAX_GROUPS} groups; share them out among several gateways")]
    TooManyGroups,
}

/// Loads all groups and starts the shards; they end when the last handle is gone.
pub async fn start(parts: Parts) -> Result<Handle, StartError> {
    let directory = Arc::new(Directory::new(parts.shards.max(1)));
    let channels = Arc::new(Channels::new(parts.lanes, parts.multicast));
    let mut served: Vec<Vec<Served>> = Vec::new();
    served.resize_with(directory.shards(), Vec::new);
    let trail = Trail::new(parts.audit.clone(), parts.gate.clone());
    let mut read = 0_usize;
    let mut groups = store::load(&*parts.store);
    while let Some(stored) = groups.next().await? {
        let group = stored.id;
        let records = stored.records.iter().map(Vec::as_slice);
        // The token need not have answered yet: groups are told when it does.
        let machine = GroupMachine::restore(stored.snapshot.as_deref(), records, None)
            .map_err(|source| StartError::Restore { group, source })?;
        let status = machine.status();
        trail.of(group, &status.name).catch_up(&stored);
        read += 1;
        if status.destroyed || read.is_multiple_of(CATCH_UP) {
            trail.settled().await;
        }
        if status.destroyed {
            if trail.is_current() {
                parts.store.remove(group).await?;
            }
            continue;
        }
        if !directory.claim(&status.name, group) {
            return Err(StartError::TooManyGroups);
        }
        served[directory.shard(group)].push(Served::restored(
            machine,
            &stored,
            (&channels, &trail),
        ));
    }
    trail.settled().await;
    let clock = Clock(Instant::now());
    let shards = served.into_iter().enumerate().map(|(number, groups)| {
        let (events, inbox) = mpsc::channel(SHARD_QUEUE);
        let (directory, channels) = (directory.clone(), channels.clone());
        let trail = trail.clone();
        let shard = Shard::new(
            &parts,
            directory,
            (channels, trail),
            (clock, number),
            events.downgrade(),
        );
        tokio::spawn(shard.run(groups, inbox));
        events
    });
    let shards: Vec<mpsc::Sender<Event>> = shards.collect();
    let tokens = Arc::new(Tokens::new(parts.token));
    let told: Vec<_> = shards.iter().map(mpsc::Sender::downgrade).collect();
    tokio::spawn(tell_once_known(tokens.clone(), told));
    Ok(Handle::new(
        shards,
        (directory, channels),
        tokens,
        parts.decider,
    ))
}

/// Start-up never waits for a token: the groups live, and are told its public keys once it has answered.
async fn tell_once_known(tokens: Arc<Tokens>, shards: Vec<mpsc::WeakSender<Event>>) {
    let Some(issuers) = tokens.known().await else {
        return;
    };
    for shard in shards {
        // A shard that has ended has nobody to be told.
        if let Some(shard) = shard.upgrade() {
            let _ = shard.send(Event::TokenKnown(issuers.clone())).await;
        }
    }
}

/// The monotonic clock of this process.
#[derive(Clone, Copy)]
struct Clock(Instant);

impl Clock {
    fn now(self) -> Time {
        Time(u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn instant(self, time: Time) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.0) + std::time::Duration::from_millis(time.0)
    }
}
