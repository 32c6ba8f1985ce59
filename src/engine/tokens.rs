//! What the engine knows of its tokens: their public keys once one has answered, the master of new groups, the rotation.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::rotation::{RotationPhase, RotationStatus};
use crate::group::ids::MasterId;
use crate::group::operations::Issuers;
use crate::hsm::{LaneStatus, Pool, PoolState};

/// How long a new group waits for a gateway that has just started, and its token with it.
const START: Duration = Duration::from_secs(5);

/// One for all shards and handles of an engine.
pub(super) struct Tokens {
    pool: Arc<Pool>,
    /// Once a token has answered, and the same from then on.
    issuers: watch::Sender<Option<Arc<Issuers>>>,
    master: Mutex<Option<MasterId>>,
    rotation: watch::Sender<Option<RotationStatus>>,
}

impl Tokens {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self {
            pool,
            issuers: watch::Sender::new(None),
            master: Mutex::new(None),
            rotation: watch::Sender::new(None),
        }
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Waits for the first token that answers; from then on groups can be created. None if the pool ends before that.
    pub(super) async fn known(&self) -> Option<Arc<Issuers>> {
        let issuers = Arc::new(self.pool.issuers().await.ok()?);
        if let Some(newest) = newest(&self.pool.status().lanes) {
            // Unless a rotation chose one meanwhile.
            self.master().get_or_insert(newest);
        }
        self.issuers.send_replace(Some(issuers.clone()));
        Some(issuers)
    }

    /// What new groups are made with: the tokens' public keys and a master. Waits a moment for the first token that
    /// answers; none if there is none.
    pub(super) async fn for_a_new_group(&self) -> Option<(Arc<Issuers>, MasterId)> {
        let mut issuers = self.issuers.subscribe();
        let known = timeout(START, issuers.wait_for(Option::is_some)).await;
        let issuers = known.ok()?.ok()?.clone()?;
        Some((issuers, self.current_master()?))
    }

    fn master(&self) -> std::sync::MutexGuard<'_, Option<MasterId>> {
        // Nothing that can panic runs under the lock.
        self.master.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The master of new groups.
    pub(super) fn current_master(&self) -> Option<MasterId> {
        *self.master()
    }

    /// New groups are under this master from here on.
    pub(super) fn use_master(&self, master: MasterId) {
        *self.master() = Some(master);
    }

    /// How the last rotation is getting on, if there was one.
    pub(super) fn rotation(&self) -> Option<RotationStatus> {
        self.rotation.borrow().clone()
    }

    /// Whether a rotation began: not while another one is under way.
    pub(super) fn begin_rotation(&self) -> bool {
        self.rotation.send_if_modified(|status| {
            let free = status.as_ref().is_none_or(|status| status.phase.is_over());
            if free {
                *status = Some(RotationStatus {
                    to: None,
                    phase: RotationPhase::Preparing,
                    groups: 0,
                    rolled: 0,
                    destroyed: Vec::new(),
                });
            }
            free
        })
    }

    /// Notes how the rotation is getting on.
    pub(super) fn note(&self, change: impl FnOnce(&mut RotationStatus)) {
        self.rotation.send_modify(|status| {
            if let Some(status) = status {
                change(status);
            }
        });
    }
}

/// The newest master that every usable token has: another one would leave new groups to some of them.
fn newest(lanes: &[LaneStatus]) -> Option<MasterId> {
    let usable = lanes
        .iter()
        .filter(|lane| matches!(lane.state, PoolState::Usable));
    let mut rings = usable.map(|lane| &lane.masters);
    let first = rings.next()?;
    let rest: Vec<&Vec<MasterId>> = rings.collect();
    let shared = first
        .iter()
        .filter(|master| rest.iter().all(|ring| ring.contains(master)));
    shared.max().or(first.iter().max()).copied()
}
