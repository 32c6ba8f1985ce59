//! A gateway with its members: what is waited for in each round, and what it takes to bring both to rest.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use wardcast::admin::api::GroupView;
use wardcast::group::ids::Epoch;

use crate::Failure;
use crate::crowd::Crowd;
use crate::gateway::Gateway;

/// The pause between two looks at what the gateway knows, as long as it has not heard of so many.
const LOOK: Duration = Duration::from_millis(1);
const MANY: u32 = 128;

/// Both sides of a run that is under way.
pub(crate) struct Live {
    pub(crate) gateway: Gateway,
    pub(crate) crowd: Crowd,
}

/// What one round took.
pub(crate) struct Round {
    /// Until the gateway had everybody's acknowledgement.
    pub(crate) all: Duration,
    /// Until each member held the epoch.
    pub(crate) each: Vec<Duration>,
    /// How many acknowledgements it had: everybody's.
    pub(crate) acknowledged: usize,
}

impl Live {
    /// The epoch that comes next.
    pub(crate) async fn upcoming(&self) -> Result<Epoch, Failure> {
        Ok(Epoch(self.gateway.operator.group().await?.epoch.0 + 1))
    }

    /// Follows an epoch that was asked for at `began` until all have it and send with it.
    pub(crate) async fn follow(&mut self, target: Epoch, began: Instant) -> Result<Round, Failure> {
        let each = self.crowd.hold(target, began).await?;
        let view = self.acknowledged(target).await?;
        let all = began.elapsed();
        self.crowd.send(view.epoch).await?;
        Ok(Round {
            all,
            each,
            acknowledged: view.acknowledged as usize,
        })
    }

    /// Waits until nothing is under way any more.
    pub(crate) async fn settle(&mut self, target: Epoch) -> Result<(), Failure> {
        self.follow(target, Instant::now()).await?;
        Ok(())
    }

    /// Waits until the gateway has everybody's acknowledgement of an epoch that is at least this one.
    async fn acknowledged(&mut self, target: Epoch) -> Result<GroupView, Failure> {
        loop {
            let view = self.gateway.operator.group().await?;
            if view.epoch >= target && view.acknowledged == view.members {
                return Ok(view);
            }
            // A newer one may have come in between.
            self.crowd.hold(view.epoch, Instant::now()).await?;
            if view.members.saturating_sub(view.acknowledged) > MANY {
                sleep(LOOK).await; // each look costs the gateway a request
            }
        }
    }

    /// A failure, with the end of the gateway's log, which may explain it.
    pub(crate) fn explained(&self, failure: Failure) -> Failure {
        self.gateway.explained(failure)
    }
}
