//! Master rotation: every group rolls onto the newest master, then the older ones are destroyed.
//!
//! A ring of more than one master is a rotation that was not finished, or one that was prepared by creating the new master
//! in every token by ceremony: it is taken up where it is. Only a ring of one master is given a new one here. So whatever
//! interrupts a rotation, beginning it again ends it. Nothing is destroyed while a single group still needs it.

use std::time::Duration;

use tokio::time::sleep;

use super::handle::Handle;
use crate::group::ids::MasterId;
use crate::group::wire::{Refusal, RefusalCode};
use crate::hsm::RingChange;
use crate::trace;

/// Times that a group is asked before the rotation gives up and says why: it goes on where it was when it is begun again.
const ATTEMPTS: u32 = 10;
/// The pause before a group that refused is asked again, if it does not say.
const PAUSE: Duration = Duration::from_secs(1);
/// What an empty group counts as, so that many of them are paced too.
const LEAST_MEMBERS: u32 = 1;

/// How a rotation is getting on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationStatus {
    /// The master that groups are rolled onto; none until it is known.
    pub to: Option<MasterId>,
    /// What is being done.
    pub phase: RotationPhase,
    /// Groups that are looked at.
    pub groups: usize,
    /// Groups that are under that master.
    pub rolled: usize,
    /// Masters that were destroyed.
    pub destroyed: Vec<MasterId>,
}

/// What a rotation is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RotationPhase {
    /// The ring is looked at, and given a new master where it has but one.
    Preparing,
    /// Groups are rolled.
    Rolling,
    /// No group needs the older masters any more: they are destroyed.
    Destroying,
    /// All is done.
    Done,
    /// It ended before that; what was done stays done, and beginning it again goes on from there.
    Failed(String),
}

impl RotationPhase {
    /// Whether nothing more happens.
    pub fn is_over(&self) -> bool {
        matches!(self, RotationPhase::Done | RotationPhase::Failed(_))
    }
}

impl Handle {
    /// Begins to roll every group onto the newest master, so many members a second, and to destroy the older masters then.
    pub fn rotate_master(&self, members_per_second: u32) -> Result<(), Refusal> {
        if !self.tokens().begin_rotation() {
            let why = "a rotation of the master is under way";
            return Err(Refusal::because(RefusalCode::Busy, why));
        }
        let engine = self.clone();
        let rolling = async move {
            let ended = match engine.roll_all(members_per_second).await {
                Ok(()) => RotationPhase::Done,
                Err(why) => {
                    tracing::error!(%why, "the rotation of the master is not finished; begin it again to go on");
                    RotationPhase::Failed(why)
                }
            };
            engine.tokens().note(|status| status.phase = ended);
        };
        // By the request's name, but not in its span: that one is over long before.
        tokio::spawn(trace::within(trace::current(), rolling));
        Ok(())
    }

    /// How the last rotation is getting on, if there was one since the gateway started.
    pub fn rotation(&self) -> Option<RotationStatus> {
        self.tokens().rotation()
    }

    async fn roll_all(&self, members_per_second: u32) -> Result<(), String> {
        let to = self.prepare_master().await?;
        self.tokens().note(|status| {
            status.to = Some(to);
            status.phase = RotationPhase::Rolling;
        });
        self.roll_groups(to, members_per_second).await?;
        self.tokens()
            .note(|status| status.phase = RotationPhase::Destroying);
        let ring = self.change_ring(RingChange::List).await?;
        for old in ring.into_iter().filter(|master| *master != to) {
            self.change_ring(RingChange::Destroy(old)).await?;
            tracing::warn!(master = old.0, "master destroyed");
            self.tokens().note(|status| status.destroyed.push(old));
        }
        Ok(())
    }

    /// The master to roll onto: new groups are under it from here on.
    async fn prepare_master(&self) -> Result<MasterId, String> {
        let ring = self.change_ring(RingChange::List).await?;
        let newest = match ring[..] {
            [] => return Err("the token has no master: provision it".to_owned()),
            [only] => {
                let next = MasterId(
                    only.0
                        .checked_add(1)
                        .ok_or("the ring's numbers are used up")?,
                );
                self.change_ring(RingChange::Create(next)).await?;
                next
            }
            [.., newest] => newest,
        };
        self.tokens().use_master(newest);
        Ok(newest)
    }

    async fn change_ring(&self, change: RingChange) -> Result<Vec<MasterId>, String> {
        let changed = self.tokens().pool().ring(change).await;
        let ring = changed.map_err(|error| error.to_string())?;
        match &ring.skipped[..] {
            [] => Ok(ring.masters),
            // It would come back with a ring of its own, and with the master that was to be gone.
            skipped => Err(format!("not all tokens are usable: {}", skipped.join(", "))),
        }
    }

    /// Rolls every group that is not under that master, and makes sure of all.
    async fn roll_groups(&self, to: MasterId, members_per_second: u32) -> Result<(), String> {
        let names = self.groups();
        let groups = names.len();
        self.tokens().note(|status| status.groups = groups);
        for name in names {
            let Some(members) = self.roll_group(&name, to).await? else {
                continue;
            };
            let members = members.max(LEAST_MEMBERS);
            self.tokens().note(|status| status.rolled += 1);
            let pace = f64::from(members) / f64::from(members_per_second.max(1));
            sleep(Duration::from_secs_f64(pace)).await;
        }
        // Created or loaded meanwhile: under the new master already, or nothing is destroyed.
        for name in self.groups() {
            self.roll_group(&name, to).await?;
        }
        self.tokens().note(|status| status.rolled = status.groups);
        Ok(())
    }

    /// How many members were rolled; none if the group was under that master already, or is no more.
    async fn roll_group(&self, name: &str, to: MasterId) -> Result<Option<u32>, String> {
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let refusal = match self.group(name).await {
                Ok(view) if view.status.keys.master == to => return Ok(None),
                Ok(view) => match self.roll_over(name, Some(to), None).await {
                    Ok(()) => return Ok(Some(view.status.assurance.members)),
                    Err(refusal) => refusal,
                },
                Err(refusal) => refusal,
            };
            if matches!(
                refusal.code,
                RefusalCode::UnknownGroup | RefusalCode::Destroyed
            ) {
                return Ok(None);
            }
            last = refusal.to_string();
            let pause = refusal.retry_after_ms.map_or(PAUSE, Duration::from_millis);
            sleep(pause).await;
        }
        Err(format!("group {name:?} cannot be rolled: {last}"))
    }
}
