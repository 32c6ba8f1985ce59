//! Which request goes to which method of the engine, and which message answers it.

use std::sync::Arc;

use crate::engine::{Handle, Outbox};
use crate::group::ids::Identity;
use crate::group::wire::{Ack, Left, Refusal, Request, Response};

/// Has the engine do what a member asks.
pub(super) async fn answer(
    engine: &Handle,
    identity: &Arc<Identity>,
    outbox: &Arc<Outbox>,
    request: Request,
) -> Result<Response, Refusal> {
    Ok(match request {
        Request::Join(join) => {
            let grant = engine.join(identity, join, outbox).await?;
            Response::Granted(Box::new(grant))
        }
        Request::Resume(resume) => Response::Path(engine.resume(identity, resume, outbox).await?),
        Request::Leave(leave) => {
            let member = leave.member;
            engine.leave(identity, leave).await?;
            Response::Left(Left { member })
        }
        Request::Pull(pull) => Response::KeySet(engine.pull(identity, pull).await?),
        Request::Status(status) => Response::Status(engine.status(identity, &status.group).await?),
        Request::Acknowledge(held) => {
            engine
                .acknowledge(identity, &held.group, held.member, held.epoch)
                .await?;
            Response::Acknowledged(Ack { epoch: held.epoch })
        }
    })
}
