//! One push: a stream that the gateway opens, a message, the member's answer.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::{sleep, timeout};

use super::connection::Served;
use super::driver::Connection;
use super::{PUSH_DEADLINE, PUSH_RETRY};
use crate::engine::{Delivery, DuePush, Outcome, Registration};
use crate::group::ids::Epoch;
use crate::group::limits::MAX_PUSH_REPLY;
use crate::group::wire::{
    Activate, GoAway, Message, NackCode, Push, PushReply, RekeyDelivery, Removed,
};

/// Why a push was not answered.
enum Failure {
    /// The connection is over, and so is the outbox.
    Lost,
    /// This stream failed: no answer in time, or one that is none.
    Stream,
}

/// Carries out one delivery and tells engine and outbox what came of it.
pub(super) async fn push(served: Arc<Served>, Delivery { registration, push }: Delivery) {
    let about_keys = matches!(push, DuePush::Rekey { .. } | DuePush::Path);
    let outcome = match message(&served, registration, push).await {
        Some(mut message) => exchange(&served.connection, &mut message).await,
        None => Err(Failure::Stream),
    };
    if outcome.is_ok() {
        metrics::counter!("wardcast_pushes_total").increment(1);
    }
    let outcome = match outcome {
        Ok(PushReply::Ack(ack)) => {
            if about_keys {
                served
                    .front
                    .engine
                    .acknowledged(registration, ack.epoch)
                    .await;
            }
            Outcome::Held(ack.epoch)
        }
        // It asks for its new leaf key by itself, and no path helps it before: there is nothing to be repeated.
        Ok(PushReply::Nack(nack)) if nack.code == NackCode::NeedGrant => Outcome::Held(nack.held),
        Ok(PushReply::Nack(nack)) => {
            tracing::debug!(member = %registration.1, code = %nack.code, held = %nack.held, "push not used");
            metrics::counter!("wardcast_pushes_refused_total").increment(1);
            if matches!(nack.held, Epoch(0)) {
                // The grant is still on its way, or the member begins afresh: it needs time rather than haste.
                sleep(PUSH_RETRY).await;
            }
            Outcome::NeedsPath
        }
        Err(Failure::Lost) => return,
        Err(Failure::Stream) => {
            metrics::counter!("wardcast_pushes_failed_total").increment(1);
            sleep(PUSH_RETRY).await;
            Outcome::NeedsPath
        }
    };
    served.outbox.done(registration, outcome);
}

/// The bytes to send, shared with all members that get the same.
async fn message(
    served: &Served,
    (group, member): Registration,
    push: DuePush,
) -> Option<Vec<Bytes>> {
    let push = match push {
        DuePush::Rekey { rekey, leaf } => {
            return Some(vec![rekey.head.clone(), rekey.chunk_for(leaf).clone()]);
        }
        DuePush::Path => {
            let path = served.front.engine.path((group, member)).await.ok()?;
            Push::Rekey(RekeyDelivery {
                group,
                header: path.header,
                active: path.active,
                edges: path.edges,
            })
        }
        DuePush::Activate(epoch) => Push::Activate(Activate { group, epoch }),
        DuePush::Removed(reason) => Push::Removed(Removed {
            group,
            member,
            reason,
        }),
    };
    Some(vec![push.to_bytes()])
}

/// Opens a stream, writes the message and reads the answer, all within the deadline.
async fn exchange(connection: &Connection, message: &mut [Bytes]) -> Result<PushReply, Failure> {
    let exchange = async {
        let (mut send, mut receive) = connection.open_bi().await.map_err(|_| Failure::Lost)?;
        send.write_all_and_finish(message)
            .await
            .map_err(|_| Failure::Stream)?;
        let reply = receive
            .read_to_end(MAX_PUSH_REPLY)
            .await
            .map_err(|_| Failure::Stream)?;
        PushReply::from_bytes(&reply).map_err(|_| Failure::Stream)
    };
    // Both halves of an unfinished stream are reset as they are dropped.
    let answered = timeout(PUSH_DEADLINE, exchange)
        .await
        .unwrap_or(Err(Failure::Stream));
    match connection.close_reason() {
        Some(_) => Err(Failure::Lost),
        None => answered,
    }
}

/// Tells a member that the gateway goes, and waits for its answer as long as for any push.
pub(super) async fn say_goodbye(connection: &Connection, away: GoAway) {
    let mut message = [Push::GoAway(away).to_bytes()];
    // It is told once more as the connection closes.
    let _ = exchange(connection, &mut message).await;
}
